//! TLS to servers: whom this side believes, and how it shows who it is. And sockets that are plain, or
//! have TLS over them, for those who speak on either alike.

mod socket;

use std::{
    fmt, io,
    net::TcpStream,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ClientConfig, ClientConnection, ConfigBuilder, RootCertStore, StreamOwned,
    client::WantsClientCert,
    crypto::ring,
    pki_types::{
        CertificateDer, PrivateKeyDer, ServerName,
        pem::{self, PemObject},
    },
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use socket::Plain;
pub(crate) use socket::Socket;

/// What TLS is made of, PEM files all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificates of who signs those of servers; `None`: those that the system has.
    pub ca: Option<PathBuf>,
    /// How this side shows who it is, where servers ask for that.
    pub client: Option<ClientFiles>,
}

/// A certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientFiles {
    /// The certificate, and behind it those between it and one that servers believe.
    pub certificate: PathBuf,
    /// Its key: PKCS#8, PKCS#1 or SEC1.
    pub key: PathBuf,
}

/// One of the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsFile {
    /// [`TlsFiles::ca`].
    Ca,
    /// [`ClientFiles::certificate`].
    Certificate,
    /// [`ClientFiles::key`].
    Key,
}

/// Why there is no TLS. Nothing of what a file holds is in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// A file isn't what it should be.
    #[error("{}: {problem}", path.display())]
    File {
        /// Which.
        file: TlsFile,
        /// Where it should be.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// No file is named, and the system has no certificates.
    #[error("the system has no certificates of who signs")]
    NoRoots,
}

/// How TLS is spoken. Clones share it: made once, it serves all connections of all executors.
#[derive(Clone)]
pub struct Tls(Arc<ClientConfig>);

impl fmt::Debug for Tls {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

impl Tls {
    /// Reads the files. Blocks.
    ///
    /// # Errors
    /// [`TlsError`], of the first that is bad.
    pub fn load(files: &TlsFiles) -> Result<Self, TlsError> {
        let roots = match &files.ca {
            Some(path) => read_roots(path)?,
            None => system_roots()?,
        };
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider has what TLS 1.2 and 1.3 need")
            .with_root_certificates(roots);
        let config = match &files.client {
            Some(client) => client.add_to(builder)?,
            None => builder.with_no_client_auth(),
        };
        Ok(Self(Arc::new(config)))
    }

    /// For a thread that may block. Hands are shaken by the first bytes.
    pub(crate) fn over_blocking(
        &self,
        host: &str,
        stream: TcpStream,
    ) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let session = ClientConnection::new(Arc::clone(&self.0), name);
        Ok(StreamOwned::new(session.map_err(io::Error::other)?, stream))
    }

    /// Shakes hands with a server that must have a certificate for `host`, a name or an IP address.
    async fn begin(&self, host: &str, plain: Plain) -> Result<TlsStream<Plain>, ConnectError> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| ConnectError::Name)?;
        Ok(TlsConnector::from(Arc::clone(&self.0)).connect(name, plain).await?)
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// The host's name is no name that a certificate can have.
    #[error("no name that a certificate can have")]
    Name,
    /// What the system or the other end says.
    #[error(transparent)]
    Broken(#[from] io::Error),
}

impl ClientFiles {
    fn add_to(
        &self,
        builder: ConfigBuilder<ClientConfig, WantsClientCert>,
    ) -> Result<ClientConfig, TlsError> {
        let chain = read_certificates(TlsFile::Certificate, &self.certificate)?;
        let bad_key = |problem| bad(TlsFile::Key, &self.key, problem);
        let key = PrivateKeyDer::from_pem_file(&self.key)
            .map_err(|error| bad_key(told(error, "no private key is in it")))?;
        // What rustls says of a key that doesn't fit says nothing of the key itself.
        let unfit = |error| bad_key(format!("it doesn't fit the certificate: {error}"));
        builder.with_client_auth_cert(chain, key).map_err(unfit)
    }
}

fn read_roots(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in read_certificates(TlsFile::Ca, path)? {
        let added = roots.add(certificate);
        added.map_err(|error| bad(TlsFile::Ca, path, error.to_string()))?;
    }
    Ok(roots)
}

fn system_roots() -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    // Systems have some that nobody reads; the others do.
    let found = rustls_native_certs::load_native_certs().certs;
    let (added, _) = roots.add_parsable_certificates(found);
    if added == 0 { Err(TlsError::NoRoots) } else { Ok(roots) }
}

fn read_certificates(file: TlsFile, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let none = "no certificate is in it";
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    let certificates: Vec<_> = read.map_err(|error| bad(file, path, told(error, none)))?;
    if certificates.is_empty() {
        return Err(bad(file, path, none.to_owned()));
    }
    Ok(certificates)
}

/// Without what the file holds, which the error may have.
fn told(error: pem::Error, none: &str) -> String {
    match error {
        pem::Error::Io(error) => error.to_string(),
        pem::Error::NoItemsFound => none.to_owned(),
        _ => "it isn't PEM".to_owned(),
    }
}

fn bad(file: TlsFile, path: &Path, problem: String) -> TlsError {
    TlsError::File { file, path: path.to_owned(), problem }
}

/// What TLS has against the other end, or it against this one: no matter of the network.
pub(crate) fn objection(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_bad_file_is_named_and_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let load = || Tls::load(&TlsFiles { ca: Some(path.clone()), client: None }).unwrap_err();
        for (text, problem) in [
            (None, "No such file"),
            (Some(""), "no certificate"),
            (Some("secret"), "no certificate"),
            (Some("-----BEGIN CERTIFICATE-----\nsecret!\n-----END CERTIFICATE-----\n"), "PEM"),
            (Some("-----BEGIN CERTIFICATE-----\nc2VjcmV0\n-----END CERTIFICATE-----\n"), "invalid"),
        ] {
            if let Some(text) = text {
                fs::write(&path, text).unwrap();
            }
            let error = load();
            assert!(matches!(error, TlsError::File { file: TlsFile::Ca, .. }), "{error:?}");
            let shown = error.to_string();
            assert!(shown.contains("ca.pem") && shown.contains(problem), "{shown}");
            assert!(!format!("{error:?}").contains("secret"), "{error:?}");
        }
    }
}
