//! Who asks: the keys that requests are signed with, fetched again before they end.
//!
//! Fetching blocks for seconds, so it is done on a thread of its own that all shards share; a shard
//! looks at one counter a request, and takes new keys when there are some.

mod sts;

use std::{
    cell::RefCell,
    fmt,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};

use awscreds::Credentials as Fetched;

use crate::reactor::timer;

/// New keys are fetched so long before the old ones end.
const AHEAD_MS: u64 = 5 * 60_000;
/// No sooner than this after the last fetch.
const PAUSE: Duration = Duration::from_secs(10);
/// Without an end: on demand alone.
const NEVER: Duration = Duration::from_secs(86_400);
/// What a role's sessions are called in the store's logs.
const SESSION_NAME: &str = "sluice";

/// Where keys come from.
#[derive(Clone, PartialEq, Eq)]
pub enum CredentialsSource {
    /// These.
    Keys {
        /// The access key's id.
        access_key: String,
        /// The secret key.
        secret_key: String,
        /// What goes along with keys that end.
        session_token: Option<String>,
    },
    /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`.
    Environment,
    /// A profile of a credentials file; it is read again when a store refuses its keys.
    Profile {
        /// `None`: `AWS_SHARED_CREDENTIALS_FILE`, else `~/.aws/credentials`.
        file: Option<PathBuf>,
        /// `None`: `default`.
        name: Option<String>,
    },
    /// `AWS_ROLE_ARN` with the token in `AWS_WEB_IDENTITY_TOKEN_FILE`, by Amazon's global STS or
    /// that of `AWS_ENDPOINT_URL_STS`.
    WebIdentity,
    /// ECS tasks and EKS pod identities: `AWS_CONTAINER_CREDENTIALS_RELATIVE_URI` or `…_FULL_URI`.
    Container,
    /// The role of an EC2 instance, by IMDSv2.
    InstanceMetadata,
    /// The first of all but [`CredentialsSource::Keys`] that has some, in this order.
    Chain,
}

impl fmt::Debug for CredentialsSource {
    /// Without keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Keys { .. } => "Keys",
            Self::Environment => "Environment",
            Self::Profile { .. } => "Profile",
            Self::WebIdentity => "WebIdentity",
            Self::Container => "Container",
            Self::InstanceMetadata => "InstanceMetadata",
            Self::Chain => "Chain",
        })
    }
}

/// Why there are no keys.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no credentials from {origin}: {problem}")]
pub struct CredentialsError {
    /// Which source.
    pub origin: String,
    /// What is wrong there.
    pub problem: String,
}

/// Keys that are kept fresh. Clones share them, also between executors.
#[derive(Clone)]
pub struct Credentials(Arc<Shared>);

/// What signs.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Keys {
    pub(super) access_key: String,
    pub(super) secret_key: String,
    pub(super) session_token: Option<String>,
    /// When they end, if they do.
    pub(super) ends_unix_ms: Option<u64>,
}

struct Shared {
    keys: Mutex<Arc<Keys>>,
    /// Counts the changes of `keys`.
    changes: AtomicU64,
    /// Why the last fetch failed.
    failed: Mutex<Option<String>>,
    /// Wakes the thread that fetches; `None`: there is none.
    doubts: Option<SyncSender<()>>,
}

/// What one executor knows of the keys.
#[derive(Default)]
pub(super) struct Seen(RefCell<Option<(u64, Arc<Keys>)>>);

impl fmt::Debug for Credentials {
    /// Without keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials")
    }
}

impl Credentials {
    /// Fetches keys, and has a thread fetch them again five minutes before they end, and when a store
    /// says that they ended. Blocks, for some seconds where a network is asked.
    ///
    /// To be called before the executors start: the thread runs on the CPUs of whoever made it.
    ///
    /// # Errors
    /// [`CredentialsError`].
    pub fn load(source: CredentialsSource) -> Result<Self, CredentialsError> {
        let changes =
            !matches!(source, CredentialsSource::Keys { .. } | CredentialsSource::Environment);
        Self::keep(changes, move || fetch(&source))
    }

    fn keep(
        changes: bool,
        fetch: impl Fn() -> Result<Keys, CredentialsError> + Send + 'static,
    ) -> Result<Self, CredentialsError> {
        let keys = Mutex::new(Arc::new(fetch()?));
        let (doubts, doubted) = sync_channel(1);
        let shared = Arc::new(Shared {
            keys,
            changes: AtomicU64::new(1),
            failed: Mutex::default(),
            doubts: changes.then_some(doubts),
        });
        if changes {
            let weak = Arc::downgrade(&shared);
            let keeper = thread::Builder::new().name("credentials".to_owned());
            let started = keeper.spawn(move || renew(&weak, &doubted, fetch));
            started.map_err(|error| CredentialsError {
                origin: "a thread".to_owned(),
                problem: error.to_string(),
            })?;
        }
        Ok(Self(shared))
    }

    /// The keys, as they are now.
    ///
    /// # Errors
    /// Why there are no new ones, where the old ones have ended.
    pub(super) fn current(&self, seen: &Seen) -> Result<Arc<Keys>, String> {
        let changes = self.0.changes.load(Ordering::Acquire);
        let mut seen = seen.0.borrow_mut();
        let keys = match &*seen {
            Some((at, keys)) if *at == changes => Arc::clone(keys),
            _ => {
                let keys = Arc::clone(&locked(&self.0.keys));
                *seen = Some((changes, Arc::clone(&keys)));
                keys
            }
        };
        match keys.ends_unix_ms {
            Some(ends) if ends <= timer::unix_ms() => {
                self.doubt();
                let failed = locked(&self.0.failed).clone();
                Err(failed.unwrap_or_else(|| "they have ended".to_owned()))
            }
            _ => Ok(keys),
        }
    }

    /// A store refuses the keys: there may be others.
    pub(super) fn doubt(&self) {
        if let Some(doubts) = &self.0.doubts {
            // A doubt that waits is as good as two.
            let _ = doubts.try_send(());
        }
    }
}

/// The life of the thread: until nobody has the keys any more.
fn renew(
    shared: &Weak<Shared>,
    doubted: &Receiver<()>,
    fetch: impl Fn() -> Result<Keys, CredentialsError>,
) {
    let mut wait = match shared.upgrade() {
        Some(shared) => until_due(&locked(&shared.keys)),
        None => return,
    };
    loop {
        if let Err(RecvTimeoutError::Disconnected) = doubted.recv_timeout(wait) {
            return;
        }
        let fetched = fetch();
        let Some(shared) = shared.upgrade() else { return };
        wait = match fetched {
            Ok(keys) => {
                let due = until_due(&keys);
                *locked(&shared.failed) = None;
                if **locked(&shared.keys) != keys {
                    *locked(&shared.keys) = Arc::new(keys);
                    shared.changes.fetch_add(1, Ordering::Release);
                }
                due
            }
            Err(error) => {
                *locked(&shared.failed) = Some(error.to_string());
                PAUSE
            }
        };
        drop(shared);
        // Doubts that came meanwhile are about the old keys; new ones don't hurry it.
        let pause = PAUSE.min(wait);
        thread::sleep(pause);
        wait -= pause;
        while doubted.try_recv().is_ok() {}
    }
}

/// Keys of a short life are renewed when half of what is left is over.
fn until_due(keys: &Keys) -> Duration {
    let Some(ends) = keys.ends_unix_ms else { return NEVER };
    let left_ms = ends.saturating_sub(timer::unix_ms());
    let due_ms = left_ms.saturating_sub(AHEAD_MS).max(left_ms / 2);
    Duration::from_millis(due_ms).min(NEVER)
}

fn fetch(source: &CredentialsSource) -> Result<Keys, CredentialsError> {
    let fetched = match source {
        CredentialsSource::Keys { access_key, secret_key, session_token } => {
            let (access, secret) = (Some(access_key.as_str()), Some(secret_key.as_str()));
            Fetched::new(access, secret, None, session_token.as_deref(), None)
        }
        CredentialsSource::Environment => Fetched::from_env(),
        CredentialsSource::Profile { file: Some(file), name } => {
            Fetched::from_credentials_file(file, name.as_deref())
        }
        CredentialsSource::Profile { file: None, name } => Fetched::from_profile(name.as_deref()),
        CredentialsSource::WebIdentity => sts::assume(SESSION_NAME).map_err(Into::into),
        CredentialsSource::Container => Fetched::from_container_credentials_provider(),
        // It is asked for by name, so the machine needn't say that it is EC2.
        CredentialsSource::InstanceMetadata => Fetched::from_instance_metadata_v2(true),
        CredentialsSource::Chain => Fetched::from_env()
            .or_else(|_| Fetched::from_profile(None))
            .or_else(|_| sts::assume(SESSION_NAME))
            .or_else(|_| Fetched::from_container_credentials_provider())
            .or_else(|_| Fetched::from_instance_metadata_v2(false)),
    };
    let bad = |problem: String| CredentialsError { origin: format!("{source:?}"), problem };
    // What the crate says of a URL may hold a token.
    let fetched = fetched.map_err(|error| match error {
        awscreds::error::CredentialsError::Atto(error) => bad(format!("{:?}", error.kind())),
        awscreds::error::CredentialsError::Io(error) => bad(error.to_string()),
        error => bad(error.to_string()),
    })?;
    let (Some(access_key), Some(secret_key)) = (fetched.access_key, fetched.secret_key) else {
        return Err(bad("there are no keys".to_owned()));
    };
    let session_token = fetched.session_token.or(fetched.security_token);
    let ends = fetched.expiration.map(|ends| ends.0.unix_timestamp().max(0) as u64 * 1000);
    Ok(Keys { access_key, secret_key, session_token, ends_unix_ms: ends })
}

/// Nobody panics while it is held.
fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(nth: u64, ends_unix_ms: Option<u64>) -> Keys {
        Keys {
            access_key: nth.to_string(),
            secret_key: "s3cret".to_owned(),
            session_token: None,
            ends_unix_ms,
        }
    }

    /// Looks until it is so, for a generous while.
    fn eventually(is_so: impl Fn() -> bool) {
        let until_ms = timer::now_ms() + 30_000;
        while !is_so() {
            assert!(timer::now_ms() < until_ms, "it never was so");
            thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn keys_are_renewed_before_they_end_and_seen_by_everybody() {
        let count = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&count);
        let kept = Credentials::keep(true, move || {
            let nth = counted.fetch_add(1, Ordering::SeqCst) + 1;
            // The first ones end soon, but not before half of that time is over.
            let left_ms = if nth == 1 { 2_000 } else { 3_600_000 };
            Ok(keys(nth, Some(timer::unix_ms() + left_ms)))
        });
        let kept = kept.unwrap();
        let (one, other) = (Seen::default(), Seen::default());
        assert_eq!(kept.current(&one).unwrap().access_key, "1");
        eventually(|| kept.current(&other).is_ok_and(|keys| keys.access_key == "2"));
        assert_eq!(kept.current(&one).unwrap().access_key, "2");
        assert_eq!(count.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn keys_of_a_short_life_are_renewed_again_and_again() {
        let count = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&count);
        let kept = Credentials::keep(true, move || {
            let nth = counted.fetch_add(1, Ordering::SeqCst) + 1;
            Ok(keys(nth, Some(timer::unix_ms() + 3_000)))
        });
        let (kept, seen) = (kept.unwrap(), Seen::default());
        eventually(|| {
            assert!(kept.current(&seen).is_ok(), "they have ended before there were others");
            count.load(Ordering::SeqCst) >= 4
        });
    }

    #[test]
    fn a_doubt_has_them_fetched_and_a_failure_is_told_once_they_have_ended() {
        let count = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&count);
        let kept = Credentials::keep(true, move || match counted.fetch_add(1, Ordering::SeqCst) {
            0 => Ok(keys(1, None)),
            1 => Ok(keys(2, Some(timer::unix_ms() - 1))),
            _ => Err(CredentialsError { origin: "it".to_owned(), problem: "no".to_owned() }),
        });
        let (kept, seen) = (kept.unwrap(), Seen::default());
        assert_eq!(kept.current(&seen).unwrap().access_key, "1");
        kept.doubt();
        eventually(|| kept.current(&seen).is_err_and(|why| why.contains("it: no")));
    }

    #[test]
    fn the_thread_ends_with_the_last_who_has_the_keys() {
        let alive = Arc::new(());
        let held = Arc::clone(&alive);
        let kept = Credentials::keep(true, move || {
            let _ = &held;
            Ok(keys(1, None))
        });
        drop(kept);
        eventually(|| Arc::strong_count(&alive) == 1);
    }

    #[test]
    fn a_profile_is_read_and_nothing_of_it_shown() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("credentials");
        let text = "[default]\naws_access_key_id = A\naws_secret_access_key = s3cret\n\
                    [other]\naws_access_key_id = B\naws_secret_access_key = s\naws_session_token = t\n";
        std::fs::write(&file, text).unwrap();
        let profile = |name: Option<&str>| CredentialsSource::Profile {
            file: Some(file.clone()),
            name: name.map(str::to_owned),
        };
        let kept = Credentials::load(profile(None)).unwrap();
        assert_eq!(kept.current(&Seen::default()).unwrap().access_key, "A");
        assert_eq!(format!("{kept:?} {:?}", profile(None)), "Credentials Profile");
        let other = fetch(&profile(Some("other"))).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((other.access_key.as_str(), other.session_token.as_deref()), ("B", Some("t")));
        let error = Credentials::load(profile(Some("none"))).unwrap_err();
        assert_eq!(error.origin, "Profile");
    }
}
