//! The rope: `sluice_micro::rope`.

mod measure;

fn main() {
    measure::measure(sluice_micro::rope::SCENARIOS);
}
