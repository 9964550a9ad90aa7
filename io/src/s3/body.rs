//! What is sent: slices, from where they lie, some of which may still have to come.

use std::{
    cell::{Cell, RefCell},
    fmt,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use data_encoding::HEXLOWER;
use futures_util::Stream;
use http_body::{Frame, SizeHint};
use sha2::{Digest as _, Sha256};

use crate::reactor::timer;

/// What is sent with a request. It is sent once; for another try make it anew.
pub struct Body {
    bytes: u64,
    source: Source,
    sha256: Option<[u8; 32]>,
}

enum Source {
    Rope { slices: Rc<[Bytes]>, next: usize },
    Stream(Pin<Box<dyn Stream<Item = Result<Bytes, String>>>>),
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Body({} bytes)", self.bytes)
    }
}

impl Body {
    /// No bytes.
    pub fn empty() -> Self {
        Self::rope([])
    }

    /// Slices that are all there. None is copied; a large one is best not larger than some MiB.
    pub fn rope(slices: impl IntoIterator<Item = Bytes>) -> Self {
        let slices: Rc<[Bytes]> = slices.into_iter().filter(|slice| !slice.is_empty()).collect();
        let bytes = slices.iter().map(|slice| slice.len() as u64).sum();
        Self { bytes, source: Source::Rope { slices, next: 0 }, sha256: None }
    }

    /// `bytes` bytes in all, that come while others are sent: the next slice is asked for when there
    /// is room for it on its way. What follows after `bytes` is cut off or never asked for.
    ///
    /// An error, and an end before `bytes`, end the request ([`super::ErrorKind::Body`]): nothing of
    /// it stays in the store. While a slice is awaited, only the whole request's deadline runs.
    pub fn streamed(
        bytes: u64,
        slices: impl Stream<Item = Result<Bytes, String>> + 'static,
    ) -> Self {
        Self { bytes, source: Source::Stream(Box::pin(slices)), sha256: None }
    }

    /// Has the store check the bytes against their SHA-256. Without, they go unsigned.
    #[must_use]
    pub fn with_sha256(self, sha256: [u8; 32]) -> Self {
        Self { sha256: Some(sha256), ..self }
    }

    /// How many bytes are sent.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// A text, signed along.
    pub(super) fn text(slices: Vec<Bytes>) -> Self {
        let mut sum = Sha256::new();
        slices.iter().for_each(|slice| sum.update(slice));
        Self::rope(slices).with_sha256(sum.finalize().into())
    }

    /// The same again, if it is all there.
    pub(super) fn again(&self) -> Option<Self> {
        match &self.source {
            Source::Stream(_) => None,
            Source::Rope { slices, .. } => {
                let source = Source::Rope { slices: Rc::clone(slices), next: 0 };
                Some(Self { source, ..*self })
            }
        }
    }

    /// As `x-amz-content-sha256` has it.
    pub(super) fn signed_as(&self) -> String {
        match self.sha256 {
            Some(sum) => HEXLOWER.encode(&sum),
            None if self.bytes == 0 => HEXLOWER.encode(&Sha256::digest([])),
            None => "UNSIGNED-PAYLOAD".to_owned(),
        }
    }
}

/// How far a body has come. Shared by the body and whoever waits for the answer.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// The last slice was taken.
    pub(super) is_whole: Cell<bool>,
    /// A slice is awaited: it is this side's turn.
    pub(super) is_ours: Cell<bool>,
    /// When the last slice came, by [`timer::now_ms`].
    pub(super) moved_at_ms: Cell<u64>,
    /// Why there is no next slice.
    pub(super) failed: RefCell<Option<String>>,
}

/// A body on its way.
pub(super) struct Outgoing {
    left_bytes: u64,
    source: Source,
    progress: Rc<Progress>,
}

/// The body failed; [`Progress::failed`] says why.
#[derive(Debug, thiserror::Error)]
#[error("the body failed")]
pub(super) struct BodyFailed;

impl Outgoing {
    pub(super) fn new(body: Body) -> (Self, Rc<Progress>) {
        let progress = Rc::new(Progress::default());
        progress.is_whole.set(body.bytes == 0);
        let outgoing =
            Self { left_bytes: body.bytes, source: body.source, progress: Rc::clone(&progress) };
        (outgoing, progress)
    }

    fn failed(&self, why: String) -> Poll<Option<Result<Frame<Bytes>, BodyFailed>>> {
        *self.progress.failed.borrow_mut() = Some(why);
        Poll::Ready(Some(Err(BodyFailed)))
    }
}

impl http_body::Body for Outgoing {
    type Data = Bytes;
    type Error = BodyFailed;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFailed>>> {
        if self.left_bytes == 0 {
            return Poll::Ready(None);
        }
        loop {
            self.progress.is_ours.set(true);
            let next = ready!(self.source.poll_next(cx));
            self.progress.is_ours.set(false);
            self.progress.moved_at_ms.set(timer::now_ms());
            let mut slice = match next {
                Some(Ok(slice)) if slice.is_empty() => continue,
                Some(Ok(slice)) => slice,
                Some(Err(why)) => return self.failed(why),
                None => {
                    let why = format!("it ended {} bytes too early", self.left_bytes);
                    return self.failed(why);
                }
            };
            slice.truncate(usize::try_from(self.left_bytes).unwrap_or(usize::MAX));
            self.left_bytes -= slice.len() as u64;
            self.progress.is_whole.set(self.left_bytes == 0);
            return Poll::Ready(Some(Ok(Frame::data(slice))));
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left_bytes == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left_bytes)
    }
}

impl Source {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, String>>> {
        match self {
            Self::Stream(stream) => stream.as_mut().poll_next(cx),
            Self::Rope { slices, next } => {
                *next += 1;
                Poll::Ready(slices.get(*next - 1).cloned().map(Ok))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use futures_lite::{future::block_on, stream};
    use http_body::Body as _;

    use super::*;

    fn drain(body: Body) -> (Vec<u8>, Rc<Progress>) {
        let (mut outgoing, progress) = Outgoing::new(body);
        let mut all = Vec::new();
        while !outgoing.is_end_stream() {
            match block_on(poll_fn(|cx| Pin::new(&mut outgoing).poll_frame(cx))) {
                Some(Ok(frame)) => all.extend(frame.into_data().unwrap()),
                _ => break,
            }
        }
        (all, progress)
    }

    fn streamed(bytes: u64, slices: &[Result<&'static str, &str>]) -> Body {
        let slices: Vec<_> =
            slices.iter().map(|slice| slice.map(Bytes::from).map_err(str::to_owned)).collect();
        Body::streamed(bytes, stream::iter(slices))
    }

    #[test]
    fn a_body_is_all_its_slices_and_no_more() {
        let rope = || Body::rope(["ab", "", "c"].map(Bytes::from));
        for body in [rope(), rope().again().unwrap(), streamed(3, &[Ok("a"), Ok(""), Ok("bcd")])] {
            assert_eq!(body.bytes(), 3);
            let (all, progress) = drain(body);
            assert_eq!(all, b"abc");
            assert!(progress.is_whole.get());
            assert_eq!(*progress.failed.borrow(), None);
        }
        assert!(drain(Body::empty()).1.is_whole.get());
    }

    #[test]
    fn a_body_that_fails_or_ends_early_is_never_whole() {
        for (slices, why) in [
            (vec![Ok("a"), Err("the disk")], "the disk"),
            (vec![Ok("a")], "it ended 2 bytes too early"),
        ] {
            let (_, progress) = drain(streamed(3, &slices));
            assert!(!progress.is_whole.get());
            assert_eq!(progress.failed.borrow().as_deref(), Some(why));
        }
    }

    #[test]
    fn what_is_known_is_signed() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Body::empty().signed_as(), empty);
        let abc = [Bytes::from_static(b"abc")];
        assert_eq!(Body::rope(abc.clone()).signed_as(), "UNSIGNED-PAYLOAD");
        let sum = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Body::text(abc.to_vec()).signed_as(), sum);
    }
}
