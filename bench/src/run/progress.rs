//! What is told of a repeat while the suite goes on.

use crate::result::{Repeat, RunResult};
use crate::suite::Figure;

/// One line.
pub fn line(name: &str, repeat: &Repeat) -> String {
    let round = repeat.round;
    if let Some(why) = &repeat.outcome.failed {
        return format!("round {round} {name}: FAILED: {why}");
    }
    let figures = match repeat.outcome.bytes {
        0 => AT_REST,
        _ => LOADED,
    };
    // None of these needs to know the run.
    let run = RunResult::default();
    let shown = figures.iter().filter_map(|(label, name, unit)| {
        let value = Figure::named(name)?.of(&run, repeat)?;
        Some(format!("{label}{value:.3}{unit}"))
    });
    let bound = repeat.client_bound.as_ref().map(|_| "client-bound".to_owned());
    let shown: Vec<String> = shown.chain(bound).collect();
    format!("round {round} {name}: {}", shown.join(", "))
}

const LOADED: &[(&str, &str, &str)] = &[
    ("", "gb_per_s", " GB/s"),
    ("server ", "server_cpu_s_per_gb", " s/GB"),
    ("client ", "client_cpu_s_per_gb", " s/GB"),
    ("ack p99 ", "ack_p99_ms", " ms"),
];
const AT_REST: &[(&str, &str, &str)] = &[("", "idle_cpu_share", " of a CPU at rest")];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite::figure::tests::run;

    #[test]
    fn a_line_says_what_a_repeat_came_to() {
        let mut repeat = run("a", &[(2.0, 0.5)]).repeats.remove(0);
        assert!(line("a", &repeat).starts_with("round 0 a: 2.000 GB/s, server 0.250 s/GB, client"));
        repeat.client_bound = Some("busy".into());
        assert!(line("a", &repeat).ends_with(", client-bound"));
        repeat.outcome.bytes = 0;
        assert!(line("a", &repeat).starts_with("round 0 a: 0.500 of a CPU at rest"));
        repeat.outcome.failed = Some("lost".into());
        assert_eq!(line("a", &repeat), "round 0 a: FAILED: lost");
    }
}
