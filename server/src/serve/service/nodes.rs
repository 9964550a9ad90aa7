//! NodeService, by the metadata.

use std::rc::Rc;

use sluice_proto::{
    error::Refusal,
    ids::{DriveId, Filename, NodeId},
    pb::{self, node_service_server::NodeService},
};
use tonic::{Request, Response, Status};

use super::{
    Call, Service, TENANT, ask,
    control::Control,
    token::Walk,
    view::{self, ObjectPlaces},
};
use crate::metadata::{self, Node, NodeFilter};

#[tonic::async_trait]
impl NodeService for Control {
    async fn list_nodes(
        &self,
        request: Request<pb::ListNodesRequest>,
    ) -> Result<Response<pb::ListNodesResponse>, Status> {
        self.run(request, list_nodes).await
    }

    async fn get_node(
        &self,
        request: Request<pb::GetNodeRequest>,
    ) -> Result<Response<pb::GetNodeResponse>, Status> {
        self.run(request, get_node).await
    }
}

async fn list_nodes(
    service: Rc<Service>,
    _: Call,
    request: pb::ListNodesRequest,
) -> Result<pb::ListNodesResponse, Refusal> {
    let drive_id = DriveId::from_request(&request.drive_id)?;
    Filename::parse(&request.filename).map_err(|invalid| invalid.refusal("filename"))?;
    let limit = ask::page_limit(request.page_size)?;
    let walk = Walk::new("ListNodes", &[drive_id.as_str(), &request.filename]);
    let after = walk.text(&request.page_token)?;
    let filter = NodeFilter { tenant: TENANT.to_owned(), drive_id, filename: request.filename };
    let list =
        move |conn: &rusqlite::Connection| metadata::list_nodes(conn, &filter, &after, limit);
    let page = ask::metadata(&service, list).await??;
    let last = page.items.last().filter(|_| !page.is_last);
    let next_page_token = last.map(|node| walk.token(node.node_id.as_str().as_bytes()));
    Ok(pb::ListNodesResponse {
        next_page_token: next_page_token.unwrap_or_default(),
        nodes: page.items.into_iter().map(|found| node(found, &service.objects)).collect(),
    })
}

async fn get_node(
    service: Rc<Service>,
    _: Call,
    request: pb::GetNodeRequest,
) -> Result<pb::GetNodeResponse, Refusal> {
    let drive_id = DriveId::from_request(&request.drive_id)?;
    let node_id = NodeId::parse(&request.node_id).map_err(|invalid| invalid.refusal("node_id"))?;
    let get =
        move |conn: &rusqlite::Connection| metadata::get_node(conn, TENANT, &drive_id, &node_id);
    let found = ask::metadata(&service, get).await??;
    Ok(pb::GetNodeResponse { node: Some(node(found, &service.objects)) })
}

fn node(node: Node, objects: &ObjectPlaces) -> pb::Node {
    let place = view::Place {
        drive_id: &node.drive_id,
        node_id: &node.node_id,
        upload_id: &node.upload_id,
        objects,
    };
    pb::Node {
        object: Some(view::stored(place, &node.object)),
        drive_id: node.drive_id.to_string(),
        node_id: node.node_id.to_string(),
        upload_id: node.upload_id.to_string(),
        filename: node.filename,
        mime_type: node.mime_type,
        metadata: node.metadata.into_iter().collect(),
        create_time: Some(view::time(node.create_ms)),
        update_time: Some(view::time(node.update_ms)),
    }
}
