//! Uploads of parts.

use std::collections::BTreeMap;

use bytes::Bytes;
use roxmltree::{Document, Node};

use super::{
    Refusal,
    answer::{Answer, element, etag_element, quoted},
    bucket::{Multipart, Object, Part, Said, Store, length},
    objects::key_verified,
    record::Asked,
    sums::{self, Algorithm, Sum},
};

pub(super) const PARTS_MAX: u16 = 10_000;

/// A part, as Complete names it.
struct Named {
    number: u16,
    etag: String,
    sums: Vec<Sum>,
}

impl Store {
    pub(super) fn create_multipart(
        &mut self,
        asked: &Asked,
        now_s: i64,
    ) -> Result<Answer, Refusal> {
        self.bucket(&asked.bucket)?;
        key_verified(asked)?;
        let algorithm = sums::wanted(asked, &self.abilities)?;
        let whole = match asked.header("x-amz-checksum-type") {
            None => algorithm == Some(Algorithm::Crc64Nvme),
            Some(kind) => kind == "FULL_OBJECT",
        };
        if matches!((algorithm, whole), (Some(Algorithm::Crc64Nvme), false))
            || matches!((algorithm, whole), (Some(Algorithm::Sha256), true))
        {
            let message = "The checksum type cannot be used with that checksum algorithm.";
            return Err(Refusal::invalid_request(message));
        }
        let (upload_id, said) = (self.new_id(), Said::of(asked));
        let names = element("Bucket", &asked.bucket) + &element("Key", &asked.key);
        let inner = names + &element("UploadId", &upload_id);
        let mut answer = Answer::xml("InitiateMultipartUploadResult", &inner);
        answer.headers.extend(said.encryption());
        if let Some(algorithm) = algorithm {
            let kind = if whole { "FULL_OBJECT" } else { "COMPOSITE" };
            answer = answer
                .header("x-amz-checksum-algorithm", algorithm.name())
                .header("x-amz-checksum-type", kind);
        }
        let is_composite = algorithm.is_some() && !whole;
        let parts = BTreeMap::new();
        let multipart = Multipart { begun_s: now_s, said, algorithm, is_composite, parts };
        let at = (asked.key.clone(), upload_id);
        self.bucket(&asked.bucket)?.multiparts.insert(at, multipart);
        Ok(answer)
    }

    pub(super) fn multipart(&mut self, asked: &Asked) -> Result<&mut Multipart, Refusal> {
        let id = asked.upload_id.clone().unwrap_or_default();
        let multiparts = &mut self.bucket(&asked.bucket)?.multiparts;
        multiparts.get_mut(&(asked.key.clone(), id)).ok_or_else(Refusal::no_such_upload)
    }

    pub(super) fn upload_part(
        &mut self,
        asked: &Asked,
        body: Vec<Bytes>,
        now_s: i64,
    ) -> Result<Answer, Refusal> {
        let number = asked.part.filter(|number| (1..=PARTS_MAX).contains(number));
        let number = number.ok_or_else(|| {
            let message = "Part number must be an integer between 1 and 10000, inclusive";
            Refusal::invalid_argument(message)
        })?;
        let multipart = self.multipart(asked)?;
        let (algorithm, is_composite) = (multipart.algorithm, multipart.is_composite);
        let sums = sums::verified(asked, &body, &self.abilities)?;
        let sent = sums.first().map(|(algorithm, _)| *algorithm);
        if algorithm.is_some() && sent != algorithm && (is_composite || sent.is_some()) {
            return Err(mismatched(algorithm, sent));
        }
        let md5 = sums::md5(&body);
        let etag = self.etag(&md5);
        let mut answer = Answer::new(200).header("etag", &quoted(&etag));
        answer.headers.extend(sums.iter().map(|(name, sum)| (name.header(), sum.clone())));
        let multipart = self.multipart(asked)?;
        answer.headers.extend(multipart.said.encryption());
        let part = Part { etag, md5, pieces: body, sums, modified_s: now_s };
        multipart.parts.insert(number, part);
        Ok(answer)
    }

    pub(super) fn abort_multipart(&mut self, asked: &Asked) -> Result<Answer, Refusal> {
        self.multipart(asked)?;
        let at = (asked.key.clone(), asked.upload_id.clone().unwrap_or_default());
        self.bucket(&asked.bucket)?.multiparts.remove(&at);
        Ok(Answer::new(204))
    }

    pub(super) fn complete_multipart(
        &mut self,
        asked: &Asked,
        body: &[Bytes],
        now_s: i64,
    ) -> Result<Answer, Refusal> {
        let id = asked.upload_id.clone().unwrap_or_default();
        if let Some(again) = self.completed_before(asked, &id)? {
            return Ok(again);
        }
        let multipart = self.multipart(asked)?.clone();
        let named = named_parts(&body.concat())?;
        let parts = self.chosen(&multipart, &named)?;
        self.none_match_verified(asked)?;
        let pieces: Vec<Bytes> =
            parts.iter().flat_map(|part| part.pieces.iter().cloned()).collect();
        let sums = self.whole_sums(asked, &multipart, &parts, &pieces)?;
        if let Some(size) = asked.header("x-amz-mp-object-size")
            && size.parse() != Ok(length(&pieces))
        {
            let message = "The provided 'x-amz-mp-object-size' header does not match.";
            return Err(Refusal::invalid_request(message));
        }
        let md5s: Vec<Bytes> = parts.iter().map(|part| owned(part.md5)).collect();
        let etag = format!("{}-{}", self.etag(&sums::md5(&md5s)), parts.len());
        let version_id = self.version_id();
        let answer = completed(asked, &etag, &sums, &multipart, version_id.as_deref());
        let (key, count) = (asked.key.clone(), Some(parts.len()));
        let Said { metadata, headers } = multipart.said;
        let bucket = self.bucket(&asked.bucket)?;
        bucket.multiparts.remove(&(key.clone(), id.clone()));
        bucket.completed.insert(id, (key.clone(), etag.clone()));
        let modified_s = now_s;
        let object = Object {
            key,
            etag,
            metadata,
            headers,
            parts: count,
            sums,
            version_id,
            modified_s,
            pieces,
        };
        bucket.insert(object);
        Ok(answer)
    }

    fn completed_before(&mut self, asked: &Asked, id: &str) -> Result<Option<Answer>, Refusal> {
        if !self.abilities.complete_repeats {
            return Ok(None);
        }
        let before = self.bucket(&asked.bucket)?.completed.get(id);
        Ok(before.filter(|(key, _)| *key == asked.key).map(|(_, etag)| result(asked, etag, &[])))
    }

    /// The parts that were named, in their order.
    fn chosen<'a>(
        &self,
        multipart: &'a Multipart,
        named: &[Named],
    ) -> Result<Vec<&'a Part>, Refusal> {
        if named.windows(2).any(|two| two[0].number >= two[1].number) {
            let message = "The list of parts was not in ascending order. Parts must be ordered by \
                           part number.";
            return Err(Refusal::new(400, "InvalidPartOrder", message));
        }
        let mut parts = Vec::with_capacity(named.len());
        for Named { number, etag, sums } in named {
            let fits =
                |part: &&Part| part.etag == *etag && sums.iter().all(|sum| part.sums.contains(sum));
            let part = multipart.parts.get(number).filter(fits).ok_or_else(|| {
                let refusal = Refusal::invalid_part();
                refusal.element("PartNumber", &number.to_string()).element("ETag", etag)
            })?;
            if multipart.is_composite && sums.is_empty() {
                return Err(Refusal::invalid_request(&format!(
                    "The complete request must include the checksum for each part. It was missing \
                     for part {number} in the request."
                )));
            }
            parts.push(part);
        }
        self.lengths_verified(&parts)?;
        let dense = named.iter().zip(1..).all(|(part, number)| part.number == number);
        if dense || self.abilities.sparse_parts {
            return Ok(parts);
        }
        Err(Refusal::invalid_part())
    }

    fn lengths_verified(&self, parts: &[&Part]) -> Result<(), Refusal> {
        let lengths: Vec<u64> = parts.iter().map(|part| length(&part.pieces)).collect();
        let Some((last, lengths)) = lengths.split_last() else { return Ok(()) };
        let least = self.abilities.part_bytes_min;
        if let Some(small) = lengths.iter().position(|length| *length < least) {
            let message = "Your proposed upload is smaller than the minimum allowed size";
            return Err(Refusal::new(400, "EntityTooSmall", message)
                .element("ProposedSize", &lengths[small].to_string())
                .element("MinSizeAllowed", &least.to_string())
                .element("ETag", &parts[small].etag));
        }
        let first = lengths.first().copied().unwrap_or(u64::MAX);
        let equal = lengths.iter().all(|length| *length == first) && *last <= first;
        if equal || self.abilities.unequal_parts {
            return Ok(());
        }
        let message = "All non-trailing parts must have the same length.";
        Err(Refusal::new(400, "InvalidPart", message))
    }

    /// The sums of the whole object, held against what the request says of it.
    fn whole_sums(
        &self,
        asked: &Asked,
        multipart: &Multipart,
        parts: &[&Part],
        pieces: &[Bytes],
    ) -> Result<Vec<Sum>, Refusal> {
        let sent = sums::named(asked, &self.abilities)?;
        let mut whole: Vec<Sum> = Vec::new();
        if let Some(algorithm) = multipart.algorithm {
            let sum = if multipart.is_composite {
                let sums = parts.iter().map(|part| owned(algorithm.sum(&part.pieces)));
                let sums: Vec<Bytes> = sums.collect();
                format!("{}-{}", sums::base64(&algorithm.sum(&sums)), parts.len())
            } else {
                sums::base64(&algorithm.sum(pieces))
            };
            whole.push((algorithm, sum));
        }
        for (algorithm, value) in sent {
            if multipart.algorithm.is_none() {
                whole.push((algorithm, sums::base64(&algorithm.sum(pieces))));
            }
            let known = whole.iter().find(|(known, _)| *known == algorithm);
            let (_, known) =
                known.ok_or_else(|| mismatched(multipart.algorithm, Some(algorithm)))?;
            if *known != value {
                return Err(Refusal::bad_digest());
            }
        }
        Ok(whole)
    }
}

fn mismatched(expected: Option<Algorithm>, sent: Option<Algorithm>) -> Refusal {
    let name = |sum: Option<Algorithm>| sum.map_or("null", Algorithm::name).to_lowercase();
    Refusal::invalid_request(&format!(
        "Checksum Type mismatch occurred, expected checksum Type: {}, actual checksum Type: {}",
        name(expected),
        name(sent)
    ))
}

fn owned(sum: impl AsRef<[u8]>) -> Bytes {
    Bytes::copy_from_slice(sum.as_ref())
}

fn completed(
    asked: &Asked,
    etag: &str,
    sums: &[Sum],
    multipart: &Multipart,
    version_id: Option<&str>,
) -> Answer {
    let mut answer = result(asked, etag, sums);
    answer.headers.extend(multipart.said.encryption());
    match version_id {
        Some(id) => answer.header("x-amz-version-id", id),
        None => answer,
    }
}

fn result(asked: &Asked, etag: &str, sums: &[Sum]) -> Answer {
    let host = asked.header("host").unwrap_or_default();
    let location = format!("http://{host}/{}/{}", asked.bucket, asked.key);
    let mut inner = element("Location", &location)
        + &element("Bucket", &asked.bucket)
        + &element("Key", &asked.key)
        + &etag_element(etag);
    for (algorithm, sum) in sums {
        inner += &element(&algorithm.element(), sum);
        let kind = if sum.contains('-') { "COMPOSITE" } else { "FULL_OBJECT" };
        inner += &element("ChecksumType", kind);
    }
    Answer::xml("CompleteMultipartUploadResult", &inner)
}

fn named_parts(body: &[u8]) -> Result<Vec<Named>, Refusal> {
    let malformed = || {
        let message = "The XML you provided was not well-formed or did not validate against our \
                       published schema";
        Refusal::new(400, "MalformedXML", message)
    };
    let text = std::str::from_utf8(body).map_err(|_| malformed())?;
    let document = Document::parse(text).map_err(|_| malformed())?;
    let root = document.root_element();
    if root.tag_name().name() != "CompleteMultipartUpload" {
        return Err(malformed());
    }
    let parts: Option<Vec<Named>> = root.children().filter(Node::is_element).map(named).collect();
    let parts = parts.ok_or_else(malformed)?;
    if parts.is_empty() || parts.len() > PARTS_MAX.into() {
        return Err(malformed());
    }
    Ok(parts)
}

fn named(part: Node<'_, '_>) -> Option<Named> {
    let text = |name: &str| {
        let mut elements = part.children().filter(|child| child.tag_name().name() == name);
        elements.next().map(|element| element.text().unwrap_or_default().trim().to_owned())
    };
    let sums = ["CRC32", "CRC32C", "CRC64NVME", "SHA256"]
        .into_iter()
        .filter_map(|name| Some((Algorithm::named(name)?, text(&format!("Checksum{name}"))?)));
    let sums = sums.collect();
    let etag = text("ETag")?.trim_matches('"').to_owned();
    Some(Named { number: text("PartNumber")?.parse().ok()?, etag, sums })
}
