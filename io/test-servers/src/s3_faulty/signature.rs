//! AWS's signature, version 4, in headers: who asked, and whether it is theirs.
//!
//! Written from "Signature Calculations for the Authorization Header" of the S3 API reference.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

use super::{
    Refusal, calendar, encoding,
    options::{Identity, Rights},
    record::Asked,
    sums::hex,
};

/// How far a request's time may be from the store's.
const SKEW_S_MAX: i64 = 15 * 60;

/// What `Authorization` names.
struct Claim<'a> {
    access_key: &'a str,
    date: &'a str,
    region: &'a str,
    signed: Vec<&'a str>,
    signature: &'a str,
}

/// Whether the request is signed by somebody who may do it.
pub(super) fn verified(
    asked: &Asked,
    identities: &[Identity],
    region: &str,
    now_s: i64,
) -> Result<(), Refusal> {
    let claim = claim(asked)?;
    let identity = identities.iter().find(|who| who.access_key == claim.access_key);
    let identity = identity.ok_or_else(Refusal::invalid_access_key_id)?;
    let time = time_verified(asked, now_s)?;
    if claim.region != region || !time.starts_with(claim.date) {
        let message = "The authorization header is malformed; the region or date is wrong.";
        return Err(
            Refusal::new(400, "AuthorizationHeaderMalformed", message).element("Region", region)
        );
    }
    all_signed(asked, &claim)?;
    if asked.header("x-amz-content-sha256").is_none() {
        let message = "Missing required header for this request: x-amz-content-sha256";
        return Err(Refusal::invalid_request(message));
    }
    let expected = signature(asked, &claim.signed, identity, claim.region, time);
    if expected != claim.signature {
        return Err(Refusal::signature_does_not_match());
    }
    if asked.header("x-amz-security-token") != identity.session_token.as_deref() {
        let message = "The provided token is malformed or otherwise invalid.";
        return Err(Refusal::new(400, "InvalidToken", message));
    }
    if identity.ends_unix_s.is_some_and(|ends_s| ends_s <= now_s) {
        let message = "The provided token has expired.";
        return Err(Refusal::new(400, "ExpiredToken", message));
    }
    let reads = matches!(asked.method.as_str(), "GET" | "HEAD");
    match identity.rights {
        Rights::All => Ok(()),
        Rights::Read if reads => Ok(()),
        Rights::Read | Rights::None => Err(Refusal::access_denied()),
    }
}

fn claim(asked: &Asked) -> Result<Claim<'_>, Refusal> {
    let header = asked.header("authorization").ok_or_else(Refusal::access_denied)?;
    let malformed = || {
        let message = "The authorization header is malformed.";
        Refusal::new(400, "AuthorizationHeaderMalformed", message)
    };
    let fields = header.strip_prefix("AWS4-HMAC-SHA256").ok_or_else(malformed)?;
    let field = |name: &str| {
        let mut fields = fields.split(',').filter_map(|field| field.trim().split_once('='));
        fields.find(|(known, _)| *known == name).map(|(_, value)| value).ok_or_else(malformed)
    };
    let scope: Vec<&str> = field("Credential")?.split('/').collect();
    let [access_key, date, region, "s3", "aws4_request"] = scope[..] else {
        return Err(malformed());
    };
    let signed = field("SignedHeaders")?.split(';').collect();
    Ok(Claim { access_key, date, region, signed, signature: field("Signature")? })
}

fn time_verified(asked: &Asked, now_s: i64) -> Result<&str, Refusal> {
    let missing = "AWS authentication requires a valid Date or x-amz-date header";
    let missing = || Refusal::new(403, "AccessDenied", missing);
    let time = asked.header("x-amz-date").ok_or_else(missing)?;
    let time_s = calendar::from_basic(time).ok_or_else(missing)?;
    if (now_s - time_s).abs() <= SKEW_S_MAX {
        return Ok(time);
    }
    let message = "The difference between the request time and the current time is too large.";
    Err(Refusal::new(403, "RequestTimeTooSkewed", message)
        .element("RequestTime", time)
        .element("ServerTime", &calendar::extended(now_s))
        .element("MaxAllowedSkewMilliseconds", &(SKEW_S_MAX * 1_000).to_string()))
}

fn all_signed(asked: &Asked, claim: &Claim<'_>) -> Result<(), Refusal> {
    let must_be = |name: &str| name == "host" || name.starts_with("x-amz-");
    let names = asked.headers.keys().filter(|name| must_be(name));
    let unsigned: Vec<&str> =
        names.map(String::as_str).filter(|name| !claim.signed.contains(name)).collect();
    if unsigned.is_empty() {
        return Ok(());
    }
    let message = "There were headers present in the request which were not signed";
    Err(Refusal::new(403, "AccessDenied", message)
        .element("HeadersNotSigned", &unsigned.join(", ")))
}

/// The signature that the request should have.
pub(super) fn signature(
    asked: &Asked,
    signed: &[&str],
    identity: &Identity,
    region: &str,
    time: &str,
) -> String {
    let canonical = canonical(asked, signed);
    let date = time.get(..8).unwrap_or_default();
    let scope = format!("{date}/{region}/s3/aws4_request");
    let hash = hex(&Sha256::digest(canonical.as_bytes()));
    let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{hash}");
    let secret = format!("AWS4{}", identity.secret_key);
    let mut key = keyed(secret.as_bytes(), date);
    for step in [region, "s3", "aws4_request"] {
        key = keyed(&key, step);
    }
    hex(&keyed(&key, &to_sign))
}

fn canonical(asked: &Asked, signed: &[&str]) -> String {
    let path = encoding::encode_path(&encoding::decode(&asked.path));
    let pairs = encoding::pairs(&asked.raw_query);
    let mut pairs: Vec<(String, String)> =
        pairs.map(|(name, value)| (encoding::encode(&name), encoding::encode(&value))).collect();
    pairs.sort();
    let query: Vec<String> =
        pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    let headers: String = signed
        .iter()
        .map(|name| {
            let value = asked.header(name).unwrap_or_default();
            let words: Vec<&str> = value.split_ascii_whitespace().collect();
            format!("{name}:{}\n", words.join(" "))
        })
        .collect();
    let hash = asked.header("x-amz-content-sha256").unwrap_or_default();
    let (method, query, signed) = (&asked.method, query.join("&"), signed.join(";"));
    format!("{method}\n{path}\n{query}\n{headers}\n{signed}\n{hash}")
}

fn keyed(key: &[u8], text: &str) -> Vec<u8> {
    // A key of any length is one.
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::s3_faulty::Operation;

    /// "Example: GET Object" of S3's reference.
    fn example() -> Asked {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let signature = "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41";
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,\
             SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,Signature={signature}"
        );
        let headers = [
            ("host", "examplebucket.s3.amazonaws.com"),
            ("range", "bytes=0-9"),
            ("x-amz-content-sha256", empty),
            ("x-amz-date", "20130524T000000Z"),
            ("authorization", &authorization),
        ];
        Asked {
            operation: Operation::GetObject,
            bucket: "examplebucket".into(),
            key: "test.txt".into(),
            upload_id: None,
            part: None,
            query: BTreeMap::new(),
            headers: headers.map(|(name, value)| (name.into(), value.into())).into(),
            method: "GET".into(),
            path: "/test.txt".into(),
            raw_query: String::new(),
        }
    }

    fn verified(asked: &Asked, now_s: i64) -> Result<(), Refusal> {
        let secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
        let identity = Identity::new("AKIAIOSFODNN7EXAMPLE", secret, Rights::All);
        super::verified(asked, &[identity], "us-east-1", now_s)
    }

    #[test]
    fn the_example_of_the_reference_is_genuine_for_a_quarter_of_an_hour() {
        let at_s = calendar::from_basic("20130524T000000Z").unwrap();
        for skew_s in [-SKEW_S_MAX, 0, SKEW_S_MAX] {
            assert_eq!(verified(&example(), at_s + skew_s), Ok(()));
        }
        for skew_s in [-SKEW_S_MAX - 1, SKEW_S_MAX + 1] {
            let refused = verified(&example(), at_s + skew_s).unwrap_err();
            assert_eq!(refused.code, "RequestTimeTooSkewed");
        }
    }

    #[test]
    fn what_is_changed_after_it_was_signed_is_refused() {
        let at_s = calendar::from_basic("20130524T000000Z").unwrap();
        let code = |change: &dyn Fn(&mut Asked)| {
            let mut asked = example();
            change(&mut asked);
            verified(&asked, at_s).unwrap_err().code
        };
        assert_eq!(code(&|asked| asked.path = "/test.txT".into()), "SignatureDoesNotMatch");
        assert_eq!(code(&|asked| asked.raw_query = "uploads".into()), "SignatureDoesNotMatch");
        assert_eq!(code(&|asked| asked.method = "PUT".into()), "SignatureDoesNotMatch");
        let added = |asked: &mut Asked| {
            asked.headers.insert("x-amz-acl".into(), "public-read".into());
        };
        assert_eq!(code(&added), "AccessDenied");
    }
}
