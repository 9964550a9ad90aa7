//! A connection for bodies: what is sent and received is seen by nobody else meanwhile.
//!
//! A body goes out from the slices that it lies in, and comes back a slice at a time.

use std::{
    future::poll_fn,
    io::{self, IoSlice},
    net::SocketAddr,
    pin::Pin,
    time::Duration,
};

use bytes::{Buf as _, Bytes, BytesMut};
use redis::{Cmd, Value, cmd, parse_redis_value};
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};

use super::{
    client::Login,
    error::{Failed, RedisError},
};
use crate::tls::Socket;

/// Answers but bodies are shorter.
const ANSWER_BYTES_MAX: usize = 64 << 10;
const READ_BYTES: usize = 4 << 10;

/// A connection, logged in.
pub(super) struct RawConnection {
    socket: Socket,
    peer: SocketAddr,
    /// Received, and not looked at yet.
    received: BytesMut,
}

impl RawConnection {
    pub(super) async fn open(
        host: &str,
        address: SocketAddr,
        login: &Login,
        within: Duration,
    ) -> Result<Self, Failed> {
        let connecting = Socket::connect(address, host, login.tls.as_ref(), within);
        let refused = |error| RedisError::connect(host, address, &error);
        let socket = connecting.await.map_err(refused)?;
        let mut connection = Self { socket, peer: address, received: BytesMut::new() };
        if !login.password.is_empty() {
            let mut auth = cmd("AUTH");
            if !login.user.is_empty() {
                auth.arg(&login.user);
            }
            auth.arg(&login.password);
            connection.ask(&auth).await?;
        }
        let mut name = cmd("CLIENT");
        name.arg("SETNAME").arg(&login.client_name);
        connection.ask(&name).await?;
        Ok(connection)
    }

    /// Sends a command; its answer.
    pub(super) async fn ask(&mut self, command: &Cmd) -> Result<Value, Failed> {
        self.write(&command.get_packed_command()).await?;
        self.answer().await
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<(), RedisError> {
        self.write_both(bytes, &[]).await
    }

    /// Writes one after the other, in one go where the socket takes them.
    pub(super) async fn write_both(
        &mut self,
        mut head: &[u8],
        mut body: &[u8],
    ) -> Result<(), RedisError> {
        while !head.is_empty() || !body.is_empty() {
            let slices = [IoSlice::new(head), IoSlice::new(body)];
            let socket = &mut self.socket;
            let writing = poll_fn(|cx| Pin::new(&mut *socket).poll_write_vectored(cx, &slices));
            let written = writing.await.map_err(|error| self.broken(&error))?;
            let of_head = written.min(head.len());
            head = &head[of_head..];
            body = &body[written - of_head..];
        }
        let socket = &mut self.socket;
        let flushed = poll_fn(|cx| Pin::new(&mut *socket).poll_flush(cx)).await;
        flushed.map_err(|error| self.broken(&error))
    }

    /// The next answer, which is no body.
    pub(super) async fn answer(&mut self) -> Result<Value, Failed> {
        let mut length = self.line_bytes().await?;
        // A bulk string has a second line; one of ours is short.
        if self.received[0] == b'$' && self.received[1] != b'-' {
            let text: usize = self.number(length)?;
            length += text + 2;
            self.fill(length).await?;
        }
        let answer = parse_redis_value(&self.received[..length])?;
        self.received.advance(length);
        Ok(answer.extract_error()?)
    }

    /// The next answer, a bulk string of at most `bytes_max` bytes.
    pub(super) async fn body(&mut self, bytes_max: usize) -> Result<Bytes, Failed> {
        let header = self.line_bytes().await?;
        if self.received[0] != b'$' {
            self.answer().await?;
            return Err(RedisError::Answer("no bulk string".to_owned()).into());
        }
        let length = self.number(header)?;
        if length > bytes_max {
            return Err(RedisError::Answer(format!("a bulk string of {length} bytes")).into());
        }
        self.received.advance(header);
        self.received.reserve((length + 2).saturating_sub(self.received.len()));
        self.fill(length + 2).await?;
        let body = self.received.split_to(length).freeze();
        self.received.advance(2);
        Ok(body)
    }

    /// The length of the next line, once all of it is there.
    async fn line_bytes(&mut self) -> Result<usize, RedisError> {
        loop {
            if let Some(end) = self.received.windows(2).position(|two| two == b"\r\n") {
                return Ok(end + 2);
            }
            if self.received.len() > ANSWER_BYTES_MAX {
                return Err(RedisError::Answer("a line without end".to_owned()));
            }
            self.fill(self.received.len() + 1).await?;
        }
    }

    fn number(&self, line: usize) -> Result<usize, RedisError> {
        let digits = std::str::from_utf8(&self.received[1..line - 2]).ok();
        let number = digits.and_then(|digits| digits.parse().ok());
        number.ok_or_else(|| RedisError::Answer("a length that is no number".to_owned()))
    }

    /// Receives until so many bytes are there.
    async fn fill(&mut self, bytes: usize) -> Result<(), RedisError> {
        let before = self.received.len();
        if before >= bytes {
            return Ok(());
        }
        // Room is zeroed once, not at each read.
        self.received.resize(bytes.max(before + READ_BYTES), 0);
        let mut filled = before;
        let mut ended = Ok(());
        while filled < bytes && ended.is_ok() {
            let socket = &mut self.socket;
            let mut buffer = ReadBuf::new(&mut self.received[filled..]);
            let read = poll_fn(|cx| Pin::new(&mut *socket).poll_read(cx, &mut buffer)).await;
            ended = match (read, buffer.filled().len()) {
                (Ok(()), 0) => Err(self.broken(&io::ErrorKind::UnexpectedEof.into())),
                (Ok(()), read) => {
                    filled += read;
                    Ok(())
                }
                (Err(error), _) => Err(self.broken(&error)),
            };
        }
        self.received.truncate(filled);
        ended
    }

    fn broken(&self, error: &io::Error) -> RedisError {
        RedisError::connection(self.peer, error)
    }
}
