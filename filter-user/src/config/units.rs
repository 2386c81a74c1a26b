//! Rates and times as operators write them.

use std::{fmt, net::IpAddr, str::FromStr, time::Duration};

use ipnet::IpNet;

/// Packets a second, with a burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Packets a second, at least 1.
    pub packets: u64,
    /// Burst in packets, at least 1; one second's worth if not given.
    pub burst: u64,
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no rate: write it like `200/s` or `20k/s burst 400`");
        let (rate, burst) = match text.split_once("burst") {
            Some((rate, burst)) => (rate.trim(), Some(burst.trim())),
            None => (text.trim(), None),
        };
        let number = |text: &str| {
            let (digits, factor) = match text.strip_suffix('k') {
                Some(digits) => (digits, 1000),
                None => (text, 1),
            };
            digits
                .parse::<u64>()
                .ok()?
                .checked_mul(factor)
                .filter(|number| *number > 0)
        };
        let packets = rate.strip_suffix("/s").and_then(number).ok_or_else(wrong)?;
        let burst = match burst {
            Some(burst) => number(burst).ok_or_else(wrong)?,
            None => packets,
        };
        Ok(Self { packets, burst })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/s burst {}", self.packets, self.burst)
    }
}

/// A duration like `90s`, `1h`, `7d`.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|error| format!("`{text}` is no duration ({error}): write it like `90s` or `7d`"))
}

/// A duration as [`parse_duration`] reads it.
pub fn format_duration(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

/// An address or prefix, masked.
pub fn parse_prefix(text: &str) -> Result<IpNet, String> {
    text.parse::<IpNet>()
        .or_else(|_| {
            text.parse::<IpAddr>()
                .map(|address| IpNet::from(address.to_canonical()))
        })
        .map(|prefix| prefix.trunc())
        .map_err(|_| format!("`{text}` is neither an address nor a prefix like 192.0.2.0/24"))
}
