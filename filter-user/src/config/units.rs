//! Rates, times and prefixes as operators write them.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
    time::Duration,
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::text::quote;

/// Most packets a second that a rate can have: on a kernel of 100 ticks a second, a bucket meters it
/// to 0.6 %.
pub const MOST_PACKETS: u64 = 10_000_000;
/// Most seconds' worth of packets that a burst can have: the kernel's buckets hold 2¹⁸ ticks,
/// which is 262 s on a kernel of 1000 ticks a second.
pub const MOST_BURST_SECONDS: u64 = 200;
/// The longest duration: ten years.
pub const LONGEST: Duration = Duration::from_secs(315_576_000);

/// Packets a second, with a burst.
///
/// Whole packets a second: `90/m` is refused, not rounded, so that what is written, what is shown
/// and what the kernel meters is one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Packets a second, at least 1.
    pub packets: u64,
    /// Burst in packets, at least 1; one second's worth if not given.
    pub burst: u64,
}

/// Why a text is no rate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RateError {
    /// Not written as a rate is.
    #[error("{} is no rate: write packets a second as `200/s`, `20k/s`, `1M/s` or \
             `20k/s burst 400`", quote(.0))]
    Form(String),
    /// Nothing a second.
    #[error("{} lets nothing pass: the least is `1/s`", quote(.0))]
    Zero(String),
    /// A burst of nothing.
    #[error("{} has a burst of 0, which lets nothing pass: the least is 1, and without the word \
             it is one second's worth", quote(.0))]
    ZeroBurst(String),
    /// Not a whole number of packets a second.
    #[error("{} is not a whole number of packets a second: write a rate with `/s`, at least \
             `1/s`", quote(.0))]
    Fraction(String),
    /// More than the kernel can meter.
    #[error("{} is more than can be metered: the most is `10M/s`", quote(.0))]
    TooFast(String),
    /// More than a bucket can hold.
    #[error("{} has a burst of more than {MOST_BURST_SECONDS} seconds' worth: the most at \
             {packets}/s is {}", quote(.text), .packets * MOST_BURST_SECONDS)]
    BurstTooLong {
        /// What was written.
        text: String,
        /// Packets a second of it.
        packets: u64,
    },
    /// Bytes or bits.
    #[error("{} counts bytes or bits where packets are meant: write `200/s` or `20k/s`; limits of \
             bytes have names of their own, as `source.bytes`", quote(.0))]
    Bytes(String),
}

impl Rate {
    /// So many packets a second, with one second's worth of burst.
    pub const fn per_second(packets: u64) -> Self {
        Self {
            packets,
            burst: packets,
        }
    }
}

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, RateError> {
        let text = text.trim();
        let form = || RateError::Form(text.to_owned());
        let (rate, burst) = split_burst(text).ok_or_else(form)?;
        let (count, unit) = rate.split_once('/').ok_or_else(form)?;
        if count.ends_with(['B', 'b']) || count.ends_with("bit") || count.ends_with("bits") {
            return Err(RateError::Bytes(text.to_owned()));
        }
        let seconds = match unit {
            "s" => 1,
            "m" => 60,
            _ => return Err(form()),
        };
        let count = parse_count(count).map_err(|error| error.of(text))?;
        if count == 0 {
            return Err(RateError::Zero(text.to_owned()));
        }
        if count % seconds != 0 {
            return Err(RateError::Fraction(text.to_owned()));
        }
        let packets = count / seconds;
        if packets > MOST_PACKETS {
            return Err(RateError::TooFast(text.to_owned()));
        }
        let burst = match burst {
            None => packets,
            Some(burst) => parse_count(burst).map_err(|error| error.of(text))?,
        };
        if burst == 0 {
            return Err(RateError::ZeroBurst(text.to_owned()));
        }
        if burst > packets.saturating_mul(MOST_BURST_SECONDS) {
            return Err(RateError::BurstTooLong {
                text: text.to_owned(),
                packets,
            });
        }
        Ok(Self { packets, burst })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/s", Count(self.packets))?;
        if self.burst != self.packets {
            write!(formatter, " burst {}", Count(self.burst))?;
        }
        Ok(())
    }
}

/// A rate and the burst behind it, if there is one.
pub(super) fn split_burst(text: &str) -> Option<(&str, Option<&str>)> {
    let Some((rate, rest)) = text.split_once(char::is_whitespace) else {
        return Some((text, None));
    };
    let burst = rest.trim_start().strip_prefix("burst")?;
    let is_apart = burst.starts_with(char::is_whitespace);
    is_apart.then(|| (rate, Some(burst.trim_start())))
}

/// A number with `k`, `M` or `G` where that loses nothing.
pub(super) struct Count(pub(super) u64);

impl fmt::Display for Count {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (factor, letter) in [(1_000_000_000, 'G'), (1_000_000, 'M'), (1_000, 'k')] {
            if self.0 != 0 && self.0.is_multiple_of(factor) {
                return write!(formatter, "{}{letter}", self.0 / factor);
            }
        }
        write!(formatter, "{}", self.0)
    }
}

/// Why a text is no count.
pub(super) enum CountError {
    Form,
    Fraction,
    TooMany,
}

impl CountError {
    fn of(self, text: &str) -> RateError {
        match self {
            Self::Form => RateError::Form(text.to_owned()),
            Self::Fraction => RateError::Fraction(text.to_owned()),
            Self::TooMany => RateError::TooFast(text.to_owned()),
        }
    }
}

/// `400`, `20k`, `1.5M`: digits, perhaps a fraction, perhaps a factor; exact.
pub(super) fn parse_count(text: &str) -> Result<u64, CountError> {
    let (digits, factor) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (text.get(..text.len() - 1), 1_000),
        Some(b'M') => (text.get(..text.len() - 1), 1_000_000),
        Some(b'G') => (text.get(..text.len() - 1), 1_000_000_000),
        _ => (Some(text), 1_u64),
    };
    let digits = digits.ok_or(CountError::Form)?;
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !all_digits(whole) || !all_digits(fraction) {
        return Err(CountError::Form);
    }
    let whole: u64 = whole.parse().map_err(|_| CountError::TooMany)?;
    let mut total = whole.checked_mul(factor).ok_or(CountError::TooMany)?;
    let mut place = factor;
    for digit in fraction.trim_end_matches('0').bytes() {
        if place % 10 != 0 {
            return Err(CountError::Fraction);
        }
        place /= 10;
        let part = place
            .checked_mul(u64::from(digit - b'0'))
            .ok_or(CountError::TooMany)?;
        total = total.checked_add(part).ok_or(CountError::TooMany)?;
    }
    Ok(total)
}

/// A limit: a rate, or `off`, which is `None`.
pub fn parse_limit(text: &str) -> Result<Option<Rate>, String> {
    if text.trim() == "off" {
        return Ok(None);
    }
    match text.parse() {
        Ok(rate) => Ok(Some(rate)),
        Err(error @ (RateError::Zero(_) | RateError::ZeroBurst(_))) => Err(format!(
            "{error}; use `off` to switch the limit off, `floodwall block add` to drop a source"
        )),
        Err(
            error @ (RateError::Form(_)
            | RateError::Fraction(_)
            | RateError::TooFast(_)
            | RateError::BurstTooLong { .. }
            | RateError::Bytes(_)),
        ) => Err(format!("{error}, or `off`")),
    }
}

/// How long: `90s`, `15m`, `1h`, `7d`, `1h30m`; whole seconds, from one to ten years.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let duration = humantime::parse_duration(text).map_err(|_| {
        format!(
            "{} is no duration: write `90s`, `15m`, `1h30m` or `7d`",
            quote(text)
        )
    })?;
    if duration.is_zero() {
        return Err(format!(
            "{} ends at once: give at least `1s`, or nothing for an entry without an end",
            quote(text)
        ));
    }
    if duration.subsec_nanos() != 0 {
        return Err(format!(
            "{} is not in whole seconds: write at least `1s`",
            quote(text)
        ));
    }
    if duration > LONGEST {
        return Err(format!(
            "{} is more than ten years: leave the duration out for an entry without an end",
            quote(text)
        ));
    }
    Ok(duration)
}

/// A duration as [`parse_duration`] reads it back; parts of a second are left out.
pub fn format_duration(duration: Duration) -> String {
    let mut rest = duration.as_secs();
    let mut text = String::new();
    for (seconds, letter) in [(86_400, 'd'), (3_600, 'h'), (60, 'm'), (1, 's')] {
        let count = rest / seconds;
        rest %= seconds;
        if count > 0 {
            text.push_str(&count.to_string());
            text.push(letter);
        }
    }
    if text.is_empty() {
        text.push_str("0s");
    }
    text
}

/// An address or a prefix. Host bits are masked; `::ffff:1.2.3.4`, alone or with a length from 96
/// on, is the IPv4 address in it.
pub fn parse_prefix(text: &str) -> Result<IpNet, String> {
    let text = text.trim();
    let (address, length) = match text.split_once('/') {
        None => (text, None),
        Some((address, length)) => (address, Some(length)),
    };
    let Ok(address) = address.parse::<IpAddr>() else {
        return Err(explain_address(text, address));
    };
    let width: u8 = match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    };
    let length = match length {
        None => width,
        Some(length) => parse_length(length, width)
            .ok_or_else(|| explain_length(text, address, length, width))?,
    };
    let net = match address {
        IpAddr::V4(address) => Ipv4Net::new(address, length).map(IpNet::V4),
        IpAddr::V6(address) => match (address.to_ipv4_mapped(), length.checked_sub(96)) {
            (Some(inner), Some(length)) => Ipv4Net::new(inner, length).map(IpNet::V4),
            _ => Ipv6Net::new(address, length).map(IpNet::V6),
        },
    };
    net.map(|net| net.trunc())
        .map_err(|_| explain_length(text, address, "", width))
}

/// A prefix length without sign or leading zeros.
fn parse_length(text: &str, width: u8) -> Option<u8> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit())
        && (text.len() == 1 || !text.starts_with('0'));
    if !plain {
        return None;
    }
    text.parse().ok().filter(|length| *length <= width)
}

#[cold]
fn explain_address(text: &str, address: &str) -> String {
    let shown = quote(text);
    if address.contains('%') {
        return format!(
            "{shown} has a zone: the filter knows addresses, not interfaces; leave out what \
             follows `%`"
        );
    }
    let zeros = |part: &str| part.len() > 1 && part.starts_with('0');
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let parts = || address.rsplit(':').next().unwrap_or(address).split('.');
    if parts().count() == 4 && parts().all(digits) && parts().any(zeros) {
        return format!(
            "{shown} has leading zeros, which some read as octal: write the number without them"
        );
    }
    if address.is_empty() && text.is_empty() {
        return "the prefix is empty: write an address or prefix, as 192.0.2.0/24".to_owned();
    }
    if address.starts_with('[') {
        return format!("{shown} has brackets: write the address without them and without a port");
    }
    if parts().count() < 4 && parts().all(digits) && !address.contains(':') {
        return format!("{shown} is not written in full: an IPv4 address has four numbers");
    }
    format!("{shown} is no address or prefix: write it as 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32")
}

#[cold]
fn explain_length(text: &str, address: IpAddr, length: &str, width: u8) -> String {
    let shown = quote(text);
    if let Ok(mask) = length.parse::<Ipv4Addr>() {
        return match ipnet::ip_mask_to_prefix(IpAddr::V4(mask)) {
            Ok(length) => format!("{shown} has a net mask: write {address}/{length}"),
            Err(_) => format!("{shown} has a net mask with holes: write a length up to {width}"),
        };
    }
    if length.parse::<Ipv6Addr>().is_ok() {
        return format!("{shown} has a net mask: write a length up to {width}");
    }
    format!("{shown} has no good prefix length: it is a number from 0 to {width}")
}

#[cfg(test)]
mod tests {
    use filter_common::logic::bucket::Limit;
    use proptest::prelude::*;

    use super::*;

    fn rate(packets: u64, burst: u64) -> Result<Rate, RateError> {
        Ok(Rate { packets, burst })
    }

    #[test]
    fn rates_as_written() {
        for (text, packets, burst) in [
            ("200/s", 200, 200),
            ("20k/s", 20_000, 20_000),
            ("1M/s", 1_000_000, 1_000_000),
            ("10M/s", 10_000_000, 10_000_000),
            ("1.5k/s", 1_500, 1_500),
            ("20k/s burst 400", 20_000, 400),
            ("  20k/s   burst   1k ", 20_000, 1_000),
            ("60/m", 1, 1),
            ("6k/m burst 5", 100, 5),
            ("1/s burst 200", 1, 200),
        ] {
            assert_eq!(text.parse(), rate(packets, burst), "{text}");
        }
    }

    #[test]
    fn rates_that_make_no_sense_say_why() {
        for (text, says) in [
            ("", "is no rate"),
            ("200", "is no rate"),
            ("200/h", "is no rate"),
            ("/s", "is no rate"),
            ("-1/s", "is no rate"),
            ("+1/s", "is no rate"),
            ("1e3/s", "is no rate"),
            ("200/s 400", "is no rate"),
            ("200/s burst", "is no rate"),
            ("200/s burst400", "is no rate"),
            ("off", "is no rate"),
            ("0/s", "lets nothing pass"),
            ("0.0k/s", "lets nothing pass"),
            ("200/s burst 0", "burst of 0"),
            ("90/m", "whole number"),
            ("1/m", "whole number"),
            ("0.5/s", "whole number"),
            ("1.2345k/s", "whole number"),
            ("2G/s", "more than can be metered"),
            ("99999999999999999999/s", "more than can be metered"),
            ("1/s burst 201", "the most at 1/s is 200"),
            ("100MB/s", "counts bytes"),
            ("1Gbit/s", "counts bytes"),
        ] {
            let error = text.parse::<Rate>().unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn limits_can_be_off_but_not_zero() {
        assert_eq!(parse_limit(" off "), Ok(None));
        assert_eq!(parse_limit("5/s"), Ok(Some(Rate::per_second(5))));
        let error = parse_limit("0/s").unwrap_err();
        assert!(
            error.contains("`off`") && error.contains("block add"),
            "{error}"
        );
        assert!(parse_limit("of").unwrap_err().ends_with("or `off`"));
    }

    #[test]
    fn durations_as_written() {
        for (text, seconds) in [
            ("90s", 90),
            ("15m", 900),
            ("1h", 3_600),
            ("7d", 604_800),
            ("1h30m", 5_400),
            (" 1h 30m ", 5_400),
            ("10y", 315_576_000),
        ] {
            assert_eq!(
                parse_duration(text),
                Ok(Duration::from_secs(seconds)),
                "{text}"
            );
        }
        for (text, says) in [
            ("", "is no duration"),
            ("1", "is no duration"),
            ("h", "is no duration"),
            ("-1h", "is no duration"),
            ("0s", "ends at once"),
            ("500ms", "whole seconds"),
            ("11y", "ten years"),
            ("99999999999999999999d", "is no duration"),
        ] {
            let error = parse_duration(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
        assert_eq!(format_duration(Duration::from_secs(604_800)), "7d");
        assert_eq!(format_duration(Duration::from_secs(5_401)), "1h30m1s");
        assert_eq!(format_duration(Duration::ZERO), "0s");
    }

    #[test]
    fn prefixes_as_written() {
        for (text, prefix) in [
            ("192.0.2.7", "192.0.2.7/32"),
            (" 192.0.2.7/24\t", "192.0.2.0/24"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("2001:db8::1", "2001:db8::1/128"),
            ("2001:DB8::1/32", "2001:db8::/32"),
            ("::ffff:192.0.2.7", "192.0.2.7/32"),
            ("::ffff:192.0.2.7/120", "192.0.2.0/24"),
            ("::ffff:c000:207/128", "192.0.2.7/32"),
            ("::ffff:0:0/96", "0.0.0.0/0"),
            ("::ffff:192.0.2.7/95", "::fffe:0:0/95"),
            ("::/0", "::/0"),
        ] {
            assert_eq!(parse_prefix(text), Ok(prefix.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn prefixes_that_are_none_say_why() {
        for (text, says) in [
            ("", "is empty"),
            ("example.org", "is no address"),
            ("192.0.2", "not written in full"),
            ("10", "not written in full"),
            ("192.0.2.1.5", "is no address"),
            ("256.0.0.1", "is no address"),
            ("192.0.02.1", "leading zeros"),
            ("::ffff:192.0.02.1", "leading zeros"),
            ("fe80::1%eth0", "has a zone"),
            ("fe80::1%eth0/64", "has a zone"),
            ("[2001:db8::1]:80", "has brackets"),
            ("192.0.2.0/33", "from 0 to 32"),
            ("2001:db8::/129", "from 0 to 128"),
            ("192.0.2.0/", "from 0 to 32"),
            ("192.0.2.0/024", "from 0 to 32"),
            ("192.0.2.0/+8", "from 0 to 32"),
            ("192.0.2.0/24/24", "from 0 to 32"),
            ("192.0.2.0/255.255.255.0", "write 192.0.2.0/24"),
            ("192.0.2.0/255.0.255.0", "with holes"),
            ("a\u{1b}[2Jb", r"\u{1b}"),
        ] {
            let error = parse_prefix(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    fn any_rate() -> impl Strategy<Value = Rate> {
        (
            1_u64..=9,
            prop_oneof![Just(1_u64), Just(37), Just(1_000), Just(1_000_000)],
            1_u64..=200,
        )
            .prop_flat_map(|(digit, factor, seconds)| {
                let packets = digit.saturating_mul(factor);
                (Just(packets), 1..=packets.saturating_mul(seconds))
            })
            .prop_map(|(packets, burst)| Rate { packets, burst })
    }

    proptest! {
        #[test]
        fn a_printed_rate_reads_back(rate in any_rate()) {
            prop_assert_eq!(rate.to_string().parse(), Ok(rate));
        }

        #[test]
        fn every_rate_can_be_metered(
            packets in 1..=MOST_PACKETS, burst in 1_u64..=u64::MAX, hz in 100_u64..=1000,
        ) {
            let burst = burst % packets.saturating_mul(MOST_BURST_SECONDS) + 1;
            prop_assert!(Limit::new(packets, burst, hz, 256).is_some());
        }

        #[test]
        fn a_printed_duration_reads_back(seconds in 1_u64..=315_576_000) {
            let duration = Duration::from_secs(seconds);
            prop_assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
        }

        #[test]
        fn a_printed_prefix_reads_back(bits in any::<u128>(), length in 0_u8..=128, v4: bool) {
            let address = if v4 {
                IpAddr::V4(Ipv4Addr::from_bits((bits >> 96) as u32))
            } else {
                IpAddr::V6(Ipv6Addr::from_bits(bits))
            };
            let length = if v4 { length % 33 } else { length };
            let prefix = parse_prefix(&format!("{address}/{length}")).unwrap();
            prop_assert_eq!(parse_prefix(&prefix.to_string()), Ok(prefix));
            prop_assert_eq!(prefix.trunc(), prefix);
        }

        #[test]
        fn nothing_panics(text in ".{0,40}") {
            let _ = text.parse::<Rate>();
            let _ = parse_limit(&text);
            let _ = parse_duration(&text);
            let _ = parse_prefix(&text);
        }
    }
}
