//! Turns the `.proto` files into Rust, with no `protoc` on the machine.
//!
//! Messages always; service stubs only under the `services` feature, so that
//! a crate that speaks messages alone never compiles tonic.

use std::path::PathBuf;

use prost::Message as _;

const ROOT: &str = "proto";
const FILES: [&str; 6] = [
    "google/rpc/status.proto",
    "google/rpc/error_details.proto",
    "sluice/upload/v1/upload.proto",
    "sluice/upload/v1/upload_service.proto",
    "sluice/upload/v1/node_service.proto",
    "sluice/upload/v1/drive_service.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed={ROOT}");
    println!("cargo:rerun-if-changed=build.rs");
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    let services = std::env::var_os("CARGO_FEATURE_SERVICES").is_some();

    let files = protox::compile(FILES, [ROOT])?;
    std::fs::write(out.join("descriptors.bin"), files.encode_to_vec())?;
    tonic_prost_build::configure()
        .bytes(".")
        .build_server(services)
        .build_client(services)
        .build_transport(false)
        .compile_fds(files)?;
    Ok(())
}
