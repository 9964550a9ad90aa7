//! One HTTP/1.1 connection, spoken by hyper over this executor's sockets.

use std::{
    cell::Cell,
    io::{self, IoSlice},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use http::Request;
use hyper::{
    body::Incoming,
    client::conn::http1::{self, SendRequest},
    rt::ReadBufCursor,
};
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};

use super::{
    body::{Outgoing, Progress},
    error::S3Error,
};
use crate::{
    reactor::{
        net,
        task::{self, CancelOnDrop},
        timer,
    },
    tls::{ConnectError, Socket, Tls, objection},
};

/// What is read at a time, and the most that an answer's headers have.
const READ_BYTES: usize = 32 << 10;

/// A connection. Dropping it closes it, whatever is on its way.
pub(super) struct Connection {
    sender: SendRequest<Outgoing>,
    moved_at_ms: Rc<Cell<u64>>,
    _driver: CancelOnDrop<()>,
}

/// How a request ended that brought no answer.
pub(super) struct Unanswered {
    pub(super) error: hyper::Error,
    /// Nothing of it was sent: here it is again.
    pub(super) unsent: Option<Box<Request<Outgoing>>>,
}

impl Connection {
    /// Connects to `host` and says hello, all within `within`.
    pub(super) async fn open(
        host: &str,
        port: u16,
        tls: Option<&Tls>,
        within: Duration,
    ) -> Result<Self, S3Error> {
        let unreached = |error: &dyn std::fmt::Display| {
            S3Error::retryable("Transport", format!("{host}:{port}: {error}"))
        };
        let opening = async {
            let addresses = net::addresses(host, port).await.map_err(|error| unreached(&error))?;
            let each = within / addresses.len().max(1) as u32;
            let mut last = unreached(&"it has no address");
            for address in addresses {
                match timer::deadline(Socket::connect(address, host, tls, each), each).await {
                    Ok(Ok(socket)) => return Self::over(socket).await,
                    Ok(Err(error)) => last = refused(&format!("{host} ({address})"), &error),
                    Err(_) => last = late(&format!("{host} ({address})"), each),
                }
            }
            Err(last)
        };
        let opened = timer::deadline(opening, within).await;
        opened.unwrap_or_else(|_| Err(late(&format!("{host}:{port}"), within)))
    }

    async fn over(socket: Socket) -> Result<Self, S3Error> {
        let moved_at_ms = Rc::new(Cell::new(timer::now_ms()));
        let watched = Watched { socket, moved_at_ms: Rc::clone(&moved_at_ms) };
        let mut builder = http1::Builder::new();
        builder.read_buf_exact_size(Some(READ_BYTES));
        let shaken = builder.handshake(watched).await;
        let (sender, driver) = shaken.map_err(|error| broken(&error))?;
        let driver = task::spawn_local(async move {
            // Whoever sends learns of its end.
            let _ = driver.await;
        });
        Ok(Self { sender, moved_at_ms, _driver: driver.cancel_on_drop() })
    }

    /// To ask when a byte moved last, while it is in use.
    pub(super) fn moved(&self) -> Moved {
        Moved(Rc::clone(&self.moved_at_ms))
    }

    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Sends a request, once the last one is over.
    pub(super) async fn send(
        &mut self,
        request: Request<Outgoing>,
    ) -> Result<http::Response<Incoming>, Unanswered> {
        if let Err(error) = self.sender.ready().await {
            return Err(Unanswered { error, unsent: Some(Box::new(request)) });
        }
        let sending = self.sender.try_send_request(request).await;
        sending.map_err(|mut failed| {
            let unsent = failed.take_message().map(Box::new);
            Unanswered { error: failed.into_error(), unsent }
        })
    }
}

/// When a byte moved last on a connection.
pub(super) struct Moved(Rc<Cell<u64>>);

impl Moved {
    /// By [`timer::now_ms`]; `None`: it is this side's turn to send.
    pub(super) fn last_ms(&self, progress: &Progress) -> Option<u64> {
        let last_ms = self.0.get().max(progress.moved_at_ms.get());
        (!progress.is_ours.get()).then_some(last_ms)
    }
}

fn refused(place: &str, error: &ConnectError) -> S3Error {
    let text = format!("{place}: {error}");
    match error {
        ConnectError::Broken(broken) if objection(broken).is_none() => {
            S3Error::retryable("Transport", text)
        }
        _ => S3Error::retryable("Tls", text),
    }
}

fn late(place: &str, within: Duration) -> S3Error {
    S3Error::retryable("Deadline", format!("{place}: no connection in {} ms", within.as_millis()))
}

/// With what lies below, as far as it says more.
pub(super) fn broken(error: &hyper::Error) -> S3Error {
    let mut text = error.to_string();
    let mut code = "Transport";
    let mut cause = std::error::Error::source(error);
    while let Some(below) = cause {
        text = format!("{text}: {below}");
        if below.downcast_ref::<io::Error>().is_some_and(|error| objection(error).is_some()) {
            code = "Tls";
        }
        cause = below.source();
    }
    S3Error::retryable(code, text)
}

/// A socket that notes when bytes move.
struct Watched {
    socket: Socket,
    moved_at_ms: Rc<Cell<u64>>,
}

impl Watched {
    fn moved(&self) {
        self.moved_at_ms.set(timer::now_ms());
    }
}

impl hyper::rt::Read for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        // SAFETY: it is only written to, through `ReadBuf`, which takes nothing back.
        let mut buffer = ReadBuf::uninit(unsafe { cursor.as_mut() });
        ready!(Pin::new(&mut self.socket).poll_read(cx, &mut buffer))?;
        let read = buffer.filled().len();
        // SAFETY: `ReadBuf` says that so many were filled.
        unsafe { cursor.advance(read) };
        self.moved();
        Poll::Ready(Ok(()))
    }
}

impl hyper::rt::Write for Watched {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.socket).poll_write_vectored(cx, slices))?;
        self.moved();
        Poll::Ready(Ok(written))
    }

    /// Else hyper copies bodies together.
    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
