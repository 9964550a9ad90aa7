//! Who runs as a node: one process at a time, for as long as it says so.

use std::{
    fmt,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use sluice_io::{
    reactor::timer,
    redis::{Client, Cmd, RedisError, Script, Value, read},
};

use super::keys::NodeKeys;

/// How long a lease holds that isn't renewed.
const HOLDS: Duration = Duration::from_secs(10);
/// How often it is renewed.
pub const RENEW_EVERY: Duration = Duration::from_secs(3);
/// Clocks of two machines run apart by less, and a command takes less to arrive.
const SLACK: Duration = Duration::from_secs(1);

static HOLD: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("hold.lua")));

/// Who writes: node, how often somebody began to as this node, and a word of its own by chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fence {
    /// The node.
    pub node: u64,
    /// Higher than that of every process before.
    pub epoch: u64,
    /// Told apart by it: two that began from the same epoch, as Redis went back in time.
    pub token: u64,
}

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}:{}:{:016x}", self.node, self.epoch, self.token)
    }
}

/// What became of a try to renew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewed {
    /// It holds on.
    Held,
    /// Another process has begun as this node: this one must end.
    Succeeded,
}

/// A lease that this process has taken. Clones share it.
#[derive(Clone, Debug)]
pub struct Lease {
    fence: Fence,
    /// Until when it surely holds, monotonic ms.
    until_ms: Arc<AtomicU64>,
}

impl Lease {
    /// Takes the lease of a node, whoever had it: only one process has the node's data directory
    /// open. Its epoch is at least `epoch_min`.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn take(
        client: &Client,
        node: u64,
        token: u64,
        epoch_min: u64,
    ) -> Result<Self, RedisError> {
        let (asked_ms, fence) = (timer::now_ms(), Fence { node, epoch: 0, token });
        let answer = hold(client, fence, epoch_min.max(1)).await?;
        let [_, epoch]: [Value; 2] =
            answer.try_into().map_err(|_| RedisError::Answer("a lease's".to_owned()))?;
        let fence = Fence { epoch: read(epoch)?, ..fence };
        let lease = Self { fence, until_ms: Arc::default() };
        lease.extend(asked_ms);
        Ok(lease)
    }

    /// Renews it; also takes it again where it has lapsed and nobody else has it.
    ///
    /// # Errors
    /// [`RedisError`]: it holds on for a while.
    pub async fn renew(&self, client: &Client) -> Result<Renewed, RedisError> {
        let asked_ms = timer::now_ms();
        let answer = hold(client, self.fence, 0).await?;
        let verdict: String = read(answer.into_iter().next().unwrap_or(Value::Nil))?;
        match verdict.as_str() {
            "OK" => self.extend(asked_ms),
            _ => return Ok(Renewed::Succeeded),
        }
        Ok(Renewed::Held)
    }

    /// The fence of all that is written under it.
    pub fn fence(&self) -> Fence {
        self.fence
    }

    /// Whether it surely holds at this moment: another may have it otherwise.
    pub fn holds(&self) -> bool {
        timer::now_ms() < self.until_ms.load(Ordering::Relaxed)
    }

    /// As if it hadn't been renewed in time.
    #[cfg(test)]
    pub(crate) fn lapse(&self) {
        self.until_ms.store(0, Ordering::Relaxed);
    }

    fn extend(&self, asked_ms: u64) {
        let until_ms = asked_ms + (HOLDS - SLACK).as_millis() as u64;
        self.until_ms.fetch_max(until_ms, Ordering::Relaxed);
    }
}

async fn hold(client: &Client, fence: Fence, epoch_min: u64) -> Result<Vec<Value>, RedisError> {
    let keys = NodeKeys::new(fence.node);
    let mut call: Cmd = HOLD.by_name(&[&keys.lease, &keys.epoch]);
    call.arg(format!("{:016x}", fence.token)).arg(epoch_min).arg(HOLDS.as_millis() as u64);
    call.arg(fence.epoch);
    read(client.run_script(&keys.lease, &HOLD, &call).await?)
}
