//! Small writes of one turn put together: h2 writes each frame by a call of its own, which for small
//! chunks costs more than all else.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Smaller writes are copied and wait for the end of the turn; larger ones never are. A frame of
/// 16 KiB, which is what peers take that aren't tuned, is cheaper copied than written by itself.
const COPIED_BYTES_MAX: usize = 20 << 10;
/// More parts than h2 has in one write.
const PARTS_MAX: usize = 7;
/// So much waits at most.
const WAITING_BYTES_MAX: usize = 256 << 10;

/// What h2 writes to and reads from.
#[derive(Debug, Clone)]
pub struct Batched(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    stream: TcpStream,
    waiting: RefCell<BytesMut>,
}

impl Batched {
    pub fn new(stream: TcpStream) -> Self {
        let waiting = RefCell::new(BytesMut::with_capacity(WAITING_BYTES_MAX));
        Self(Rc::new(Inner { stream, waiting }))
    }

    /// Drives a connection over this stream. What it wrote in a turn is sent at the turn's end.
    pub async fn drive<E>(self, connection: impl Future<Output = Result<(), E>>) -> Result<(), E> {
        let mut connection = std::pin::pin!(connection);
        std::future::poll_fn(|cx| {
            let polled = connection.as_mut().poll(cx);
            // An error shows when the connection reads or writes next.
            let _ = self.0.poll_send(cx);
            polled
        })
        .await
    }
}

impl Inner {
    /// Sends all that waits.
    fn poll_send(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut waiting = self.waiting.borrow_mut();
        while !waiting.is_empty() {
            let sent = ready!(self.poll_write(cx, &[IoSlice::new(&waiting)]))?;
            waiting.advance(sent);
        }
        // Else the buffer would move on through memory that grows.
        waiting.reserve(WAITING_BYTES_MAX);
        Poll::Ready(Ok(()))
    }

    fn poll_write(&self, cx: &mut Context<'_>, parts: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.stream.poll_write_ready(cx))?;
            match self.stream.try_write_vectored(parts) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }
}

impl AsyncWrite for Batched {
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
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        let mut waiting = self.0.waiting.borrow_mut();
        if length < COPIED_BYTES_MAX && waiting.len() + length <= WAITING_BYTES_MAX {
            parts.iter().for_each(|part| waiting.extend_from_slice(part));
            return Poll::Ready(Ok(length));
        }
        // In one call with what comes behind it.
        while !waiting.is_empty() {
            let count = parts.len().min(PARTS_MAX);
            let mut all = [IoSlice::new(&waiting); PARTS_MAX + 1];
            all[1..=count].copy_from_slice(&parts[..count]);
            let sent = ready!(self.0.poll_write(cx, &all[..=count]))?;
            match sent.checked_sub(waiting.len()) {
                Some(0) => waiting.clear(),
                Some(behind) => {
                    waiting.clear();
                    return Poll::Ready(Ok(behind));
                }
                None => waiting.advance(sent),
            }
        }
        self.0.poll_write(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Done at the turn's end.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// The socket closes when both who hold it drop it.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_send(cx)
    }
}

impl AsyncRead for Batched {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.0.stream.poll_read_ready(cx))?;
            match self.0.stream.try_read_buf(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return Poll::Ready(read.map(drop)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use tokio::io::AsyncReadExt as _;
    use tokio::net::TcpListener;

    async fn pair() -> (Batched, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (Batched::new(stream), listener.accept().await.unwrap().0)
    }

    async fn write(batched: &mut Batched, parts: &[&[u8]]) {
        let mut parts: Vec<_> = parts.iter().map(|part| IoSlice::new(part)).collect();
        let mut parts = parts.as_mut_slice();
        while !parts.is_empty() {
            let write =
                |cx: &mut Context<'_>| Pin::new(&mut *batched).poll_write_vectored(cx, parts);
            let written = poll_fn(write).await.unwrap();
            IoSlice::advance_slices(&mut parts, written);
        }
    }

    #[tokio::test]
    async fn all_comes_in_the_order_it_was_written_however_large() {
        let (mut batched, mut peer) = pair().await;
        let large = vec![7; 3 << 20];
        let mut sent = Vec::new();
        let reader = tokio::spawn(async move {
            let mut read = Vec::new();
            peer.read_to_end(&mut read).await.map(|_| read)
        });
        for nth in 0..40_u8 {
            let small = vec![nth; 1_000 * usize::from(nth)];
            let parts: &[&[u8]] = match nth % 5 {
                0 => &[&small, &large],
                _ => &[&small],
            };
            write(&mut batched, parts).await;
            parts.iter().for_each(|part| sent.extend_from_slice(part));
        }
        poll_fn(|cx| Pin::new(&mut batched).poll_shutdown(cx)).await.unwrap();
        drop(batched);
        assert!(reader.await.unwrap().unwrap() == sent);
    }

    #[tokio::test]
    async fn small_writes_wait_for_the_end_of_the_turn() {
        let (mut batched, mut peer) = pair().await;
        let mut turns = 0;
        let connection = batched.clone().drive(async move {
            write(&mut batched, &[b"a"]).await;
            write(&mut batched, &[b"b", b"c"]).await;
            assert_eq!(batched.0.waiting.borrow().as_ref(), b"abc");
            poll_fn(|cx| {
                turns += 1;
                cx.waker().wake_by_ref();
                if turns == 1 { Poll::Pending } else { Poll::Ready(()) }
            })
            .await;
            assert_eq!(batched.0.waiting.borrow().as_ref(), b"");
            Ok::<_, ()>(())
        });
        connection.await.unwrap();
        let mut read = [0; 3];
        peer.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"abc");
    }
}
