//! Window credit. Only timed: to count it, `make check` would have to build a whole runtime.

mod measure;

use sluice_io::edge::credit::{Arrival, ConnectionCredit, CreditLimits, ShardCredit};
use sluice_micro::{PIECE_BYTES, Scenario};

const MESSAGE_BYTES: usize = 1 << 20;

const SCENARIOS: &[Scenario] = &[
    Scenario { name: "credit_1", round: "a message of 1 MiB", bytes: 0, begin: || messages(1) },
    Scenario {
        name: "credit_16",
        round: "a message of 1 MiB on each of 16 streams",
        bytes: 0,
        begin: || messages(16),
    },
    Scenario {
        name: "credit_100",
        round: "a message of 1 MiB on each of 100 streams",
        bytes: 0,
        begin: || messages(100),
    },
];

fn main() {
    measure::measure(SCENARIOS);
}

/// Messages on streams of one connection, in pieces that take turns and leave memory at once.
fn messages(streams: u32) -> Box<dyn FnMut()> {
    let shard = ShardCredit::shared(CreditLimits {
        window_budget_bytes: 1 << 30,
        connection_ceiling_bytes: 256 << 20,
        ..CreditLimits::default()
    });
    let mut credit = ConnectionCredit::accept(&shard).expect("the first fits");
    let mut updates = Vec::new();
    let mut first = 1;
    Box::new(move || {
        let numbers = (first..).step_by(2).take(streams as usize);
        // A client's numbers end here; to the sums they are names.
        first = (first + 2 * streams) % (1 << 30);
        for stream in numbers.clone() {
            credit.open(stream);
            credit.grant(stream, MESSAGE_BYTES as u64).expect("the budget is wide");
        }
        for _ in 0..MESSAGE_BYTES / PIECE_BYTES {
            for stream in numbers.clone() {
                updates.clear();
                credit.updates(&mut updates);
                let arrival = credit.received(stream, PIECE_BYTES).expect("there is window");
                assert_eq!(arrival, Arrival::Keep);
                credit.release(stream, PIECE_BYTES);
            }
        }
        numbers.for_each(|stream| credit.close(stream));
        assert_eq!(credit.held_bytes(), 0);
    })
}
