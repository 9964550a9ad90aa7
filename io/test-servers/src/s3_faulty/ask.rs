//! The least S3 client: one signed request on a connection of its own.

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use http::{Request, request::Parts};

use super::{Identity, calendar, operation, signature, sums};

/// A server that says nothing for so long has nothing to say.
const PATIENCE: Duration = Duration::from_secs(20);

/// A request to a store that listens on loopback.
pub(crate) struct Ask<'a> {
    pub(crate) address: SocketAddr,
    pub(crate) keys: &'a Identity,
    pub(crate) region: &'a str,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) status: u16,
    /// All of the head, as it came.
    #[cfg(test)]
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answered {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// What stands between an element's tags.
    #[cfg(test)]
    pub(crate) fn element(&self, name: &str) -> Option<String> {
        let text = self.text();
        let (_, after) = text.split_once(&format!("<{name}>"))?;
        after.split_once("</").map(|(inner, _)| inner.to_owned())
    }

    #[cfg(test)]
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

impl Ask<'_> {
    /// What `METHOD /path?query` with this body is answered; `Err`: there was no whole answer.
    pub(crate) fn send(
        &self,
        method_and_path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> std::io::Result<Answered> {
        let (method, path) = method_and_path.split_once(' ').expect("a method and a path");
        let mut stream = TcpStream::connect_timeout(&self.address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut request = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n");
        for (name, value) in self.signed(method, path, headers, body) {
            request += &format!("{name}: {value}\r\n");
        }
        request += &format!("content-length: {}\r\n\r\n", body.len());
        stream.write_all(request.as_bytes())?;
        stream.write_all(body)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        parsed(&answer).ok_or_else(|| std::io::ErrorKind::UnexpectedEof.into())
    }

    fn signed(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> BTreeMap<String, String> {
        let time = calendar::basic(calendar::now_s());
        let hash = sums::hex(&sums::sha256([&body.to_vec().into()]));
        let mut head = Request::builder()
            .method(method)
            .uri(path)
            .header("host", self.address.to_string())
            .header("x-amz-date", &time)
            .header("x-amz-content-sha256", hash);
        for (name, value) in headers {
            head = head.header(*name, *value);
        }
        let (head, ()): (Parts, ()) = head.body(()).expect("a sound head").into_parts();
        let mut asked = operation::asked(&head, None);
        let names: Vec<String> = asked.headers.keys().cloned().collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let signature = signature::signature(&asked, &names, self.keys, self.region, &time);
        let scope = format!("{}/{}/s3/aws4_request", &time[..8], self.region);
        let credential = format!("{}/{scope}", self.keys.access_key);
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={}, Signature={signature}",
            names.join(";")
        );
        asked.headers.insert("authorization".into(), authorization);
        asked.headers
    }

    /// Makes a bucket; whether it is there now.
    pub(crate) fn make_bucket(&self, name: &str) -> bool {
        let made = self.send(&format!("PUT /{name}"), &[], b"");
        made.is_ok_and(|made| made.status == 200 || made.text().contains("BucketAlreadyOwnedByYou"))
    }

    /// Has a bucket keep versions.
    ///
    /// # Panics
    /// When it doesn't.
    pub(crate) fn keep_versions(&self, name: &str) {
        let wanted = "<VersioningConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
                      <Status>Enabled</Status></VersioningConfiguration>";
        let told = self.send(&format!("PUT /{name}?versioning"), &[], wanted.as_bytes()).unwrap();
        assert_eq!(told.status, 200, "{}", told.text());
    }

    /// Whether objects can be put, and taken away again.
    pub(crate) fn can_put(&self, bucket: &str) -> bool {
        let path = format!("/{bucket}/probe");
        let put = self.send(&format!("PUT {path}"), &[], b"probe");
        if !put.is_ok_and(|put| put.status == 200) {
            return false;
        }
        self.send(&format!("DELETE {path}"), &[], b"").is_ok_and(|gone| gone.status == 204)
    }
}

fn parsed(answer: &[u8]) -> Option<Answered> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?.to_owned();
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let body = answer[end + 4..].to_vec();
    let told = head
        .lines()
        .find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let is_whole = told.is_none_or(|length: usize| length <= body.len() || body.is_empty());
    is_whole.then_some(Answered {
        status,
        #[cfg(test)]
        head,
        body,
    })
}
