//! Stands before Redis, and holds back for as long as a test likes what connections send.

use std::{
    io::{self, Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex},
    thread,
    time::Duration,
};

const READ_BYTES: usize = 64 << 10;
/// Longer than anything that a test waits for.
const PATIENCE: Duration = Duration::from_secs(60);

/// The proxy. Its threads end with the connections that they serve.
pub struct HeldProxy {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// What a connection sends beyond so many bytes is held, with all that comes behind it.
    hold_beyond_bytes: Option<u64>,
    released: bool,
    held_connections: usize,
    held_bytes: u64,
}

impl HeldProxy {
    /// Before the server at `upstream`.
    pub fn start(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::<Shared>::default();
        let serving = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming() {
                let shared = Arc::clone(&serving);
                thread::spawn(move || drop(serve(client.unwrap(), upstream, &shared)));
            }
        });
        Self { port, shared }
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// From now on holds what a connection sends beyond `bytes` bytes.
    pub fn hold_beyond(&self, bytes: u64) {
        self.shared.state.lock().unwrap().hold_beyond_bytes = Some(bytes);
    }

    /// Holds no more than it does already.
    pub fn hold_no_more(&self) {
        self.shared.state.lock().unwrap().hold_beyond_bytes = None;
    }

    /// Sends what is held, and waits until Redis has read all of it; how many bytes that were.
    ///
    /// Whoever sent them must have closed their connections.
    pub fn release(&self) -> u64 {
        let mut state = self.shared.state.lock().unwrap();
        state.released = true;
        self.shared.changed.notify_all();
        let waiting = |state: &mut State| state.held_connections > 0;
        let (state, waited) =
            self.shared.changed.wait_timeout_while(state, PATIENCE, waiting).unwrap();
        assert!(!waited.timed_out(), "{} connections are open", state.held_connections);
        state.held_bytes
    }
}

fn serve(mut client: TcpStream, upstream: SocketAddr, shared: &Shared) -> io::Result<()> {
    let mut redis = TcpStream::connect(upstream)?;
    redis.set_nodelay(true)?;
    client.set_nodelay(true)?;
    let (mut from, mut to) = (redis.try_clone()?, client.try_clone()?);
    let answering = thread::spawn(move || {
        drop(io::copy(&mut from, &mut to));
        // Closed by the client before: then nobody reads the rest, but Redis is served to its end.
        drop(io::copy(&mut from, &mut io::sink()));
        drop(to.shutdown(Shutdown::Both));
    });
    let mut sent_bytes = 0;
    let mut piece = vec![0; READ_BYTES];
    loop {
        let read = client.read(&mut piece).unwrap_or(0);
        if read == 0 {
            break;
        }
        if shared.holds(sent_bytes + read as u64) {
            return shared.hold(client, redis, piece[..read].to_vec(), answering);
        }
        redis.write_all(&piece[..read])?;
        sent_bytes += read as u64;
    }
    redis.shutdown(Shutdown::Write)
}

impl Shared {
    fn holds(&self, sent_bytes: u64) -> bool {
        let mut state = self.state.lock().unwrap();
        let holds = state.hold_beyond_bytes.is_some_and(|bytes| sent_bytes > bytes);
        state.held_connections += usize::from(holds);
        holds
    }

    fn hold(
        &self,
        mut client: TcpStream,
        mut redis: TcpStream,
        mut held: Vec<u8>,
        answering: thread::JoinHandle<()>,
    ) -> io::Result<()> {
        // As the network would: the client's end is known to nobody yet.
        drop(client.read_to_end(&mut held));
        let waiting = |state: &mut State| !state.released;
        let state = self.state.lock().unwrap();
        drop(self.changed.wait_while(state, waiting).unwrap());
        let ended = redis.write_all(&held).and_then(|()| redis.shutdown(Shutdown::Write));
        answering.join().unwrap();
        let mut state = self.state.lock().unwrap();
        state.held_connections -= 1;
        state.held_bytes += held.len() as u64;
        self.changed.notify_all();
        ended
    }
}
