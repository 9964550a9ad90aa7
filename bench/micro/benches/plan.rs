//! Parts and spool slices: `sluice_micro::plan`.

mod measure;

fn main() {
    measure::measure(sluice_micro::plan::SCENARIOS);
}
