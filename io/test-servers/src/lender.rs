//! Who lends keys for a while, as clouds do: to containers, to machines, and for tokens.
//!
//! Machines ask a fixed address, and come here by way of an HTTP proxy, which this is, too.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::{
    Authority, ports,
    s3_faulty::{Identity, Rights, calendar, encoding},
};

/// What a container must show.
const CONTAINER_TOKEN: &str = "container-token";
/// What a machine is given, and must show.
const MACHINE_TOKEN: &str = "machine-token";
const MACHINE_ROLE: &str = "uploader";
/// The role that is asked for with a token.
const ROLE: &str = "arn:aws:iam::123456789012:role/uploader";
/// That token.
const WEB_TOKEN: &str = "web-token";

const PATIENCE: Duration = Duration::from_secs(30);

/// Lends keys until it is dropped.
pub struct Lender {
    port: u16,
    shared: Arc<Shared>,
    authority: Authority,
}

struct Shared {
    life_s: i64,
    lent: AtomicU64,
    is_over: AtomicBool,
    lend: Box<dyn Fn(Identity) + Send + Sync>,
    sts: Arc<ServerConfig>,
}

/// A request: its first line but for the version, its headers and its body.
struct Head {
    target: String,
    headers: Vec<String>,
    body: String,
}

/// How TLS begins, and HTTP doesn't.
const HANDSHAKE: u8 = 22;

impl Lender {
    /// Lends keys for `life_s` seconds, each time others. `lend` is told of them before they are
    /// answered.
    pub fn start(life_s: i64, lend: impl Fn(Identity) + Send + Sync + 'static) -> Self {
        let authority = Authority::new();
        let sts = authority.issue("sts", "IP:127.0.0.1").server_config();
        let shared = Arc::new(Shared {
            life_s,
            lent: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
            lend: Box::new(lend),
            sts,
        });
        let port = ports::free(1);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        let listening = shared.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                if listening.is_over.load(Ordering::SeqCst) {
                    return;
                }
                // Who asks learns that it broke.
                let _ = stream.and_then(|stream| listening.answer(stream));
            }
        });
        Self { port, shared, authority }
    }

    /// How often keys were lent.
    pub fn lent(&self) -> u64 {
        self.shared.lent.load(Ordering::SeqCst)
    }

    /// What a container finds in its environment.
    pub fn container(&self) -> Vec<(String, String)> {
        let uri = format!("http://127.0.0.1:{}/container", self.port);
        environment([
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &uri),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN", CONTAINER_TOKEN),
        ])
    }

    /// What has a machine ask here.
    pub fn machine(&self) -> Vec<(String, String)> {
        environment([("HTTP_PROXY", &format!("http://127.0.0.1:{}", self.port))])
    }

    /// What somebody finds in the environment who has a token, which lies in `file`.
    pub fn web_identity(&self, file: &std::path::Path) -> Vec<(String, String)> {
        std::fs::write(file, WEB_TOKEN).unwrap();
        environment([
            ("AWS_ROLE_ARN", ROLE),
            ("AWS_WEB_IDENTITY_TOKEN_FILE", &file.display().to_string()),
            ("AWS_ENDPOINT_URL_STS", &format!("https://127.0.0.1:{}", self.port)),
            ("SSL_CERT_FILE", &self.authority.file().display().to_string()),
        ])
    }
}

impl Drop for Lender {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        // So that it looks.
        drop(TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)));
    }
}

fn environment<const COUNT: usize>(all: [(&str, &str); COUNT]) -> Vec<(String, String)> {
    all.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

impl Shared {
    fn answer(&self, mut stream: TcpStream) -> std::io::Result<()> {
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut first = [0];
        stream.peek(&mut first)?;
        if first != [HANDSHAKE] {
            let head = Head::read(&stream)?;
            return say(&mut stream, self.plain(&head));
        }
        let session = ServerConnection::new(self.sts.clone()).map_err(std::io::Error::other)?;
        let mut stream = StreamOwned::new(session, stream);
        let head = Head::read(&mut stream)?;
        say(&mut stream, self.for_token(&head))?;
        stream.conn.send_close_notify();
        stream.flush()
    }

    /// The answer of what containers and machines ask; nothing to what is wrong.
    fn plain(&self, head: &Head) -> Option<String> {
        const IMDS: &str = "http://169.254.169.254/latest";
        const ROLES: &str = "meta-data/iam/security-credentials";
        let is_machine = head.says("x-aws-ec2-metadata-token", MACHINE_TOKEN);
        if head.target == "GET /container" {
            return head.says("authorization", CONTAINER_TOKEN).then(|| self.keys_in_json());
        }
        if head.target == format!("PUT {IMDS}/api/token") {
            return Some(MACHINE_TOKEN.to_owned());
        }
        if head.target == format!("GET {IMDS}/{ROLES}") {
            return is_machine.then(|| MACHINE_ROLE.to_owned());
        }
        let is_asked = head.target == format!("GET {IMDS}/{ROLES}/{MACHINE_ROLE}");
        (is_asked && is_machine).then(|| self.keys_in_json())
    }

    fn keys_in_json(&self) -> String {
        let (identity, ends) = self.lend_keys();
        let Identity { access_key, secret_key, session_token, .. } = identity;
        let token = session_token.unwrap_or_default();
        format!(
            r#"{{"AccessKeyId":"{access_key}","SecretAccessKey":"{secret_key}","Token":"{token}",
            "Expiration":"{ends}","Code":"Success","Type":"AWS-HMAC"}}"#
        )
    }

    /// As STS answers to AssumeRoleWithWebIdentity.
    fn for_token(&self, head: &Head) -> Option<String> {
        let told: BTreeMap<String, String> = encoding::pairs(&head.body).collect();
        let wanted = [
            ("Action", "AssumeRoleWithWebIdentity"),
            ("Version", "2011-06-15"),
            ("RoleArn", ROLE),
            ("WebIdentityToken", WEB_TOKEN),
        ];
        let is_told = |(name, value): (&str, &str)| told.get(name).is_some_and(|it| it == value);
        if head.target != "POST /" || !wanted.into_iter().all(is_told) {
            return None;
        }
        let (identity, ends) = self.lend_keys();
        let Identity { access_key, secret_key, session_token, .. } = identity;
        let token = session_token.unwrap_or_default();
        Some(format!(
            "<AssumeRoleWithWebIdentityResponse \
             xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleWithWebIdentityResult>\
             <SubjectFromWebIdentityToken>somebody</SubjectFromWebIdentityToken>\
             <Audience>sluice</Audience><AssumedRoleUser><Arn>{ROLE}/sluice</Arn>\
             <AssumedRoleId>AROA:sluice</AssumedRoleId></AssumedRoleUser><Credentials>\
             <SessionToken>{token}</SessionToken><SecretAccessKey>{secret_key}</SecretAccessKey>\
             <Expiration>{ends}</Expiration><AccessKeyId>{access_key}</AccessKeyId></Credentials>\
             <Provider>www.example.com</Provider></AssumeRoleWithWebIdentityResult>\
             <ResponseMetadata><RequestId>1</RequestId></ResponseMetadata>\
             </AssumeRoleWithWebIdentityResponse>"
        ))
    }

    fn lend_keys(&self) -> (Identity, String) {
        let nth = self.lent.fetch_add(1, Ordering::SeqCst) + 1;
        let (access_key, secret_key) = (format!("ASIALENT{nth:012}"), format!("lentsecret{nth}"));
        let ends_s = calendar::now_s() + self.life_s;
        let identity = Identity {
            session_token: Some(format!("lent-token-{nth}")),
            ends_unix_s: Some(ends_s),
            ..Identity::new(&access_key, &secret_key, Rights::All)
        };
        (self.lend)(identity.clone());
        (identity, calendar::extended(ends_s))
    }
}

impl Head {
    fn read(stream: impl Read) -> std::io::Result<Self> {
        let mut reader = BufReader::new(stream);
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            match line.trim_end() {
                "" => break,
                line => lines.push(line.to_owned()),
            }
        }
        let first = lines.first().and_then(|line| line.rsplit_once(' '));
        let target = first.map_or("", |(target, _)| target).to_owned();
        let length = lines
            .iter()
            .find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        reader.read_exact(&mut body)?;
        let body = String::from_utf8_lossy(&body).into_owned();
        Ok(Self { target, headers: lines, body })
    }

    fn says(&self, name: &str, value: &str) -> bool {
        let header = format!("{name}: {value}");
        self.headers.iter().any(|line| line.eq_ignore_ascii_case(&header))
    }
}

fn say(stream: &mut impl Write, answer: Option<String>) -> std::io::Result<()> {
    let (status, body) = answer.map_or(("403 Forbidden", String::new()), |body| ("200 OK", body));
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
    stream.write_all((head + &body).as_bytes())
}
