//! Where a store is, as settings name it.

/// Scheme, host and port of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Whether TLS is spoken.
    pub is_tls: bool,
    /// A name or an IP address, an IPv6 one without brackets.
    pub host: String,
    /// Its TCP port.
    pub port: u16,
}

/// What is wrong with an endpoint; never its text, which may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// Another scheme, or none.
    #[error("must begin with http:// or https://")]
    Scheme,
    /// No host, or one that no URL can have.
    #[error("has no host name, or not a good one")]
    Host,
    /// A port that is no number from 1 to 65535.
    #[error("the port is no number from 1 to 65535")]
    Port,
    /// A user, a path or a query.
    #[error("nothing but host and port may be named: no user, path or query")]
    More,
}

impl Endpoint {
    /// Reads `http[s]://host[:port][/]`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, EndpointError> {
        let (is_tls, rest) = match (text.strip_prefix("http://"), text.strip_prefix("https://")) {
            (Some(rest), _) => (false, rest),
            (_, Some(rest)) => (true, rest),
            (None, None) => return Err(EndpointError::Scheme),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '?', '#', '@']) {
            return Err(EndpointError::More);
        }
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (rest, None),
        };
        let port = match port {
            None if is_tls => 443,
            None => 80,
            Some(port) => port.parse().map_err(|_| EndpointError::Port)?,
        };
        if port == 0 {
            return Err(EndpointError::Port);
        }
        let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(host) => host.parse::<std::net::Ipv6Addr>().ok().map(|ip| ip.to_string()),
            None => Some(host.to_owned()).filter(|host| is_name(host)),
        };
        Ok(Self { is_tls, host: host.ok_or(EndpointError::Host)?, port })
    }

    /// Amazon's own, in a region.
    pub fn aws(region: &str) -> Self {
        Self { is_tls: true, host: format!("s3.{region}.amazonaws.com"), port: 443 }
    }

    /// What a request names as its host: without the port that the scheme has anyway.
    pub(super) fn authority(&self, host: &str) -> String {
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        match (self.is_tls, self.port) {
            (true, 443) | (false, 80) => host,
            (_, port) => format!("{host}:{port}"),
        }
    }
}

fn is_name(host: &str) -> bool {
    let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    !host.is_empty() && host.bytes().all(is_fit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_name_one_is_read() {
        for (text, is_tls, host, port, authority) in [
            ("http://a", false, "a", 80, "a"),
            ("https://s3.eu.example/", true, "s3.eu.example", 443, "s3.eu.example"),
            ("http://127.0.0.1:8333", false, "127.0.0.1", 8333, "127.0.0.1:8333"),
            ("https://[::1]:9000", true, "::1", 9000, "[::1]:9000"),
            ("http://[::1]", false, "::1", 80, "[::1]"),
        ] {
            let endpoint = Endpoint::parse(text).unwrap();
            assert_eq!(endpoint, Endpoint { is_tls, host: host.to_owned(), port }, "{text}");
            assert_eq!(endpoint.authority(host), authority);
        }
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (text, error) in [
            ("s3://a", EndpointError::Scheme),
            ("http://", EndpointError::Host),
            ("http://a b", EndpointError::Host),
            ("http://[x]", EndpointError::Host),
            ("http://a:0", EndpointError::Port),
            ("http://a:x", EndpointError::Port),
            ("http://u:p@a", EndpointError::More),
            ("http://a/b", EndpointError::More),
        ] {
            assert_eq!(Endpoint::parse(text).unwrap_err(), error, "{text}");
        }
    }
}
