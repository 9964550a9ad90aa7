//! The memory budget against what there is.

use sluice_proto::units::format_size;

use crate::config::{Config, Machine, cgroup_memory_bytes};
use crate::doctor::Check;

pub(super) fn checks(config: &Config) -> Vec<Check> {
    let available = Machine::probe().map_or(u64::MAX, |machine| machine.memory_bytes);
    vec![budget(config.memory_limit_bytes, cgroup_memory_bytes(), available)]
}

fn budget(limit_bytes: u64, cgroup_bytes: Option<u64>, available_bytes: u64) -> Check {
    let needed = format!("{}, memory_limit", format_size(limit_bytes));
    let check = |found: String| Check::ok("memory", found, needed.clone());
    let fix = |bytes: u64| format!("--memory-limit {}", format_size(bytes / 2));
    match cgroup_bytes {
        Some(cgroup) if cgroup < limit_bytes => {
            check(format!("the cgroup's limit is {}", format_size(cgroup)))
                .fail(format!("raise the cgroup's limit, or {}", fix(cgroup)))
        }
        _ if available_bytes < limit_bytes => {
            check(format!("{} available", format_size(available_bytes))).warn(fix(available_bytes))
        }
        _ => check(format!("{} available", format_size(available_bytes))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Outcome;

    #[test]
    fn a_budget_above_the_cgroups_limit_ends_in_a_kill() {
        let outcome = |cgroup, available| budget(1 << 30, cgroup, available).outcome;
        assert_eq!(outcome(None, 2 << 30), Outcome::Ok);
        assert_eq!(outcome(Some(1 << 30), 2 << 30), Outcome::Ok);
        assert_eq!(outcome(Some((1 << 30) - 1), 2 << 30), Outcome::Fail);
        assert_eq!(outcome(None, 1 << 20), Outcome::Warn);
        assert!(budget(4 << 30, Some(1 << 30), 0).fix.ends_with("--memory-limit 512.0 MiB"));
    }
}
