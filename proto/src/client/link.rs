//! One way to the server, and the way back to the address that is known to work.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tonic::transport::{Channel, Endpoint};

use crate::client::ClientError;
use crate::pb::upload_service_client::UploadServiceClient;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Keeps load balancers from cutting a connection that waits.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);

#[derive(Debug, Clone)]
pub(super) struct Link {
    first: Channel,
    /// The owner of the upload, as long as it can be reached.
    owner: Option<Channel>,
    owner_lost: Arc<AtomicBool>,
}

impl Link {
    pub async fn connect(address: &str) -> Result<Self, ClientError> {
        let first = channel(address).await?;
        Ok(Self { first, owner: None, owner_lost: Arc::default() })
    }

    /// With the owner in front, if one of its endpoints answers: one try, then
    /// the first address, which works too.
    pub async fn with_owner(&self, endpoints: &[String]) -> Self {
        let owner = match endpoints.first() {
            Some(endpoint) => channel(endpoint).await.ok(),
            None => None,
        };
        Self { first: self.first.clone(), owner, owner_lost: Arc::default() }
    }

    /// From now on the first address again.
    pub fn lose_owner(&self) {
        // Only a hint: a late reader tries the owner once more.
        self.owner_lost.store(true, Ordering::Relaxed);
    }

    pub fn service(&self) -> UploadServiceClient<Channel> {
        let channel = match &self.owner {
            Some(owner) if !self.owner_lost.load(Ordering::Relaxed) => owner,
            _ => &self.first,
        };
        UploadServiceClient::new(channel.clone())
    }
}

async fn channel(address: &str) -> Result<Channel, ClientError> {
    let url = match address.contains("://") {
        true => address.to_owned(),
        false => format!("http://{address}"),
    };
    let failed = |source| ClientError::Connect { address: address.to_owned(), source };
    let endpoint = Endpoint::from_shared(url).map_err(failed)?;
    endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .tcp_nodelay(true)
        .connect()
        .await
        .map_err(failed)
}
