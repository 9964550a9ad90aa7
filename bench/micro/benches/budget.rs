//! A shard's chunk memory: `sluice_micro::budget`.

mod measure;

fn main() {
    measure::measure(sluice_micro::budget::SCENARIOS);
}
