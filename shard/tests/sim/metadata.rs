//! The model of the metadata: claims, node rows and event rows, one transaction each.

use std::collections::BTreeMap;

use sluice_proto::{
    error::{Reason, Refusal},
    ids::{Filename, NodeId, RequestId, StoreId, UploadId},
};
use sluice_shard::{
    event::Claimed,
    record::{FoundUpload, Object, StoredUpload, Transition, UploadRecord, UploadSpec},
};

#[derive(Default)]
pub(crate) struct Metadata {
    claims: BTreeMap<UploadId, Claim>,
    nodes: BTreeMap<NodeId, (UploadId, Object)>,
    /// Uploads by their event rows.
    pub initiated: BTreeMap<UploadId, u32>,
    pub completed: BTreeMap<UploadId, u32>,
    pub failed: BTreeMap<UploadId, u32>,
}

struct Claim {
    spec: UploadSpec,
    finished: bool,
}

impl Metadata {
    pub(crate) fn claim(&mut self, upload_id: UploadId, spec: &UploadSpec) -> Claimed {
        if let Some((known, claim)) = self.by_request(&spec.request_id) {
            if claim.spec.fingerprint != spec.fingerprint {
                return refused(Reason::RequestIdReused);
            }
            if known != upload_id {
                return Claimed::Known { upload_id: known, node_id: claim.spec.node_id.clone() };
            }
        }
        if self.claims.contains_key(&upload_id) {
            return Claimed::Granted;
        }
        let has_node = |claim: &Claim| claim.spec.node_id == spec.node_id;
        if self.nodes.contains_key(&spec.node_id) || self.claims.values().any(has_node) {
            return refused(Reason::NodeExists);
        }
        if spec.if_not_exists && self.has_name(&spec.filename) {
            return refused(Reason::NameExists);
        }
        assert!(!self.initiated.contains_key(&upload_id), "an upload begins once");
        self.claims.insert(upload_id, Claim { spec: spec.clone(), finished: false });
        *self.initiated.entry(upload_id).or_default() += 1;
        Claimed::Granted
    }

    fn by_request(&self, request_id: &Option<RequestId>) -> Option<(UploadId, &Claim)> {
        let mut claims = self.claims.iter();
        let found =
            claims.find(|(_, claim)| request_id.is_some() && claim.spec.request_id == *request_id);
        found.map(|(&upload_id, claim)| (upload_id, claim))
    }

    fn has_name(&self, filename: &Filename) -> bool {
        self.claims.values().any(|claim| claim.spec.filename == *filename)
    }

    pub(crate) fn finish(&mut self, record: &UploadRecord, object: &Object) {
        let upload_id = record.upload_id;
        let claim = self.claims.get_mut(&upload_id).expect("only what was claimed is finished");
        claim.finished = true;
        let row = (upload_id, object.clone());
        let held = self.nodes.entry(record.spec.node_id.clone()).or_insert_with(|| row.clone());
        assert_eq!(*held, row, "one node row an upload, one upload a node row");
        assert!(!self.failed.contains_key(&upload_id));
        // Keyed by the upload: a repeat makes no second row.
        self.completed.insert(upload_id, 1);
    }

    /// What a store has of an upload, and whether that is a node already.
    pub(crate) fn found(&self, stored: &StoredUpload) -> FoundUpload {
        let is_open = !stored.record.state.ended();
        let object = self.object(&stored.record.upload_id).filter(|_| is_open);
        let lost_end = object.cloned().map(Transition::Completed);
        FoundUpload { stored: stored.clone(), lost_end }
    }

    pub(crate) fn release(&mut self, upload_id: UploadId) {
        let Some(claim) = self.claims.get(&upload_id) else { return };
        assert!(!claim.finished, "what is finished isn't released");
        self.claims.remove(&upload_id);
        *self.failed.entry(upload_id).or_default() += 1;
    }

    /// A request is known for as long as its upload is readable.
    pub(crate) fn forget(&mut self, upload_id: &UploadId) {
        self.claims.remove(upload_id);
    }

    pub(crate) fn object(&self, upload_id: &UploadId) -> Option<&Object> {
        self.nodes.values().find(|(of, _)| of == upload_id).map(|(_, object)| object)
    }

    /// Claimed, or finished and purged since.
    pub(crate) fn is_claimed(&self, upload_id: &UploadId) -> bool {
        self.claims.contains_key(upload_id) || self.completed.contains_key(upload_id)
    }

    /// Uploads of a store that are claimed and not finished.
    pub(crate) fn open_claims(&self, store: StoreId) -> Vec<UploadId> {
        let open = self
            .claims
            .iter()
            .filter(|(upload_id, claim)| upload_id.store() == store && !claim.finished);
        open.map(|(&upload_id, _)| upload_id).collect()
    }
}

fn refused(reason: Reason) -> Claimed {
    Claimed::Refused(Refusal::new(reason, "taken"))
}
