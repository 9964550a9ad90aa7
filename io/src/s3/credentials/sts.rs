//! Keys for a token, from Amazon's STS: AssumeRoleWithWebIdentity, as one blocking request.
//!
//! aws-creds has it, too, by attohttpc, whose `tls-rustls-native-roots-ring` speaks no TLS at all, and
//! whose other features bring a second provider of cryptography along. Here the token isn't in a URL,
//! either.

use std::{
    env, fs,
    io::{self, Read, Write},
    net::{TcpStream, ToSocketAddrs as _},
    time::Duration,
};

use awscreds::{AssumeRoleWithWebIdentityResponse, Credentials as Fetched};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::super::endpoint::Endpoint;
use crate::tls::{Tls, TlsFiles};

/// Where no `AWS_ENDPOINT_URL_STS` names another one.
const GLOBAL: &str = "https://sts.amazonaws.com";
/// Of connecting, and of each read and write.
const PATIENCE: Duration = Duration::from_secs(10);
/// An answer has some 2 KiB.
const ANSWER_BYTES_MAX: u64 = 64 << 10;

/// Asks for the role in `AWS_ROLE_ARN` with the token in `AWS_WEB_IDENTITY_TOKEN_FILE`.
pub(super) fn assume(session_name: &str) -> io::Result<Fetched> {
    let (role, file) = (variable("AWS_ROLE_ARN")?, variable("AWS_WEB_IDENTITY_TOKEN_FILE")?);
    let token = fs::read_to_string(&file)
        .map_err(|error| io::Error::new(error.kind(), format!("{file}: {error}")))?;
    let endpoint = env::var("AWS_ENDPOINT_URL_STS").unwrap_or_else(|_| GLOBAL.to_owned());
    let endpoint = Endpoint::parse(&endpoint)
        .map_err(|error| other(format!("AWS_ENDPOINT_URL_STS {error}")))?;
    let escaped = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let form = format!(
        "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn={}&RoleSessionName={}\
         &WebIdentityToken={}",
        escaped(&role),
        escaped(session_name),
        escaped(token.trim_end())
    );
    let answer = ask(&endpoint, &form)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", endpoint.host)))?;
    read(&answer)
}

fn variable(name: &str) -> io::Result<String> {
    env::var(name).map_err(|error| other(format!("{name}: {error}")))
}

fn other(problem: impl Into<String>) -> io::Error {
    io::Error::other(problem.into())
}

/// The body of what is answered to a form.
fn ask(endpoint: &Endpoint, form: &str) -> io::Result<String> {
    let Endpoint { host, port, is_tls } = endpoint;
    let mut last = other("it has no address");
    for address in (host.as_str(), *port).to_socket_addrs()? {
        let stream = match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => stream,
            Err(error) => {
                last = error;
                continue;
            }
        };
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let head = format!(
            "POST / HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n",
            endpoint.authority(host),
            form.len()
        );
        let request = head + form;
        return match is_tls {
            false => exchange(stream, &request),
            true => {
                let tls = Tls::load(&TlsFiles::default()).map_err(io::Error::other)?;
                exchange(tls.over_blocking(host, stream)?, &request)
            }
        };
    }
    Err(last)
}

fn exchange(mut stream: impl Read + Write, request: &str) -> io::Result<String> {
    stream.write_all(request.as_bytes())?;
    stream.flush()?;
    let mut answer = Vec::new();
    // Some end without TLS's goodbye: then the length says whether all came.
    let ended = stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer);
    let answer = String::from_utf8(answer).map_err(|_| other("it answers no text"))?;
    match (body(&answer), ended) {
        (Some((status, body)), _) if status == "200" => Ok(body),
        (Some((status, body)), _) => Err(other(refusal(&status, &body))),
        (None, Err(error)) => Err(error),
        (None, Ok(_)) => Err(other("its answer is cut short")),
    }
}

/// Status and body, if all of it is there.
fn body(answer: &str) -> Option<(String, String)> {
    let (head, rest) = answer.split_once("\r\n\r\n")?;
    let mut lines = head.lines();
    let status = lines.next()?.split(' ').nth(1)?.to_owned();
    let headers: Vec<(String, &str)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim()))
        .collect();
    let header = |name: &str| headers.iter().find(|(known, _)| known == name).map(|(_, v)| *v);
    let body = match (header("transfer-encoding"), header("content-length")) {
        (Some(coding), _) if coding.eq_ignore_ascii_case("chunked") => of_chunks(rest)?,
        (_, Some(length)) => rest.get(..length.parse().ok()?)?.to_owned(),
        _ => rest.to_owned(),
    };
    Some((status, body))
}

fn of_chunks(mut rest: &str) -> Option<String> {
    let mut body = String::new();
    loop {
        let (length, after) = rest.split_once("\r\n")?;
        let length = length.split(';').next()?.trim();
        let length = usize::from_str_radix(length, 16).ok()?;
        if length == 0 {
            return Some(body);
        }
        body.push_str(after.get(..length)?);
        rest = after.get(length..)?.strip_prefix("\r\n")?;
    }
}

/// STS's own words.
fn refusal(status: &str, body: &str) -> String {
    let element = |name: &str| {
        let (_, after) = body.split_once(&format!("<{name}>"))?;
        after.split_once(&format!("</{name}>")).map(|(text, _)| text)
    };
    let (code, message) = (element("Code").unwrap_or(status), element("Message").unwrap_or(""));
    format!("{code}: {message}")
}

fn read(answer: &str) -> io::Result<Fetched> {
    let answer: AssumeRoleWithWebIdentityResponse = quick_xml::de::from_str(answer)
        // What it says may have the keys in it.
        .map_err(|_| other("STS answers something else than keys"))?;
    let keys = answer.assume_role_with_web_identity_result.credentials;
    let (access_key, secret_key) = (&keys.access_key_id, &keys.secret_access_key);
    let token = Some(keys.session_token.as_str());
    let fetched = Fetched::new(Some(access_key), Some(secret_key), None, token, None);
    let mut fetched = fetched.map_err(io::Error::other)?;
    fetched.expiration = Some(keys.expiration);
    Ok(fetched)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_or_none() {
        let whole = |answer: &str| body(answer).map(|(status, body)| format!("{status} {body}"));
        let told = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";
        assert_eq!(whole(told).as_deref(), Some("200 abc"));
        assert_eq!(whole(&told[..told.len() - 1]), None);
        let chunks =
            "HTTP/1.1 403 No\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n";
        assert_eq!(whole(chunks).as_deref(), Some("403 abc"));
        assert_eq!(whole(&chunks[..chunks.len() - 6]), None);
        let told =
            "<ErrorResponse><Error><Code>Bad</Code><Message>no</Message></Error></ErrorResponse>";
        assert_eq!(refusal("400", told), "Bad: no");
        assert_eq!(refusal("502", "<html>"), "502: ");
    }

    #[test]
    fn what_isnt_keys_isnt_shown() {
        let error = read("<A><SecretAccessKey>s3cret</SecretAccessKey></A>").unwrap_err();
        assert!(!error.to_string().contains("s3cret"), "{error}");
    }
}
