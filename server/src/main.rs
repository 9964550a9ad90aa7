//! The `sluice` command. All that it does lives in the library, where tests reach it.

use sluice_server as _;

fn main() {}
