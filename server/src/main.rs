//! The `sluice` command. All that it does lives in the library, where tests reach it.

use sluice_server::command::{self, Exit};

// The C library's allocator gives big blocks back to the kernel and faults them in again for
// every chunk: it costs two to three times the CPU.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Exit {
    abort_on_panic();
    command::run(std::env::args_os())
}

/// A panic is a broken promise of our own: going on on the other threads could only make it worse.
/// Release builds abort by their profile; this has every build do so.
fn abort_on_panic() {
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        tell(info);
        std::process::abort();
    }));
}
