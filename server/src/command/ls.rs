//! `sluice ls`: the files that are stored.

use clap::Args;
use serde_json::{Value, json};
use sluice_proto::pb;

use super::list::{self, Item, PAGE_ITEMS, Style, object_json};
use crate::command::{Connection, Exit};

#[derive(Debug, Args)]
pub struct Arguments {
    /// Drive to look at.
    #[arg(long, default_value = "default")]
    drive: String,
    /// Only files of exactly this name.
    #[arg(long, default_value = "", hide_default_value = true)]
    name: String,
    /// Prints one line of JSON a file.
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments, connection: &Connection) -> Exit {
    connection.call(async |client| {
        list::print(Style::of(arguments.json), async |page_token| {
            let request = pb::ListNodesRequest {
                drive_id: arguments.drive.clone(),
                filename: arguments.name.clone(),
                page_size: PAGE_ITEMS,
                page_token,
            };
            let page = client.list_nodes(request).await?;
            Ok((page.nodes, page.next_page_token))
        })
        .await
    })
}

impl Item for pb::Node {
    const HEADINGS: &'static [&'static str] = &["SIZE", "CREATED", "NODE", "NAME"];

    fn cells(&self, style: Style) -> Vec<String> {
        vec![
            style.size(self.object.as_ref().map_or(0, |object| object.size_bytes)),
            style.time(self.create_time.as_ref()),
            self.node_id.clone(),
            self.filename.clone(),
        ]
    }

    fn json(&self) -> Value {
        json!({
            "drive_id": self.drive_id,
            "node_id": self.node_id,
            "upload_id": self.upload_id,
            "filename": self.filename,
            "mime_type": self.mime_type,
            "metadata": self.metadata,
            "create_time": Style::Json.time(self.create_time.as_ref()),
            "update_time": Style::Json.time(self.update_time.as_ref()),
            "object": object_json(self.object.as_ref()),
        })
    }
}
