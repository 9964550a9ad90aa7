//! What is there: nodes, uploads and drives, a page a call.

use crate::client::link::{CALL_TIMEOUT, within};
use crate::client::{Client, ClientError};
use crate::pb;

impl Client {
    /// One page of the nodes of a drive: at most `page_size` of them (1,000 at most; 0: 100). The
    /// next one is asked for with `page_token` set to this answer's `next_page_token`, which is
    /// empty in the last.
    ///
    /// # Errors
    /// DRIVE_UNKNOWN, FIELD_INVALID of a filter or a token, or no answer.
    pub async fn list_nodes(
        &self,
        request: pb::ListNodesRequest,
    ) -> Result<pb::ListNodesResponse, ClientError> {
        let call = || {
            let (mut service, request) = (self.first.nodes(), request.clone());
            async move { within(CALL_TIMEOUT, service.list_nodes(request)).await }
        };
        self.retry.run(&self.first, call).await
    }

    /// One page of the uploads of a drive, running and ended ones; pages as in
    /// [`list_nodes`](Self::list_nodes).
    ///
    /// # Errors
    /// DRIVE_UNKNOWN, FIELD_INVALID of a filter or a token, or no answer.
    pub async fn list_uploads(
        &self,
        request: pb::ListUploadsRequest,
    ) -> Result<pb::ListUploadsResponse, ClientError> {
        let call = || {
            let (mut service, request) = (self.first.service(), request.clone());
            async move { within(CALL_TIMEOUT, service.list_uploads(request)).await }
        };
        self.retry.run(&self.first, call).await
    }

    /// One page of the drives; pages as in [`list_nodes`](Self::list_nodes).
    ///
    /// # Errors
    /// FIELD_INVALID of a token, or no answer.
    pub async fn list_drives(
        &self,
        request: pb::ListDrivesRequest,
    ) -> Result<pb::ListDrivesResponse, ClientError> {
        let call = || {
            let (mut service, request) = (self.first.drives(), request.clone());
            async move { within(CALL_TIMEOUT, service.list_drives(request)).await }
        };
        self.retry.run(&self.first, call).await
    }

    /// Makes a drive, or finds that it is there with the same parameters.
    ///
    /// # Errors
    /// DRIVE_EXISTS when it is there with other parameters, FIELD_INVALID, or no answer.
    pub async fn create_drive(
        &self,
        request: pb::CreateDriveRequest,
    ) -> Result<pb::Drive, ClientError> {
        let call = || {
            let (mut service, request) = (self.first.drives(), request.clone());
            async move { within(CALL_TIMEOUT, service.create_drive(request)).await }
        };
        let made = self.retry.run(&self.first, call).await?.drive;
        made.ok_or_else(|| ClientError::broken_answer("a drive was made, and not told"))
    }
}
