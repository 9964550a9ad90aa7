//! Connections: as many to each address as there are lanes for, made when one is first used.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::rc::Rc;

use tokio::sync::OnceCell;

use crate::load::wire::{Speaker, Wire};

/// All connections of a run.
#[derive(Debug)]
pub struct Links {
    speaker: Speaker,
    connections: usize,
    known: RefCell<HashMap<String, Rc<OnceCell<Lanes>>>>,
}

/// The connections to one address. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Lanes(Rc<[Wire]>);

impl Lanes {
    /// One that whoever has the same number uses too.
    pub fn lane(&self, number: u64) -> &Wire {
        &self.0[(number % self.0.len() as u64) as usize]
    }
}

impl Links {
    /// `connections` to each address.
    pub fn new(speaker: Speaker, connections: usize) -> Self {
        Self { speaker, connections, known: RefCell::default() }
    }

    /// The connections to `host:port`, made once however many ask for them.
    ///
    /// # Errors
    /// When nobody listens there.
    pub async fn to(&self, address: &str) -> io::Result<Lanes> {
        let known = self.known.borrow().get(address).cloned();
        let cell = known.unwrap_or_else(|| {
            self.known.borrow_mut().entry(address.to_owned()).or_default().clone()
        });
        cell.get_or_try_init(|| self.connect(address)).await.cloned()
    }

    /// A new connection to `host:port`, which nobody shares.
    ///
    /// # Errors
    /// When nobody listens there.
    pub async fn fresh(&self, address: &str) -> io::Result<Wire> {
        let wire = Wire::connect(address, self.speaker).await;
        wire.map_err(|error| io::Error::new(error.kind(), format!("{address}: {error}")))
    }

    async fn connect(&self, address: &str) -> io::Result<Lanes> {
        let mut wires = Vec::with_capacity(self.connections);
        for _ in 0..self.connections {
            wires.push(self.fresh(address).await?);
        }
        Ok(Lanes(wires.into()))
    }
}
