//! What all connections of a store share.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{Notify, watch},
};
use tokio_rustls::TlsAcceptor;

use super::{
    bucket::Store,
    calendar,
    fault::{FaultId, Faults},
    link::{Connection, Handle, Link},
    options::{Identity, Options},
    record::Records,
    serve::serve,
};

/// Whether it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Up,
    /// Nobody listens, and connections are reset.
    Refusing,
    /// Requests wait until it is up.
    Silent,
}

pub(super) struct Shared {
    pub(super) options: Options,
    /// Who may ask now.
    pub(super) identities: Mutex<Vec<Identity>>,
    pub(super) mode: watch::Sender<Mode>,
    pub(super) clock_offset_s: AtomicI64,
    inner: Mutex<Inner>,
    healed: Notify,
    pub(super) connections: AtomicU64,
    /// Those that are open.
    pub(super) open: AtomicU64,
}

/// Counts a connection as open.
struct Open(Arc<Shared>);

impl Open {
    fn new(shared: &Arc<Shared>) -> Self {
        shared.open.fetch_add(1, Ordering::SeqCst);
        Self(shared.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

pub(super) struct Inner {
    pub(super) store: Store,
    pub(super) faults: Faults,
    pub(super) records: Records,
}

impl Shared {
    pub(super) fn new(options: Options) -> Self {
        let store = Store::new(&options.buckets, options.abilities.clone());
        let inner = Inner { store, faults: Faults::default(), records: Records::default() };
        Self {
            identities: Mutex::new(options.identities.clone()),
            options,
            mode: watch::Sender::new(Mode::Up),
            clock_offset_s: AtomicI64::new(0),
            inner: Mutex::new(inner),
            healed: Notify::new(),
            connections: AtomicU64::new(0),
            open: AtomicU64::new(0),
        }
    }

    pub(super) fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn identities(&self) -> MutexGuard<'_, Vec<Identity>> {
        self.identities.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn now_s(&self) -> i64 {
        calendar::now_s() + self.clock_offset_s.load(Ordering::Relaxed)
    }

    pub(super) fn heal(&self, id: Option<FaultId>) {
        match id {
            Some(id) => self.inner().faults.heal(id),
            None => self.inner().faults.heal_all(),
        }
        self.healed.notify_waiters();
    }

    pub(super) async fn until_healed(&self, id: FaultId) {
        loop {
            let healed = self.healed.notified();
            if !self.inner().faults.holds(id) {
                return;
            }
            healed.await;
        }
    }

    pub(super) async fn until_it_speaks(&self) {
        // Its sender lives as long as this.
        let _ = self.mode.subscribe().wait_for(|mode| *mode == Mode::Up).await;
    }

    async fn until_it_refuses(&self) {
        let _ = self.mode.subscribe().wait_for(|mode| *mode == Mode::Refusing).await;
    }
}

/// Listens on a port of loopback, whenever it is up.
pub(super) async fn listen(
    shared: Arc<Shared>,
    mut listener: Option<TcpListener>,
    port: u16,
    tls: Option<TlsAcceptor>,
) {
    loop {
        if let Some(listener) = listener.take() {
            tokio::select! {
                () = accept(&shared, &listener, &tls) => {}
                () = shared.until_it_refuses() => {}
            }
        }
        let _ = shared.mode.subscribe().wait_for(|mode| *mode != Mode::Refusing).await;
        let address: SocketAddr = (Ipv4Addr::LOCALHOST, port).into();
        match TcpListener::bind(address).await {
            Ok(bound) => listener = Some(bound),
            // Some other holds the port: `up` says so when it takes too long.
            Err(_) => tokio::time::sleep(super::POLL).await,
        }
    }
}

async fn accept(shared: &Arc<Shared>, listener: &TcpListener, tls: &Option<TlsAcceptor>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(super::POLL).await;
            continue;
        };
        let connection = Connection::new(shared.connections.fetch_add(1, Ordering::Relaxed));
        let open = Open::new(shared);
        tokio::spawn(connected(open, connection, stream, tls.clone()));
    }
}

async fn connected(
    open: Open,
    connection: Connection,
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
) {
    let shared = &open.0;
    let Ok((handle, stream)) = Handle::of(stream) else { return };
    let served = async {
        match tls {
            None => exchange(shared.clone(), connection.clone(), stream).await,
            Some(tls) => {
                let Ok(stream) = tls.accept(stream).await else { return false };
                exchange(shared.clone(), connection.clone(), stream).await
            }
        }
    };
    // What loses is dropped after the handle has said how the socket is to be closed.
    tokio::pin!(served);
    let is_reset = tokio::select! {
        broken = &mut served => broken,
        () = connection.is_closed() => false,
        () = connection.is_reset() => true,
        () = shared.until_it_refuses() => true,
    };
    if is_reset {
        handle.will_reset();
    }
}

/// Answers what comes, to the connection's end; whether that is to be a reset.
async fn exchange<S>(shared: Arc<Shared>, connection: Connection, stream: S) -> bool
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let link = Link::new(stream, &connection);
    let service = service_fn(move |request| serve(shared.clone(), connection.clone(), request));
    http1::Builder::new().serve_connection(TokioIo::new(link), service).await.is_err()
}
