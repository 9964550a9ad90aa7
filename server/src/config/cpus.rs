//! CPU lists as people write them.

use sluice_proto::units;

/// Highest CPU number that Linux can name in an affinity mask of the usual size.
const CPU_MAX: usize = 1023;

/// Reads a list of CPUs: `0,2-3`. Sorted, each once.
///
/// `None` when it is empty or malformed.
pub fn parse_cpus(text: &str) -> Option<Vec<usize>> {
    let mut cpus = Vec::new();
    for item in text.split(',') {
        let (first, last) = item.split_once('-').unwrap_or((item, item));
        let (first, last): (usize, usize) = (units::number(first)?, units::number(last)?);
        if first > last || last > CPU_MAX {
            return None;
        }
        cpus.extend(first..=last);
    }
    cpus.sort_unstable();
    cpus.dedup();
    Some(cpus)
}

/// Writes a list of CPUs the way [`parse_cpus`] reads it; `cpus` must be sorted.
pub fn format_cpus(cpus: &[usize]) -> String {
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for &cpu in cpus {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == cpu => *last = cpu,
            _ => ranges.push((cpu, cpu)),
        }
    }
    let shown = ranges.into_iter().map(|(first, last)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    });
    shown.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_the_same() {
        for list in ["0", "0,2-3", "1-4,7"] {
            assert_eq!(format_cpus(&parse_cpus(list).unwrap()), list);
        }
    }

    #[test]
    fn cpu_lists_are_sorted_and_checked() {
        assert_eq!(parse_cpus("3,0-1, 1"), Some(vec![0, 1, 3]));
        for bad in ["", "a", "1-", "3-2", "0,,1", "1024", "-1"] {
            assert_eq!(parse_cpus(bad), None, "{bad}");
        }
    }
}
