//! Connections to the shards that own uploads, shared by all uploads of a client.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::OnceCell;
use tokio::time::Instant;
use tonic::transport::Channel;

use crate::client::link::channel;

/// A detour is cheap, so nobody waits long for the straight way.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long an endpoint that couldn't be reached isn't tried again: behind NAT it never can.
const UNREACHABLE_FOR: Duration = Duration::from_secs(600);
/// More than any server has shards. What is forgotten is only connected to once more.
const ENDPOINTS_MAX: usize = 1024;

/// What is known of each endpoint.
#[derive(Debug, Clone, Default)]
pub(super) struct Owners(Arc<Mutex<HashMap<String, Arc<Owner>>>>);

#[derive(Debug)]
struct Owner {
    since: Instant,
    /// `None` in it: it couldn't be reached.
    channel: OnceCell<Option<Channel>>,
}

impl Owners {
    /// The connection to an endpoint, made once however many ask for it. `None` if it can't be
    /// reached.
    pub async fn reach(&self, endpoint: &str) -> Option<Channel> {
        let owner = self.owner(endpoint, Instant::now());
        let connect = || async { channel(endpoint, CONNECT_TIMEOUT).await.ok() };
        owner.channel.get_or_init(connect).await.clone()
    }

    /// The connection broke: the next upload makes a new one.
    pub fn forget(&self, endpoint: &str) {
        self.known().remove(endpoint);
    }

    fn owner(&self, endpoint: &str, now: Instant) -> Arc<Owner> {
        let mut known = self.known();
        if let Some(owner) = known.get(endpoint)
            && !owner.is_worth_another_try(now)
        {
            return owner.clone();
        }
        if known.len() >= ENDPOINTS_MAX {
            known.clear();
        }
        let owner = Arc::new(Owner { since: now, channel: OnceCell::new() });
        known.insert(endpoint.to_owned(), owner.clone());
        owner
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, Arc<Owner>>> {
        // A map of hints is right whatever happened to who held it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Owner {
    fn is_worth_another_try(&self, now: Instant) -> bool {
        matches!(self.channel.get(), Some(None)) && now >= self.since + UNREACHABLE_FOR
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_cant_be_reached_is_tried_once_and_much_later_again() {
        // Nobody listens there.
        let (owners, endpoint) = (Owners::default(), "127.0.0.1:1");
        assert!(owners.reach(endpoint).await.is_none());
        let tried = |now| owners.owner(endpoint, now).channel.initialized();
        assert!(tried(Instant::now()));
        assert!(!tried(Instant::now() + UNREACHABLE_FOR));
    }

    #[test]
    fn what_is_known_has_a_limit() {
        let (owners, now) = (Owners::default(), Instant::now());
        for port in 0..2 * ENDPOINTS_MAX {
            owners.owner(&port.to_string(), now);
        }
        assert!(owners.known().len() <= ENDPOINTS_MAX);
    }
}
