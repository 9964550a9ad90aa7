//! A network namespace behind a link that can be cut: what is sent then is lost, and nobody is told.

use std::process::Command;

/// One; removed when dropped.
#[allow(dead_code, reason = "not every test is behind it itself")]
pub struct Link {
    pub namespace: &'static str,
    /// This side's address.
    pub here: &'static str,
    /// The namespace's.
    pub there: &'static str,
}

impl Link {
    /// Makes one; says why where that isn't permitted.
    pub fn new(
        namespace: &'static str,
        here: &'static str,
        there: &'static str,
    ) -> Result<Self, String> {
        let link = Self { namespace, here, there };
        // As one that was killed may have left them.
        link.remove();
        let outer = link.outer();
        for words in [
            format!("netns add {namespace}"),
            format!("link add {outer} type veth peer name inner netns {namespace}"),
            format!("addr add {here}/30 dev {outer}"),
            format!("link set {outer} up"),
            format!("-n {namespace} addr add {there}/30 dev inner"),
            format!("-n {namespace} link set lo up"),
            format!("-n {namespace} link set inner up"),
        ] {
            ip(&words)?;
        }
        Ok(link)
    }

    /// The same, or `None` and a word about it.
    pub fn or_skip(
        namespace: &'static str,
        here: &'static str,
        there: &'static str,
    ) -> Option<Self> {
        Self::new(namespace, here, there)
            .inspect_err(|why| println!("skipped, without a network namespace: {why}"))
            .ok()
    }

    pub fn cut(&self) {
        ip(&format!("-n {} link set inner down", self.namespace)).unwrap();
    }

    pub fn mend(&self) {
        ip(&format!("-n {} link set inner up", self.namespace)).unwrap();
    }

    /// A program behind it.
    #[allow(dead_code, reason = "not every test is behind it itself")]
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", self.namespace, program]);
        command
    }

    fn outer(&self) -> String {
        format!("{}0", self.namespace)
    }

    fn remove(&self) {
        // By name: the namespace itself lives on while a connection of it has bytes to send.
        let _ = Command::new("ip").args(["link", "del", &self.outer()]).output();
        let _ = Command::new("ip").args(["netns", "del", self.namespace]).output();
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.remove();
    }
}

fn ip(words: &str) -> Result<(), String> {
    let ran = Command::new("ip").args(words.split(' ')).output();
    let ran = ran.map_err(|error| format!("ip: {error}"))?;
    let said = String::from_utf8_lossy(&ran.stderr);
    if ran.status.success() { Ok(()) } else { Err(format!("ip {words}: {}", said.trim_end())) }
}
