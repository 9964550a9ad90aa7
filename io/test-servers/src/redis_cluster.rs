//! Redis Cluster: some masters, and replicas of them.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::{Redis, ports, redis::Options};

/// Each node also listens 10,000 above its port for the others, so its port must be low.
const BUS_OFFSET: u16 = 10_000;
/// A node that is silent for this long is taken to be gone, and its replica takes over: longer than a
/// machine stands still.
const NODE_TIMEOUT_MS: u32 = 4_000;
/// The same where there are no replicas, and nobody would be any good.
const LONELY_TIMEOUT_MS: u32 = 60_000;
const PATIENCE: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(50);

/// Redis Cluster.
pub struct RedisCluster {
    /// The masters at first, then the replicas.
    pub nodes: Vec<Redis>,
}

impl RedisCluster {
    /// Starts one of `masters`, each with so many `replicas`, and waits until it serves.
    pub fn start(masters: u16, replicas: u16, options: Options) -> Self {
        let count = masters * (1 + replicas);
        let first = ports::free(count);
        let timeout_ms = if replicas == 0 { LONELY_TIMEOUT_MS } else { NODE_TIMEOUT_MS };
        let nodes: Vec<Redis> = (first..first + count)
            .map(|port| {
                let bus = port + BUS_OFFSET;
                let tls = if options.tls.is_some() { "yes" } else { "no" };
                let settings = format!(
                    "{}\ncluster-enabled yes\ncluster-config-file nodes.conf\ncluster-port {bus}\n\
                     cluster-node-timeout {timeout_ms}\ncluster-require-full-coverage no\n\
                     tls-cluster {tls}",
                    options.settings
                );
                let mut node = Redis::prepare(Options { settings, ..options.clone() }, port);
                node.restart();
                node
            })
            .collect();
        let cluster = Self { nodes };
        cluster.create(replicas);
        cluster
    }

    fn create(&self, replicas: u16) {
        let mut create = self.nodes[0].cli();
        create.args(["--cluster", "create"]);
        create.args(self.nodes.iter().map(|node| node.address().to_string()));
        create.args(["--cluster-replicas", &replicas.to_string(), "--cluster-yes"]);
        let made = create.output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stdout));
        let masters = self.nodes.len() / (1 + usize::from(replicas));
        self.until(|node| {
            let known = node.ask(&["cluster", "nodes"]);
            let are_linked = known.lines().filter(|line| line.contains("connected")).count();
            node.ask(&["cluster", "info"]).contains("cluster_state:ok")
                && are_linked == self.nodes.len()
                && known.lines().filter(|line| line.contains("slave")).count()
                    == self.nodes.len() - masters
                && !node.ask(&["info", "replication"]).contains("master_link_status:down")
        });
    }

    /// Waits until something holds of every node.
    #[track_caller]
    pub fn until(&self, holds: impl Fn(&Redis) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !self.nodes.iter().all(&holds) {
            assert!(Instant::now() < deadline, "{}", self.nodes[0].ask(&["cluster", "nodes"]));
            thread::sleep(POLL);
        }
    }

    /// As a server's settings name it: some of its nodes.
    pub fn url(&self) -> String {
        let addresses: Vec<_> = self.nodes.iter().map(|node| node.address().to_string()).collect();
        let whole = self.nodes[0].url();
        let (scheme, _) = whole.split_once("://").expect("it is a URL");
        format!("{scheme}://{}", addresses.join(","))
    }

    /// Which node a key lies on now, by its place in `nodes`.
    pub fn master_of(&self, key: &str) -> usize {
        let slot: u16 = self.nodes[0].ask(&["cluster", "keyslot", key]).parse().unwrap();
        let is_masters = |node: &Redis| {
            let known = node.ask(&["cluster", "nodes"]);
            let own = known.lines().find(|line| line.contains("myself")).unwrap_or_default();
            own.contains("master")
                && own.split_whitespace().skip(8).any(|range| {
                    let (from, to) = range.split_once('-').unwrap_or((range, range));
                    let has = |text: &str| text.parse::<u16>().ok();
                    has(from).zip(has(to)).is_some_and(|(from, to)| (from..=to).contains(&slot))
                })
        };
        self.nodes.iter().position(is_masters).expect("each slot has a master")
    }

    /// Moves a key's slot to another master, and everything in it.
    pub fn move_slot(&self, key: &str, to: usize) {
        let from = self.master_of(key);
        let slot = self.begin_to_move_slot(key, to);
        loop {
            let keys = self.nodes[from].ask(&["cluster", "getkeysinslot", &slot, "100"]);
            let port = self.nodes[to].address().port().to_string();
            let keys: Vec<&str> = keys.lines().filter(|key| !key.is_empty()).collect();
            if keys.is_empty() {
                break;
            }
            let migrate = ["migrate", "127.0.0.1", &port, "", "0", "5000", "keys"];
            let moved = self.nodes[from].ask(&[&migrate[..], &keys].concat());
            assert_eq!(moved, "OK");
        }
        let new = self.id(to);
        for node in [to, from] {
            let told = self.nodes[node].ask(&["cluster", "setslot", &slot, "node", &new]);
            assert_eq!(told, "OK");
        }
    }

    /// Has a key's slot migrate to another master, without moving anything yet: the old one
    /// answers ASK for what it hasn't.
    pub fn begin_to_move_slot(&self, key: &str, to: usize) -> String {
        let from = self.master_of(key);
        let slot = self.nodes[0].ask(&["cluster", "keyslot", key]);
        let (old, new) = (self.id(from), self.id(to));
        let imports = self.nodes[to].ask(&["cluster", "setslot", &slot, "importing", &old]);
        assert_eq!(imports, "OK");
        let migrates = self.nodes[from].ask(&["cluster", "setslot", &slot, "migrating", &new]);
        assert_eq!(migrates, "OK");
        slot
    }

    fn id(&self, node: usize) -> String {
        self.nodes[node].ask(&["cluster", "myid"])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_masters_serve_and_a_slot_moves() {
        let cluster = RedisCluster::start(3, 0, Options::default());
        let from = cluster.master_of("{a}:k");
        assert_eq!(cluster.nodes[from].ask(&["set", "{a}:k", "v"]), "OK");
        let to = (from + 1) % 3;
        cluster.move_slot("{a}:k", to);
        assert_eq!(cluster.master_of("{a}:k"), to);
        assert_eq!(cluster.nodes[to].ask(&["get", "{a}:k"]), "v");
        assert!(cluster.nodes[from].ask(&["get", "{a}:k"]).contains("MOVED"));
    }
}
