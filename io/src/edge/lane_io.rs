//! The lane as h2 sees it: a socket that brings all but payload.

use std::{
    cell::RefCell,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::lane::Lane;

/// One task reads so much at a time, then others have their turn.
const READ_TURN_BYTES: usize = 2 << 20;

/// What the client doesn't read of what we say: beyond this, h2 has to wait, and nothing is read.
const OUTPUT_BYTES_MAX: usize = 256 << 10;

/// The lane as h2 sees it.
pub(super) struct LaneIo(pub(super) Rc<RefCell<Lane>>);

impl AsyncRead for LaneIo {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut lane = self.0.borrow_mut();
        let mut turn_bytes = 0;
        loop {
            if lane.take_control(buffer) {
                return Poll::Ready(Ok(()));
            }
            if lane.fault().is_some() {
                return Poll::Pending;
            }
            if lane.output_bytes() >= OUTPUT_BYTES_MAX {
                ready!(lane.poll_write_out(cx))?;
            }
            if turn_bytes >= READ_TURN_BYTES || (turn_bytes == 0 && lane.is_to_wait()) {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let read = ready!(lane.poll_fill(cx))?;
            if read == 0 {
                return Poll::Ready(Ok(()));
            }
            turn_bytes += read;
        }
    }
}

impl AsyncWrite for LaneIo {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut lane = self.0.borrow_mut();
        if lane.output_bytes() >= OUTPUT_BYTES_MAX {
            ready!(lane.poll_write_out(cx))?;
        }
        lane.push_output(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.borrow_mut().poll_write_out(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut lane = self.0.borrow_mut();
        ready!(lane.poll_write_out(cx))?;
        Poll::Ready(lane.shut())
    }
}
