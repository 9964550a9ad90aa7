//! Before any shard starts: keys are fetched, drive `default` is placed, and the store is tried out.

use std::{sync::mpsc, time::Duration};

use futures_lite::future::block_on;
use sluice_io::{
    reactor::{executor::Executors, timer},
    s3::{
        Abilities, Bucket, Client, Credentials, CredentialsError, ErrorKind, Multipart, S3Error,
        probe,
    },
    sqlite::Database,
};

use super::{Drives, S3Access};
use crate::{
    config::{self, Config},
    metadata,
    serve::{limits, recovery::StateError},
};

/// While the store can't be reached it is tried again so often.
const PAUSE: Duration = Duration::from_secs(1);
/// And that is said so often.
const SAY_EVERY: u32 = 5;
/// Connections for trying out.
const CONNECTIONS: u32 = 4;

/// Why objects can't be stored there.
#[derive(Debug, thiserror::Error)]
pub enum S3Unfit {
    /// Nobody has keys.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The store refuses what is needed.
    #[error("bucket {bucket} of the object store: {error}")]
    Refused {
        /// The bucket.
        bucket: String,
        /// The store's words.
        error: S3Error,
    },
    /// Nodes that are there would be looked for elsewhere.
    #[error("drive default has nodes in bucket {was}: s3.bucket can't be {is}; make another drive")]
    Moved {
        /// Where they are.
        was: String,
        /// What is set.
        is: String,
    },
}

/// Waits for a store that can't be reached. `node`: who tries it out.
pub(in crate::serve) fn begin(
    config: &Config,
    settings: &config::S3,
    metadata: &Database,
    node: u64,
) -> Result<S3Access, StateError> {
    let credentials = Credentials::load(settings.credentials.clone()).map_err(S3Unfit::from)?;
    let bucket = settings.bucket.clone();
    let placed = block_on(metadata.run(move |conn| {
        let placed = metadata::place_default(conn, &bucket)?;
        Ok((placed, Drives::load(conn)?))
    }))?;
    let (placed, drives) = placed;
    placed.map_err(|was| S3Unfit::Moved { was, is: settings.bucket.clone() })?;
    let key = format!(".sluice-probe/{node:016x}/{:016x}", rand());
    let trial = Trial { settings: settings.clone(), credentials: credentials.clone(), key };
    let abilities = on_executor(trial, config.cpus[0])??;
    tracing::info!(bucket = settings.bucket, ?abilities, "the object store was tried out");
    let connections_max = limits::s3_connections(config);
    let settings = settings.clone();
    Ok(S3Access { settings, credentials, abilities, drives, connections_max })
}

fn rand() -> u64 {
    u64::from_be_bytes(crate::serve::service::random())
}

/// Tries a store out.
#[derive(Clone)]
pub(super) struct Trial {
    settings: config::S3,
    credentials: Credentials,
    /// Nobody else's.
    key: String,
}

fn on_executor(trial: Trial, cpu: usize) -> Result<Result<Abilities, S3Unfit>, StateError> {
    let (tell, told) = mpsc::channel();
    let executors = Executors::spawn(&[cpu], move |_, pacer| {
        let (trial, tell) = (trial.clone(), tell.clone());
        async move {
            let _busy = pacer.begin();
            // Who asked waits for it.
            drop(tell.send(trial.run().await));
        }
    })?;
    executors.join()?;
    Ok(told.recv().expect("an executor that ended well has told"))
}

impl Trial {
    /// Tries until it goes well, or never will.
    async fn run(self) -> Result<Abilities, S3Unfit> {
        let client = Client::new(self.settings.client(CONNECTIONS), self.credentials);
        let bucket = client.bucket(&self.settings.bucket);
        for tries in 0.. {
            let error = match try_out(&bucket, &self.key).await {
                Ok(abilities) => return Ok(abilities),
                Err(error) => error,
            };
            if error.kind != ErrorKind::Retryable {
                let bucket = self.settings.bucket;
                return Err(S3Unfit::Refused { bucket, error });
            }
            if tries % SAY_EVERY == 0 {
                tracing::warn!(%error, "waiting for the object store");
            }
            timer::sleep(PAUSE).await;
        }
        unreachable!("it is tried until it ends")
    }
}

async fn try_out(bucket: &Bucket, key: &str) -> Result<Abilities, S3Error> {
    match bucket.head_bucket().await {
        // What it says to a HEAD has no words; what follows has.
        Err(error) if error.kind == ErrorKind::Denied => {}
        looked => drop(looked?),
    }
    let mine = key.rsplit_once('/').map_or(key, |(mine, _)| mine);
    clear(bucket, mine).await?;
    probe(bucket, key).await
}

/// Of a process that died while it tried.
async fn clear(bucket: &Bucket, mine: &str) -> Result<(), S3Error> {
    let (prefix, mut after): (_, Option<Multipart>) = (format!("{mine}/"), None);
    loop {
        let page = bucket.list_multiparts(&prefix, after.as_ref()).await?;
        for left in page.multiparts.iter().filter(|left| left.key.starts_with(&prefix)) {
            match bucket.abort_multipart(&left.key, &left.upload_id).await {
                Err(error) if error.kind != ErrorKind::NoSuchUpload => return Err(error),
                _ => {}
            }
        }
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(()),
        }
    }
}
