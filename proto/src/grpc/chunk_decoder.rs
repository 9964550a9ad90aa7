//! Decodes the messages of UploadChunk and UploadChunks, which are the same on
//! the wire, as their bytes arrive.

use bytes::Bytes;

use crate::checksum::{Crc32c, Crc64Nvme};
use crate::error::Refusal;
use crate::grpc::message_reader::{Field, MessageReader, Step, Value, broken};
use crate::ids::{ChunkNumber, UploadId};
use crate::limits;

const UPLOAD_ID: u32 = 1;
const CHUNK_NUMBER: u32 = 2;
const IS_LAST: u32 = 3;
const FORCE: u32 = 4;
const CRC32C: u32 = 5;
const CRC64NVME: u32 = 6;
const SHA256: u32 = 7;
const DATA: u32 = 1000;

/// What a client says that a chunk's bytes sum to; each may be absent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ChunkChecks {
    /// CRC-32C.
    pub crc32c: Option<u32>,
    /// CRC-64/NVME.
    pub crc64nvme: Option<u64>,
    /// SHA-256.
    pub sha256: Option<[u8; 32]>,
}

impl ChunkChecks {
    /// Whether nothing was said.
    pub const fn is_empty(&self) -> bool {
        self.crc32c.is_none() && self.crc64nvme.is_none() && self.sha256.is_none()
    }

    fn parse(crc32c: &[u8], crc64nvme: &[u8], sha256: &[u8]) -> Result<Self, Refusal> {
        let mut checks = Self::default();
        if !crc32c.is_empty() {
            let sum = Crc32c::from_wire(crc32c);
            checks.crc32c = Some(sum.ok_or_else(|| Refusal::invalid("crc32c", "not 4 bytes"))?);
        }
        if !crc64nvme.is_empty() {
            let sum = Crc64Nvme::from_wire(crc64nvme);
            let missing = || Refusal::invalid("crc64nvme", "not 8 bytes");
            checks.crc64nvme = Some(sum.ok_or_else(missing)?);
        }
        if !sha256.is_empty() {
            let sum = sha256.try_into();
            checks.sha256 = Some(sum.map_err(|_| Refusal::invalid("sha256", "not 32 bytes"))?);
        }
        Ok(checks)
    }
}

/// All that came before a chunk's data, as it was sent.
///
/// Not judged yet, so that a stream of chunks can go on after a bad one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChunkHeader {
    /// The upload.
    pub upload_id: String,
    /// The chunk.
    pub chunk_number: i32,
    /// It fixes the number of chunks.
    pub is_last: bool,
    /// It replaces what the number holds.
    pub force: bool,
    /// Big-endian; empty if absent.
    pub crc32c: Bytes,
    /// Big-endian; empty if absent.
    pub crc64nvme: Bytes,
    /// Empty if absent.
    pub sha256: Bytes,
    /// Bytes of data that follow.
    pub data_bytes: u64,
}

impl ChunkHeader {
    /// Who and what: FIELD_INVALID or UPLOAD_UNKNOWN.
    pub fn ids(&self) -> Result<(UploadId, ChunkNumber), Refusal> {
        let upload_id = UploadId::from_request(&self.upload_id)?;
        let number = ChunkNumber::new(self.chunk_number);
        Ok((upload_id, number.map_err(|invalid| invalid.refusal("chunk_number"))?))
    }

    /// The sums: FIELD_INVALID if one has a wrong length.
    pub fn checks(&self) -> Result<ChunkChecks, Refusal> {
        ChunkChecks::parse(&self.crc32c, &self.crc64nvme, &self.sha256)
    }
}

/// What came after a chunk's data. `None` is "not said again".
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trailer {
    /// Overrides the header's.
    pub is_last: Option<bool>,
    /// Overrides the header's.
    pub force: Option<bool>,
    /// Overrides the header's.
    pub crc32c: Option<Bytes>,
    /// Overrides the header's.
    pub crc64nvme: Option<Bytes>,
    /// Overrides the header's.
    pub sha256: Option<Bytes>,
}

impl Trailer {
    /// Whether nothing came after the data.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The header with what came late put in.
    pub fn apply(self, header: &mut ChunkHeader) {
        header.is_last = self.is_last.unwrap_or(header.is_last);
        header.force = self.force.unwrap_or(header.force);
        for (late, early) in [
            (self.crc32c, &mut header.crc32c),
            (self.crc64nvme, &mut header.crc64nvme),
            (self.sha256, &mut header.sha256),
        ] {
            if let Some(late) = late {
                *early = late;
            }
        }
    }
}

/// What a [`ChunkDecoder`] found, in this order for each message: one header,
/// slices of data, one end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChunkEvent {
    /// All that precedes the data, and its length.
    Header(ChunkHeader),
    /// A slice of what was pushed; never empty.
    Data(Bytes),
    /// The message is over.
    End(Trailer),
}

/// Turns the bytes of a request stream into chunks, piece by piece.
#[derive(Debug)]
pub struct ChunkDecoder {
    reader: MessageReader,
    header: ChunkHeader,
    upload_id_seen: bool,
    /// Set once the header is out.
    trailer: Option<Trailer>,
    /// Set once the data was met.
    data_seen: bool,
    /// The message is over; only its end was not told yet.
    end_due: bool,
    refused: Option<Refusal>,
}

impl ChunkDecoder {
    /// Takes messages whose data has at most about `data_bytes_max` bytes: the
    /// exact check is the owner's.
    pub fn new(data_bytes_max: u64) -> Self {
        let fields_max = limits::CHUNK_HEADER_BYTES_MAX;
        Self {
            reader: MessageReader::new(DATA, fields_max, data_bytes_max),
            header: ChunkHeader::default(),
            upload_id_seen: false,
            trailer: None,
            data_seen: false,
            end_due: false,
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

    /// Bytes that the message under way still lacks; `None` between messages.
    pub fn missing_bytes(&self) -> Option<u64> {
        self.reader.missing_bytes()
    }

    /// Bytes that were pushed and not told yet.
    pub fn unread_bytes(&self) -> usize {
        self.reader.unread_bytes()
    }

    /// Whether a message has begun, of which not all was told.
    pub fn in_message(&self) -> bool {
        self.end_due || self.reader.missing_bytes().is_some()
    }

    /// Output: the next event; `None` if more bytes are needed.
    ///
    /// A refusal is final: the rest of the stream means nothing.
    pub fn next_event(&mut self) -> Result<Option<ChunkEvent>, Refusal> {
        if let Some(refusal) = &self.refused {
            return Err(refusal.clone());
        }
        self.advance().inspect_err(|refusal| self.refused = Some(refusal.clone()))
    }

    /// Says that the stream ended: FIELD_INVALID within a message.
    pub fn finish(&self) -> Result<(), Refusal> {
        match &self.refused {
            Some(refusal) => Err(refusal.clone()),
            None if self.reader.at_boundary() => Ok(()),
            None => Err(broken("the stream ends within a message")),
        }
    }

    fn advance(&mut self) -> Result<Option<ChunkEvent>, Refusal> {
        if std::mem::take(&mut self.end_due) {
            return Ok(Some(ChunkEvent::End(Trailer::default())));
        }
        loop {
            match self.reader.step()? {
                Step::NeedMore => return Ok(None),
                Step::MessageStart => {
                    self.header = ChunkHeader::default();
                    self.upload_id_seen = false;
                    self.trailer = None;
                    self.data_seen = false;
                }
                Step::Field(field) => self.take(field)?,
                Step::PayloadStart(_) if self.data_seen => {
                    return Err(Refusal::invalid("data", "there is a second data"));
                }
                Step::PayloadStart(data_bytes) => {
                    self.data_seen = true;
                    self.trailer = Some(Trailer::default());
                    self.header.data_bytes = data_bytes;
                    return Ok(Some(ChunkEvent::Header(std::mem::take(&mut self.header))));
                }
                Step::Payload(piece) => return Ok(Some(ChunkEvent::Data(piece))),
                Step::MessageEnd => return Ok(Some(self.end())),
            }
        }
    }

    fn end(&mut self) -> ChunkEvent {
        match self.trailer.take() {
            Some(trailer) => ChunkEvent::End(trailer),
            // Without data the end of the message is the end of the header.
            None => {
                self.end_due = true;
                ChunkEvent::Header(std::mem::take(&mut self.header))
            }
        }
    }

    fn take(&mut self, field: Field) -> Result<(), Refusal> {
        match field.number {
            UPLOAD_ID => self.take_upload_id(field.value),
            CHUNK_NUMBER if self.data_seen => {
                Err(Refusal::invalid("chunk_number", "it comes after the data"))
            }
            CHUNK_NUMBER => {
                // int32 on the wire is a sign-extended varint.
                self.header.chunk_number = varint(field.value, "chunk_number")? as i32;
                Ok(())
            }
            IS_LAST => {
                let value = varint(field.value, "is_last")? != 0;
                set(&mut self.header.is_last, self.trailer.as_mut().map(|t| &mut t.is_last), value);
                Ok(())
            }
            FORCE => {
                let value = varint(field.value, "force")? != 0;
                set(&mut self.header.force, self.trailer.as_mut().map(|t| &mut t.force), value);
                Ok(())
            }
            CRC32C => {
                let value = bytes(field.value, "crc32c")?;
                set(&mut self.header.crc32c, self.trailer.as_mut().map(|t| &mut t.crc32c), value);
                Ok(())
            }
            CRC64NVME => {
                let value = bytes(field.value, "crc64nvme")?;
                let late = self.trailer.as_mut().map(|t| &mut t.crc64nvme);
                set(&mut self.header.crc64nvme, late, value);
                Ok(())
            }
            SHA256 => {
                let value = bytes(field.value, "sha256")?;
                set(&mut self.header.sha256, self.trailer.as_mut().map(|t| &mut t.sha256), value);
                Ok(())
            }
            // Of a later version of the contract.
            _ => Ok(()),
        }
    }

    fn take_upload_id(&mut self, value: Value) -> Result<(), Refusal> {
        if self.data_seen {
            return Err(Refusal::invalid("upload_id", "it comes after the data"));
        }
        if std::mem::replace(&mut self.upload_id_seen, true) {
            return Err(Refusal::invalid("upload_id", "there is a second upload_id"));
        }
        let text = String::from_utf8(bytes(value, "upload_id")?.into());
        self.header.upload_id = text.map_err(|_| Refusal::invalid("upload_id", "not UTF-8"))?;
        Ok(())
    }
}

fn set<T>(early: &mut T, late: Option<&mut Option<T>>, value: T) {
    match late {
        Some(late) => *late = Some(value),
        None => *early = value,
    }
}

fn varint(value: Value, field: &'static str) -> Result<u64, Refusal> {
    match value {
        Value::Varint(value) => Ok(value),
        _ => Err(Refusal::invalid(field, "it has a wrong wire type")),
    }
}

fn bytes(value: Value, field: &'static str) -> Result<Bytes, Refusal> {
    match value {
        Value::Bytes(value) => Ok(value),
        _ => Err(Refusal::invalid(field, "it has a wrong wire type")),
    }
}

#[cfg(test)]
mod tests;
