//! TLS, with a certificate from files.

use tokio_rustls::TlsAcceptor;

use super::options::Tls;

pub(super) fn acceptor(tls: &Tls) -> TlsAcceptor {
    TlsAcceptor::from(tls.shows.server_config())
}
