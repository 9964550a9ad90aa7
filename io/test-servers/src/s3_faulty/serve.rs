//! From a request to its answer, with what strikes it on the way.

use std::{
    convert::Infallible,
    sync::{Arc, MutexGuard},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use super::{
    Act, Operation, Refusal, Shape,
    answer::Answer,
    bucket::length,
    calendar,
    fault::{Ending, FaultId},
    link::Connection,
    operation::asked,
    paced::{Paced, Piece},
    record::Asked,
    shared::{Inner, Shared},
    signature,
};

/// What S3 takes in one request.
const BODY_BYTES_MAX: u64 = 5 << 30;
/// So that what was written before is on its way before the connection breaks.
const FLUSH: Duration = Duration::from_millis(30);
const DECLARATION_END: &[u8] = b"?>\n";

/// One request under way.
struct Exchange {
    shared: Arc<Shared>,
    connection: Connection,
    asked: Asked,
    number: u64,
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.inner().records.end(self.asked.operation);
    }
}

pub(super) async fn serve(
    shared: Arc<Shared>,
    connection: Connection,
    request: Request<Incoming>,
) -> Result<Response<Paced>, Infallible> {
    let (head, mut body) = request.into_parts();
    let asked = asked(&head, shared.options.domain.as_deref());
    let (number, strike) = {
        let mut inner = shared.inner();
        let strike = inner.faults.strike(&asked);
        let fault = strike.act.as_ref().map(|(id, _)| *id);
        (inner.records.begin(connection.number, asked.clone(), fault), strike)
    };
    let exchange = Exchange { shared, connection, asked, number };
    exchange.shared.until_it_speaks().await;
    tokio::time::sleep(strike.delay).await;
    if let Some((id, act)) = &strike.act
        && let Some(early) = exchange.before_the_body(*id, act, &mut body).await
    {
        return Ok(early);
    }
    if let Some(refusal) = exchange.length_refused() {
        return Ok(exchange.sent_early(&refusal));
    }
    let body = exchange.read(&mut body, u64::MAX).await;
    Ok(match strike.act {
        None => exchange.sent(exchange.carried_out(body)),
        Some((id, act)) => exchange.struck(id, act, body).await,
    })
}

impl Exchange {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.shared.inner()
    }

    async fn before_the_body(
        &self,
        id: FaultId,
        act: &Act,
        body: &mut Incoming,
    ) -> Option<Response<Paced>> {
        match act {
            Act::DropBefore => self.connection.reset().await,
            Act::ResetInBody { after_bytes } => {
                self.read(body, *after_bytes).await;
                self.connection.reset().await
            }
            Act::StopReading { after_bytes } => {
                self.read(body, *after_bytes).await;
                std::future::pending().await
            }
            Act::Hold => self.shared.until_healed(id).await,
            Act::AnswerEarly(refusal) => return Some(self.sent_early(refusal)),
            _ => {}
        }
        None
    }

    /// Reads the body, or some more than `enough_bytes` of it.
    async fn read(&self, body: &mut Incoming, enough_bytes: u64) -> Vec<Bytes> {
        let mut pieces = Vec::new();
        while length(&pieces) < enough_bytes {
            let Some(frame) = body.frame().await else { return pieces };
            let Ok(frame) = frame else {
                // The client gave up: nobody gets an answer.
                self.connection.reset().await
            };
            if let Ok(piece) = frame.into_data() {
                self.inner().records.read(self.number, piece.len() as u64);
                pieces.push(piece);
            }
        }
        pieces
    }

    fn length_refused(&self) -> Option<Refusal> {
        let length = self.asked.header("content-length").and_then(|length| length.parse().ok());
        let is_owed =
            self.asked.method == "PUT" || self.asked.header("transfer-encoding").is_some();
        match length {
            None if is_owed => {
                let message = "You must provide the Content-Length HTTP header.";
                Some(Refusal::new(411, "MissingContentLength", message))
            }
            Some(BODY_BYTES_MAX..) => {
                let message = "Your proposed upload exceeds the maximum allowed size";
                Some(Refusal::new(400, "EntityTooLarge", message))
            }
            _ => None,
        }
    }

    fn carried_out(&self, body: Vec<Bytes>) -> Answer {
        let now_s = self.shared.now_s();
        let region = &self.shared.options.region;
        let signed = signature::verified(&self.asked, &self.shared.identities(), region, now_s);
        let answer = match signed {
            Ok(()) => self.inner().store.carry_out(&self.asked, body, now_s),
            Err(refusal) => Err(refusal),
        };
        answer.unwrap_or_else(|refusal| self.refused(&refusal))
    }

    fn refused(&self, refusal: &Refusal) -> Answer {
        Answer::refused(refusal, &self.asked.path, &format!("{:016X}", self.number))
    }

    async fn struck(&self, id: FaultId, act: Act, body: Vec<Bytes>) -> Response<Paced> {
        match act {
            Act::Silent => std::future::pending().await,
            Act::Answer(refusal) => self.sent(self.refused(&refusal)),
            Act::Redirect { status, endpoint } => {
                self.sent(self.refused(&Refusal::redirect(status, &endpoint, &self.asked)))
            }
            Act::ErrorIn200 { refusal, carried_out } => {
                if carried_out {
                    self.carried_out(body);
                }
                let mut answer = self.refused(&refusal);
                answer.status = 200;
                self.sent(answer)
            }
            act => {
                let answer = self.carried_out(body);
                self.struck_after(id, act, answer).await
            }
        }
    }

    /// What strikes it once it is carried out.
    async fn struck_after(&self, id: FaultId, act: Act, answer: Answer) -> Response<Paced> {
        match act {
            Act::DropAfter => self.connection.reset().await,
            Act::SilentAfter => std::future::pending().await,
            Act::HoldAfter => {
                self.shared.until_healed(id).await;
                self.sent(answer)
            }
            Act::AnswerAfter(refusal) => self.sent(self.refused(&refusal)),
            Act::Keepalive { spaces, pause, before_declaration, ending } => {
                self.sent_late(answer, spaces, pause, before_declaration, ending)
            }
            Act::CutAnswer { after_bytes } => self.sent_in_part(answer, after_bytes, Piece::Reset),
            Act::StallAnswer { after_bytes } => {
                self.sent_in_part(answer, after_bytes, Piece::Silence)
            }
            Act::CloseAfter => {
                self.connection.close_after(FLUSH);
                self.sent(answer)
            }
            Act::Shape(shape) => self.sent_shaped(answer, shape),
            _ => self.sent(answer),
        }
    }

    fn sent(&self, answer: Answer) -> Response<Paced> {
        let head = self.head(&answer, answer.length.or(Some(length(&answer.body))));
        head.body(Paced::new(answer.body.into_iter().map(Piece::Bytes))).expect("a sound head")
    }

    fn sent_early(&self, refusal: &Refusal) -> Response<Paced> {
        self.sent(self.refused(refusal).header("connection", "close"))
    }

    fn sent_shaped(&self, answer: Answer, shape: Shape) -> Response<Paced> {
        let mut answer = answer.shaped(shape);
        match shape {
            Shape::Continue => self.connection.say(b"HTTP/1.1 100 Continue\r\n\r\n"),
            Shape::UntilClose => answer = answer.header("connection", "close"),
            Shape::Chunked => {}
            _ => return self.sent(answer),
        }
        if shape == Shape::Continue || self.asked.method == "HEAD" {
            return self.sent(answer);
        }
        let mut head = self.head(&answer, None);
        if shape == Shape::UntilClose {
            head = head.version(Version::HTTP_10);
        }
        // Without a pause hyper knows that there is no more, and tells the length after all.
        let pieces = answer.body.into_iter().map(Piece::Bytes);
        let pieces = std::iter::once(Piece::Pause(Duration::ZERO)).chain(pieces);
        head.body(Paced::new(pieces)).expect("a sound head")
    }

    fn sent_in_part(&self, answer: Answer, after_bytes: u64, end: Piece) -> Response<Paced> {
        let head = self.head(&answer, answer.length.or(Some(length(&answer.body))));
        let mut whole = Bytes::from(answer.body.concat());
        // It is never more than there is.
        whole.truncate(usize::try_from(after_bytes).unwrap_or(usize::MAX));
        let pieces = [Piece::Bytes(whole), Piece::Pause(FLUSH), end];
        head.body(Paced::new(pieces)).expect("a sound head")
    }

    fn sent_late(
        &self,
        mut answer: Answer,
        spaces: u32,
        pause: Duration,
        before_declaration: bool,
        ending: Ending,
    ) -> Response<Paced> {
        answer.status = 200;
        let head = self.head(&answer, None);
        let body = Bytes::from(answer.body.concat());
        let declaration = body.windows(3).position(|three| three == DECLARATION_END);
        let at = if before_declaration { 0 } else { declaration.map_or(0, |at| at + 3) };
        let mut pieces = vec![Piece::Bytes(body.slice(..at))];
        for _ in 0..spaces {
            pieces.extend([Piece::Pause(pause), Piece::Bytes(Bytes::from_static(b" "))]);
        }
        pieces.extend(match ending {
            Ending::Whole => vec![Piece::Bytes(body.slice(at..))],
            Ending::Reset => vec![Piece::Pause(FLUSH), Piece::Reset],
            Ending::Silence => vec![Piece::Silence],
        });
        head.body(Paced::new(pieces)).expect("a sound head")
    }

    fn head(&self, answer: &Answer, length_bytes: Option<u64>) -> http::response::Builder {
        self.inner().records.answered(self.number, answer.status, answer.code.clone());
        let id = format!("{:016X}", self.number);
        let mut head = Response::builder().status(answer.status);
        for (name, value) in &answer.headers {
            head = head.header(name, value);
        }
        if let (Some(length), true) = (length_bytes, answer.status != 204) {
            head = head.header("content-length", length);
        }
        let is_known = self.asked.operation != Operation::Other;
        let server = if is_known { "FaultyS3" } else { "FaultyS3 (unknown request)" };
        head.header("date", calendar::http(self.shared.now_s()))
            .header("x-amz-request-id", id)
            .header("server", server)
    }
}
