//! What a store can do, found out by trying: stores claim much, and some pass over what they don't
//! know.

use bytes::Bytes;
use sluice_proto::checksum::{Crc32c, Crc64Nvme};

use super::{
    body::Body,
    checksums::Checksums,
    client::Bucket,
    error::{ErrorKind, S3Error},
    headers::ObjectOptions,
    multipart::{MultipartSum, Part, Whole},
};

/// No store takes a smaller part, but as the last.
const SMALL_PART_BYTES: usize = 5 << 20;
const LARGE_PART_BYTES: usize = 6 << 20;
/// The sizes of parts, and the MD5 of so many bytes of [`SLICE`].
const UNEQUAL: [(usize, u128); 3] = [
    (SMALL_PART_BYTES, 0x618e_d206_b40c_ee1b_1d9f_9a0c_d9b9_889a_u128),
    (LARGE_PART_BYTES, 0x9cdd_ce7d_eeee_00c9_4065_e5fd_d451_c243_u128),
    (1, 0x03c7_c0ac_e395_d801_82db_07ae_2c30_f034_u128),
];
const SLICE: &[u8] = &[b's'; 64 << 10];
const WORD: &[u8] = b"sluice";
const WORD_MD5: [u8; 16] = 0x56c4_228b_c58d_4cdf_3ff0_1c3f_c6e8_4189_u128.to_be_bytes();

/// What a store does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Abilities {
    /// A multipart's CRC-64/NVME of the whole is checked: a wrong one is refused, a right one taken.
    pub crc64nvme_whole: bool,
    /// A part's CRC-32C is checked.
    pub crc32c_parts: bool,
    /// A part's Content-MD5 is checked.
    pub md5_parts: bool,
    /// What comes without any checksum is refused, as in buckets with Object Lock.
    pub sums_demanded: bool,
    /// `If-None-Match: *` is honoured where an object is put.
    pub if_none_match: bool,
    /// Parts that aren't the last may be of unequal sizes.
    pub unequal_parts: bool,
}

/// Finds out what a store does, with 11 MiB and some thirty requests. What is made under `key`,
/// which must be the caller's alone, is taken away again, also what an earlier probe left.
///
/// # Errors
/// [`S3Error`], where the store fails or refuses what all do.
pub async fn probe(bucket: &Bucket, key: &str) -> Result<Abilities, S3Error> {
    clean(bucket, key).await?;
    let found = Probe { bucket, key }.run().await;
    let cleaned = clean(bucket, key).await;
    let found = found?;
    cleaned.map(|()| found)
}

/// Only what is of this very key.
async fn clean(bucket: &Bucket, key: &str) -> Result<(), S3Error> {
    let mut after = None;
    loop {
        let page = bucket.list_multiparts(key, after.as_ref()).await?;
        for left in page.multiparts.iter().filter(|left| left.key == key) {
            gone(bucket.abort_multipart(key, &left.upload_id).await)?;
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    bucket.delete_object(key).await
}

/// That there is none any more is as good.
fn gone(ended: Result<(), S3Error>) -> Result<(), S3Error> {
    ended.or_else(|error| if error.kind == ErrorKind::NoSuchUpload { Ok(()) } else { Err(error) })
}

/// What fails for a while says nothing about a store.
fn is_taken<T>(ended: Result<T, S3Error>) -> Result<bool, S3Error> {
    match ended {
        Ok(_) => Ok(true),
        Err(error) => match error.kind {
            ErrorKind::Retryable
            | ErrorKind::Denied
            | ErrorKind::NoSuchBucket
            | ErrorKind::Elsewhere
            | ErrorKind::Body => Err(error),
            _ => Ok(false),
        },
    }
}

struct Probe<'a> {
    bucket: &'a Bucket,
    key: &'a str,
}

impl Probe<'_> {
    async fn run(&self) -> Result<Abilities, S3Error> {
        let sums_demanded = !is_taken(self.put(&Checksums::default(), false).await)?;
        // There must be an object for this.
        self.put(&word_sums(), false).await?;
        let if_none_match = match self.put(&word_sums(), true).await {
            Err(error) if error.kind == ErrorKind::Conflict => true,
            ended => is_taken(ended).map(|_| false)?,
        };
        let (crc32c_parts, md5_parts) = self.parts_sums().await?;
        let crc64nvme_whole = self.whole_sum().await?;
        let unequal_parts = self.unequal_parts().await?;
        Ok(Abilities {
            crc64nvme_whole,
            crc32c_parts,
            md5_parts,
            sums_demanded,
            if_none_match,
            unequal_parts,
        })
    }

    async fn put(&self, sums: &Checksums, if_none_match: bool) -> Result<(), S3Error> {
        let options = ObjectOptions { if_none_match, ..ObjectOptions::default() };
        self.bucket.put_object(self.key, word(), sums, &options).await.map(drop)
    }

    async fn begin(&self, sum: Option<MultipartSum>) -> Result<String, S3Error> {
        self.bucket.create_multipart(self.key, sum, &ObjectOptions::default()).await
    }

    async fn part(&self, id: &str, number: u32, sums: &Checksums) -> Result<Part, S3Error> {
        self.bucket.upload_part(self.key, id, number, word(), sums).await
    }

    async fn complete(&self, id: &str, parts: &[Part], whole: &Whole) -> Result<(), S3Error> {
        self.bucket.complete_multipart(self.key, id, parts, whole).await.map(drop)
    }

    async fn abort(&self, id: &str) -> Result<(), S3Error> {
        gone(self.bucket.abort_multipart(self.key, id).await)
    }

    /// Whether parts are checked against their CRC-32C, and their MD5.
    async fn parts_sums(&self) -> Result<(bool, bool), S3Error> {
        let crc32c = |wrong: u32| Checksums {
            crc32c: Some(Crc32c::of(WORD) ^ wrong),
            ..Checksums::default()
        };
        let begun = match self.begin(Some(MultipartSum::Crc32cParts)).await {
            Ok(id) => Some(id),
            ended => is_taken(ended).map(|_| None)?,
        };
        let mut checks_crc32c = false;
        if let Some(id) = begun {
            let wrong = is_taken(self.part(&id, 1, &crc32c(1)).await)?;
            match self.part(&id, 1, &crc32c(0)).await {
                Ok(part) if !wrong => {
                    let ended = self.complete(&id, &[part], &Whole::default()).await;
                    checks_crc32c = is_taken(ended)?;
                }
                ended => drop(is_taken(ended)?),
            }
            self.abort(&id).await?;
        }
        let id = self.begin(None).await?;
        let md5 = |wrong: u8| {
            let mut sum = WORD_MD5;
            sum[0] ^= wrong;
            Checksums { md5: Some(sum), ..Checksums::default() }
        };
        let wrong = is_taken(self.part(&id, 1, &md5(1)).await)?;
        let right = is_taken(self.part(&id, 1, &md5(0)).await)?;
        self.abort(&id).await?;
        Ok((checks_crc32c, right && !wrong))
    }

    /// Whether the whole is checked against its CRC-64/NVME.
    async fn whole_sum(&self) -> Result<bool, S3Error> {
        let begun = self.begin(Some(MultipartSum::Crc64NvmeWhole)).await;
        let id = match begun {
            Ok(id) => id,
            ended => return is_taken(ended).map(|_| false),
        };
        let sum = Crc64Nvme::of(WORD);
        let whole = |wrong| Whole { crc64nvme: Some(sum ^ wrong), ..Whole::default() };
        let ended = match self.part(&id, 1, &crc64nvme(sum)).await {
            Ok(part) => {
                // Some take the multipart away with what they refuse.
                let wrong =
                    is_taken(self.complete(&id, std::slice::from_ref(&part), &whole(1)).await)?;
                !wrong && self.is_whole_taken(&whole(0), sum).await?
            }
            ended => is_taken(ended).map(|_| false)?,
        };
        self.abort(&id).await?;
        Ok(ended)
    }

    async fn is_whole_taken(&self, whole: &Whole, sum: u64) -> Result<bool, S3Error> {
        let id = self.begin(Some(MultipartSum::Crc64NvmeWhole)).await?;
        let part = self.part(&id, 1, &crc64nvme(sum)).await?;
        let taken = is_taken(self.complete(&id, &[part], whole).await)?;
        self.abort(&id).await?;
        Ok(taken)
    }

    async fn unequal_parts(&self) -> Result<bool, S3Error> {
        let id = self.begin(None).await?;
        let mut parts = Vec::new();
        for (number, (bytes, md5)) in (1..).zip(UNEQUAL) {
            let body = Body::rope(slices(bytes));
            let sums = Checksums { md5: Some(md5.to_be_bytes()), ..Checksums::default() };
            match self.bucket.upload_part(self.key, &id, number, body, &sums).await {
                Ok(part) => parts.push(part),
                ended => {
                    is_taken(ended)?;
                    break;
                }
            }
        }
        let is_all = parts.len() == UNEQUAL.len();
        let taken = is_all && is_taken(self.complete(&id, &parts, &Whole::default()).await)?;
        self.abort(&id).await?;
        Ok(taken)
    }
}

/// The same bytes again and again: none are made.
fn slices(bytes: usize) -> Vec<Bytes> {
    let starts = (0..bytes).step_by(SLICE.len());
    starts.map(|start| Bytes::from_static(&SLICE[..SLICE.len().min(bytes - start)])).collect()
}

/// What any store takes that demands a sum.
fn word_sums() -> Checksums {
    Checksums { crc64nvme: None, crc32c: None, md5: Some(WORD_MD5) }
}

fn crc64nvme(sum: u64) -> Checksums {
    Checksums { crc64nvme: Some(sum), ..Checksums::default() }
}

fn word() -> Body {
    Body::rope([Bytes::from_static(WORD)])
}
