//! One request and its answer.

use std::{future::poll_fn, pin::Pin, rc::Rc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::Body as _;
use hyper::body::Incoming;

use super::{
    body::{Body, Outgoing, Progress},
    client::Bucket,
    error::{ErrorKind, S3Error},
    pool::Turn,
    sign::{self, Signed},
    transport::{Connection, broken},
    watch::{Late, Patience, watched},
    xml::{ErrorAnswer, Text},
};
use crate::reactor::timer;

/// Answers but objects are shorter.
const TEXT_BYTES_MAX: usize = 4 << 20;
/// S3's own limit for keys.
const KEY_BYTES_MAX: usize = 1024;
/// Where a bucket is, by a redirection.
const BUCKET_REGION: &str = "x-amz-bucket-region";

/// What is asked.
pub(super) struct Call<'a> {
    pub(super) method: Method,
    /// Empty: the bucket itself.
    pub(super) key: &'a str,
    pub(super) query: Vec<(&'a str, &'a str)>,
    pub(super) headers: HeaderMap,
    pub(super) body: Body,
    /// Whether the store may be silent for long.
    pub(super) is_slow: bool,
}

impl<'a> Call<'a> {
    pub(super) fn new(method: Method, key: &'a str) -> Self {
        let (headers, body) = (HeaderMap::new(), Body::empty());
        Self { method, key, query: Vec::new(), headers, body, is_slow: false }
    }
}

/// A good answer, read to its end.
pub(super) struct Answer {
    pub(super) headers: HeaderMap,
    pub(super) text: Text,
}

/// A good answer whose body is still to be read.
pub(super) struct Opened {
    pub(super) headers: HeaderMap,
    pub(super) incoming: Incoming,
    exchange: Exchange,
}

/// Who has a connection for what.
struct Exchange {
    host: Rc<str>,
    turn: Turn,
    connection: Connection,
    progress: Rc<Progress>,
    patience: Patience,
    end_ms: u64,
}

impl Bucket {
    /// Asks, and reads the answer to its end.
    pub(super) async fn ask(&self, call: Call<'_>) -> Result<Answer, S3Error> {
        let Opened { headers, mut incoming, exchange } = self.open(call).await?;
        let text = exchange.read_text(&mut incoming).await?;
        exchange.end();
        Ok(Answer { headers, text })
    }

    /// Asks, and leaves the body of a good answer unread. Once more where the store minded the clock,
    /// if the body is there again.
    pub(super) async fn open(&self, mut call: Call<'_>) -> Result<Opened, S3Error> {
        check_key(call.key)?;
        let again = call.body.again();
        let body = std::mem::replace(&mut call.body, Body::empty());
        let ended = self.open_once(&call, body).await;
        match (ended, again) {
            (Err(error), Some(body)) if error.code == "RequestTimeTooSkewed" => {
                self.open_once(&call, body).await
            }
            (ended, _) => ended,
        }
    }

    async fn open_once(&self, call: &Call<'_>, body: Body) -> Result<Opened, S3Error> {
        let patience = self.patience(call, body.bytes());
        let turn = self.client.0.pool.turn(self.client.0.settings.times.request).await?;
        let (request, progress) = self.request(call, body)?;
        let (exchange, response) = self.send(request, turn, progress, patience).await?;
        let (head, mut incoming) = response.into_parts();
        if head.status.is_success() {
            return Ok(Opened { headers: head.headers, incoming, exchange });
        }
        let text = match call.method {
            Method::HEAD => Text::default(),
            // That it is an error is known without its words.
            _ => exchange.read_text(&mut incoming).await.unwrap_or_default(),
        };
        exchange.end();
        Err(self.refused(head.status, &head.headers, &text))
    }

    fn patience(&self, call: &Call<'_>, bytes: u64) -> Patience {
        let times = &self.client.0.settings.times;
        if call.is_slow {
            return Patience { whole: times.complete, stall: times.complete };
        }
        let for_bytes = Duration::from_secs(bytes / times.bytes_per_s_min.max(1));
        Patience { whole: times.request.saturating_add(for_bytes), stall: times.stall }
    }

    /// Signed, as of now.
    fn request(
        &self,
        call: &Call<'_>,
        body: Body,
    ) -> Result<(Request<Outgoing>, Rc<Progress>), S3Error> {
        let inner = &self.client.0;
        let keys = inner.credentials.current(&inner.seen);
        let keys = keys.map_err(|problem| S3Error::retryable("Credentials", problem))?;
        let bucket = inner.settings.is_path_style.then_some(&*self.name);
        let path = match (bucket, call.key) {
            (Some(bucket), "") => format!("/{bucket}"),
            (bucket, key) => sign::path(bucket, key),
        };
        let query = sign::query(&call.query);
        let mut headers = call.headers.clone();
        headers.insert(header::HOST, self.authority.clone());
        let sha256 = body.signed_as();
        let signed = Signed { method: &call.method, path: &path, query: &query, sha256: &sha256 };
        let unix_ms = timer::unix_ms().saturating_add_signed(inner.ahead_ms.get());
        inner.signer.sign(&signed, &mut headers, &keys, unix_ms)?;
        if body.bytes() == 0 && (call.method == Method::PUT || call.method == Method::POST) {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        let target = if query.is_empty() { path } else { format!("{path}?{query}") };
        let (outgoing, progress) = Outgoing::new(body);
        let request = Request::builder().method(call.method.clone()).uri(target).body(outgoing);
        let mut request = request
            .map_err(|error| S3Error::new(ErrorKind::Permanent, "InvalidKey", error.to_string()))?;
        *request.headers_mut() = headers;
        Ok((request, progress))
    }

    /// On a connection that was used before, or on a new one where the store has closed those.
    async fn send(
        &self,
        mut request: Request<Outgoing>,
        turn: Turn,
        progress: Rc<Progress>,
        patience: Patience,
    ) -> Result<(Exchange, Response<Incoming>), S3Error> {
        let inner = &self.client.0;
        loop {
            let used = turn.idle(&self.host);
            let is_new = used.is_none();
            let mut connection = match used {
                Some(connection) => connection,
                None => self.connect(&turn).await?,
            };
            inner.requests.set(inner.requests.get() + 1);
            let end_ms = timer::now_ms().saturating_add(patience.whole.as_millis() as u64);
            let moved = connection.moved();
            let sending = watched(connection.send(request), patience, || moved.last_ms(&progress));
            match sending.await {
                Ok(Ok(response)) => {
                    let host = Rc::clone(&self.host);
                    let exchange = Exchange { host, turn, connection, progress, patience, end_ms };
                    return Ok((exchange, response));
                }
                Ok(Err(unanswered)) => match unanswered.unsent {
                    Some(unsent) if !is_new => request = *unsent,
                    unsent => {
                        let error = broken(&unanswered.error);
                        let is_sent = unsent.is_none();
                        return Err(unanswered_by(&progress, error, is_sent));
                    }
                },
                Err(late) => return Err(unanswered_by(&progress, given_up(late, patience), true)),
            }
        }
    }

    async fn connect(&self, turn: &Turn) -> Result<Connection, S3Error> {
        let inner = &self.client.0;
        let settings = &inner.settings;
        turn.make_room();
        let (port, within) = (settings.endpoint.port, settings.times.connect);
        let opening = Connection::open(&self.host, port, settings.tls.as_ref(), within);
        let connection = opening.await?;
        inner.connects.set(inner.connects.get() + 1);
        Ok(connection)
    }

    /// What a store says instead of what was asked for, and what is learnt from it.
    pub(super) fn refused(&self, status: StatusCode, headers: &HeaderMap, text: &Text) -> S3Error {
        let mut told = ErrorAnswer::read(text);
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        if told.region.is_none() {
            told.region = header(BUCKET_REGION).map(str::to_owned);
        }
        let error = S3Error::answered(status.as_u16(), told, header("location"));
        let inner = &self.client.0;
        match error.code.as_str() {
            "RequestTimeTooSkewed" => {
                if let Some(date) =
                    header("date").and_then(|date| httpdate::parse_http_date(date).ok())
                {
                    let theirs = date.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
                    inner.ahead_ms.set(theirs.as_millis() as i64 - timer::unix_ms() as i64);
                }
            }
            "ExpiredToken"
            | "TokenRefreshRequired"
            | "InvalidToken"
            | "InvalidAccessKeyId"
            | "SignatureDoesNotMatch" => inner.credentials.doubt(),
            _ => {}
        }
        error
    }
}

impl Exchange {
    async fn read_text(&self, incoming: &mut Incoming) -> Result<Text, S3Error> {
        let mut slices = Vec::new();
        let mut bytes = 0;
        while let Some(slice) = self.next(incoming).await? {
            bytes += slice.len();
            if bytes > TEXT_BYTES_MAX {
                return Err(S3Error::answer("it has no end"));
            }
            slices.push(slice);
        }
        Ok(Text(slices))
    }

    /// The next slice of the answer.
    async fn next(&self, incoming: &mut Incoming) -> Result<Option<Bytes>, S3Error> {
        let left_ms = self.end_ms.saturating_sub(timer::now_ms());
        let patience = Patience { whole: Duration::from_millis(left_ms), ..self.patience };
        let moved = self.connection.moved();
        let reading = next_slice(incoming);
        match watched(reading, patience, || moved.last_ms(&self.progress)).await {
            Ok(Ok(slice)) => Ok(slice),
            Ok(Err(error)) => Err(unanswered_by(&self.progress, broken(&error), true)),
            Err(late) => Err(unanswered_by(&self.progress, given_up(late, self.patience), true)),
        }
    }

    /// The answer was read to its end. What was refused before all of it was sent goes no further.
    fn end(self) {
        if self.progress.is_whole.get() {
            self.turn.give_back(&self.host, self.connection);
        }
    }
}

impl Opened {
    /// The next slice of the body; the deadline begins anew for each.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, S3Error> {
        let whole_ms = self.exchange.patience.whole.as_millis() as u64;
        self.exchange.end_ms = timer::now_ms().saturating_add(whole_ms);
        self.exchange.next(&mut self.incoming).await
    }

    /// It was read to its end.
    pub(super) fn end(self) {
        self.exchange.end();
    }
}

async fn next_slice(incoming: &mut Incoming) -> Result<Option<Bytes>, hyper::Error> {
    loop {
        match poll_fn(|cx| Pin::new(&mut *incoming).poll_frame(cx)).await {
            None => return Ok(None),
            Some(Err(error)) => return Err(error),
            Some(Ok(frame)) => {
                if let Ok(slice) = frame.into_data() {
                    return Ok(Some(slice));
                }
            }
        }
    }
}

fn unanswered_by(progress: &Progress, error: S3Error, is_sent: bool) -> S3Error {
    match progress.failed.borrow_mut().take() {
        Some(why) => S3Error::new(ErrorKind::Body, "Body", why),
        None => error.doubtful(is_sent && progress.is_whole.get()),
    }
}

fn given_up(late: Late, patience: Patience) -> S3Error {
    match late {
        Late::Whole => S3Error::retryable(
            "Deadline",
            format!("no answer in {} ms", patience.whole.as_millis()),
        ),
        Late::Stalled => {
            let silent_ms = patience.stall.as_millis();
            S3Error::retryable("Stalled", format!("no byte moved for {silent_ms} ms"))
        }
    }
}

/// Folders called `.` and `..` would be taken away by what lies between.
fn check_key(key: &str) -> Result<(), S3Error> {
    let has_dots = key.split('/').any(|folder| folder == "." || folder == "..");
    if key.len() > KEY_BYTES_MAX || has_dots {
        let problem = "at most 1,024 bytes, and no folder called . or ..";
        return Err(S3Error::new(ErrorKind::Permanent, "InvalidKey", problem));
    }
    Ok(())
}
