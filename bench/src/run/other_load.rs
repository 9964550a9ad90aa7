//! Who else used the machine while a suite ran.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Instant;

use crate::clock::now;
use crate::run::proc;

/// Looked at between repeats; what starts and ends between two looks isn't seen.
#[derive(Debug)]
pub struct OtherLoad {
    began: Instant,
    last: HashMap<u32, u64>,
    ticks_by_name: BTreeMap<String, u64>,
}

/// Less than this part of a CPU is no load.
const SHARE_MIN: f64 = 0.02;

impl OtherLoad {
    /// Begins.
    pub fn start() -> Self {
        let mut load = Self { began: now(), last: HashMap::new(), ticks_by_name: BTreeMap::new() };
        load.look();
        // What they took before isn't of interest.
        load.ticks_by_name.clear();
        load
    }

    /// Looks at all processes but this one and what it started.
    pub fn look(&mut self) {
        let ours = std::process::id();
        let ours: HashSet<u32> = proc::started_by(ours).into_iter().chain([ours]).collect();
        let others = proc::processes().unwrap_or_default().into_iter();
        let read = others
            .filter(|pid| !ours.contains(pid))
            .filter_map(|pid| Some((pid, proc::name_and_ticks(pid).ok()?)));
        self.add(read.collect());
    }

    /// Those that took more than 2 % of a CPU, the busiest first.
    pub fn told(mut self) -> Vec<String> {
        self.look();
        let seconds = (now() - self.began).as_secs_f64();
        tell(&self.ticks_by_name, seconds * proc::ticks_a_second())
    }

    fn add(&mut self, read: Vec<(u32, (String, u64))>) {
        let mut last = HashMap::new();
        for (pid, (name, ticks)) in read {
            let before = self.last.get(&pid).copied().unwrap_or_default();
            // A number that is less is another process under the same id.
            let took = ticks.checked_sub(before).unwrap_or(ticks);
            *self.ticks_by_name.entry(name).or_default() += took;
            last.insert(pid, ticks);
        }
        self.last = last;
    }
}

fn tell(ticks_by_name: &BTreeMap<String, u64>, all_ticks: f64) -> Vec<String> {
    let mut shares: Vec<(f64, &str)> = ticks_by_name
        .iter()
        .map(|(name, &ticks)| (ticks as f64 / all_ticks, name.as_str()))
        .filter(|(share, _)| *share > SHARE_MIN)
        .collect();
    shares.sort_by(|one, other| other.0.total_cmp(&one.0));
    shares.iter().map(|(share, name)| format!("{name} {:.0} % of a CPU", share * 100.0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_taken_meanwhile_counts() {
        let mut load = OtherLoad::start();
        load.last = HashMap::from([(1, 1_000), (2, 50)]);
        let read = |pid, name: &str, ticks| (pid, (name.to_owned(), ticks));
        load.add(vec![read(1, "make", 1_010), read(2, "idle", 50), read(3, "make", 5)]);
        // The id 1 is given to another.
        load.add(vec![read(1, "cron", 7)]);
        let expected = [("cron", 7), ("idle", 0), ("make", 15)];
        let expected = expected.map(|(name, ticks)| (name.to_owned(), ticks));
        assert_eq!(load.ticks_by_name, BTreeMap::from(expected));
    }

    #[test]
    fn the_busiest_is_told_first_and_the_idle_not() {
        let ticks = [("a", 5), ("b", 50), ("c", 1)].map(|(name, ticks)| (name.to_owned(), ticks));
        let told = tell(&BTreeMap::from(ticks), 100.0);
        assert_eq!(told, ["b 50 % of a CPU", "a 5 % of a CPU"]);
    }
}
