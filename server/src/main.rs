//! The `sluice` command. All that it does lives in the library, where tests reach it.

use sluice_server::command::{self, Exit};

// The C library's allocator gives big blocks back to the kernel and faults them in again for
// every chunk: it costs two to three times the CPU.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Exit {
    command::run(std::env::args_os())
}
