//! Where Redis is, as settings name it.

use std::fmt;

use percent_encoding::percent_decode_str;

const PORT_DEFAULT: u16 = 6379;

/// `redis://[user[:password]@]host[:port][,host[:port]…]`; `rediss://` with TLS. Several hosts are
/// nodes of one cluster.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl {
    /// Whether TLS is spoken.
    pub tls: bool,
    /// The ACL user; empty: the default one.
    pub user: String,
    /// Its password; empty: none.
    pub password: String,
    /// Host and port of each server that is named.
    pub hosts: Vec<(String, u16)>,
}

impl fmt::Debug for RedisUrl {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "rediss" } else { "redis" };
        let hosts: Vec<_> =
            self.hosts.iter().map(|(host, port)| format!("{host}:{port}")).collect();
        write!(f, "{scheme}://{}", hosts.join(","))
    }
}

/// What is wrong with a URL; never its text, which may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Another scheme, or none.
    #[error("must begin with redis:// or rediss://")]
    Scheme,
    /// No host, or an empty one.
    #[error("a host is missing")]
    Host,
    /// A port that is no number below 65,536.
    #[error("a port is no number from 1 to 65535")]
    Port,
    /// A percent sign that encodes no UTF-8 text.
    #[error("user or password is no percent-encoded UTF-8")]
    Encoding,
    /// A path or a query: databases don't exist in a cluster.
    #[error("nothing may follow the hosts: there is one database, 0")]
    Path,
}

impl RedisUrl {
    /// Reads one.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let (tls, rest) = match (text.strip_prefix("redis://"), text.strip_prefix("rediss://")) {
            (Some(rest), _) => (false, rest),
            (_, Some(rest)) => (true, rest),
            (None, None) => return Err(UrlError::Scheme),
        };
        let (login, hosts) = rest.rsplit_once('@').unwrap_or(("", rest));
        let hosts = match hosts.split_once(['/', '?']) {
            Some((hosts, "" | "0")) => hosts,
            Some(_) => return Err(UrlError::Path),
            None => hosts,
        };
        let (user, password) = login.split_once(':').unwrap_or((login, ""));
        let hosts = hosts.split(',').map(host_and_port).collect::<Result<_, _>>()?;
        Ok(Self { tls, user: decode(user)?, password: decode(password)?, hosts })
    }
}

fn decode(text: &str) -> Result<String, UrlError> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(std::borrow::Cow::into_owned).map_err(|_| UrlError::Encoding)
}

/// Also `[::1]:6379`, and an IPv6 address with a port without brackets, as cluster nodes name it.
pub(super) fn host_and_port(text: &str) -> Result<(String, u16), UrlError> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, _)) if host.starts_with('[') && !host.ends_with(']') => (text, None),
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() {
        return Err(UrlError::Host);
    }
    let port = port.map_or(Ok(PORT_DEFAULT), |port| port.parse().map_err(|_| UrlError::Port))?;
    if port == 0 {
        return Err(UrlError::Port);
    }
    Ok((host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_name_one_is_read() {
        let url = RedisUrl::parse("rediss://u:p%40s@a,b:7001,[::1]:7002,[::2]/0").unwrap();
        assert!(url.tls);
        assert_eq!((url.user.as_str(), url.password.as_str()), ("u", "p@s"));
        let hosts: Vec<_> = url.hosts.iter().map(|(host, port)| (host.as_str(), *port)).collect();
        assert_eq!(hosts, [("a", 6379), ("b", 7001), ("::1", 7002), ("::2", 6379)]);
        assert_eq!(RedisUrl::parse("redis://:p@a").unwrap().password, "p");
    }

    #[test]
    fn what_is_wrong_is_told_without_the_text() {
        for (text, error) in [
            ("http://a", UrlError::Scheme),
            ("redis://", UrlError::Host),
            ("redis://a,,b", UrlError::Host),
            ("redis://a:x", UrlError::Port),
            ("redis://a:0", UrlError::Port),
            ("redis://u:%ff@a", UrlError::Encoding),
            ("redis://a/1", UrlError::Path),
        ] {
            assert_eq!(RedisUrl::parse(text).unwrap_err(), error, "{text}");
        }
        let shown = format!("{:?}", RedisUrl::parse("redis://u:secret@a").unwrap());
        assert_eq!(shown, "redis://a:6379");
    }
}
