//! TLS, with a certificate from files.

use std::sync::Arc;

use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    },
};

use super::options::Tls;

pub(super) fn acceptor(tls: &Tls) -> TlsAcceptor {
    let certificate = CertificateDer::from_pem_file(&tls.shows.certificate).unwrap();
    let key = PrivateKeyDer::from_pem_file(&tls.shows.key).unwrap();
    let config = ServerConfig::builder().with_no_client_auth();
    let config = config.with_single_cert(vec![certificate], key).unwrap();
    TlsAcceptor::from(Arc::new(config))
}
