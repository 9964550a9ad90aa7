//! Scenarios timed by Criterion.

use criterion::{Criterion, Throughput};
use sluice_micro::Scenario;

/// What `criterion_main!` would, for a table of scenarios.
pub fn measure(scenarios: &[Scenario]) {
    let mut criterion = Criterion::default().configure_from_args();
    for scenario in scenarios {
        let mut group = criterion.benchmark_group(scenario.name);
        if scenario.bytes > 0 {
            group.throughput(Throughput::Bytes(scenario.bytes));
        }
        let mut round = (scenario.begin)();
        group.bench_function("round", |bencher| bencher.iter(&mut round));
        group.finish();
    }
    criterion.final_summary();
}
