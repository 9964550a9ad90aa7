//! A connection of this executor: plain, or with TLS over it. What is spoken goes through it.

use std::{
    io::{self, IoSlice},
    net::{Shutdown, SocketAddr},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use send_wrapper::SendWrapper;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::client::TlsStream;

use super::{ConnectError, Tls, objection};
use crate::reactor::net::Stream;

/// What the other end says last is as short as this.
const LAST_WORDS_BYTES: usize = 64;

/// A connection that is spoken on.
pub(crate) enum Socket {
    Plain(Plain),
    Tls(Box<TlsStream<Plain>>),
}

impl Socket {
    /// Connects to `address` within `within`, which only bounds the TCP handshake: the caller has
    /// the deadline for all of it. With `tls`, the server must prove that it is `host`.
    pub(crate) async fn connect(
        address: SocketAddr,
        host: &str,
        tls: Option<&Tls>,
        within: Duration,
    ) -> Result<Self, ConnectError> {
        let stream = Stream::connect(address, within).await?;
        let plain = Plain(SendWrapper::new(stream));
        Ok(match tls {
            None => Self::Plain(plain),
            Some(tls) => Self::Tls(Box::new(tls.begin(host, plain).await?)),
        })
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(plain) => Pin::new(plain).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(plain) => Pin::new(plain).poll_write_vectored(cx, slices),
            Self::Tls(stream) => {
                let written = ready!(Pin::new(&mut *stream).poll_write_vectored(cx, slices));
                Poll::Ready(written.map_err(|error| why(stream, cx, error)))
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// With TLS, what was written may still lie here, encrypted.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(_) => Poll::Ready(Ok(())),
            Self::Tls(stream) => {
                let flushed = ready!(Pin::new(&mut *stream).poll_flush(cx));
                Poll::Ready(flushed.map_err(|error| why(stream, cx, error)))
            }
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(plain) => Pin::new(plain).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// Why a connection can't be written to. A server that misses our certificate says so once the
/// handshake has ended here (TLS 1.3), and closes: writing then fails before that was read.
fn why(stream: &mut TlsStream<Plain>, cx: &mut Context<'_>, broken: io::Error) -> io::Error {
    let mut last_words = [0; LAST_WORDS_BYTES];
    let read = Pin::new(stream).poll_read(cx, &mut ReadBuf::new(&mut last_words));
    match read {
        Poll::Ready(Err(error)) if objection(&error).is_some() => error,
        _ => broken,
    }
}

/// A TCP connection. The crates ask for `Send`. A socket never leaves its executor's thread: were
/// it ever used on another, the wrapper would panic.
pub(crate) struct Plain(SendWrapper<Stream>);

impl AsyncRead for Plain {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = ready!(self.0.poll_read(cx, buffer.initialize_unfilled()))?;
        buffer.advance(read);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Plain {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.0.shutdown(Shutdown::Write))
    }
}
