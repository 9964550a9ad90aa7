//! One way to the server, and the way back to the address that is known to work.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tonic::transport::{Channel, Endpoint};
use tonic::{Response, Status};

use crate::client::ClientError;
use crate::client::owners::Owners;
use crate::pb::drive_service_client::DriveServiceClient;
use crate::pb::node_service_client::NodeServiceClient;
use crate::pb::upload_service_client::UploadServiceClient;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Keeps load balancers from cutting a connection that waits, and finds a peer that is gone.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
/// Every call that carries no chunk is answered in less, or never will be.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(60);
/// A page of a thousand items with all the metadata that they may have.
const MESSAGE_BYTES_MAX: usize = 32 << 20;

#[derive(Debug, Clone)]
pub(super) struct Link {
    first: Channel,
    owners: Owners,
    /// The owner of the upload, as long as it can be reached.
    owner: Option<(String, Channel)>,
    state: Arc<State>,
}

/// What all that use one link have in common.
#[derive(Debug, Default)]
struct State {
    owner_lost: AtomicBool,
    retries: AtomicU64,
}

impl Link {
    pub async fn connect(address: &str) -> Result<Self, ClientError> {
        let first = channel(address, CONNECT_TIMEOUT).await?;
        Ok(Self { first, owners: Owners::default(), owner: None, state: Arc::default() })
    }

    /// With the owner in front, if its best endpoint answers: one try, then the first address,
    /// which works too.
    pub async fn with_owner(&self, endpoints: &[String]) -> Self {
        let owner = match endpoints.first() {
            Some(best) => self.owners.reach(best).await.map(|channel| (best.clone(), channel)),
            None => None,
        };
        Self { owner, state: Arc::default(), ..self.clone() }
    }

    /// From now on the first address again.
    pub fn lose_owner(&self) {
        // Only a hint: a late reader tries the owner once more.
        let lost_before = self.state.owner_lost.swap(true, Ordering::Relaxed);
        if let Some((endpoint, _)) = &self.owner
            && !lost_before
        {
            self.owners.forget(endpoint);
        }
    }

    pub fn count_retry(&self) {
        self.state.retries.fetch_add(1, Ordering::Relaxed);
    }

    /// Calls that were sent again over this link.
    pub fn retries(&self) -> u64 {
        self.state.retries.load(Ordering::Relaxed)
    }

    pub fn service(&self) -> UploadServiceClient<Channel> {
        UploadServiceClient::new(self.channel()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    pub fn nodes(&self) -> NodeServiceClient<Channel> {
        NodeServiceClient::new(self.channel()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    pub fn drives(&self) -> DriveServiceClient<Channel> {
        DriveServiceClient::new(self.channel()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    fn channel(&self) -> Channel {
        match &self.owner {
            Some((_, owner)) if !self.state.owner_lost.load(Ordering::Relaxed) => owner.clone(),
            _ => self.first.clone(),
        }
    }
}

/// Waits for an answer, but not for ever: a peer that is alive may still have forgotten the call.
pub(super) async fn within<T>(
    limit: Duration,
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<Response<T>, Status> {
    match tokio::time::timeout(limit, call).await {
        Ok(answer) => answer,
        Err(_) => Err(Status::deadline_exceeded(format!("no answer in {} s", limit.as_secs()))),
    }
}

pub(super) async fn channel(address: &str, timeout: Duration) -> Result<Channel, ClientError> {
    let url = match address.contains("://") {
        true => address.to_owned(),
        false => format!("http://{address}"),
    };
    let failed = |source| ClientError::Connect { address: address.to_owned(), source };
    let endpoint = Endpoint::from_shared(url).map_err(failed)?;
    endpoint
        .connect_timeout(timeout)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .tcp_nodelay(true)
        .connect()
        .await
        .map_err(failed)
}
