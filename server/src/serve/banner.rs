//! What a server says when it serves.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use sluice_proto::units::format_size;

use crate::config::{Config, Objects, format_cpus};

/// Prints where it serves and what to do next.
pub(super) fn print(config: &Config, listen: SocketAddr, admin: SocketAddr) {
    let text = text(config, listen, admin);
    // Nobody has to read it.
    drop(std::io::stdout().write_all(text.as_bytes()));
}

fn text(config: &Config, listen: SocketAddr, admin: SocketAddr) -> String {
    let shards = config.shards();
    let plural = if shards == 1 { "" } else { "s" };
    let cpus = format_cpus(&config.cpus);
    let budget = format_size(config.memory_limit_bytes);
    let objects = match config.layers.objects {
        Objects::Fs => "objects on disk".to_owned(),
        Objects::Discard => "objects discarded".to_owned(),
        Objects::S3 => {
            let bucket = config.s3.as_ref().map_or("", |s3| s3.bucket.as_str());
            format!("objects in s3://{bucket}")
        }
    };
    let version = env!("CARGO_PKG_VERSION");
    let data = match config.data_dir.is_relative() {
        true => Path::new(".").join(&config.data_dir),
        false => config.data_dir.clone(),
    };
    let data = data.display();
    let put = match listen.port() {
        7070 => "./sluice put README.md".to_owned(),
        _ => format!("./sluice --server {listen} put README.md"),
    };
    format!(
        "sluice {version} · {shards} shard{plural} (cpu {cpus}) · {budget} budget · {objects}\n\
         gRPC {listen}   status http://{admin}   data {data}\n\
         next: {put}\n"
    )
}
