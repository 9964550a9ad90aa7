//! The decoder of chunks: `sluice_micro::decode`.

mod measure;

fn main() {
    measure::measure(sluice_micro::decode::SCENARIOS);
}
