//! What the file says of what is kept of incidents, and of who is told.

use std::{fmt, net::SocketAddr, path::PathBuf, time::Duration};

/// How long what is told of incidents is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incidents {
    /// Reports, and the seconds of incidents.
    pub keep: Duration,
    /// Seconds of calm.
    pub seconds: Duration,
    /// Bytes of all of it; the oldest goes first.
    pub room: u64,
}

impl Default for Incidents {
    fn default() -> Self {
        const DAY: u64 = 86_400;
        Self {
            keep: Duration::from_secs(90 * DAY),
            seconds: Duration::from_secs(7 * DAY),
            room: 256_000_000,
        }
    }
}

/// Who is told of incidents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Webhook {
    /// Where to; nobody if none.
    pub url: Option<Endpoint>,
    /// The file of the secret that signs what is sent; unsigned if none.
    pub secret: Option<PathBuf>,
}

/// An address that is told of incidents. Its path may be a secret: it is shown by its host alone.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    url: String,
    origin: String,
    is_here: bool,
}

impl Endpoint {
    /// The whole of it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Whether it is of this host.
    pub fn is_here(&self) -> bool {
        self.is_here
    }

    /// Reads one: over TLS, or to this host.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let url: hyper::Uri = text
            .parse()
            .map_err(|_| "is no address: write one as https://example.org/hook")?;
        let host = url.host().filter(|host| !host.is_empty());
        let (Some(scheme), Some(host), Some(authority)) = (url.scheme_str(), host, url.authority())
        else {
            return Err("is no address: write one as https://example.org/hook");
        };
        if authority.as_str().contains('@') {
            return Err("holds a password: name the file of a secret with `secret_file`");
        }
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let is_here = bare == "localhost"
            || bare
                .parse::<std::net::IpAddr>()
                .is_ok_and(|address| address.is_loopback());
        match scheme {
            "https" => {}
            "http" if is_here => {}
            "http" => return Err("is not encrypted: write https, or an address of this host"),
            _ => return Err("is neither https nor http"),
        }
        Ok(Self {
            url: text.to_owned(),
            origin: format!("{scheme}://{authority}"),
            is_here,
        })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.origin)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/…", self.origin)
    }
}

/// Who may read metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Metrics {
    /// Where they are served, on this host alone; nowhere if none.
    pub listen: Option<SocketAddr>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_shown_without_its_path() {
        let endpoint = Endpoint::parse("https://example.org:8443/hook/TOKEN?a=b").expect("one");
        assert_eq!(endpoint.url(), "https://example.org:8443/hook/TOKEN?a=b");
        for shown in [format!("{endpoint:?}"), endpoint.to_string()] {
            assert!(shown.starts_with("https://example.org:8443"), "{shown}");
            assert!(!shown.contains("TOKEN"), "{shown}");
        }
    }

    #[test]
    fn what_is_not_encrypted_stays_on_this_host() {
        for text in [
            "https://example.org",
            "http://localhost:9/x",
            "http://127.0.0.2/",
            "http://[::1]:80/",
        ] {
            assert!(Endpoint::parse(text).is_ok(), "{text}");
        }
        for (text, says) in [
            ("http://example.org/", "not encrypted"),
            ("http://localhost.example.org/", "not encrypted"),
            ("ftp://example.org/", "neither"),
            ("https://u:p@example.org/", "secret_file"),
            ("https:///x", "no address"),
            ("/x", "no address"),
            ("", "no address"),
            ("example.org", "no address"),
        ] {
            let error = Endpoint::parse(text).expect_err(text);
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
