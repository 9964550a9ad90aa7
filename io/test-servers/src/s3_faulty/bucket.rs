//! What a store holds.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{
    Refusal,
    options::Abilities,
    record::Asked,
    sums::{self, Algorithm, Sum},
};

/// An object, or one version of it.
#[derive(Clone, Debug)]
pub struct Object {
    /// Its key.
    pub key: String,
    /// Without quotes.
    pub etag: String,
    /// `x-amz-meta-*`, by names without that, in lower case.
    pub metadata: BTreeMap<String, String>,
    /// All else that was said of it: `content-type`, `x-amz-storage-class`,
    /// `x-amz-server-side-encryption` and its like, `x-amz-tagging`, by names in lower case.
    pub headers: BTreeMap<String, String>,
    /// How many parts it was made of; `None`: it came in one PutObject.
    pub parts: Option<usize>,
    /// Sums that were asked for, in base64; of a composite one with `-N`.
    pub sums: Vec<(Algorithm, String)>,
    /// With versioning alone.
    pub version_id: Option<String>,
    /// When it was made, in seconds since 1970.
    pub modified_s: i64,
    pub(super) pieces: Vec<Bytes>,
}

impl Object {
    /// Its length in bytes.
    pub fn length(&self) -> u64 {
        length(&self.pieces)
    }

    /// SHA-256 of its bytes, in hex.
    pub fn sha256(&self) -> String {
        sums::hex(&sums::sha256(&self.pieces))
    }

    /// A copy of its bytes.
    pub fn contents(&self) -> Vec<u8> {
        self.pieces.concat()
    }
}

/// An upload of parts that was begun, and neither completed nor aborted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenMultipart {
    /// Its bucket.
    pub bucket: String,
    /// Its key.
    pub key: String,
    /// `UploadId`.
    pub upload_id: String,
    /// Number and length in bytes of each part that is stored.
    pub parts: Vec<(u16, u64)>,
}

/// A part as it is stored.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) etag: String,
    pub(super) md5: [u8; 16],
    pub(super) pieces: Vec<Bytes>,
    pub(super) sums: Vec<Sum>,
    pub(super) modified_s: i64,
}

/// An upload of parts.
#[derive(Clone, Debug)]
pub(super) struct Multipart {
    pub(super) begun_s: i64,
    pub(super) said: Said,
    pub(super) algorithm: Option<Algorithm>,
    pub(super) is_composite: bool,
    pub(super) parts: BTreeMap<u16, Part>,
}

/// What a request says of the object that it makes.
#[derive(Clone, Debug, Default)]
pub(super) struct Said {
    pub(super) metadata: BTreeMap<String, String>,
    pub(super) headers: BTreeMap<String, String>,
}

impl Said {
    pub(super) fn of(asked: &Asked) -> Self {
        const KEPT: [&str; 5] = [
            "content-type",
            "content-disposition",
            "content-encoding",
            "content-language",
            "cache-control",
        ];
        const KEPT_PREFIXES: [&str; 5] = [
            "x-amz-storage-class",
            "x-amz-server-side-encryption",
            "x-amz-tagging",
            "x-amz-object-lock-",
            "x-amz-acl",
        ];
        let mut said = Self::default();
        for (name, value) in &asked.headers {
            if let Some(name) = name.strip_prefix("x-amz-meta-") {
                said.metadata.insert(name.into(), value.clone());
            } else if KEPT.contains(&name.as_str())
                || KEPT_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
            {
                said.headers.insert(name.clone(), value.clone());
            }
        }
        said
    }

    /// What answers tell of encryption.
    pub(super) fn encryption(&self) -> impl Iterator<Item = (String, String)> + '_ {
        let named = |name: &&String| name.starts_with("x-amz-server-side-encryption");
        let names = self.headers.keys().filter(named);
        names.map(|name| (name.clone(), self.headers[name].clone()))
    }
}

/// A bucket.
#[derive(Default)]
pub(super) struct Bucket {
    /// The versions of each key, the newest last; `None`: a delete marker.
    pub(super) objects: BTreeMap<String, Vec<Option<Object>>>,
    /// By key and upload id.
    pub(super) multiparts: BTreeMap<(String, String), Multipart>,
    /// Keys, ETags of uploads that are complete, by their ids.
    pub(super) completed: BTreeMap<String, (String, String)>,
}

impl Bucket {
    pub(super) fn object(&self, key: &str) -> Option<&Object> {
        self.objects.get(key)?.last()?.as_ref()
    }

    /// The newest version of each object that isn't deleted.
    pub(super) fn all(&self) -> impl Iterator<Item = &Object> {
        self.objects.values().filter_map(|versions| versions.last()?.as_ref())
    }

    pub(super) fn insert(&mut self, object: Object) {
        let versions = self.objects.entry(object.key.clone()).or_default();
        if object.version_id.is_none() {
            versions.clear();
        }
        versions.push(Some(object));
    }
}

/// All buckets.
#[derive(Default)]
pub(super) struct Store {
    pub(super) buckets: BTreeMap<String, Bucket>,
    pub(super) abilities: Abilities,
    ids: u64,
}

impl Store {
    pub(super) fn new(buckets: &[String], abilities: Abilities) -> Self {
        let buckets = buckets.iter().map(|name| (name.clone(), Bucket::default())).collect();
        Self { buckets, abilities, ids: 0 }
    }

    /// An id that has no other, and characters that URLs must escape.
    pub(super) fn new_id(&mut self) -> String {
        self.ids += 1;
        format!("{:06}~{:x}+/=", self.ids, self.ids.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    pub(super) fn version_id(&mut self) -> Option<String> {
        self.abilities.versioning.then(|| self.new_id())
    }

    pub(super) fn bucket(&mut self, name: &str) -> Result<&mut Bucket, Refusal> {
        self.buckets.get_mut(name).ok_or_else(Refusal::no_such_bucket)
    }

    pub(super) fn etag(&self, md5: &[u8]) -> String {
        if self.abilities.etags_of_md5 {
            return sums::hex(md5);
        }
        // As long as one, and another.
        sums::hex(&sums::md5([&Bytes::copy_from_slice(md5)]))
    }

    pub(super) fn lose_part(&mut self, multipart: &OpenMultipart, number: u16) {
        let OpenMultipart { bucket, key, upload_id, .. } = multipart;
        let bucket = self.buckets.get_mut(bucket);
        let multipart =
            bucket.and_then(|bucket| bucket.multiparts.get_mut(&(key.clone(), upload_id.clone())));
        multipart.and_then(|multipart| multipart.parts.remove(&number));
    }

    pub(super) fn open_multiparts(&self) -> Vec<OpenMultipart> {
        let all = self.buckets.iter().flat_map(|(name, bucket)| {
            bucket.multiparts.iter().map(move |(id, multipart)| (name, id, multipart))
        });
        let opened = |(bucket, (key, id), multipart): (&String, &(String, String), &Multipart)| {
            let parts = multipart.parts.iter();
            let parts = parts.map(|(number, part)| (*number, length(&part.pieces))).collect();
            OpenMultipart { bucket: bucket.clone(), key: key.clone(), upload_id: id.clone(), parts }
        };
        all.map(opened).collect()
    }
}

pub(super) fn length(pieces: &[Bytes]) -> u64 {
    pieces.iter().map(|piece| piece.len() as u64).sum()
}
