//! Stock tonic: a program of its own, as its allocator must be the C library's.

use sluice_bench::command::{self, Exit};

fn main() -> Exit {
    command::run_tonic_stock(std::env::args_os())
}
