//! Where servers are, by their names.
//!
//! The system's resolver blocks, for as long as it likes: it has a thread of its own for each
//! question. Of each name one is under way at most, whoever asks, and nobody waits for it longer than
//! he wants to.

use std::{
    cell::RefCell,
    collections::HashMap,
    io,
    net::{SocketAddr, ToSocketAddrs as _},
    rc::Rc,
    thread,
    time::Duration,
};

use futures_channel::oneshot;
use futures_util::{
    FutureExt as _,
    future::{LocalBoxFuture, Shared},
};

use super::error::RedisError;
use crate::reactor::{task, timer};

/// What the resolver says, or why it says nothing.
type Answer = Result<Vec<SocketAddr>, String>;
/// Of any port.
type Resolve = fn(&str) -> io::Result<Vec<SocketAddr>>;
type Asking = Shared<LocalBoxFuture<'static, Answer>>;

/// Names that are looked up on one executor. Clones share it.
#[derive(Clone)]
pub(super) struct Names(Rc<Inner>);

struct Inner {
    resolve: Resolve,
    asking: RefCell<HashMap<String, Asking>>,
}

impl Default for Names {
    /// Asks the system.
    fn default() -> Self {
        Self::new(|host| Ok((host, 0).to_socket_addrs()?.collect()))
    }
}

impl Names {
    fn new(resolve: Resolve) -> Self {
        Self(Rc::new(Inner { resolve, asking: RefCell::default() }))
    }

    /// The addresses of a server, one at least, in the order in which they are to be tried.
    pub(super) async fn look_up(
        &self,
        host: &str,
        port: u16,
        within: Duration,
    ) -> Result<Vec<SocketAddr>, RedisError> {
        if let Ok(ip) = host.parse() {
            return Ok(vec![SocketAddr::new(ip, port)]);
        }
        let unknown = |problem| RedisError::Host { host: host.to_owned(), problem };
        let late = || format!("its name isn't resolved within {} ms", within.as_millis());
        let answer = timer::deadline(self.ask(host), within).await;
        let mut found = answer.unwrap_or_else(|_| Err(late())).map_err(unknown)?;
        if found.is_empty() {
            return Err(unknown("it has no address".to_owned()));
        }
        found.iter_mut().for_each(|address| address.set_port(port));
        Ok(found)
    }

    /// Joins the question that is under way, or begins one.
    fn ask(&self, host: &str) -> Asking {
        if let Some(under_way) = self.0.asking.borrow().get(host) {
            return under_way.clone();
        }
        let (resolve, name) = (self.0.resolve, host.to_owned());
        let answer = async move {
            let (tell, told) = oneshot::channel();
            let asking = move || drop(tell.send(resolve(&name)));
            let resolver = thread::Builder::new().name("resolver".to_owned());
            resolver.spawn(asking).map_err(|error| error.to_string())?;
            let resolved = told.await.expect("who asks tells");
            resolved.map_err(|error| error.to_string())
        };
        let answer = answer.boxed_local().shared();
        self.0.asking.borrow_mut().insert(host.to_owned(), answer.clone());
        // It ends though nobody may wait for it any more: the next one is then told anew.
        let (names, host, ended) = (self.clone(), host.to_owned(), answer.clone());
        let ending = async move {
            drop(ended.await);
            names.0.asking.borrow_mut().remove(&host);
        };
        task::spawn_local(ending).detach();
        answer
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    };

    use futures_util::future::join_all;

    use super::*;
    use crate::reactor::executor::Executors;

    const LONG: Duration = Duration::from_secs(60);
    static QUESTIONS: AtomicU32 = AtomicU32::new(0);
    /// Whoever holds it keeps the resolver from its answer.
    static GATE: Mutex<()> = Mutex::new(());

    fn slow(_: &str) -> io::Result<Vec<SocketAddr>> {
        QUESTIONS.fetch_add(1, Ordering::Relaxed);
        drop(GATE.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(vec!["192.0.2.7:0".parse().unwrap()])
    }

    #[test]
    fn who_asks_for_a_name_meanwhile_shares_the_answer_and_waits_no_longer_than_allowed() {
        let held = GATE.lock().unwrap();
        let (open, opened) = std::sync::mpsc::channel();
        let executors = Executors::spawn(&[0], move |_, pacer| {
            let open = open.clone();
            async move {
                let _busy = pacer.begin();
                let names = Names::new(slow);
                let late = names.look_up("redis", 1, Duration::from_millis(20)).await;
                assert!(matches!(late, Err(RedisError::Host { .. })), "{late:?}");
                let all = (0..9).map(|port| names.look_up("redis", port, LONG));
                let opening = async { open.send(()).unwrap() };
                let (all, ()) = futures_util::future::join(join_all(all), opening).await;
                for (port, found) in all.into_iter().enumerate() {
                    let address = format!("192.0.2.7:{port}").parse().unwrap();
                    assert_eq!(found, Ok(vec![address]));
                }
                assert_eq!(QUESTIONS.load(Ordering::Relaxed), 1);
                let known = names.look_up("127.0.0.1", 3, Duration::ZERO).await;
                assert_eq!(known, Ok(vec!["127.0.0.1:3".parse().unwrap()]), "nobody is asked");
                names.look_up("redis", 1, LONG).await.unwrap();
                assert_eq!(QUESTIONS.load(Ordering::Relaxed), 2, "an answer isn't kept");
            }
        });
        opened.recv().unwrap();
        drop(held);
        executors.unwrap().join().unwrap();
    }
}
