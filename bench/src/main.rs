//! The `sluice-bench` command.

use sluice_bench::command::{self, Exit};

// As the server: the C library's allocator would make the client dear, and a client-bound run
// says nothing of the server.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Exit {
    command::run(std::env::args_os())
}
