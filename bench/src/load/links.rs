//! Connections: some to the address that was given, and as many to each owner that it names.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sluice_proto::pb::upload_service_client::UploadServiceClient;
use tonic::transport::{Channel, Endpoint, Error};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The service over one connection. Cheap to clone.
pub type Service = UploadServiceClient<Channel>;

/// All connections of a run, each made when it is first used.
#[derive(Debug)]
pub struct Links {
    first: Vec<Channel>,
    follow_owners: bool,
    owners: Mutex<HashMap<String, Arc<Vec<Channel>>>>,
}

impl Links {
    /// `connections` to the server and, if owners are followed, to each of them.
    ///
    /// # Errors
    /// When the address is none.
    pub fn new(server: &str, connections: usize, follow_owners: bool) -> Result<Self, Error> {
        let first = channels(server, connections)?;
        Ok(Self { first, follow_owners, owners: Mutex::default() })
    }

    /// For opening upload `nth`.
    pub fn any(&self, nth: u64) -> Service {
        pick(&self.first, nth)
    }

    /// For the chunks of upload `nth`: its owner, if it is followed and tells an address.
    pub fn owner(&self, endpoints: &[String], nth: u64) -> Service {
        let best = endpoints.first().filter(|_| self.follow_owners);
        match best.and_then(|endpoint| self.channels_to(endpoint)) {
            Some(channels) => pick(&channels, nth),
            None => self.any(nth),
        }
    }

    fn channels_to(&self, endpoint: &str) -> Option<Arc<Vec<Channel>>> {
        let mut owners = self.owners.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(channels) = owners.get(endpoint) {
            return Some(channels.clone());
        }
        // An address that can't be read is the server's mistake; its main one works too.
        let made = Arc::new(channels(endpoint, self.first.len()).ok()?);
        owners.insert(endpoint.to_owned(), made.clone());
        Some(made)
    }
}

fn pick(channels: &[Channel], nth: u64) -> Service {
    Service::new(channels[(nth % channels.len() as u64) as usize].clone())
}

fn channels(address: &str, count: usize) -> Result<Vec<Channel>, Error> {
    let url = match address.contains("://") {
        true => address.to_owned(),
        false => format!("http://{address}"),
    };
    let endpoint = Endpoint::from_shared(url)?.connect_timeout(CONNECT_TIMEOUT).tcp_nodelay(true);
    Ok((0..count).map(|_| endpoint.connect_lazy()).collect())
}
