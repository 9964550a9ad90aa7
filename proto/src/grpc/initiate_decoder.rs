//! Decodes the one message of InitiateUpload as its bytes arrive: what is to
//! be uploaded first, then the payload in slices.

use bytes::{Bytes, BytesMut};
use prost::Message;

use crate::error::Refusal;
use crate::grpc::message_reader::{Field, MessageReader, Step, broken};
use crate::limits;
use crate::pb;

const PAYLOAD: u32 = 1000;
/// Fields with lower numbers belong to the header.
const KNOWN_FIELD_MAX: u32 = 12;

/// What an [`InitiateDecoder`] found: one request, slices of payload, one end.
#[derive(Debug, Clone, PartialEq)]
pub enum InitiateEvent {
    /// The request without its payload, as it was sent: not judged yet.
    Request {
        /// `payload` is always `None` here.
        request: Box<pb::InitiateUploadRequest>,
        /// Bytes of payload that follow; `None` if there is none at all.
        payload_bytes: Option<u64>,
    },
    /// A slice of what was pushed; never empty.
    Payload(Bytes),
    /// The message is over.
    End,
}

#[derive(Debug, PartialEq)]
enum Told {
    Nothing,
    Request,
    /// The end is to be told next.
    EndDue,
    End,
}

/// Turns the bytes of an InitiateUpload request into events, piece by piece.
#[derive(Debug)]
pub struct InitiateDecoder {
    reader: MessageReader,
    /// The header's fields as they were, for `prost`.
    header: BytesMut,
    told: Told,
    refused: Option<Refusal>,
}

impl InitiateDecoder {
    /// Takes a payload of at most about `payload_bytes_max` bytes: the exact
    /// check is the owner's.
    pub fn new(payload_bytes_max: u64) -> Self {
        let fields_max = limits::INITIATE_HEADER_BYTES_MAX;
        Self {
            reader: MessageReader::new(PAYLOAD, fields_max, payload_bytes_max),
            header: BytesMut::new(),
            told: Told::Nothing,
            refused: None,
        }
    }

    /// Input: the next bytes of the stream.
    pub fn push(&mut self, piece: Bytes) {
        self.reader.push(piece);
    }

    /// Copies what was pushed and not told yet, so that it pins no block while it has to wait.
    pub fn unpin(&mut self) {
        self.reader.unpin();
    }

    /// Bytes that the message still lacks; `None` before and after it.
    pub fn missing_bytes(&self) -> Option<u64> {
        self.reader.missing_bytes()
    }

    /// Bytes that were pushed and not told yet.
    pub fn unread_bytes(&self) -> usize {
        self.reader.unread_bytes()
    }

    /// Output: the next event; `None` if more bytes are needed.
    ///
    /// A refusal is final. A second message is one.
    pub fn next_event(&mut self) -> Result<Option<InitiateEvent>, Refusal> {
        if let Some(refusal) = &self.refused {
            return Err(refusal.clone());
        }
        self.advance().inspect_err(|refusal| self.refused = Some(refusal.clone()))
    }

    /// Says that the stream ended: FIELD_INVALID unless exactly one message came.
    pub fn finish(&self) -> Result<(), Refusal> {
        match &self.refused {
            Some(refusal) => Err(refusal.clone()),
            None if self.told == Told::End && self.reader.at_boundary() => Ok(()),
            None => Err(broken("the stream is not exactly one message")),
        }
    }

    fn advance(&mut self) -> Result<Option<InitiateEvent>, Refusal> {
        if self.told == Told::EndDue {
            self.told = Told::End;
            return Ok(Some(InitiateEvent::End));
        }
        loop {
            match self.reader.step()? {
                Step::NeedMore => return Ok(None),
                Step::MessageStart if self.told == Told::End => {
                    return Err(broken("the stream is not exactly one message"));
                }
                Step::MessageStart => {}
                Step::Field(field) => self.take(field)?,
                Step::PayloadStart(_) if self.told != Told::Nothing => {
                    return Err(Refusal::invalid("payload", "there is a second payload"));
                }
                Step::PayloadStart(payload_bytes) => {
                    return self.request(Some(payload_bytes)).map(Some);
                }
                Step::Payload(piece) => return Ok(Some(InitiateEvent::Payload(piece))),
                Step::MessageEnd if self.told == Told::Nothing => {
                    let request = self.request(None)?;
                    self.told = Told::EndDue;
                    return Ok(Some(request));
                }
                Step::MessageEnd => {
                    self.told = Told::End;
                    return Ok(Some(InitiateEvent::End));
                }
            }
        }
    }

    fn take(&mut self, field: Field) -> Result<(), Refusal> {
        if field.number > KNOWN_FIELD_MAX {
            return Ok(());
        }
        // The request was judged without it: what was checked is what counts.
        if self.told != Told::Nothing {
            return Err(broken("a field comes after the payload"));
        }
        self.header.extend_from_slice(&field.raw);
        Ok(())
    }

    fn request(&mut self, payload_bytes: Option<u64>) -> Result<InitiateEvent, Refusal> {
        let header = std::mem::take(&mut self.header).freeze();
        let request = pb::InitiateUploadRequest::decode(header);
        let request = Box::new(request.map_err(|error| broken(&error.to_string()))?);
        self.told = Told::Request;
        Ok(InitiateEvent::Request { request, payload_bytes })
    }
}

#[cfg(test)]
mod tests;
