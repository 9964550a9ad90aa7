//! A request's head, as far as the store looks at it.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Read as _};

/// What a head has at most.
const HEAD_BYTES_MAX: u64 = 64 << 10;

/// One of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Head {
    /// `PUT` and the like.
    pub method: String,
    /// Empty for the bucket itself. What is percent-encoded stays so.
    pub key: String,
    /// Names with their values, empty where there is none.
    pub query: BTreeMap<String, String>,
    /// By names in lower case.
    pub headers: BTreeMap<String, String>,
    /// What follows the head.
    pub body_bytes: u64,
}

impl Head {
    /// Reads the next one; nothing when there is no other.
    ///
    /// # Errors
    /// When it is none, or is cut off.
    pub fn read(reader: &mut impl BufRead) -> io::Result<Option<Self>> {
        let mut lines = Vec::new();
        let mut reader = reader.take(HEAD_BYTES_MAX);
        loop {
            let mut line = String::new();
            match reader.read_line(&mut line)? {
                0 if lines.is_empty() => return Ok(None),
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                _ if line.trim_end().is_empty() => break,
                _ => lines.push(line),
            }
        }
        let wrong = || io::Error::other(format!("no request: {:?}", lines.first()));
        Self::parse(&lines).map(Some).ok_or_else(wrong)
    }

    fn parse(lines: &[String]) -> Option<Self> {
        let (first, fields) = lines.split_first()?;
        let mut words = first.split(' ');
        let (method, target) = (words.next()?.to_owned(), words.next()?);
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let (_bucket, key) = path.strip_prefix('/')?.split_once('/').unwrap_or_default();
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        let query = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        let header = |line: &String| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_ascii_lowercase(), value.trim().to_owned()))
        };
        let headers: BTreeMap<_, _> = fields.iter().map(header).collect::<Option<_>>()?;
        let length = headers.get("content-length").map(|length| length.parse());
        Some(Self {
            method,
            key: key.to_owned(),
            query: query.map(|(name, value)| (name.into(), value.into())).collect(),
            body_bytes: length.transpose().ok()?.unwrap_or_default(),
            headers,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> io::Result<Option<Head>> {
        Head::read(&mut text.as_bytes())
    }

    #[test]
    fn a_head_says_what_is_asked_of_which_key() {
        let head = read(
            "PUT /b/a/c?partNumber=2&uploadId=x%3D HTTP/1.1\r\nX-Amz-Meta-A:  1 \r\n\
             content-length: 7\r\n\r\nbody",
        );
        let head = head.unwrap().unwrap();
        assert_eq!((head.method.as_str(), head.key.as_str(), head.body_bytes), ("PUT", "a/c", 7));
        assert_eq!(
            (head.query["partNumber"].as_str(), head.query["uploadId"].as_str()),
            ("2", "x%3D")
        );
        assert_eq!(head.headers["x-amz-meta-a"], "1");
        let bucket = read("GET /b?uploads HTTP/1.1\r\n\r\n").unwrap().unwrap();
        assert_eq!((bucket.key.as_str(), bucket.query["uploads"].as_str()), ("", ""));
    }

    #[test]
    fn what_is_no_request_is_told_and_an_end_between_two_is_none() {
        assert_eq!(read("").unwrap(), None);
        for text in ["PUT\r\n\r\n", "PUT /b HTTP/1.1\r\nno header\r\n\r\n", "PUT /b/k HTTP/1.1\r\n"]
        {
            assert!(read(text).is_err(), "{text:?}");
        }
        assert!(read("PUT /b/k HTTP/1.1\r\ncontent-length: x\r\n\r\n").is_err());
        assert!(read(&format!("PUT /{} HTTP/1.1\r\n\r\n", "k".repeat(1 << 17))).is_err());
    }
}
