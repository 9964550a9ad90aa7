//! A connection.

use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, RawFd};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::reactor::pacer;
use futures_io::{AsyncRead, AsyncWrite};
use socket2::SockRef;

/// Slices that one system call takes, at most (UIO_MAXIOV).
const SLICES_MAX: usize = 1024;

/// A TCP connection of this executor, with TCP_NODELAY set. Dropping it closes it.
///
/// One task may read while another writes; two that read (or two that write) take each other's
/// wake-ups. Reads and writes may be given up at any time.
pub struct Stream {
    socket: glommio::net::TcpStream,
    peer: SocketAddr,
    low_water: usize,
    // The last read took all there was.
    is_drained: bool,
    // A poll is under way that answers once there is something to read.
    is_awaited: bool,
}

impl Stream {
    /// Connects to `address`, within `within` (not zero).
    ///
    /// # Errors
    /// `TimedOut`, or what the system says.
    ///
    /// # Panics
    /// Outside an executor.
    pub async fn connect(address: SocketAddr, within: Duration) -> io::Result<Stream> {
        let socket = glommio::net::TcpStream::connect_timeout(address, within).await?;
        socket.set_nodelay(true)?;
        Ok(Stream::new(socket, address))
    }

    pub(super) fn accepted(socket: std::net::TcpStream, peer: SocketAddr) -> io::Result<Stream> {
        socket.set_nodelay(true)?;
        // SAFETY: the descriptor is open, a socket, and nobody else's.
        let socket = unsafe { glommio::net::TcpStream::from_raw_fd(socket.into_raw_fd()) };
        Ok(Stream::new(socket, peer))
    }

    fn new(socket: glommio::net::TcpStream, peer: SocketAddr) -> Stream {
        Stream { socket, peer, low_water: 1, is_drained: false, is_awaited: false }
    }

    /// The other end's address.
    pub fn peer_addr(&self) -> SocketAddr {
        self.peer
    }

    /// This end's address: where the peer reached us.
    ///
    /// # Errors
    /// What the system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.socket.local_addr()?)
    }

    /// Reads what is there into `buffer`; 0 bytes mean that the peer sends no more (or that
    /// `buffer` is empty).
    ///
    /// # Errors
    /// What the system says, such as `ConnectionReset`.
    pub fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        pacer::step();
        // glommio polls after each read that left room, and won't look again until that poll
        // answers. Above the low water mark this is the cheapest way, and it keeps reads large;
        // else it would wait for bytes that are there, so we look ourselves, unless it polls already.
        if self.low_water == 1
            && !self.is_drained
            && !self.is_awaited
            && let Some(read) = receive(self.socket.as_raw_fd(), buffer)
        {
            self.is_drained = read.as_ref().is_ok_and(|bytes| *bytes < buffer.len());
            return Poll::Ready(read);
        }
        let read = Pin::new(&mut self.socket).poll_read(cx, buffer);
        self.is_awaited = read.is_pending();
        self.is_drained = matches!(read, Poll::Ready(Ok(bytes)) if bytes < buffer.len());
        read
    }

    /// Writes as much of `bytes` as the socket takes, at least one byte.
    ///
    /// # Errors
    /// What the system says, such as `BrokenPipe`.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    /// As [`Self::poll_write`], from several slices in order; of more than 1,024 only the first.
    ///
    /// # Errors
    /// As [`Self::poll_write`].
    pub fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let Some(written) = send(self.socket.as_raw_fd(), slices) {
            return Poll::Ready(written);
        }
        let some = slices.iter().find(|slice| !slice.is_empty()).map_or(&[][..], |slice| slice);
        Pin::new(&mut self.socket).poll_write(cx, some)
    }

    /// Sends no more, or reads no more, or both. What was written before is still sent.
    ///
    /// # Errors
    /// What the system says; that the connection is gone already is no error.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        // SAFETY: the descriptor is open for as long as `self` is borrowed.
        let socket = unsafe { BorrowedFd::borrow_raw(self.socket.as_raw_fd()) };
        match SockRef::from(&socket).shutdown(how) {
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
            done => done,
        }
    }

    /// Lets a reader that waits sleep until `bytes` are there (SO_RCVLOWAT), or the end, or an
    /// error; 1 wakes it for each byte. The kernel caps it at half of its receive buffer's limit.
    ///
    /// Lowering it wakes a reader for what is there. Above 1, a read may wait although fewer
    /// bytes are there, so never ask for more than the peer may send.
    ///
    /// # Errors
    /// What the system says.
    pub fn set_receive_low_water(&mut self, bytes: usize) -> io::Result<()> {
        let bytes = bytes.clamp(1, i32::MAX as usize);
        if bytes != self.low_water {
            set_low_water(self.socket.as_raw_fd(), bytes as libc::c_int)?;
            self.low_water = bytes;
        }
        Ok(())
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Stream::poll_read(self.get_mut(), cx, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Stream::poll_write(self.get_mut(), cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Stream::poll_write_vectored(self.get_mut(), cx, slices)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.shutdown(Shutdown::Write))
    }
}

/// `None`: it would block.
fn receive(fd: RawFd, buffer: &mut [u8]) -> Option<io::Result<usize>> {
    // SAFETY: the buffer is ours for the length of the call.
    counted(|| unsafe {
        libc::recv(fd, buffer.as_mut_ptr().cast(), buffer.len(), libc::MSG_DONTWAIT)
    })
}

/// `None`: it would block.
fn send(fd: RawFd, slices: &[IoSlice<'_>]) -> Option<io::Result<usize>> {
    // SAFETY: plain data, for which all zeroes is a value.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    // `IoSlice` has the layout of `iovec`, and the kernel only reads through it.
    message.msg_iov = slices.as_ptr().cast_mut().cast();
    message.msg_iovlen = slices.len().min(SLICES_MAX) as _;
    // SAFETY: the message and what it points to live for the length of the call.
    counted(|| unsafe { libc::sendmsg(fd, &message, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) })
}

fn counted(mut call: impl FnMut() -> isize) -> Option<io::Result<usize>> {
    loop {
        if let Ok(bytes) = usize::try_from(call()) {
            return Some(Ok(bytes));
        }
        let error = io::Error::last_os_error();
        match error.kind() {
            io::ErrorKind::Interrupted => {}
            io::ErrorKind::WouldBlock => return None,
            _ => return Some(Err(error)),
        }
    }
}

fn set_low_water(fd: RawFd, bytes: libc::c_int) -> io::Result<()> {
    // SAFETY: the option takes an int, which lives for the length of the call.
    let done = unsafe {
        libc::setsockopt(
            fd,
            libc::SOL_SOCKET,
            libc::SO_RCVLOWAT,
            (&raw const bytes).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
