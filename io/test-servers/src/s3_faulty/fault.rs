//! What goes wrong, when and how often.

use std::time::Duration;

use super::{Operation, Refusal, record::Asked};

/// Something that goes wrong. By itself it strikes the next request, once.
#[derive(Clone, Debug)]
pub struct Fault {
    act: Act,
    operation: Option<Operation>,
    key: Option<String>,
    part: Option<u16>,
    skips: u32,
    strikes: u32,
}

/// Names a fault that was injected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FaultId(pub(super) u64);

/// What is done to a request.
#[derive(Clone, Debug)]
pub enum Act {
    /// It waits this long, and then goes on; another fault may strike it as well.
    Delay(Duration),
    /// It waits until the fault is healed, and then goes on.
    Hold,
    /// It is carried out, and its answer waits until the fault is healed.
    HoldAfter,
    /// The connection is reset once the head is read; nothing is carried out.
    DropBefore,
    /// It is carried out, and the connection is reset without an answer.
    DropAfter,
    /// The connection is reset once so much of the body is read; nothing is carried out.
    ResetInBody {
        /// How much of the body is read.
        after_bytes: u64,
    },
    /// So much of the body is read, and no more; there is no answer, and the connection stays.
    StopReading {
        /// How much of the body is read.
        after_bytes: u64,
    },
    /// The body is read; nothing is carried out nor answered, and the connection stays.
    Silent,
    /// It is carried out, not answered, and the connection stays.
    SilentAfter,
    /// This is the answer, before any of the body is read, and the connection ends.
    AnswerEarly(Refusal),
    /// This is the answer; nothing is carried out.
    Answer(Refusal),
    /// It is carried out, and this is the answer.
    AnswerAfter(Refusal),
    /// 200 and, in its body, this error, as CompleteMultipartUpload may answer.
    ErrorIn200 {
        /// What the body says.
        refusal: Refusal,
        /// Whether it is carried out all the same.
        carried_out: bool,
    },
    /// Another endpoint should be asked: 301 PermanentRedirect or 307 TemporaryRedirect.
    Redirect {
        /// 301 or 307.
        status: u16,
        /// `http://host:port`.
        endpoint: String,
    },
    /// It is carried out; 200 at once, then a space after each pause, then the rest of the answer,
    /// be it an error.
    Keepalive {
        /// How many spaces.
        spaces: u32,
        /// Before each of them.
        pause: Duration,
        /// Whether they come before XML's declaration, rather than after it as S3 has it.
        before_declaration: bool,
        /// What comes after them.
        ending: Ending,
    },
    /// It is carried out; the answer breaks off and the connection is reset.
    CutAnswer {
        /// How much of the answer's body is sent.
        after_bytes: u64,
    },
    /// It is carried out; the answer stops, and the connection stays.
    StallAnswer {
        /// How much of the answer's body is sent.
        after_bytes: u64,
    },
    /// It is answered, and the connection ends right after, unannounced.
    CloseAfter,
    /// It is answered well, in another manner.
    Shape(Shape),
}

/// How an answer ends that began by spaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With all of its body.
    Whole,
    /// The connection is reset.
    Reset,
    /// Nothing more comes, and the connection stays.
    Silence,
}

/// Manners of answering that clients must understand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// ETags without quotes, in headers and XML.
    EtagBare,
    /// In XML the quotes of ETags are `&#34;`.
    EtagEscaped,
    /// In XML the quotes of ETags stand as they are.
    EtagPlain,
    /// ETags are empty, in headers and XML.
    EtagEmpty,
    /// ETags that nothing there has, in headers alone.
    EtagOther,
    /// There is no ETag header, and no such element in XML.
    EtagMissing,
    /// XML of no namespace.
    NoNamespace,
    /// XML whose elements have a prefix.
    Prefixed,
    /// No body where there should be XML.
    EmptyBody,
    /// The body in chunks, without its length.
    Chunked,
    /// `100 Continue` before the answer, whether asked for or not.
    Continue,
    /// The connection's end ends the body, as in HTTP/1.0.
    UntilClose,
}

impl Fault {
    /// Strikes the next request, once.
    pub fn new(act: Act) -> Self {
        Self { act, operation: None, key: None, part: None, skips: 0, strikes: 1 }
    }

    /// Strikes only this operation.
    #[must_use]
    pub fn on(mut self, operation: Operation) -> Self {
        self.operation = Some(operation);
        self
    }

    /// Strikes only keys that contain `text`.
    #[must_use]
    pub fn key(mut self, text: &str) -> Self {
        self.key = Some(text.to_owned());
        self
    }

    /// Strikes only the part of this number.
    #[must_use]
    pub fn part(mut self, number: u16) -> Self {
        self.part = Some(number);
        self
    }

    /// Lets the first `requests` that it could strike pass.
    #[must_use]
    pub fn after(mut self, requests: u32) -> Self {
        self.skips = requests;
        self
    }

    /// Strikes so often.
    #[must_use]
    pub fn times(mut self, strikes: u32) -> Self {
        self.strikes = strikes;
        self
    }

    /// Strikes until it is healed.
    #[must_use]
    pub fn always(self) -> Self {
        self.times(u32::MAX)
    }

    fn fits(&self, asked: &Asked) -> bool {
        self.operation.is_none_or(|operation| operation == asked.operation)
            && self.part.is_none_or(|part| Some(part) == asked.part)
            && self.key.as_ref().is_none_or(|text| asked.key.contains(text.as_str()))
    }
}

/// The faults that were injected and not healed.
#[derive(Default)]
pub(super) struct Faults {
    list: Vec<(FaultId, Fault, u32)>,
    next: u64,
}

/// What strikes one request.
#[derive(Default)]
pub(super) struct Strike {
    pub(super) delay: Duration,
    pub(super) act: Option<(FaultId, Act)>,
}

impl Faults {
    pub(super) fn inject(&mut self, fault: Fault) -> FaultId {
        self.next += 1;
        let id = FaultId(self.next);
        self.list.push((id, fault, 0));
        id
    }

    pub(super) fn heal(&mut self, id: FaultId) {
        self.list.retain(|(other, ..)| *other != id);
    }

    pub(super) fn heal_all(&mut self) {
        self.list.clear();
    }

    pub(super) fn holds(&self, id: FaultId) -> bool {
        self.list.iter().any(|(other, ..)| *other == id)
    }

    pub(super) fn struck(&self, id: FaultId) -> u32 {
        self.list.iter().find(|(other, ..)| *other == id).map_or(0, |(_, _, struck)| *struck)
    }

    /// All delays up to the first that does something else, and that.
    pub(super) fn strike(&mut self, asked: &Asked) -> Strike {
        let mut strike = Strike::default();
        for (id, fault, struck) in &mut self.list {
            if !fault.fits(asked) || fault.strikes == 0 {
                continue;
            }
            if fault.skips > 0 {
                fault.skips -= 1;
                continue;
            }
            if fault.strikes != u32::MAX {
                fault.strikes -= 1;
            }
            *struck += 1;
            match &fault.act {
                Act::Delay(delay) => strike.delay += *delay,
                act => {
                    strike.act = Some((*id, act.clone()));
                    break;
                }
            }
        }
        strike
    }
}
