//! A server with an honest client beside whatever is done to it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};
use sluice_proto::pb::{self, UploadState};
use tokio::runtime::Runtime;

use crate::harness::{
    Calls, Ended, Options, Outcome, Server, audit, chunk, eventually, get, noise, runtime, sha256,
};
use crate::wire::Target;

const HONEST_BYTES: usize = 16 << 20;
const HONEST_CHUNK_BYTES: usize = 2 << 20;
/// An honest upload may take so much longer than five times its quiet time: it shares two cores with
/// whoever attacks. What an attack does to it for good is that it never ends, or fails.
const GRACE: Duration = Duration::from_secs(5);
/// What else the machine does may slow down one try, or two, and not the quiet times beside them.
const TRIES: usize = 3;

/// A server, and what was stored on it.
pub struct Scene {
    pub server: Server,
    pub runtime: Runtime,
    pub outcomes: Vec<Outcome>,
    bytes: Vec<u8>,
    victim: String,
}

impl Scene {
    pub fn start(options: Options) -> Self {
        let server = Server::start(options);
        let (runtime, bytes) = (runtime(), noise(5, HONEST_BYTES));
        let address = server.address();
        let victim = runtime.block_on(async { Calls::to(&address).open("victim").await });
        let mut scene = Self { server, runtime, outcomes: Vec::new(), bytes, victim };
        // Warms the server up.
        scene.upload();
        scene
    }

    pub fn target(&self) -> Target {
        Target { address: self.socket_address(), upload_id: self.victim.clone() }
    }

    fn socket_address(&self) -> SocketAddr {
        self.server.address().parse().unwrap()
    }

    /// One honest upload; how long it took.
    fn upload(&mut self) -> Duration {
        let filename = format!("honest-{}", self.outcomes.len());
        let began = Instant::now();
        let address = self.server.address();
        let upload_id = self.runtime.block_on(upload(&address, &filename, &self.bytes));
        let took = began.elapsed();
        let ended = Ended::Whole(self.bytes.clone());
        self.outcomes.push(Outcome { upload_id, filename, ended });
        took
    }

    /// Repeats an attack for as long as an honest upload goes on beside it, which must not suffer.
    pub fn beside(&mut self, attack: impl Fn(&Target) + Sync) {
        let (mut before, mut suffered) = (self.upload(), 0);
        for _ in 0..TRIES {
            let took = self.upload_beside(&attack);
            let after = self.upload();
            println!("honest upload: {took:?}, quiet {before:?} and {after:?}");
            suffered += usize::from(took > 5 * before.max(after) + GRACE);
            before = after;
        }
        assert!(suffered < TRIES, "it took over five times its quiet time each time");
    }

    fn upload_beside(&mut self, attack: &(impl Fn(&Target) + Sync)) -> Duration {
        let (target, is_over, began) =
            (self.target(), AtomicBool::new(false), AtomicBool::new(false));
        std::thread::scope(|scope| {
            let attacking = scope.spawn(|| {
                // Also when the attack fails, or the upload would wait for it.
                let _began = SetWhenDropped(&began);
                loop {
                    began.store(true, SeqCst);
                    attack(&target);
                    if is_over.load(SeqCst) {
                        return;
                    }
                }
            });
            eventually(|| (!began.load(SeqCst)).then(|| "the attack doesn't begin".into()));
            let _over = SetWhenDropped(&is_over);
            let took = self.upload();
            is_over.store(true, SeqCst);
            attacking.join().unwrap();
            took
        })
    }

    /// Nothing is left of all that was done: every budget is whole again, and what was stored is
    /// what was sent.
    pub fn end(mut self) {
        let abort = async {
            let request =
                pb::AbortUploadRequest { upload_id: self.victim.clone(), ..Default::default() };
            Calls::to(&self.server.address()).abort_upload(request).await.unwrap();
        };
        self.runtime.block_on(abort);
        let ended = Ended::As(UploadState::Aborted);
        self.outcomes.push(Outcome { upload_id: self.victim, filename: "victim".into(), ended });
        end_well(self.server, &self.outcomes);
    }
}

/// Every budget is whole again, and what lies on the disk is what `outcomes` tell.
pub fn end_well(server: Server, outcomes: &[Outcome]) {
    until_all_is_back(&server);
    audit(server, outcomes);
}

struct SetWhenDropped<'a>(&'a AtomicBool);

impl Drop for SetWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

/// An upload of a client that nobody else minds, on a connection of its own, nothing repeated.
async fn upload(address: &str, filename: &str, bytes: &[u8]) -> String {
    let calls = Calls::to(address);
    let upload_id = calls.open(filename).await;
    let chunks = bytes.len().div_ceil(HONEST_CHUNK_BYTES);
    let sending = bytes.chunks(HONEST_CHUNK_BYTES).enumerate().map(|(number, data)| {
        let request = chunk(&upload_id, number as i32, data);
        calls.upload_chunk(request)
    });
    let sent: Vec<_> = stream::iter(sending).buffer_unordered(4).collect().await;
    for acked in sent {
        acked.unwrap();
    }
    let completed = calls.complete(&upload_id, Some(chunks as i32)).await.unwrap();
    assert_eq!(completed.state(), UploadState::Completed);
    assert_eq!(completed.object.unwrap().sha256, sha256(bytes)[..]);
    upload_id
}

/// Waits until no connection, call or byte is counted any more.
pub fn until_all_is_back(server: &Server) {
    let admin = server.admin();
    eventually(|| {
        let page = get(&admin, "/metrics")?.body;
        let left: Vec<String> = [
            "connections",
            "rpc_server_in_flight",
            "parked_streams",
            "memory_used_bytes",
            "window_committed_bytes",
        ]
        .into_iter()
        .map(|name| (name, metric(&page, name)))
        .filter(|&(_, left)| left > 0.0)
        .map(|(name, left)| format!("{name} {left}"))
        .collect();
        (!left.is_empty()).then(|| format!("still counted: {left:?}"))
    });
}

/// The sum of a metric's samples.
pub fn metric(page: &str, name: &str) -> f64 {
    let name = format!("sluice_{name}");
    let samples = page.lines().filter_map(|line| line.strip_prefix(&name));
    let values = samples.filter(|rest| rest.starts_with(['{', ' ']));
    let values: Vec<f64> =
        values.map(|rest| rest.rsplit(' ').next().unwrap().parse().unwrap()).collect();
    assert!(!values.is_empty(), "no {name} in\n{page}");
    values.iter().sum()
}
