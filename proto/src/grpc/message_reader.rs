//! Reads protobuf fields of a stream of gRPC messages one by one.
//!
//! Everything but the payload is small and bounded by a budget a message, and
//! is copied out of its block; the payload is passed on in slices. What it
//! accepts, `prost` accepts too; groups, which proto3 can't declare, it doesn't.

use bytes::Bytes;

use crate::error::{Reason, Refusal};
use crate::grpc::frame::{PREFIX_BYTES, parse_prefix};
use crate::grpc::rope::Rope;

/// A key and a length: two varints of at most 10 bytes.
const HEAD_BYTES_MAX: usize = 20;

const WIRE_VARINT: u8 = 0;
const WIRE_FIXED64: u8 = 1;
const WIRE_BYTES: u8 = 2;
const WIRE_FIXED32: u8 = 5;

/// The value of a field other than the payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Varint(u64),
    Bytes(Bytes),
    Fixed,
}

/// A field other than the payload.
#[derive(Debug)]
pub(crate) struct Field {
    pub number: u32,
    pub value: Value,
    /// Key, length and content, as they were.
    pub raw: Bytes,
}

#[derive(Debug)]
pub(crate) enum Step {
    /// Push more.
    NeedMore,
    MessageStart,
    Field(Field),
    /// The payload's key and length were read; so many bytes follow.
    PayloadStart(u64),
    Payload(Bytes),
    MessageEnd,
}

#[derive(Debug)]
struct Limits {
    payload_field: u32,
    fields_bytes: usize,
    message_bytes: u64,
}

#[derive(Debug)]
enum State {
    Between,
    Fields,
    Payload { left: u64 },
}

#[derive(Debug)]
pub(crate) struct MessageReader {
    limits: Limits,
    rope: Rope,
    state: State,
    message_left: u64,
    fields_left: usize,
}

impl MessageReader {
    pub fn new(payload_field: u32, fields_bytes: usize, payload_bytes_max: u64) -> Self {
        let message_bytes = payload_bytes_max.saturating_add(fields_bytes as u64);
        Self {
            limits: Limits { payload_field, fields_bytes, message_bytes },
            rope: Rope::new(),
            state: State::Between,
            message_left: 0,
            fields_left: 0,
        }
    }

    pub fn push(&mut self, piece: Bytes) {
        self.rope.push(piece);
    }

    /// Copies what wasn't read yet.
    pub fn unpin(&mut self) {
        self.rope.unpin();
    }

    /// Bytes that the message under way still lacks; `None` between messages.
    pub fn missing_bytes(&self) -> Option<u64> {
        match self.state {
            State::Between => None,
            _ => Some(self.message_left.saturating_sub(self.rope.len() as u64)),
        }
    }

    /// Bytes that were pushed and not told yet.
    pub fn unread_bytes(&self) -> usize {
        self.rope.len()
    }

    /// Whether the stream may end here.
    pub fn at_boundary(&self) -> bool {
        matches!(self.state, State::Between) && self.rope.is_empty()
    }

    pub fn step(&mut self) -> Result<Step, Refusal> {
        match self.state {
            State::Between => self.start(),
            State::Payload { left } => Ok(self.payload(left)),
            State::Fields if self.message_left == 0 => {
                self.state = State::Between;
                Ok(Step::MessageEnd)
            }
            State::Fields => self.field(),
        }
    }

    fn start(&mut self) -> Result<Step, Refusal> {
        let mut prefix = [0; PREFIX_BYTES];
        if self.rope.peek(&mut prefix) < PREFIX_BYTES {
            return Ok(Step::NeedMore);
        }
        let length = parse_prefix(prefix, self.limits.message_bytes).map_err(too_large)?;
        self.rope.split_to(PREFIX_BYTES);
        self.message_left = length.into();
        self.fields_left = self.limits.fields_bytes;
        self.state = State::Fields;
        Ok(Step::MessageStart)
    }

    fn payload(&mut self, left: u64) -> Step {
        let max_bytes = usize::try_from(left).unwrap_or(usize::MAX);
        let Some(piece) = self.rope.pop_front(max_bytes) else {
            return Step::NeedMore;
        };
        let left = left - piece.len() as u64;
        self.message_left -= piece.len() as u64;
        self.state = if left == 0 { State::Fields } else { State::Payload { left } };
        Step::Payload(piece)
    }

    fn field(&mut self) -> Result<Step, Refusal> {
        let mut start = [0; HEAD_BYTES_MAX];
        let seen = self.rope.peek(&mut start);
        let visible = seen.min(usize::try_from(self.message_left).unwrap_or(usize::MAX));
        let Some(head) = Head::parse(&start[..visible])? else {
            // Nothing is missing any more, and still it isn't whole.
            if visible == HEAD_BYTES_MAX || visible as u64 == self.message_left {
                return Err(broken("a field is cut short"));
            }
            return Ok(Step::NeedMore);
        };
        let whole_bytes = (head.len_bytes as u64).checked_add(head.content_bytes());
        let Some(whole_bytes) = whole_bytes.filter(|&bytes| bytes <= self.message_left) else {
            return Err(broken("a field reaches past the end of its message"));
        };
        if head.number == self.limits.payload_field {
            return self.payload_start(&head);
        }
        let whole = usize::try_from(whole_bytes).unwrap_or(usize::MAX);
        if whole > self.fields_left {
            return Err(broken("the fields beside the payload are too long"));
        }
        if self.rope.len() < whole {
            return Ok(Step::NeedMore);
        }
        let raw = self.rope.take_copy(whole);
        self.fields_left -= whole;
        self.message_left -= whole as u64;
        let value = match head.wire {
            WIRE_VARINT => Value::Varint(head.value),
            WIRE_BYTES => Value::Bytes(raw.slice(head.len_bytes..)),
            _ => Value::Fixed,
        };
        Ok(Step::Field(Field { number: head.number, value, raw }))
    }

    fn payload_start(&mut self, head: &Head) -> Result<Step, Refusal> {
        if head.wire != WIRE_BYTES {
            return Err(broken("the payload has a wrong wire type"));
        }
        self.fields_left = self
            .fields_left
            .checked_sub(head.len_bytes)
            .ok_or_else(|| broken("the fields beside the payload are too long"))?;
        self.rope.split_to(head.len_bytes);
        self.message_left -= head.len_bytes as u64;
        if head.value > 0 {
            self.state = State::Payload { left: head.value };
        }
        Ok(Step::PayloadStart(head.value))
    }
}

/// A field's key and, by its wire type, its value or length.
struct Head {
    number: u32,
    wire: u8,
    value: u64,
    len_bytes: usize,
}

impl Head {
    /// `None` if more bytes are needed.
    fn parse(bytes: &[u8]) -> Result<Option<Head>, Refusal> {
        let Some((key, key_bytes)) = varint(bytes)? else {
            return Ok(None);
        };
        let key = u32::try_from(key).map_err(|_| broken("a field number is too large"))?;
        let (number, wire) = (key >> 3, (key & 7) as u8);
        if number == 0 {
            return Err(broken("a field number is 0"));
        }
        match wire {
            WIRE_VARINT | WIRE_BYTES => {
                let value = varint(&bytes[key_bytes..])?;
                Ok(value.map(|(value, more)| Head {
                    number,
                    wire,
                    value,
                    len_bytes: key_bytes + more,
                }))
            }
            WIRE_FIXED64 | WIRE_FIXED32 => {
                Ok(Some(Head { number, wire, value: 0, len_bytes: key_bytes }))
            }
            _ => Err(broken("a field has an unknown wire type")),
        }
    }

    fn content_bytes(&self) -> u64 {
        match self.wire {
            WIRE_BYTES => self.value,
            WIRE_FIXED64 => 8,
            WIRE_FIXED32 => 4,
            _ => 0,
        }
    }
}

/// The value and how many bytes it took; `None` if it is cut short.
fn varint(bytes: &[u8]) -> Result<Option<(u64, usize)>, Refusal> {
    let mut value = 0u64;
    for (index, &byte) in bytes.iter().take(10).enumerate() {
        // The tenth byte has room for one bit.
        if index == 9 && byte > 1 {
            return Err(broken("a varint is too long"));
        }
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            return Ok(Some((value, index + 1)));
        }
    }
    Ok(None)
}

pub(crate) fn broken(why: &str) -> Refusal {
    Refusal::new(Reason::FieldInvalid, format!("the message can't be read: {why}"))
}

/// A message with a payload that is too long has too long a payload.
fn too_large(mut refusal: Refusal) -> Refusal {
    if refusal.metadata.iter().any(|(key, _)| *key == "max_message_bytes") {
        refusal.reason = Reason::ChunkTooLarge;
    }
    refusal
}
