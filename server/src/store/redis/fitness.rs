//! Whether a Redis can be trusted with uploads, and with how much.

use std::str::FromStr;

use sluice_io::redis::{Client, RedisError, Value, cmd, read};

use crate::config::Durability;

/// The first version whose scripts may exceed `maxmemory`.
const MAJOR_MIN: u32 = 7;

/// Why uploads can't be kept in a Redis.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("redis {server}: {problem}")]
pub struct RedisUnfit {
    /// Which server.
    pub server: String,
    /// What is wrong with it, and how to mend that.
    pub problem: String,
}

/// What one server says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    major: u32,
    policy: String,
    /// 0: no limit.
    max_memory_bytes: u64,
    used_bytes: u64,
    appends: bool,
    /// `None`: it doesn't tell.
    append_fsync: Option<String>,
}

impl Facts {
    fn read(info: &str, append_fsync: Option<String>) -> Option<Self> {
        let version: String = figure(info, "redis_version")?;
        Some(Self {
            major: version.split('.').next()?.parse().ok()?,
            policy: figure(info, "maxmemory_policy")?,
            max_memory_bytes: figure(info, "maxmemory")?,
            used_bytes: figure(info, "used_memory")?,
            appends: figure::<u8>(info, "aof_enabled")? == 1,
            append_fsync,
        })
    }

    /// What is wrong, if anything is.
    fn problem(&self, durability: Durability) -> Option<String> {
        let Self { major, policy, .. } = self;
        if *major < MAJOR_MIN {
            return Some(format!("it is version {major}, and {MAJOR_MIN}.0 or newer is needed"));
        }
        if policy != "noeviction" {
            return Some(format!(
                "its maxmemory-policy is {policy}, which throws uploads away: set it to noeviction"
            ));
        }
        let fsync = self.append_fsync.as_deref();
        let power = self.appends && fsync == Some("always");
        if durability == Durability::Power && !power {
            let now = match (self.appends, fsync) {
                (false, _) => "appendonly is no".to_owned(),
                (true, Some(fsync)) => format!("appendfsync is {fsync}"),
                (true, None) => "it doesn't let CONFIG GET appendfsync be read".to_owned(),
            };
            return Some(format!(
                "durability is power, and {now}: set appendonly yes and appendfsync always"
            ));
        }
        None
    }

    /// What it keeps when it crashes, in words.
    fn promise(&self) -> &'static str {
        match (self.appends, self.append_fsync.as_deref()) {
            (true, Some("always")) => "it loses nothing that it has acknowledged",
            (true, _) => {
                "it may lose the last second on a crash; acks at level spooled survive Sluice, not that"
            }
            (false, _) => {
                "it keeps nothing when it ends: what Sluice has in memory is written again, and if \
                 both end, uploads on their way are lost"
            }
        }
    }
}

/// Looks at every server, and says what it keeps. The memory that all may use together; `None` where
/// there is no limit.
pub(crate) async fn check(
    client: &Client,
    durability: Durability,
) -> Result<Option<u64>, CheckError> {
    let mut info = cmd("INFO");
    info.arg("everything");
    let mut ask = cmd("CONFIG");
    ask.arg("GET").arg("appendfsync");
    // Whoever may not read settings gets none.
    let fsync = client.run_everywhere(&ask).await;
    let mut memory_bytes = Some(0);
    for (nth, (server, info)) in client.run_everywhere(&info).await.into_iter().enumerate() {
        let fsync = fsync.get(nth).and_then(|(_, answer)| second_word(answer.clone().ok()?));
        let facts = Facts::read(&read::<String>(info?)?, fsync);
        let facts = facts.ok_or_else(|| RedisError::Answer("INFO".to_owned()))?;
        if let Some(problem) = facts.problem(durability) {
            return Err(RedisUnfit { server, problem }.into());
        }
        let free_bytes = facts.max_memory_bytes.saturating_sub(facts.used_bytes);
        memory_bytes = memory_bytes.filter(|_| facts.max_memory_bytes > 0);
        memory_bytes = memory_bytes.map(|bytes| bytes + facts.max_memory_bytes);
        if memory_bytes.is_none() {
            tracing::warn!(
                server,
                "redis has no maxmemory: nothing pushes back before it is killed"
            );
        }
        tracing::info!(server, free_bytes, promise = facts.promise(), "redis");
    }
    Ok(memory_bytes)
}

/// Why a start goes no further.
pub(crate) enum CheckError {
    Unfit(RedisUnfit),
    Redis(RedisError),
}

impl CheckError {
    /// Nobody could ask.
    pub(crate) fn unable(problem: String) -> Self {
        Self::Redis(RedisError::Connection(problem))
    }
}

impl From<RedisUnfit> for CheckError {
    fn from(unfit: RedisUnfit) -> Self {
        Self::Unfit(unfit)
    }
}

impl From<RedisError> for CheckError {
    fn from(error: RedisError) -> Self {
        Self::Redis(error)
    }
}

fn second_word(answer: Value) -> Option<String> {
    read::<Vec<String>>(answer).ok()?.into_iter().nth(1)
}

/// A figure of `INFO`.
pub(crate) fn figure<T: FromStr>(info: &str, name: &str) -> Option<T> {
    let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        let info = "redis_version:7.0.15\r\nused_memory:5\r\nmaxmemory:9\r\n\
                    maxmemory_policy:noeviction\r\naof_enabled:1\r\n";
        Facts::read(info, Some("everysec".to_owned())).unwrap()
    }

    #[test]
    fn what_is_wrong_is_named_with_its_remedy() {
        let fit = facts();
        assert_eq!(fit.problem(Durability::Process), None);
        let power = fit.problem(Durability::Power).unwrap();
        assert!(power.contains("appendfsync is everysec") && power.contains("always"), "{power}");
        let always = Facts { append_fsync: Some("always".to_owned()), ..facts() };
        assert_eq!(always.problem(Durability::Power), None);
        let without = Facts { appends: false, ..always };
        assert!(without.problem(Durability::Power).unwrap().contains("appendonly is no"));
        let evicts = Facts { policy: "allkeys-lru".to_owned(), ..facts() };
        let problem = evicts.problem(Durability::Process).unwrap();
        assert!(problem.contains("allkeys-lru") && problem.contains("noeviction"), "{problem}");
        let old = Facts { major: 6, ..facts() };
        assert!(old.problem(Durability::Process).unwrap().contains("7.0 or newer"));
    }
}
