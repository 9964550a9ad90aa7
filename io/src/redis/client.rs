//! All servers of one Redis, as one.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    fmt,
    rc::Rc,
    time::Duration,
};

use futures_util::future::join_all;
use redis::{Cmd, Value, cmd};

use super::{
    connection::unredirected,
    error::{Failed, Redirect, RedisError},
    names::Names,
    node::Node,
    script::Script,
    slots::{self, Range},
    url::{RedisUrl, host_and_port},
};
use crate::{
    reactor::{task, timer},
    tls::Tls,
};

/// A command is sent on so often at most: a slot that moves twice meanwhile is rare.
pub(super) const REDIRECTS_MAX: usize = 5;
/// The slots are asked for so often at most.
const REFRESH_PAUSE_MS: u64 = 50;

/// Bodies of a slot that is on its way go to where it goes for so long, then it is looked again.
const ASKING_MS: u64 = 1_000;

/// How Redis is reached.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where it is.
    pub url: RedisUrl,
    /// How TLS is spoken, if the URL says that it is.
    pub tls: Option<Tls>,
    /// What connections are called in `CLIENT LIST`.
    pub client_name: String,
    /// A command is given up after this.
    pub within: Duration,
}

/// What a connection says first, and what all connections share.
pub(super) struct Login {
    pub(super) user: String,
    pub(super) password: String,
    pub(super) client_name: String,
    /// Without, bytes go as they are.
    pub(super) tls: Option<Tls>,
    pub(super) connects: Cell<u64>,
    pub(super) names: Names,
}

impl fmt::Debug for Login {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Login({})", self.client_name)
    }
}

/// Redis, for one executor. Clones share its connections.
#[derive(Clone)]
pub struct Client(Rc<Inner>);

struct Inner {
    login: Rc<Login>,
    within: Duration,
    seeds: Vec<(String, u16)>,
    nodes: RefCell<BTreeMap<(String, u16), Rc<Node>>>,
    /// Of a cluster, by their first slot; empty otherwise.
    slots: RefCell<BTreeMap<u16, Range>>,
    is_cluster: Cell<bool>,
    refreshed_at_ms: Cell<u64>,
    /// Slots on their way: where what isn't at their master is, until when that is believed.
    asking: RefCell<BTreeMap<u16, (Rc<Node>, u64)>>,
}

impl Client {
    /// Doesn't connect yet.
    ///
    /// # Panics
    /// When the URL wants TLS and there is none, or the other way round.
    pub fn new(settings: Settings) -> Self {
        let Settings { url, tls, client_name, within } = settings;
        assert_eq!(url.tls, tls.is_some(), "what is to be secret isn't sent as it is");
        let RedisUrl { user, password, hosts, .. } = url;
        let (connects, names) = (Cell::default(), Names::default());
        let login = Login { user, password, client_name, tls, connects, names };
        Self(Rc::new(Inner {
            login: Rc::new(login),
            within,
            seeds: hosts,
            nodes: RefCell::default(),
            slots: RefCell::default(),
            is_cluster: Cell::default(),
            refreshed_at_ms: Cell::default(),
            asking: RefCell::default(),
        }))
    }

    /// Connects, and finds out whether it is a cluster.
    ///
    /// # Errors
    /// [`RedisError`], of the server that was asked last.
    pub async fn connect(&self) -> Result<(), RedisError> {
        let mut last = RedisError::Connection("no server is named".to_owned());
        for (host, port) in &self.0.seeds {
            let node = self.node(host, *port);
            match self.learn(&node).await {
                Ok(()) => return Ok(()),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// How many connections were made so far, and how often slots went to other servers. While this
    /// stays, nothing was lost that Redis has said it has: a server that went and came back lost its
    /// connections.
    pub fn connects(&self) -> u64 {
        self.0.login.connects.get()
    }

    /// Whether it is Redis Cluster; known after [`Client::connect`].
    pub fn is_cluster(&self) -> bool {
        self.0.is_cluster.get()
    }

    /// Runs a command whose keys lie in the slot of `key`.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn run(&self, key: &str, command: &Cmd) -> Result<Value, RedisError> {
        self.run_redirected(key, command).await.map_err(unredirected)
    }

    /// Runs a script made by [`Script::by_name`]; Redis is given its text where it hasn't it.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn run_script(
        &self,
        key: &str,
        script: &Script,
        call: &Cmd,
    ) -> Result<Value, RedisError> {
        match self.run_redirected(key, call).await {
            Err(Failed::NoScript) => self.run(key, &script.by_text(call)).await,
            ended => ended.map_err(unredirected),
        }
    }

    /// Runs a command on every master; each one's name and answer.
    ///
    /// One that doesn't answer keeps none of the others from it.
    pub async fn run_everywhere(&self, command: &Cmd) -> Vec<(String, Result<Value, RedisError>)> {
        let asking = self.masters().into_iter().map(async |node| {
            let answer = self.run_on(&node, command, false).await.map_err(unredirected);
            (format!("{}:{}", node.host, node.port), answer)
        });
        join_all(asking).await
    }

    /// A command is given up after this.
    pub fn within(&self) -> Duration {
        self.0.within
    }

    /// Who takes a new body, and whether it must be asked to, as its slot is on its way there.
    pub(super) fn route(&self, key: &str) -> (Rc<Node>, bool) {
        let slot = slots::slot_of(key.as_bytes());
        let mut asking = self.0.asking.borrow_mut();
        match asking.get(&slot) {
            Some((node, until_ms)) if timer::now_ms() < *until_ms => (Rc::clone(node), true),
            _ => {
                asking.remove(&slot);
                (self.node_of(key), false)
            }
        }
    }

    /// Goes the way that a body was sent, the next time.
    pub(super) async fn follow_later(&self, redirect: Redirect, asked: &str, key: &str) {
        match redirect {
            Redirect::Moved(_) => self.refresh().await,
            Redirect::Ask(target) => {
                let slot = slots::slot_of(key.as_bytes());
                if let Ok(node) = self.named(&target, asked) {
                    let until_ms = timer::now_ms() + ASKING_MS;
                    self.0.asking.borrow_mut().insert(slot, (node, until_ms));
                }
            }
        }
    }

    /// Something went wrong that a change of masters explains.
    pub(super) async fn look_again(&self) {
        if self.is_cluster() {
            self.refresh().await;
        }
    }

    async fn run_redirected(&self, key: &str, command: &Cmd) -> Result<Value, Failed> {
        let (mut node, mut asking) = (self.node_of(key), false);
        for _ in 0..REDIRECTS_MAX {
            let redirect = match self.run_on(&node, command, asking).await {
                Err(Failed::Redirected(redirect)) => redirect,
                Err(Failed::Error(error)) if self.is_cluster() && error.unsettles() => {
                    self.refresh_later();
                    return Err(error.into());
                }
                ended => return ended,
            };
            (node, asking) = self.follow(&redirect, &node.host)?;
        }
        Err(sent_on_too_often().into())
    }

    /// Where `asked` sends a command on to, and whether that server must be asked to take it.
    pub(super) fn follow(
        &self,
        redirect: &Redirect,
        asked: &str,
    ) -> Result<(Rc<Node>, bool), RedisError> {
        let (Redirect::Moved(target) | Redirect::Ask(target)) = redirect;
        let (node, asking) = (self.named(target, asked)?, matches!(redirect, Redirect::Ask(_)));
        if !asking {
            self.refresh_later();
        }
        Ok((node, asking))
    }

    async fn run_on(&self, node: &Node, command: &Cmd, asking: bool) -> Result<Value, Failed> {
        node.run(command, asking, self.0.within).await
    }

    fn masters(&self) -> Vec<Rc<Node>> {
        let slots = self.0.slots.borrow();
        let mut named: Vec<_> =
            slots.values().map(|range| (range.host.clone(), range.port)).collect();
        if named.is_empty() {
            named.extend(self.0.seeds.first().cloned());
        }
        named.sort_unstable();
        named.dedup();
        drop(slots);
        named.into_iter().map(|(host, port)| self.node(&host, port)).collect()
    }

    pub(super) fn node_of(&self, key: &str) -> Rc<Node> {
        let found = if self.is_cluster() {
            let slot = slots::slot_of(key.as_bytes());
            let slots = self.0.slots.borrow();
            let range = slots.range(..=slot).next_back().map(|(_, range)| range);
            range.filter(|range| slot <= range.last).map(|range| (range.host.clone(), range.port))
        } else {
            None
        };
        let (host, port) = found.unwrap_or_else(|| self.0.seeds[0].clone());
        self.node(&host, port)
    }

    fn named(&self, target: &str, asked: &str) -> Result<Rc<Node>, RedisError> {
        // A node that doesn't know its own name leaves it out.
        let whole =
            if target.starts_with(':') { format!("{asked}{target}") } else { target.into() };
        let odd = |_| RedisError::Answer(format!("sent on to {target:?}"));
        let (host, port) = host_and_port(&whole).map_err(odd)?;
        Ok(self.node(&host, port))
    }

    fn node(&self, host: &str, port: u16) -> Rc<Node> {
        let mut nodes = self.0.nodes.borrow_mut();
        let node = nodes
            .entry((host.to_owned(), port))
            .or_insert_with(|| Rc::new(Node::new(host.to_owned(), port, Rc::clone(&self.0.login))));
        Rc::clone(node)
    }

    /// Has somebody learn who holds which slots; who asks doesn't wait for that.
    pub(super) fn refresh_later(&self) {
        let client = self.clone();
        task::spawn_local(async move { client.refresh().await }).detach();
    }

    /// Asks whoever knows for the slots, unless that was just done.
    async fn refresh(&self) {
        let now_ms = timer::now_ms();
        if now_ms < self.0.refreshed_at_ms.get() + REFRESH_PAUSE_MS {
            return;
        }
        self.0.refreshed_at_ms.set(now_ms);
        let known: Vec<_> = self.0.nodes.borrow().values().cloned().collect();
        for node in known {
            if self.learn(&node).await.is_ok() {
                return;
            }
        }
    }

    /// Learns from a server whether it is one of a cluster, and who holds which slots.
    async fn learn(&self, node: &Node) -> Result<(), RedisError> {
        let mut info = cmd("INFO");
        info.arg("cluster");
        let answer = self.run_on(node, &info, false).await.map_err(unredirected)?;
        let Value::BulkString(text) = &answer else {
            return Err(RedisError::Answer("INFO".to_owned()));
        };
        let is_cluster = String::from_utf8_lossy(text).contains("cluster_enabled:1");
        self.0.is_cluster.set(is_cluster);
        if !is_cluster {
            return Ok(());
        }
        let mut ask = cmd("CLUSTER");
        ask.arg("SLOTS");
        let answer = self.run_on(node, &ask, false).await.map_err(unredirected)?;
        let ranges = slots::read_slots(&answer, &node.host)?;
        if ranges.is_empty() {
            return Err(RedisError::Answer(format!("{} knows no slots", node.host)));
        }
        self.forget_all_but(&ranges);
        let slots: BTreeMap<_, _> = ranges.into_iter().map(|range| (range.first, range)).collect();
        let before = self.0.slots.replace(slots);
        // Whoever is a master now may lack what the one before it had said it has, though there was
        // a connection to it all the time.
        if !before.is_empty() && before != *self.0.slots.borrow() {
            self.0.login.connects.set(self.0.login.connects.get() + 1);
        }
        Ok(())
    }

    /// Servers that hold nothing any more go, with their connections.
    fn forget_all_but(&self, ranges: &[Range]) {
        self.0.nodes.borrow_mut().retain(|(host, port), _| {
            let holds = |range: &Range| range.host == *host && range.port == *port;
            ranges.iter().any(holds) || self.0.seeds.contains(&(host.clone(), *port))
        });
    }
}

pub(super) fn sent_on_too_often() -> RedisError {
    RedisError::Answer(format!("sent on more than {REDIRECTS_MAX} times"))
}
