//! Uploads through a shard's rules: `sluice_micro::chunks`.

mod measure;

fn main() {
    measure::measure(sluice_micro::chunks::SCENARIOS);
}
