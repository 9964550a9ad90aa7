//! The `sluice-bench` command: load against a running server, measured and verified.

// As the server: the C library's allocator would make the client dear, and a client-bound run
// says nothing of the server.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {}
