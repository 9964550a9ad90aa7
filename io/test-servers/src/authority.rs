//! A private authority, and certificates that it signs, made by `openssl`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use tempfile::TempDir;
use tokio_rustls::rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};

const CURVE: &[&str] = &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

/// An authority that nobody else believes. Its files go with it.
#[derive(Debug)]
pub struct Authority {
    folder: TempDir,
}

/// A certificate and its key, PEM files.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

impl Issued {
    /// A server that shows it.
    pub(crate) fn server_config(&self) -> Arc<ServerConfig> {
        let certificate = CertificateDer::from_pem_file(&self.certificate).unwrap();
        let key = PrivateKeyDer::from_pem_file(&self.key).unwrap();
        let config = ServerConfig::builder().with_no_client_auth();
        Arc::new(config.with_single_cert(vec![certificate], key).unwrap())
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Authority {
    /// Makes one.
    pub fn new() -> Self {
        let folder = TempDir::new().unwrap();
        // Of another name than any other: who is looked for is found by it.
        let name = folder.path().file_name().unwrap_or_default().to_string_lossy();
        let subject = format!("/CN=authority {name}");
        let subject = ["req", "-x509", "-days", "2", "-subj", &subject];
        let out = ["-keyout", "ca.key", "-out", "ca.pem"];
        openssl(folder.path(), &[&subject[..], CURVE, &out].concat());
        Self { folder }
    }

    /// Its own certificate, a PEM file.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Signs a certificate for `names`, such as `IP:127.0.0.1,DNS:localhost`, in files called `file`.
    pub fn issue(&self, file: &str, names: &str) -> Issued {
        let folder = self.folder.path();
        let path = |ending: &str| format!("{file}.{ending}");
        let (request, extensions, key, certificate) =
            (path("csr"), path("ext"), path("key"), path("pem"));
        fs::write(folder.join(&extensions), format!("subjectAltName={names}\n")).unwrap();
        let asks = ["req", "-subj", "/CN=somebody", "-keyout", &key, "-out", &request];
        openssl(folder, &[&asks[..], CURVE].concat());
        let signs = ["x509", "-req", "-days", "2", "-CA", "ca.pem", "-CAkey", "ca.key"];
        let files = ["-in", &request, "-extfile", &extensions, "-out", &certificate];
        openssl(folder, &[&signs[..], &["-CAcreateserial"], &files].concat());
        Issued { certificate: folder.join(certificate), key: folder.join(key) }
    }
}

fn openssl(folder: &Path, arguments: &[&str]) {
    let mut openssl = Command::new("openssl");
    let ended = openssl.args(arguments).current_dir(folder).output();
    let ended = ended.unwrap_or_else(|error| panic!("openssl: {error}"));
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
}
