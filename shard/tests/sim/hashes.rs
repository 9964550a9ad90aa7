//! Bodies whose bytes wait for their turn at the SHA-256 of their upload.

use sluice_proto::{checksum::Sha256State, ids::UploadId};
use sluice_shard::{Event, effect::HashTurn, keys::BodyId};

use crate::world::{Action, World};

/// A body in line for the SHA-256.
pub(crate) struct InLine {
    pub upload: UploadId,
    /// Where it begins, once its turn came.
    pub state: Option<Box<Sha256State>>,
    /// All of it, once it is closed.
    pub data: Option<Vec<u8>>,
}

impl World {
    pub(crate) fn stand_in_line(
        &mut self,
        life: u64,
        body: BodyId,
        upload: UploadId,
        turn: HashTurn,
    ) {
        if turn == HashTurn::Never {
            return;
        }
        let lent = InLine { upload, state: None, data: None };
        self.node(life).expect("it is alive").line.insert(body, lent);
        if turn == HashTurn::Maybe && self.rng.percent(20) {
            // There is no room to wait in.
            self.after(0, self.plan.pace.copy_ms, Action::Leave { life, body });
        }
    }

    pub(crate) fn turn_comes(&mut self, life: u64, body: BodyId, state: Box<Sha256State>) {
        let node = self.node(life).expect("it is alive");
        // It may have left.
        let Some(lent) = node.line.get_mut(&body) else { return };
        assert!(lent.state.replace(state).is_none(), "its turn comes once");
        self.hash_later(life, body);
    }

    /// Without bytes it comes to nothing.
    pub(crate) fn closed_in_line(&mut self, life: u64, body: BodyId, data: Option<Vec<u8>>) {
        let line = &mut self.node(life).expect("it is alive").line;
        match (line.get_mut(&body), data) {
            (None, _) => {}
            (Some(_), None) => drop(line.remove(&body)),
            (Some(lent), data) => {
                lent.data = data;
                self.hash_later(life, body);
            }
        }
    }

    /// Once a body's turn came and all of it is there, its hash is told, some time.
    fn hash_later(&mut self, life: u64, body: BodyId) {
        let lent = &self.node(life).expect("it is alive").line[&body];
        if lent.state.is_some() && lent.data.is_some() {
            self.after(0, self.plan.pace.copy_ms * 2, Action::Hashed { life, body });
        }
    }

    pub(crate) fn hashed(&mut self, life: u64, body: BodyId) {
        // It may have left.
        let Some(lent) = self.node(life).and_then(|node| node.line.remove(&body)) else { return };
        let mut state = lent.state.expect("its turn came");
        state.update(&lent.data.expect("all of it is there"));
        let upload_id = lent.upload;
        self.apply(life, Event::BodyHashed { upload_id, body, state: Some(state) });
    }

    pub(crate) fn leave(&mut self, life: u64, body: BodyId) {
        let Some(lent) = self.node(life).and_then(|node| node.line.remove(&body)) else { return };
        self.apply(life, Event::BodyHashed { upload_id: lent.upload, body, state: None });
    }
}
