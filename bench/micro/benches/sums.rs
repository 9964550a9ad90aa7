//! Checksums, and combining them: `sluice_micro::sums`.

mod measure;

fn main() {
    measure::measure(sluice_micro::sums::SCENARIOS);
}
