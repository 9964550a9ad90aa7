//! How a store is set up, and what it can and can't do.

/// How a [`super::FaultyS3`] is started.
#[derive(Clone, Debug)]
pub struct Options {
    /// The buckets that are there.
    pub buckets: Vec<String>,
    /// The region that requests must be signed for.
    pub region: String,
    /// Who may ask. The first is whom [`super::FaultyS3::keys`] names.
    pub identities: Vec<Identity>,
    /// What the store can do; [`super::FaultyS3::set_abilities`] changes it later.
    pub abilities: Abilities,
    /// Where hosts called `BUCKET.domain` are buckets, too; `None`: paths alone name them.
    pub domain: Option<String>,
    /// How it speaks TLS, and then nothing else; `None`: it doesn't.
    pub tls: Option<Tls>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            buckets: vec![super::BUCKET.into()],
            region: super::REGION.into(),
            identities: vec![
                Identity::new("AKIAFAULTYSTORE00001", "faultystoresecretnumber1", Rights::All),
                Identity::new("AKIAFAULTYSTORE00002", "faultystoresecretnumber2", Rights::Read),
                Identity::new("AKIAFAULTYSTORE00003", "faultystoresecretnumber3", Rights::None),
            ],
            abilities: Abilities::default(),
            domain: None,
            tls: None,
        }
    }
}

/// Somebody who may ask.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Named in requests.
    pub access_key: String,
    /// Signs requests.
    pub secret_key: String,
    /// What must stand in `x-amz-security-token`; `None`: nothing.
    pub session_token: Option<String>,
    /// What requests of its may do.
    pub rights: Rights,
    /// From then on ExpiredToken is all it gets; `None`: its keys have no end.
    pub ends_unix_s: Option<i64>,
}

impl Identity {
    /// Without a session token.
    pub fn new(access_key: &str, secret_key: &str, rights: Rights) -> Self {
        let (access_key, secret_key) = (access_key.into(), secret_key.into());
        Self { access_key, secret_key, session_token: None, rights, ends_unix_s: None }
    }
}

/// What somebody may do; the rest is answered by AccessDenied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rights {
    /// Everything.
    All,
    /// GET and HEAD.
    Read,
    /// Nothing.
    None,
}

/// What a store can do. The default is what S3 itself does.
#[derive(Clone, Debug)]
pub struct Abilities {
    /// What becomes of CRC64NVME sums.
    pub crc64nvme: Sums,
    /// What becomes of all other `x-amz-checksum-*`.
    pub other_sums: Sums,
    /// Whether parts may be of unequal lengths; without it, as in R2, all but the last must be equal.
    pub unequal_parts: bool,
    /// Whether numbers of parts may have holes.
    pub sparse_parts: bool,
    /// Whether `If-None-Match: *` is honoured; without it, it is ignored.
    pub if_none_match: bool,
    /// What PutObject and UploadPart must carry, as Object Lock has it.
    pub digest_wanted: Digest,
    /// Whether each write makes a version of its own.
    pub versioning: bool,
    /// Whether ETags are made of MD5 sums; under SSE-KMS they are not.
    pub etags_of_md5: bool,
    /// Whether the Complete of an upload that is complete is answered as the first was, rather
    /// than by NoSuchUpload.
    pub complete_repeats: bool,
    /// Whether the hash in `x-amz-content-sha256` is held against the body.
    pub verifies_payload: bool,
    /// What all parts but the last must have.
    pub part_bytes_min: u64,
    /// What a page of any list holds at most.
    pub page_entries_max: usize,
}

impl Default for Abilities {
    fn default() -> Self {
        Self {
            crc64nvme: Sums::Verified,
            other_sums: Sums::Verified,
            unequal_parts: true,
            sparse_parts: true,
            if_none_match: true,
            digest_wanted: Digest::None,
            versioning: false,
            etags_of_md5: true,
            complete_repeats: false,
            verifies_payload: true,
            part_bytes_min: 5 << 20,
            page_entries_max: 1_000,
        }
    }
}

/// What becomes of a sum that a request carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sums {
    /// It is held against the bytes, kept and told.
    Verified,
    /// It is neither looked at nor told.
    Ignored,
    /// The request is refused with NotImplemented.
    Refused,
}

/// What a write must carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Digest {
    /// Nothing.
    None,
    /// `Content-MD5` or `x-amz-checksum-*`, as in S3.
    Any,
    /// `Content-MD5`, as in older stores.
    Md5,
}

/// What it shows to those that speak TLS.
#[derive(Clone, Debug)]
pub struct Tls {
    /// Who signs its certificate.
    pub authority: std::sync::Arc<crate::Authority>,
    /// What it shows.
    pub shows: crate::Issued,
}

impl Tls {
    /// With a certificate for `names` of an authority of its own.
    pub fn new(names: &str) -> Self {
        let authority = std::sync::Arc::new(crate::Authority::new());
        let shows = authority.issue("s3", names);
        Self { authority, shows }
    }
}
