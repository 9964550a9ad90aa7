//! The `sluice-bench` command: load against a running server, measured and verified.

mod clock;
mod command;
mod load;
mod payload;
mod plan;
mod process;
mod report;
mod server;
mod variant;

use command::Exit;

// As the server: the C library's allocator would make the client dear, and a client-bound run
// says nothing of the server.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Exit {
    command::run(std::env::args_os())
}
