//! From a request's head to what it asks, and to what carries it out.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::request::Parts;

use super::{Operation, Refusal, answer::Answer, bucket::Store, encoding, record::Asked};

/// Queries that name something which this store doesn't have.
const UNKNOWN: [&str; 14] = [
    "acl",
    "cors",
    "delete",
    "lifecycle",
    "location",
    "object-lock",
    "policy",
    "restore",
    "retention",
    "select",
    "tagging",
    "torrent",
    "versions",
    "website",
];

/// What a request's head asks.
pub(super) fn asked(head: &Parts, domain: Option<&str>) -> Asked {
    let path = head.uri.path().to_owned();
    let raw_query = head.uri.query().unwrap_or_default().to_owned();
    let query: BTreeMap<String, String> = encoding::pairs(&raw_query).collect();
    let rest = path.trim_start_matches('/');
    let (bucket, key) = match domain.and_then(|domain| bucket_of_host(head, domain)) {
        Some(bucket) => (bucket, rest),
        None => rest.split_once('/').unwrap_or((rest, "")),
    };
    let (bucket, key) = (encoding::decode(bucket), encoding::decode(key));
    let method = head.method.as_str().to_owned();
    let operation = operation(&method, &bucket, &key, &query, &head.headers);
    Asked {
        operation,
        bucket,
        key,
        upload_id: query.get("uploadId").cloned(),
        part: query.get("partNumber").and_then(|number| number.parse().ok()),
        query,
        headers: headers(&head.headers),
        method,
        path,
        raw_query,
    }
}

/// The bucket that is the first label of the host.
fn bucket_of_host<'a>(head: &'a Parts, domain: &str) -> Option<&'a str> {
    let host = head.headers.get("host")?.to_str().ok()?;
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
    host.strip_suffix(domain)?.strip_suffix('.')
}

fn headers(sent: &http::HeaderMap) -> BTreeMap<String, String> {
    let mut headers: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in sent {
        let value = String::from_utf8_lossy(value.as_bytes());
        let known = headers.entry(name.as_str().to_owned()).or_default();
        if !known.is_empty() {
            known.push(',');
        }
        known.push_str(&value);
    }
    headers
}

fn operation(
    method: &str,
    bucket: &str,
    key: &str,
    query: &BTreeMap<String, String>,
    headers: &http::HeaderMap,
) -> Operation {
    let has = |name: &str| query.contains_key(name);
    if bucket.is_empty() || UNKNOWN.iter().any(|name| has(name)) {
        return Operation::Other;
    }
    if key.is_empty() {
        return match method {
            "HEAD" => Operation::HeadBucket,
            "GET" if has("uploads") => Operation::ListMultipartUploads,
            "GET" if has("versioning") => Operation::GetBucketVersioning,
            "GET" if query.get("list-type").is_some_and(|kind| kind == "2") => {
                Operation::ListObjectsV2
            }
            _ => Operation::Other,
        };
    }
    match method {
        "PUT" if headers.contains_key("x-amz-copy-source") => Operation::Other,
        "PUT" if has("partNumber") => Operation::UploadPart,
        "PUT" => Operation::PutObject,
        "POST" if has("uploads") => Operation::CreateMultipartUpload,
        "POST" if has("uploadId") => Operation::CompleteMultipartUpload,
        "GET" if has("uploadId") => Operation::ListParts,
        "GET" => Operation::GetObject,
        "HEAD" => Operation::HeadObject,
        "DELETE" if has("uploadId") => Operation::AbortMultipartUpload,
        "DELETE" => Operation::DeleteObject,
        _ => Operation::Other,
    }
}

impl Store {
    /// Carries out what is asked, by somebody who may.
    pub(super) fn carry_out(
        &mut self,
        asked: &Asked,
        body: Vec<Bytes>,
        now_s: i64,
    ) -> Result<Answer, Refusal> {
        match asked.operation {
            Operation::PutObject => self.put_object(asked, body, now_s),
            Operation::GetObject | Operation::HeadObject => self.get_object(asked),
            Operation::DeleteObject => self.delete_object(asked),
            Operation::CreateMultipartUpload => self.create_multipart(asked, now_s),
            Operation::UploadPart => self.upload_part(asked, body, now_s),
            Operation::CompleteMultipartUpload => self.complete_multipart(asked, &body, now_s),
            Operation::AbortMultipartUpload => self.abort_multipart(asked),
            Operation::ListParts => self.list_parts(asked),
            Operation::ListMultipartUploads => self.list_multiparts(asked),
            Operation::ListObjectsV2 => self.list_objects(asked),
            Operation::HeadBucket => self.bucket(&asked.bucket).map(|_| Answer::new(200)),
            Operation::GetBucketVersioning => {
                self.bucket(&asked.bucket)?;
                let status =
                    if self.abilities.versioning { "<Status>Enabled</Status>" } else { "" };
                Ok(Answer::xml("VersioningConfiguration", status))
            }
            Operation::Other => Err(Refusal::not_implemented(&asked.raw_query)),
        }
    }
}
