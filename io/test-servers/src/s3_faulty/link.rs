//! A connection that can be broken from within, and that can say something before an answer.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf as _, BytesMut};
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::Notify,
};

/// What the requests of a connection know of it.
#[derive(Clone)]
pub(super) struct Connection {
    pub(super) number: u64,
    broken: Arc<Notify>,
    ended: Arc<Notify>,
    before: Arc<Mutex<BytesMut>>,
}

impl Connection {
    pub(super) fn new(number: u64) -> Self {
        let notify = || Arc::new(Notify::new());
        Self { number, broken: notify(), ended: notify(), before: Arc::default() }
    }

    /// Resets it: what it has not sent yet, nobody gets.
    pub(super) async fn reset(&self) -> ! {
        self.broken.notify_one();
        std::future::pending().await
    }

    /// Closes it after `delay`, in good order.
    pub(super) fn close_after(&self, delay: Duration) {
        let ended = self.ended.clone();
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            ended.notify_one();
        });
    }

    /// Sends `bytes` before all that is sent after this.
    pub(super) fn say(&self, bytes: &[u8]) {
        self.before.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
    }

    pub(super) async fn is_reset(&self) {
        self.broken.notified().await;
    }

    pub(super) async fn is_closed(&self) {
        self.ended.notified().await;
    }
}

/// A socket's other handle, by which the last close of it resets.
pub(super) struct Handle(std::net::TcpStream);

impl Handle {
    /// Of a socket, which is given back.
    pub(super) fn of(stream: TcpStream) -> io::Result<(Self, TcpStream)> {
        stream.set_nodelay(true)?;
        let stream = stream.into_std()?;
        let handle = Self(stream.try_clone()?);
        Ok((handle, TcpStream::from_std(stream)?))
    }

    /// Has the socket reset the connection when it is closed.
    pub(super) fn will_reset(self) {
        // It may be gone already, and then there is nothing to reset.
        let _ = SockRef::from(&self.0).set_linger(Some(Duration::ZERO));
    }
}

/// What a connection is read from and written to.
pub(super) struct Link<S> {
    stream: S,
    before: Arc<Mutex<BytesMut>>,
}

impl<S> Link<S> {
    pub(super) fn new(stream: S, connection: &Connection) -> Self {
        Self { stream, before: connection.before.clone() }
    }
}

impl<S: AsyncWrite + Unpin> Link<S> {
    fn poll_before(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut before = self.before.lock().unwrap_or_else(PoisonError::into_inner);
        while !before.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(context, &before))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            before.advance(written);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Link<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Link<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_before(context))?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
