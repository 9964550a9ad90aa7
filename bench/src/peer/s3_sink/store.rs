//! What the store has, and what it answers.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sluice_proto::checksum::Crc64Nvme;

use crate::peer::s3_sink::head::Head;

const CRC64NVME: &str = "x-amz-checksum-crc64nvme";
const METADATA_PREFIX: &str = "x-amz-meta-";

/// Objects and uploads of one bucket. What is asked for is all there ever is: it is never full.
#[derive(Debug, Default)]
pub struct Store {
    objects: BTreeMap<String, Object>,
    multiparts: BTreeMap<String, Multipart>,
    multiparts_begun: u64,
}

/// A body that came.
#[derive(Debug, Default)]
pub struct Body {
    /// Its length.
    pub bytes: u64,
    /// Of a small one.
    pub crc64nvme: Option<u64>,
    /// All of it, of a POST.
    pub text: Vec<u8>,
}

/// What is answered.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Beside the length.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub text: String,
    /// Of HEAD: the length of what GET would bring.
    pub told_bytes: Option<u64>,
}

#[derive(Debug, Clone)]
struct Object {
    bytes: u64,
    crc64nvme: Option<u64>,
    metadata: Vec<(String, String)>,
}

#[derive(Debug)]
struct Multipart {
    key: String,
    metadata: Vec<(String, String)>,
    parts: BTreeMap<u32, Part>,
}

#[derive(Debug, Clone, Copy)]
struct Part {
    bytes: u64,
    crc64nvme: Option<u64>,
}

/// S3's word for what is wrong.
struct Refused(u16, &'static str);

impl Store {
    /// Does what is asked.
    pub fn carry_out(&mut self, head: &Head, body: &Body) -> Answer {
        self.try_carry_out(head, body).unwrap_or_else(|Refused(status, code)| Answer {
            status,
            text: format!("<Error><Code>{code}</Code><Message>{code}</Message></Error>"),
            ..Answer::default()
        })
    }

    fn try_carry_out(&mut self, head: &Head, body: &Body) -> Result<Answer, Refused> {
        let id = head.query.get("uploadId");
        match (head.method.as_str(), id, head.key.as_str()) {
            ("HEAD", _, "") => Ok(Answer { status: 200, ..Answer::default() }),
            ("GET", None, "") if head.query.contains_key("uploads") => {
                Ok(self.list_multiparts(head))
            }
            ("PUT", Some(id), _) => self.put_part(id, head, body),
            ("PUT", None, _) => self.put(head, body),
            ("POST", Some(id), _) => self.complete(id, head, body),
            ("POST", None, _) if head.query.contains_key("uploads") => Ok(self.create(head)),
            ("DELETE", Some(id), _) => self.abort(id),
            ("DELETE", None, _) => {
                self.objects.remove(&head.key);
                Ok(Answer { status: 204, ..Answer::default() })
            }
            ("GET", Some(id), _) => self.list_parts(id),
            ("HEAD" | "GET", None, _) => self.look(head),
            _ => Err(Refused(501, "NotImplemented")),
        }
    }

    fn put(&mut self, head: &Head, body: &Body) -> Result<Answer, Refused> {
        let only_new = head.headers.contains_key("if-none-match");
        if only_new && self.objects.contains_key(&head.key) {
            return Err(Refused(412, "PreconditionFailed"));
        }
        let crc64nvme = checked(head, body)?;
        let object = Object { bytes: body.bytes, crc64nvme, metadata: metadata(head) };
        let answer = stored(crc64nvme);
        self.objects.insert(head.key.clone(), object);
        Ok(answer)
    }

    fn look(&self, head: &Head) -> Result<Answer, Refused> {
        let object = self.objects.get(&head.key).ok_or(Refused(404, "NoSuchKey"))?;
        if head.method == "GET" {
            return Err(Refused(501, "NotImplemented"));
        }
        let mut answer = stored(object.crc64nvme);
        answer.headers.extend(object.metadata.clone());
        Ok(Answer { told_bytes: Some(object.bytes), ..answer })
    }

    fn create(&mut self, head: &Head) -> Answer {
        self.multiparts_begun += 1;
        let id = format!("multipart-{}", self.multiparts_begun);
        let (key, metadata) = (head.key.clone(), metadata(head));
        self.multiparts.insert(id.clone(), Multipart { key, metadata, parts: BTreeMap::new() });
        xml("InitiateMultipartUploadResult", &format!("<UploadId>{id}</UploadId>"))
    }

    fn put_part(&mut self, id: &str, head: &Head, body: &Body) -> Result<Answer, Refused> {
        let number = head.query.get("partNumber").and_then(|number| number.parse().ok());
        let number = number.ok_or(Refused(400, "InvalidArgument"))?;
        let crc64nvme = checked(head, body)?;
        let multipart = self.multiparts.get_mut(id).ok_or(NO_SUCH_UPLOAD)?;
        multipart.parts.insert(number, Part { bytes: body.bytes, crc64nvme });
        Ok(stored(crc64nvme))
    }

    fn complete(&mut self, id: &str, head: &Head, body: &Body) -> Result<Answer, Refused> {
        let multipart = self.multiparts.get(id).ok_or(NO_SUCH_UPLOAD)?;
        let named = String::from_utf8_lossy(&body.text).matches("<PartNumber>").count();
        if named == 0 || named != multipart.parts.len() {
            return Err(Refused(400, "InvalidPart"));
        }
        let (bytes, crc64nvme) = whole(&multipart.parts);
        if told(head).is_some_and(|sum| Some(sum) != crc64nvme) {
            return Err(Refused(400, "BadDigest"));
        }
        let multipart = self.multiparts.remove(id).expect("it was there");
        let object = Object { bytes, crc64nvme, metadata: multipart.metadata };
        self.objects.insert(multipart.key, object);
        let sum = crc64nvme.map_or_else(String::new, |sum| {
            format!("<ChecksumCRC64NVME>{}</ChecksumCRC64NVME>", encoded(sum))
        });
        Ok(xml("CompleteMultipartUploadResult", &format!("<ETag>&quot;{id}&quot;</ETag>{sum}")))
    }

    fn abort(&mut self, id: &str) -> Result<Answer, Refused> {
        self.multiparts.remove(id).ok_or(NO_SUCH_UPLOAD)?;
        Ok(Answer { status: 204, ..Answer::default() })
    }

    fn list_parts(&self, id: &str) -> Result<Answer, Refused> {
        let multipart = self.multiparts.get(id).ok_or(NO_SUCH_UPLOAD)?;
        let one = |(number, part): (&u32, &Part)| {
            let (bytes, etag) = (part.bytes, etag(part.crc64nvme));
            format!(
                "<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag><Size>{bytes}</Size></Part>"
            )
        };
        let parts: String = multipart.parts.iter().map(one).collect();
        Ok(xml("ListPartsResult", &format!("<IsTruncated>false</IsTruncated>{parts}")))
    }

    fn list_multiparts(&self, head: &Head) -> Answer {
        // Keys that are asked for here need no percent signs but for their slashes.
        let prefix = head.query.get("prefix").map_or_else(String::new, |p| p.replace("%2F", "/"));
        let fit = self.multiparts.iter().filter(|(_, open)| open.key.starts_with(&prefix));
        let one = |(id, open): (&String, &Multipart)| {
            format!("<Upload><Key>{}</Key><UploadId>{id}</UploadId></Upload>", open.key)
        };
        let uploads: String = fit.map(one).collect();
        let text = format!("<IsTruncated>false</IsTruncated>{uploads}");
        xml("ListMultipartUploadsResult", &text)
    }
}

const NO_SUCH_UPLOAD: Refused = Refused(404, "NoSuchUpload");

/// The sum that came with the bytes, which isn't another than theirs; else theirs, if it is known.
fn checked(head: &Head, body: &Body) -> Result<Option<u64>, Refused> {
    match (told(head), body.crc64nvme) {
        (Some(told), Some(found)) if told != found => Err(Refused(400, "BadDigest")),
        (told, found) => Ok(told.or(found)),
    }
}

fn told(head: &Head) -> Option<u64> {
    let sum = STANDARD.decode(head.headers.get(CRC64NVME)?).ok()?;
    Some(u64::from_be_bytes(sum.try_into().ok()?))
}

/// Length and checksum of what parts are together.
fn whole(parts: &BTreeMap<u32, Part>) -> (u64, Option<u64>) {
    let bytes = parts.values().map(|part| part.bytes).sum();
    let sum = parts.values().try_fold(Crc64Nvme::of(b""), |sum, part| {
        part.crc64nvme.map(|next| Crc64Nvme::combine(sum, next, part.bytes))
    });
    (bytes, sum)
}

fn metadata(head: &Head) -> Vec<(String, String)> {
    let of_object = |(name, _): &(&String, &String)| name.starts_with(METADATA_PREFIX);
    let pairs = head.headers.iter().filter(of_object);
    pairs.map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn stored(crc64nvme: Option<u64>) -> Answer {
    let mut headers = vec![("etag".to_owned(), format!("\"{}\"", etag(crc64nvme)))];
    if let Some(sum) = crc64nvme {
        headers.push((CRC64NVME.to_owned(), encoded(sum)));
        headers.push(("x-amz-checksum-type".to_owned(), "FULL_OBJECT".to_owned()));
    }
    Answer { status: 200, headers, ..Answer::default() }
}

/// It keeps nothing that one could be made of.
fn etag(crc64nvme: Option<u64>) -> String {
    format!("{:016x}", crc64nvme.unwrap_or_default())
}

fn encoded(sum: u64) -> String {
    STANDARD.encode(sum.to_be_bytes())
}

fn xml(root: &str, inner: &str) -> Answer {
    let text = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<{root}>{inner}</{root}>");
    Answer { status: 200, text, ..Answer::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(method: &str, target: &str, headers: &[(&str, &str)]) -> Head {
        let lines: String =
            headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let text = format!("{method} /b/{target} HTTP/1.1\r\n{lines}\r\n");
        Head::read(&mut text.as_bytes()).unwrap().unwrap()
    }

    fn small(bytes: &[u8]) -> Body {
        let crc64nvme = Some(Crc64Nvme::of(bytes));
        Body { bytes: bytes.len() as u64, crc64nvme, text: bytes.to_vec() }
    }

    fn sum_of(bytes: &[u8]) -> String {
        encoded(Crc64Nvme::of(bytes))
    }

    /// Begins a multipart of two parts, of which the second is large.
    fn begun(store: &mut Store) {
        let answer =
            store.carry_out(&head("POST", "k?uploads=", &[("x-amz-meta-a", "1")]), &small(b""));
        assert!(answer.text.contains("<UploadId>multipart-1</UploadId>"));
        let sum = sum_of(b"world");
        let part = |number: u32| format!("k?partNumber={number}&uploadId=multipart-1");
        let first = store.carry_out(&head("PUT", &part(1), &[]), &small(b"hello "));
        let large = Body { bytes: 5, ..Body::default() };
        let second = store.carry_out(&head("PUT", &part(2), &[(CRC64NVME, &sum)]), &large);
        assert_eq!((first.status, second.status), (200, 200));
    }

    const NAMED: &[u8] =
        b"<Part><PartNumber>1</PartNumber></Part><Part><PartNumber>2</PartNumber></Part>";

    #[test]
    fn a_multipart_becomes_what_its_parts_are() {
        let mut store = Store::default();
        begun(&mut store);
        let listed = store.carry_out(&head("GET", "?uploads&prefix=k", &[]), &small(b""));
        assert!(listed.text.contains("<Key>k</Key>"), "{}", listed.text);
        let complete = |sum: &str| head("POST", "k?uploadId=multipart-1", &[(CRC64NVME, sum)]);
        let wrong = store.carry_out(&complete(&sum_of(b"hello")), &small(NAMED));
        assert!(wrong.text.contains("BadDigest"));
        let few = store.carry_out(&complete(&sum_of(b"hello world")), &small(b"<PartNumber>"));
        assert!(few.text.contains("InvalidPart"));
        let done = store.carry_out(&complete(&sum_of(b"hello world")), &small(NAMED));
        assert_eq!(done.status, 200, "{}", done.text);
        let again = store.carry_out(&complete(&sum_of(b"hello world")), &small(NAMED));
        assert!(again.status == 404 && again.text.contains("NoSuchUpload"));
        let found = store.carry_out(&head("HEAD", "k", &[]), &small(b""));
        assert_eq!((found.status, found.told_bytes), (200, Some(11)));
        assert!(found.headers.contains(&("x-amz-meta-a".into(), "1".into())));
        assert!(found.headers.contains(&(CRC64NVME.into(), sum_of(b"hello world"))));
    }

    #[test]
    fn what_is_aborted_is_gone() {
        let mut store = Store::default();
        begun(&mut store);
        let listed = store.carry_out(&head("GET", "k?uploadId=multipart-1", &[]), &small(b""));
        assert!(listed.text.contains("<PartNumber>2</PartNumber>"), "{}", listed.text);
        for status in [204, 404] {
            let aborted =
                store.carry_out(&head("DELETE", "k?uploadId=multipart-1", &[]), &small(b""));
            assert_eq!(aborted.status, status);
        }
        let listed = store.carry_out(&head("GET", "k?uploadId=multipart-1", &[]), &small(b""));
        assert!(listed.text.contains("NoSuchUpload"));
    }

    #[test]
    fn a_wrong_sum_and_a_second_object_are_refused() {
        let mut store = Store::default();
        let wrong = head("PUT", "k", &[(CRC64NVME, &sum_of(b"b"))]);
        assert_eq!(store.carry_out(&wrong, &small(b"a")).status, 400);
        let only_new = head("PUT", "k", &[("if-none-match", "*")]);
        let statuses = [200, 412].map(|_| store.carry_out(&only_new, &small(b"a")).status);
        assert_eq!(statuses, [200, 412]);
        assert_eq!(store.carry_out(&head("PATCH", "k", &[]), &small(b"")).status, 501);
    }
}
