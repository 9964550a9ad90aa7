//! Where the bytes of an upload come from.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Where the bytes of an upload come from.
pub enum Source {
    /// A file, whose size is known and any part of which can be read again.
    File {
        /// Open for reading.
        file: Arc<File>,
        /// Its size in bytes when it was opened.
        size_bytes: u64,
    },
    /// Read once, to its end; its length is not known before.
    Stream(Box<dyn AsyncRead + Send + Unpin>),
}

impl Source {
    /// Opens a file.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let size_bytes = file.metadata()?.len();
        Ok(Self::File { file: Arc::new(file), size_bytes })
    }

    /// Takes a stream, such as the standard input.
    pub fn stream(reader: impl AsyncRead + Send + Unpin + 'static) -> Self {
        Self::Stream(Box::new(reader))
    }

    pub(super) fn size_bytes(&self) -> Option<u64> {
        match self {
            Self::File { size_bytes, .. } => Some(*size_bytes),
            Self::Stream(_) => None,
        }
    }

    /// The same, if any part of it can be read again.
    pub(super) fn again(&self) -> Option<Self> {
        match self {
            Self::File { file, size_bytes } => {
                Some(Self::File { file: Arc::clone(file), size_bytes: *size_bytes })
            }
            Self::Stream(_) => None,
        }
    }

    /// The bytes of chunk `number` when all have `chunk_bytes` but the last;
    /// `None` beyond the last. A stream must be asked in order.
    pub(super) async fn read(
        &mut self,
        number: u32,
        chunk_bytes: usize,
    ) -> io::Result<Option<Bytes>> {
        match self {
            Self::File { file, size_bytes } => {
                let offset = u64::from(number) * chunk_bytes as u64;
                let len = size_bytes.saturating_sub(offset).min(chunk_bytes as u64);
                if len == 0 {
                    return Ok(None);
                }
                let file = file.clone();
                let read = tokio::task::spawn_blocking(move || {
                    let mut chunk = vec![0; len as usize];
                    file.read_exact_at(&mut chunk, offset)?;
                    Ok(Some(chunk.into()))
                });
                read.await.map_err(io::Error::other)?
            }
            Self::Stream(reader) => {
                let mut chunk = BytesMut::with_capacity(chunk_bytes);
                let mut reader = reader.take(chunk_bytes as u64);
                // Reading on when it is full would only make it grow.
                while chunk.len() < chunk_bytes && reader.read_buf(&mut chunk).await? > 0 {}
                Ok((!chunk.is_empty()).then(|| chunk.freeze()))
            }
        }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("size_bytes", &self.size_bytes()).finish_non_exhaustive()
    }
}
