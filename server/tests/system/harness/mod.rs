//! What the tests have in common: servers, what is on their disks, clients, files to send.

mod audit;
mod calls;
mod data_dir;
mod http;
mod link;
mod noise;
mod server;
mod streamed;
mod terminal;
mod tools;
mod upload_loop;
mod workload;

pub use audit::{audit, audit_but_objects};
pub use calls::{Calls, Persist, assert_refused, checked_chunk, chunk, streamed_chunk};
pub use data_dir::DataDir;
pub use http::{RawAnswer, RawCall, get, message};
pub use link::Link;
pub use noise::{Random, noise, seed};
pub use server::{Options, Server, eventually, two_cpus};
pub use sluice_test_servers::ports::free as free_ports;
pub use terminal::{INTERRUPT, Terminal};
pub use tools::{
    GRPCURL, PYTHON, hex, make_stubs, root, runtime, sha256, sluice, test_tools, text, tool,
};
pub use upload_loop::{CHUNK_BYTES, FILE_BYTES, UploadLoop, file_to_send, python_loop};
pub use workload::{Ended, Kind, Outcome, Pace, work, work_until};
