//! One clause after the other.

use std::{fmt, ops::Range};

use filter_common::logic::address::Family;
use ipnet::IpNet;

use super::Cursor;
use crate::{
    config::{
        nearest::{nearest, suggestion},
        text::quote,
        units::parse_prefix,
    },
    rules::{
        error::SyntaxError,
        lexer::Token,
        names,
        range::{Number, Span},
        rule::{Flags, LAST_OFFSET, MOST_PAYLOAD, Payload, Pieces},
    },
};

/// Words that a clause begins with.
const WORDS: [&str; 16] = [
    "ip", "ip6", "tcp", "udp", "icmp", "icmp6", "proto", "from", "to", "sport", "dport", "flags",
    "length", "ttl", "fragment", "payload",
];

/// What was read so far, each with its place in the text.
#[derive(Default)]
pub struct Draft {
    pub family: Option<Placed<Family>>,
    pub protocol: Option<Placed<u8>>,
    pub from: Option<Placed<IpNet>>,
    pub to: Option<Placed<IpNet>>,
    pub sport: Option<Placed<Span<u16>>>,
    pub dport: Option<Placed<Span<u16>>>,
    pub flags: Option<Placed<Flags>>,
    pub length: Option<Placed<Span<u16>>>,
    pub ttl: Option<Placed<Span<u8>>>,
    pub fragment: Option<Placed<Pieces>>,
    pub payload: Option<Placed<Payload>>,
}

/// A value and where it stands.
pub struct Placed<T> {
    pub value: T,
    pub place: Range<usize>,
}

impl Draft {
    /// Reads the clause that `token` begins.
    pub fn clause(
        &mut self,
        cursor: &mut Cursor<'_, '_>,
        token: &Token<'_>,
    ) -> Result<(), SyntaxError> {
        if let Some((_, number)) = names::PROTOCOLS
            .iter()
            .find(|(name, _)| *name == token.text)
        {
            return put(&mut self.protocol, *number, cursor, token, "a protocol");
        }
        match token.text {
            "ip" => put(&mut self.family, Family::V4, cursor, token, "a family"),
            "ip6" => put(&mut self.family, Family::V6, cursor, token, "a family"),
            "proto" => {
                let number = number(cursor, u32::from(u8::MAX), "a protocol")?;
                put(&mut self.protocol, number, cursor, token, "a protocol")
            }
            "from" => {
                let prefix = prefix(cursor)?;
                put(&mut self.from, prefix, cursor, token, "`from`")
            }
            "to" => {
                let prefix = prefix(cursor)?;
                put(&mut self.to, prefix, cursor, token, "`to`")
            }
            "sport" => {
                let ports = range(cursor, "port")?;
                put(&mut self.sport, ports, cursor, token, "`sport`")
            }
            "dport" => {
                let ports = range(cursor, "port")?;
                put(&mut self.dport, ports, cursor, token, "`dport`")
            }
            "flags" => {
                let flags = flags(cursor)?;
                put(&mut self.flags, flags, cursor, token, "`flags`")
            }
            "length" => {
                let length = range(cursor, "length")?;
                put(&mut self.length, length, cursor, token, "`length`")
            }
            "ttl" => {
                let ttl = range(cursor, "time to live")?;
                put(&mut self.ttl, ttl, cursor, token, "`ttl`")
            }
            "fragment" => {
                let pieces = pieces(cursor)?;
                put(&mut self.fragment, pieces, cursor, token, "`fragment`")
            }
            "payload" => {
                let payload = payload(cursor)?;
                put(&mut self.payload, payload, cursor, token, "`payload`")
            }
            _ => Err(unknown(cursor, token)),
        }
    }
}

/// Keeps a value that stands from `token` to what was taken last; once only.
fn put<T>(
    slot: &mut Option<Placed<T>>,
    value: T,
    cursor: &Cursor<'_, '_>,
    token: &Token<'_>,
    what: &str,
) -> Result<(), SyntaxError> {
    let place = token.place.start..cursor.last.end;
    if slot.is_some() {
        let message = format!("{what} is given twice: leave one out, or write two rules");
        return Err(SyntaxError::new(cursor.text, place, message));
    }
    *slot = Some(Placed { value, place });
    Ok(())
}

#[cold]
fn unknown(cursor: &Cursor<'_, '_>, token: &Token<'_>) -> SyntaxError {
    let shown = quote(token.text);
    let message = match token.text {
        "any" => "`any` stands alone behind the action: leave it out".to_owned(),
        "port" => "`port` says not which: write `sport` or `dport`".to_owned(),
        "src" | "source" | "saddr" => format!("{shown} is written `from`"),
        "dst" | "destination" | "daddr" => format!("{shown} is written `to`"),
        "ipv4" | "ip4" => format!("{shown} is written `ip`"),
        "ipv6" => format!("{shown} is written `ip6`"),
        "icmpv6" => format!("{shown} is written `icmp6`"),
        "drop" | "pass" | "limit" | "shadow" => {
            format!("{shown} stands at the beginning of a rule, once: write two rules")
        }
        other => format!(
            "{shown} is no word of a rule: {}",
            suggestion(other, &WORDS)
        ),
    };
    cursor.wrong(token, message)
}

fn prefix(cursor: &mut Cursor<'_, '_>) -> Result<IpNet, SyntaxError> {
    let token = cursor.need("an address or prefix, as 192.0.2.0/24")?;
    parse_prefix(token.text).map_err(|message| cursor.wrong(&token, message))
}

/// A plain number up to `most`.
fn number<N: TryFrom<u32>>(
    cursor: &mut Cursor<'_, '_>,
    most: u32,
    what: &str,
) -> Result<N, SyntaxError> {
    let token = cursor.need(&format!("{what}: a number from 0 to {most}"))?;
    let number = digits(token.text).filter(|number| *number <= most);
    number
        .and_then(|number| N::try_from(number).ok())
        .ok_or_else(|| {
            let message = format!(
                "{} is no number from 0 to {most}, which {what} is",
                quote(token.text)
            );
            cursor.wrong(&token, message)
        })
}

/// A number without sign, of digits only.
fn digits(text: &str) -> Option<u32> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

fn range<N: Number>(cursor: &mut Cursor<'_, '_>, what: &str) -> Result<Span<N>, SyntaxError> {
    let token = cursor.need(&format!("a {what}, as `53`, `1024-2047` or `> 1023`"))?;
    let (first, last) = match token.text {
        ">" => (bound::<N>(cursor, what)?.checked_add(1), Some(most::<N>())),
        ">=" => (Some(bound::<N>(cursor, what)?), Some(most::<N>())),
        "<" => (Some(0), bound::<N>(cursor, what)?.checked_sub(1)),
        "<=" => (Some(0), Some(bound::<N>(cursor, what)?)),
        text => {
            let (first, last) = text.split_once('-').unwrap_or((text, text));
            let [first, last] = [first, last].map(|end| {
                digits(end)
                    .filter(|number| *number <= most::<N>())
                    .ok_or_else(|| cursor.wrong(&token, no_range::<N>(text, what)))
            });
            (Some(first?), Some(last?))
        }
    };
    let span = first
        .zip(last)
        .and_then(|(first, last)| Span::new(N::try_from(first).ok()?, N::try_from(last).ok()?));
    span.ok_or_else(|| {
        let place = token.place.start..cursor.last.end;
        let message = format!(
            "no {what} is in this range: write the smaller number first, from 0 to {}",
            most::<N>()
        );
        SyntaxError::new(cursor.text, place, message)
    })
}

fn bound<N: Number>(cursor: &mut Cursor<'_, '_>, what: &str) -> Result<u32, SyntaxError> {
    number(cursor, most::<N>(), &format!("a {what}"))
}

fn most<N: Number>() -> u32 {
    N::MOST.into()
}

#[cold]
fn no_range<N: Number>(text: &str, what: &str) -> String {
    let remedy = if text.contains(',') {
        "; a rule takes one range, so write one rule for each"
    } else {
        ""
    };
    format!(
        "{} is no {what}: write a number from 0 to {}, or a range as `5-9`, `> 5` or `< 9`{remedy}",
        quote(text),
        most::<N>()
    )
}

fn flags(cursor: &mut Cursor<'_, '_>) -> Result<Flags, SyntaxError> {
    let token = cursor.need("flags, as `SYN` or `SYN/SYN,ACK`")?;
    let (value, mask) = token
        .text
        .split_once('/')
        .unwrap_or((token.text, token.text));
    let [value, mask] = [value, mask].map(|text| flag_set(cursor, &token, text));
    let (value, mask) = (value?, mask?);
    if mask == 0 {
        let message = "no flag is looked at: behind `/` name those that are, as `none/SYN,ACK`";
        return Err(cursor.wrong(&token, message));
    }
    Flags::new(value, mask).ok_or_else(|| {
        let outside = names::of_flags(value & !mask);
        let message = format!("{outside} is asked for but not looked at: name it behind `/` too");
        cursor.wrong(&token, message)
    })
}

fn flag_set(cursor: &Cursor<'_, '_>, token: &Token<'_>, text: &str) -> Result<u8, SyntaxError> {
    match text {
        names::NO_FLAG => return Ok(0),
        names::ALL_FLAGS => return Ok(u8::MAX),
        _ => {}
    }
    text.split(',').try_fold(0, |set, name| {
        let found = names::flag_bits().find(|(known, _)| known.eq_ignore_ascii_case(name));
        match found {
            Some((_, bit)) => Ok(set | bit),
            None => {
                let lower = names::FLAGS.map(str::to_ascii_lowercase);
                let hint = match nearest(name, lower.iter().map(String::as_str)) {
                    Some(near) => format!("did you mean `{}`?", near.to_ascii_uppercase()),
                    None => format!("known: {}, none, all", names::FLAGS.join(", ")),
                };
                Err(cursor.wrong(token, format!("{} is no TCP flag: {hint}", quote(name))))
            }
        }
    })
}

fn pieces(cursor: &mut Cursor<'_, '_>) -> Result<Pieces, SyntaxError> {
    let token = cursor.need("`whole`, `first`, `later` or `any`")?;
    let found = names::PIECES.iter().find(|(name, _)| *name == token.text);
    found.map(|(_, pieces)| *pieces).ok_or_else(|| {
        let message = format!(
            "{} is no kind of fragment: {}",
            quote(token.text),
            suggestion(token.text, &names::PIECES.map(|(name, _)| name))
        );
        cursor.wrong(&token, message)
    })
}

fn payload(cursor: &mut Cursor<'_, '_>) -> Result<Payload, SyntaxError> {
    let token = cursor.need("bytes, as `0x53453d` or `0x00ff/0xffff`")?;
    let (value, mask) = match token.text.split_once('/') {
        Some((value, mask)) => (value, Some(mask)),
        None => (token.text, None),
    };
    let value = hex(cursor, &token, value)?;
    let mask = match mask {
        Some(mask) => hex(cursor, &token, mask)?,
        None => vec![u8::MAX; value.len()],
    };
    if mask.len() != value.len() {
        let message = format!(
            "{} of value, but {} of mask: give both the same number of bytes",
            Bytes(value.len()),
            Bytes(mask.len())
        );
        return Err(cursor.wrong(&token, message));
    }
    if !cursor.take_word("at") {
        let message = "where? Write `at N`: so many bytes behind the TCP, UDP or ICMP header";
        return Err(match cursor.next() {
            Some(next) => cursor.wrong(&next, message),
            None => cursor.missing("`at N`: so many bytes behind the TCP, UDP or ICMP header"),
        });
    }
    let offset = number(cursor, u32::from(LAST_OFFSET), "an offset")?;
    Payload::new(offset, value.into_iter().zip(mask).collect()).ok_or_else(|| {
        let message = "the mask looks at nothing, or clears bits that the value has set: mend it";
        cursor.wrong(&token, message)
    })
}

/// `0x` and 1 to [`MOST_PAYLOAD`] bytes.
fn hex(cursor: &Cursor<'_, '_>, token: &Token<'_>, text: &str) -> Result<Vec<u8>, SyntaxError> {
    let wrong = |why: &str| {
        let message = format!(
            "{} {why}: write `0x` and two digits for each of 1 to {MOST_PAYLOAD} bytes",
            quote(text)
        );
        cursor.wrong(token, message)
    };
    let digits = text
        .strip_prefix("0x")
        .ok_or_else(|| wrong("does not begin with `0x`"))?;
    let (pairs, odd) = digits.as_bytes().as_chunks::<2>();
    if !odd.is_empty() {
        return Err(wrong("has an odd number of digits"));
    }
    if pairs.is_empty() || pairs.len() > MOST_PAYLOAD {
        return Err(wrong(&format!("has {}", Bytes(pairs.len()))));
    }
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|d| u8::try_from(d).ok())
    };
    pairs
        .iter()
        .map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?))
        .collect::<Option<_>>()
        .ok_or_else(|| wrong("is not hexadecimal"))
}

/// A number of bytes in words.
struct Bytes(usize);

impl fmt::Display for Bytes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ending = if self.0 == 1 { "" } else { "s" };
        write!(formatter, "{} byte{ending}", self.0)
    }
}
