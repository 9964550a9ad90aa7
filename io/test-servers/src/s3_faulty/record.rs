//! What was asked, and what became of it.

use std::collections::{BTreeMap, VecDeque};

use super::FaultId;

/// What a request wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "named as in S3's documentation")]
pub enum Operation {
    PutObject,
    GetObject,
    HeadObject,
    DeleteObject,
    CreateMultipartUpload,
    UploadPart,
    CompleteMultipartUpload,
    AbortMultipartUpload,
    ListParts,
    ListMultipartUploads,
    ListObjectsV2,
    HeadBucket,
    GetBucketVersioning,
    /// What this store doesn't know.
    Other,
}

/// A request, as its head names it.
#[derive(Clone, Debug)]
pub struct Asked {
    /// What it wants.
    pub operation: Operation,
    /// The bucket; may be empty.
    pub bucket: String,
    /// The key, decoded; empty without one.
    pub key: String,
    /// `uploadId`.
    pub upload_id: Option<String>,
    /// `partNumber`.
    pub part: Option<u16>,
    /// The query, decoded.
    pub query: BTreeMap<String, String>,
    /// The headers, by their names in lower case.
    pub headers: BTreeMap<String, String>,
    /// HTTP's method.
    pub method: String,
    /// The path as it was sent, without the query.
    pub path: String,
    /// The query as it was sent.
    pub raw_query: String,
}

impl Asked {
    /// A header's value, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// What the query says of `name`.
    pub fn query(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str)
    }
}

/// A request and its end.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Counts requests from 0.
    pub number: u64,
    /// Counts connections from 0.
    pub connection: u64,
    /// What was asked.
    pub asked: Asked,
    /// How much of the body was read.
    pub body_bytes: u64,
    /// What was answered, or would have been: `None` while it is under way, or if it was dropped.
    pub status: Option<u16>,
    /// The error's code, if it was one.
    pub code: Option<String>,
    /// What struck it.
    pub fault: Option<FaultId>,
}

/// More are forgotten, the oldest first.
const RECORDS_MAX: usize = 100_000;

/// The requests so far.
#[derive(Default)]
pub(super) struct Records {
    list: VecDeque<Recorded>,
    next: u64,
    parts_now: usize,
    /// The most parts that were on their way at a time.
    pub(super) parts_at_once_max: usize,
    requests_now: usize,
    /// The most requests of any kind that were on their way at a time.
    pub(super) requests_at_once_max: usize,
}

impl Records {
    pub(super) fn begin(&mut self, connection: u64, asked: Asked, fault: Option<FaultId>) -> u64 {
        let number = self.next;
        self.next += 1;
        self.requests_now += 1;
        self.requests_at_once_max = self.requests_at_once_max.max(self.requests_now);
        if asked.operation == Operation::UploadPart {
            self.parts_now += 1;
            self.parts_at_once_max = self.parts_at_once_max.max(self.parts_now);
        }
        if self.list.len() == RECORDS_MAX {
            self.list.pop_front();
        }
        let (body_bytes, status, code) = (0, None, None);
        self.list.push_back(Recorded {
            number,
            connection,
            asked,
            body_bytes,
            status,
            code,
            fault,
        });
        number
    }

    pub(super) fn read(&mut self, number: u64, bytes: u64) {
        if let Some(record) = self.find(number) {
            record.body_bytes += bytes;
        }
    }

    pub(super) fn answered(&mut self, number: u64, status: u16, code: Option<String>) {
        if let Some(record) = self.find(number) {
            (record.status, record.code) = (Some(status), code);
        }
    }

    /// It is on its way no longer, whatever became of it.
    pub(super) fn end(&mut self, operation: Operation) {
        self.requests_now -= 1;
        if operation == Operation::UploadPart {
            self.parts_now -= 1;
        }
    }

    pub(super) fn all(&self) -> Vec<Recorded> {
        self.list.iter().cloned().collect()
    }

    /// How many there were of an operation, and are not forgotten.
    pub(super) fn count(&self, operation: Operation) -> usize {
        self.list.iter().filter(|record| record.asked.operation == operation).count()
    }

    pub(super) fn forget(&mut self) {
        self.list.clear();
        self.parts_at_once_max = self.parts_now;
        self.requests_at_once_max = self.requests_now;
    }

    fn find(&mut self, number: u64) -> Option<&mut Recorded> {
        let first = self.list.front()?.number;
        self.list.get_mut(usize::try_from(number.checked_sub(first)?).ok()?)
    }
}
