//! Rates in bytes as operators write them.

use std::{fmt, str::FromStr};

use filter_common::logic::bucket::LARGEST_FRAME;

use super::{
    text::quote,
    units::{Count, CountError, MOST_BURST_SECONDS, parse_count, split_burst},
};

/// Fewest bytes a second that the kernel's buckets can count beside a burst of one large frame.
pub const LEAST_BYTES: u64 = 1_000;
/// Most bytes a second: 100 Gbit/s. Up to 1 GB/s a bucket meters them to 1 %, and at this to some
/// per cent, for it counts time in whole units.
pub const MOST_BYTES: u64 = 12_500_000_000;

/// Bytes of frame a second, with a burst.
///
/// Whole bytes, with decimal factors, so that what is written, what is shown and what the kernel
/// meters is one number. A bit is an eighth of a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRate {
    /// Bytes a second, from [`LEAST_BYTES`] to [`MOST_BYTES`].
    pub bytes: u64,
    /// Burst in bytes, at least [`LARGEST_FRAME`].
    pub burst: u64,
}

/// Why a text is no rate of bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ByteRateError {
    /// Not written as one.
    #[error("{} is no rate of bytes: write bytes a second as `100MB/s` or bits as `1Gbit/s`, \
             perhaps with a burst, as `100MB/s burst 200MB`", quote(.0))]
    Form(String),
    /// Packets.
    #[error("{} counts packets where bytes are meant: write `100MB/s` or `1Gbit/s`; limits of \
             packets have names of their own, as `source.packets`", quote(.0))]
    Packets(String),
    /// `b` is a bit to some and a byte to others.
    #[error("{} leaves open whether `b` is a bit or a byte: write `MB` for bytes or `Mbit` for \
             bits", quote(.0))]
    Ambiguous(String),
    /// `MiB` and the like.
    #[error("{} counts in powers of two: write decimal `kB`, `MB` or `GB`", quote(.0))]
    Binary(String),
    /// Nothing a second, or too little.
    #[error("{} is less than can be metered: the least is `1kB/s`", quote(.0))]
    TooSlow(String),
    /// A burst smaller than one frame.
    #[error("{} has a burst that the largest frame exceeds: the least is {LARGEST_FRAME}B, and \
             without the word it is one second's worth", quote(.0))]
    SmallBurst(String),
    /// Not whole bytes a second.
    #[error("{} is not a whole number of bytes a second", quote(.0))]
    Fraction(String),
    /// More than the kernel can meter.
    #[error("{} is more than can be metered: the most is `100Gbit/s`", quote(.0))]
    TooFast(String),
    /// More than a bucket can hold.
    #[error("{} has a burst of more than {MOST_BURST_SECONDS} seconds' worth", quote(.0))]
    BurstTooLong(String),
}

impl ByteRate {
    /// So many bytes a second, with one second's worth of burst, or one large frame.
    pub const fn per_second(bytes: u64) -> Self {
        Self {
            bytes,
            burst: default_burst(bytes),
        }
    }
}

const fn default_burst(bytes: u64) -> u64 {
    if bytes > LARGEST_FRAME {
        bytes
    } else {
        LARGEST_FRAME
    }
}

impl FromStr for ByteRate {
    type Err = ByteRateError;

    fn from_str(text: &str) -> Result<Self, ByteRateError> {
        let text = text.trim();
        let form = || ByteRateError::Form(text.to_owned());
        let (rate, burst) = split_burst(text).ok_or_else(form)?;
        let amount = match rate.split_once('/') {
            Some((amount, "s")) => amount,
            Some((amount, "m")) if amount.ends_with(|last: char| last.is_ascii_alphanumeric()) => {
                return Err(match size(amount) {
                    Err(Odd::Packets) => ByteRateError::Packets(text.to_owned()),
                    _ => form(),
                });
            }
            _ => return Err(form()),
        };
        let bytes = size(amount).map_err(|odd| odd.of(text))?;
        if bytes < LEAST_BYTES {
            return Err(ByteRateError::TooSlow(text.to_owned()));
        }
        if bytes > MOST_BYTES {
            return Err(ByteRateError::TooFast(text.to_owned()));
        }
        let burst = match burst {
            None => default_burst(bytes),
            Some(burst) => size(burst).map_err(|odd| odd.of(text))?,
        };
        if burst < LARGEST_FRAME {
            return Err(ByteRateError::SmallBurst(text.to_owned()));
        }
        if burst > default_burst(bytes).max(bytes.saturating_mul(MOST_BURST_SECONDS)) {
            return Err(ByteRateError::BurstTooLong(text.to_owned()));
        }
        Ok(Self { bytes, burst })
    }
}

impl fmt::Display for ByteRate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}B/s", Count(self.bytes))?;
        if self.burst != default_burst(self.bytes) {
            write!(formatter, " burst {}B", Count(self.burst))?;
        }
        Ok(())
    }
}

/// Why a text is no number of bytes.
enum Odd {
    Packets,
    Ambiguous,
    Binary,
    Count(CountError),
}

impl Odd {
    fn of(self, text: &str) -> ByteRateError {
        let text = text.to_owned();
        match self {
            Self::Packets => ByteRateError::Packets(text),
            Self::Ambiguous => ByteRateError::Ambiguous(text),
            Self::Binary => ByteRateError::Binary(text),
            Self::Count(CountError::Form) => ByteRateError::Form(text),
            Self::Count(CountError::Fraction) => ByteRateError::Fraction(text),
            Self::Count(CountError::TooMany) => ByteRateError::TooFast(text),
        }
    }
}

/// `200MB`, `1.5GB`: so many bytes.
pub fn parse_size(text: &str) -> Option<u64> {
    size(text).ok().filter(|_| text.ends_with('B'))
}

/// `200MB`, `1.5GB`, `1Gbit`, in bytes.
fn size(text: &str) -> Result<u64, Odd> {
    if let Some(count) = text.strip_suffix("bit") {
        if count.ends_with('i') {
            return Err(Odd::Binary);
        }
        let bits = parse_count(count).map_err(Odd::Count)?;
        return if bits % 8 == 0 {
            Ok(bits / 8)
        } else {
            Err(Odd::Count(CountError::Fraction))
        };
    }
    if let Some(count) = text.strip_suffix('B') {
        if count.ends_with('i') {
            return Err(Odd::Binary);
        }
        return parse_count(count).map_err(Odd::Count);
    }
    if text.ends_with('b') {
        return Err(Odd::Ambiguous);
    }
    match parse_count(text) {
        Ok(_) => Err(Odd::Packets),
        Err(error) => Err(Odd::Count(error)),
    }
}

#[cfg(test)]
mod tests {
    use filter_common::logic::bucket::Limit;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rates_of_bytes_as_written() {
        for (text, bytes, burst) in [
            ("100MB/s", 100_000_000, 100_000_000),
            ("1Gbit/s", 125_000_000, 125_000_000),
            ("1.5GB/s", 1_500_000_000, 1_500_000_000),
            (" 100MB/s   burst  200MB ", 100_000_000, 200_000_000),
            ("100Mbit/s burst 1Gbit", 12_500_000, 125_000_000),
            ("1kB/s", 1_000, LARGEST_FRAME),
            ("20000B/s burst 70kB", 20_000, 70_000),
            ("100Gbit/s", MOST_BYTES, MOST_BYTES),
        ] {
            assert_eq!(text.parse(), Ok(ByteRate { bytes, burst }), "{text}");
        }
    }

    #[test]
    fn rates_that_are_none_of_bytes_say_why() {
        for (text, says) in [
            ("", "is no rate of bytes"),
            ("100MB", "is no rate of bytes"),
            ("100MB/h", "is no rate of bytes"),
            ("100MB/m", "is no rate of bytes"),
            ("MB/s", "is no rate of bytes"),
            ("-1MB/s", "is no rate of bytes"),
            ("1MB/s 2MB", "is no rate of bytes"),
            ("off", "is no rate of bytes"),
            ("200k/s", "counts packets"),
            ("60/m", "counts packets"),
            ("1MB/s burst 200k", "counts packets"),
            ("100Mb/s", "`MB` for bytes or `Mbit`"),
            ("100MiB/s", "powers of two"),
            ("1Gibit/s", "powers of two"),
            ("0B/s", "the least is `1kB/s`"),
            ("999B/s", "the least is `1kB/s`"),
            ("1MB/s burst 1500B", "largest frame"),
            ("8001bit/s", "whole number"),
            ("1.2345kB/s", "whole number"),
            ("101Gbit/s", "the most is"),
            ("1MB/s burst 201MB", "200 seconds"),
        ] {
            let error = text.parse::<ByteRate>().unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    fn rates() -> impl Strategy<Value = ByteRate> {
        let digits = prop_oneof![1_u64..=12, 1_u64..=12_500];
        let factors = prop::sample::select(vec![1_000_u64, 1_000_000]);
        (digits, factors, 1_u64..=200).prop_flat_map(|(digit, factor, seconds)| {
            let bytes = digit.saturating_mul(factor).clamp(LEAST_BYTES, MOST_BYTES);
            let most = bytes.saturating_mul(seconds).max(LARGEST_FRAME);
            (LARGEST_FRAME..=most).prop_map(move |burst| ByteRate { bytes, burst })
        })
    }

    proptest! {
        #[test]
        fn a_printed_rate_reads_back(rate in rates()) {
            prop_assert_eq!(rate.to_string().parse(), Ok(rate));
        }

        #[test]
        fn every_rate_can_be_metered(rate in rates(), hz in 100_u64..=1000) {
            prop_assert!(Limit::of_bytes(rate.bytes, rate.burst, hz, 256).is_some());
        }

        #[test]
        fn nothing_panics(text in ".{0,40}") {
            let _ = text.parse::<ByteRate>();
        }
    }
}
