//! TCP sockets of this executor.
//!
//! System calls are tried first and are our own; glommio is asked only to wake us when one would
//! block. Its own accept loses what it accepted when it is dropped, and gives up on every error.

mod stream;

use std::future::poll_fn;
use std::io;
use std::net::{Shutdown, SocketAddr, ToSocketAddrs as _};
use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd};
use std::pin::Pin;
use std::time::Duration;

use futures_io::AsyncRead;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::{task, timer};
pub use stream::Stream;

/// How long an accept waits when the process or the system lacks files or memory.
const PAUSE: Duration = Duration::from_millis(100);

/// Connections that the kernel holds for us, at most; `net.core.somaxconn` may lower it.
const BACKLOG: i32 = 4096;

/// A socket that accepts connections. Dropping it refuses those not accepted yet.
pub struct Listener {
    socket: std::net::TcpListener,
    // Polls a copy of the socket; made when an accept would block, gone when it fires.
    armed: Option<glommio::net::TcpStream>,
    pauses: u64,
}

impl Listener {
    /// Listens on `address`; port 0 takes a free one.
    ///
    /// Several listeners may share an address (SO_REUSEPORT): the kernel deals connections to
    /// them, also across processes of the same user.
    ///
    /// # Errors
    /// What the system says, such as `AddrInUse`.
    pub fn bind(address: SocketAddr) -> io::Result<Listener> {
        let domain = Domain::for_address(address);
        let socket = Socket::new(domain, Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
        socket.set_reuse_port(true)?;
        // It also takes an address where connections of whoever had it before linger.
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(Listener { socket: socket.into(), armed: None, pauses: 0 })
    }

    /// The address it listens on.
    ///
    /// # Errors
    /// What the system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// How often an accept had to wait because files or memory were short.
    pub fn pauses(&self) -> u64 {
        self.pauses
    }

    /// The next connection, with TCP_NODELAY set. A call that is dropped loses nothing.
    ///
    /// When files or memory are short (EMFILE, ENFILE, ENOBUFS, ENOMEM) it tries again every
    /// 100 ms; connections that died while they waited are passed over.
    ///
    /// # Errors
    /// Only when this socket can never accept again.
    ///
    /// # Panics
    /// Outside an executor.
    pub async fn accept(&mut self) -> io::Result<Stream> {
        loop {
            task::yield_if_needed().await;
            let error = match self.socket.accept() {
                Ok((socket, peer)) => match Stream::accepted(socket, peer) {
                    Ok(stream) => return Ok(stream),
                    Err(_) => continue, // it died in the meantime
                },
                Err(error) => error,
            };
            let next = match after(&error) {
                Next::Wait => self.ready().await,
                next => Ok(next),
            };
            match next {
                Ok(Next::Again | Next::Wait) => {}
                Ok(Next::GiveUp) => return Err(error),
                // Polling needs a file too.
                Ok(Next::Pause) | Err(_) => {
                    self.pauses += 1;
                    timer::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Waits until a connection is there.
    async fn ready(&mut self) -> io::Result<Next> {
        if self.armed.is_none() {
            let copy = OwnedFd::from(self.socket.try_clone()?).into_raw_fd();
            // SAFETY: the descriptor is open, a socket, and nobody else's.
            self.armed = Some(unsafe { glommio::net::TcpStream::from_raw_fd(copy) });
        }
        if let Some(armed) = &mut self.armed {
            // Nothing can be read from it: that it answers means that its poll has fired.
            let _ = poll_fn(|cx| Pin::new(&mut *armed).poll_read(cx, &mut [0])).await;
            self.armed = None;
        }
        Ok(Next::Again)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // The kernel may still poll the copy, and the port would answer for as long.
        let _ = SockRef::from(&self.socket).shutdown(Shutdown::Both);
    }
}

/// The addresses of `host`, a name or an IP address, with `port`, in the order to try them.
///
/// # Errors
/// What the system's resolver says.
///
/// # Panics
/// Outside an executor.
pub async fn addresses(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if let Ok(ip) = host.parse() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    // The resolver blocks.
    let host = host.to_owned();
    let found = task::blocking(move || (host.as_str(), port).to_socket_addrs()).await;
    found.map(Iterator::collect)
}

enum Next {
    Again,
    Wait,
    Pause,
    GiveUp,
}

/// What an accept does after `error`. What is unknown waits: it must neither spin nor stop.
fn after(error: &io::Error) -> Next {
    match error.raw_os_error().unwrap_or(0) {
        libc::EAGAIN => Next::Wait,
        libc::EINTR | libc::ECONNABORTED | libc::EPROTO => Next::Again,
        libc::EBADF | libc::EINVAL | libc::ENOTSOCK | libc::EOPNOTSUPP => Next::GiveUp,
        _ => Next::Pause,
    }
}
