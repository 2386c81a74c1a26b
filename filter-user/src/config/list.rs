//! Lists of prefixes as text: one a line, with comments; read in chunks as they arrive.

use std::{
    collections::HashSet,
    io::{self, Write},
    net::Ipv4Addr,
    sync::Arc,
};

use ipnet::{IpNet, Ipv4Net};

use super::{text::quote, units::parse_prefix};

/// Most bytes of a line, comment included.
pub const MOST_LINE: usize = 1024;
const BOM: &[u8] = b"\xef\xbb\xbf";

/// Why a list was not taken, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct ListError {
    /// The line, from 1.
    pub line: u64,
    /// What stands there, shortened and escaped.
    pub text: String,
    /// What is wrong with it; shows the text where that helps.
    pub why: String,
    /// Whether nothing is wrong with it, but there is no room for more.
    pub is_full: bool,
}

/// Reads a list that arrives in chunks, however it is split.
///
/// A line holds an address or a prefix, or nothing; `#` and `;` begin a comment. Lines end with LF
/// or CRLF, the last with either or nothing. A byte order mark at the start is passed over. After
/// an error the list is lost: the same error comes again.
#[derive(Debug)]
pub struct ListParser {
    prefixes: Vec<IpNet>,
    /// Most prefixes that differ.
    most: usize,
    /// All prefixes, once so many lines came that repetitions had to go.
    distinct: Option<HashSet<IpNet>>,
    /// The beginning of a line whose end has not arrived.
    rest: Vec<u8>,
    /// The line that comes next, from 1.
    line: u64,
    failed: Option<ListError>,
}

impl ListParser {
    /// A parser that takes at most so many prefixes; one that comes again takes no room.
    pub fn new(most: usize) -> Self {
        Self {
            prefixes: Vec::new(),
            most,
            distinct: None,
            rest: Vec::new(),
            line: 1,
            failed: None,
        }
    }

    /// Reads what arrived.
    pub fn push(&mut self, chunk: &[u8]) -> Result<(), ListError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        self.read(chunk)
            .inspect_err(|error| self.failed = Some(error.clone()))
    }

    /// The prefixes so far, masked, in the order of the list, perhaps with repetitions.
    pub fn prefixes(&self) -> &[IpNet] {
        &self.prefixes
    }

    /// Reads the last line, and gives all prefixes.
    pub fn finish(mut self) -> Result<Vec<IpNet>, ListError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let rest = std::mem::take(&mut self.rest);
        self.take_line(&rest)?;
        Ok(self.prefixes)
    }

    fn read(&mut self, mut chunk: &[u8]) -> Result<(), ListError> {
        while let Some(end) = chunk.iter().position(|byte| *byte == b'\n') {
            let (line, after) = chunk.split_at(end);
            chunk = after.get(1..).unwrap_or_default();
            if self.rest.is_empty() {
                self.take_line(line)?;
            } else {
                self.keep(line)?;
                let mut whole = std::mem::take(&mut self.rest);
                self.take_line(&whole)?;
                whole.clear();
                self.rest = whole;
            }
            self.line = self.line.saturating_add(1);
        }
        self.keep(chunk)
    }

    /// Keeps part of a line until its end arrives.
    fn keep(&mut self, part: &[u8]) -> Result<(), ListError> {
        let room = MOST_LINE.saturating_sub(self.rest.len());
        if part.len() > room {
            self.rest
                .extend_from_slice(part.get(..room).unwrap_or(part));
            return Err(self.too_long(&self.rest));
        }
        self.rest.extend_from_slice(part);
        Ok(())
    }

    fn take_line(&mut self, line: &[u8]) -> Result<(), ListError> {
        if line.len() > MOST_LINE {
            return Err(self.too_long(line));
        }
        let line = match self.line {
            1 => line.strip_prefix(BOM).unwrap_or(line),
            _ => line,
        };
        let comment = line.iter().position(|byte| matches!(byte, b'#' | b';'));
        let entry = line
            .get(..comment.unwrap_or(line.len()))
            .unwrap_or(line)
            .trim_ascii();
        if entry.is_empty() {
            return Ok(());
        }
        let prefix = match plain_v4(entry) {
            Some(prefix) => prefix,
            None => {
                let Ok(text) = str::from_utf8(entry) else {
                    return Err(self.error(entry, "is not UTF-8: save the list as plain text"));
                };
                parse_prefix(text).map_err(|why| self.bad_entry(text, why))?
            }
        };
        if !self.has_room_for(prefix) {
            let why = format!(
                "is one more than the {} prefixes that there is room for: shorten the list, or \
                 raise the table's size under [tables] in the configuration and restart",
                self.most
            );
            return Err(ListError {
                is_full: true,
                ..self.error(entry, &why)
            });
        }
        Ok(())
    }

    /// Keeps a prefix. When the room is used up, repetitions make some, and from then on only what
    /// is new is kept.
    fn has_room_for(&mut self, prefix: IpNet) -> bool {
        if self.prefixes.len() >= self.most && self.distinct.is_none() {
            let mut distinct = HashSet::with_capacity(self.prefixes.len());
            self.prefixes.retain(|prefix| distinct.insert(*prefix));
            self.distinct = Some(distinct);
        }
        if let Some(distinct) = &mut self.distinct {
            if distinct.contains(&prefix) {
                return true;
            }
            if self.prefixes.len() >= self.most {
                return false;
            }
            distinct.insert(prefix);
        }
        self.prefixes.push(prefix);
        true
    }

    #[cold]
    fn bad_entry(&self, text: &str, why: String) -> ListError {
        if text.contains(|c: char| c.is_ascii_whitespace() || c == ',') {
            return self.error(
                text.as_bytes(),
                "holds more than a prefix: write one a line, and a comment after `#`",
            );
        }
        ListError {
            line: self.line,
            text: quote(text),
            why,
            is_full: false,
        }
    }

    #[cold]
    fn too_long(&self, line: &[u8]) -> ListError {
        // A line is shown from its start, without the part that depends on how it was split.
        let why = format!("is longer than {MOST_LINE} bytes: write one prefix a line");
        self.error(line, &why)
    }

    #[cold]
    fn error(&self, text: &[u8], why: &str) -> ListError {
        let shown = text.get(..MOST_LINE).unwrap_or(text);
        let text = quote(&String::from_utf8_lossy(shown));
        ListError {
            line: self.line,
            why: format!("{text} {why}"),
            text,
            is_full: false,
        }
    }
}

/// Prefixes in order, without repetitions. Those of IPv4 are put in order as numbers, several
/// times as fast as whole prefixes.
pub fn sorted(prefixes: Vec<IpNet>) -> Arc<[IpNet]> {
    let mut numbers = Vec::with_capacity(prefixes.len());
    let mut v6 = Vec::new();
    for prefix in prefixes {
        match prefix {
            IpNet::V4(net) => {
                let address = u64::from(u32::from(net.addr()));
                numbers.push(address << 8 | u64::from(net.prefix_len()));
            }
            IpNet::V6(_) => v6.push(prefix),
        }
    }
    numbers.sort_unstable();
    numbers.dedup();
    v6.sort_unstable();
    v6.dedup();
    let net = |number: u64| {
        let address = Ipv4Addr::from((number >> 8) as u32);
        Ipv4Net::new(address, number as u8).ok().map(IpNet::V4)
    };
    numbers.into_iter().filter_map(net).chain(v6).collect()
}

/// A plain IPv4 address, most of what big lists hold. `None` if it is anything else, which need not
/// be wrong.
fn plain_v4(text: &[u8]) -> Option<IpNet> {
    let mut address = 0_u32;
    let mut parts = 0;
    for part in text.split(|byte| *byte == b'.') {
        let number = match part {
            [a @ b'0'..=b'9'] => u32::from(a - b'0'),
            [a @ b'1'..=b'9', b @ b'0'..=b'9'] => u32::from(a - b'0') * 10 + u32::from(b - b'0'),
            [a @ b'1'..=b'2', b @ b'0'..=b'9', c @ b'0'..=b'9'] => {
                u32::from(a - b'0') * 100 + u32::from(b - b'0') * 10 + u32::from(c - b'0')
            }
            _ => return None,
        };
        if number > 255 || parts == 4 {
            return None;
        }
        address = address << 8 | number;
        parts += 1;
    }
    (parts == 4).then(|| IpNet::from(std::net::IpAddr::V4(address.into())))
}

/// Writes prefixes as [`ListParser`] reads them back.
pub fn write_list(prefixes: &[IpNet], to: &mut impl Write) -> io::Result<()> {
    prefixes
        .iter()
        .try_for_each(|prefix| writeln!(to, "{prefix}"))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use proptest::prelude::*;

    use super::*;

    fn parse_in(chunks: &[&[u8]], most: usize) -> Result<Vec<IpNet>, ListError> {
        let mut parser = ListParser::new(most);
        for chunk in chunks {
            // An error must come again at the end.
            let _ = parser.push(chunk);
        }
        parser.finish()
    }

    fn parse(text: &[u8]) -> Result<Vec<IpNet>, ListError> {
        parse_in(&[text], 100)
    }

    fn nets(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn a_list_as_feeds_write_it() {
        let text = b"\xef\xbb\xbf; Spamhaus\r\n\r\n1.10.16.0/20 ; SBL256894\r\n# h\xe4\xdf\n  \t\n\
            192.0.2.7\n2001:db8::1/32# x\n::ffff:192.0.2.9\n10.1.2.3/8";
        assert_eq!(
            parse(text),
            Ok(nets(&[
                "1.10.16.0/20",
                "192.0.2.7/32",
                "2001:db8::/32",
                "192.0.2.9/32",
                "10.0.0.0/8"
            ]))
        );
        assert_eq!(parse(b""), Ok(vec![]));
        assert_eq!(parse(b"\xef\xbb\xbf"), Ok(vec![]));
        assert_eq!(parse(b"192.0.2.7\r\n"), parse(b"192.0.2.7"));
    }

    #[test]
    fn an_error_names_the_line() {
        for (text, line, says) in [
            (
                &b"192.0.2.1\n\nfoo\n192.0.2.2\n"[..],
                3,
                r#""foo" is no address"#,
            ),
            (b"\n192.0.2.1 192.0.2.2", 2, "one a line"),
            (b"192.0.2.1,192.0.2.2", 1, "one a line"),
            (b"a\x1b[2J", 1, r#""a\u{1b}[2J""#),
            (b"\xff\xfe1\0", 1, "is not UTF-8"),
            (b"192.0.2.1\n\xef\xbb\xbf192.0.2.2", 2, "is no address"),
            (b"192.0.2.0/33", 1, "from 0 to 32"),
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(error.line, line, "{error}");
            assert!(
                error.to_string().starts_with(&format!("line {line}: \"")),
                "{error}"
            );
            assert!(error.to_string().contains(says), "{error}");
        }
    }

    #[test]
    fn lines_are_bounded() {
        let comment = |length: usize| format!("192.0.2.1\n#{}\n", "x".repeat(length - 1));
        assert!(parse(comment(MOST_LINE).as_bytes()).is_ok());
        let error = parse(comment(MOST_LINE + 1).as_bytes()).unwrap_err();
        assert_eq!(error.line, 2);
        assert!(
            error.why.contains("longer than 1024 bytes") && error.why.len() < 200,
            "{error}"
        );
        let mut endless = ListParser::new(1);
        assert!((0..100).any(|_| endless.push(&[b'1'; 100]).is_err()));
        assert!(endless.rest.len() <= MOST_LINE);
    }

    #[test]
    fn so_many_and_no_more() {
        assert!(parse_in(&[b"192.0.2.1\n192.0.2.2\n# end"], 2).is_ok());
        let error = parse_in(&[b"192.0.2.1\n192.0.2.2\n\n192.0.2.3\n"], 2).unwrap_err();
        assert_eq!(error.line, 4);
        assert!(error.why.contains("the 2 prefixes"), "{error}");
    }

    #[test]
    fn repetitions_take_no_room() {
        let text = b"::1\n".repeat(1000);
        assert_eq!(
            parse_in(&[&text], 2).map(|mut nets| {
                nets.dedup();
                nets
            }),
            Ok(nets(&["::1/128"]))
        );
        let text = [&text[..], b"192.0.2.1\n::1\n192.0.2.1\n"].concat();
        assert_eq!(
            parse_in(&[&text], 2),
            Ok(nets(&["::1/128", "192.0.2.1/32"]))
        );
        let text = [&text[..], b"192.0.2.2\n"].concat();
        let error = parse_in(&[&text], 2).unwrap_err();
        assert!(error.is_full && error.line == 1004, "{error}");
    }

    #[test]
    fn a_million_lines_are_a_million_prefixes() {
        let mut text = Vec::new();
        for number in 0..1_000_000_u32 {
            let address = Ipv4Addr::from(number.wrapping_mul(2_654_435_761));
            writeln!(text, "{address}/32").unwrap();
        }
        let mut parser = ListParser::new(1_000_000);
        text.chunks(16 * 1024)
            .for_each(|chunk| parser.push(chunk).unwrap());
        assert_eq!(parser.finish().unwrap().len(), 1_000_000);
    }

    fn any_net() -> impl Strategy<Value = IpNet> {
        prop_oneof![
            (any::<u32>(), 0_u8..=32)
                .prop_map(|(bits, length)| IpNet::new(Ipv4Addr::from(bits).into(), length)),
            (any::<u128>(), 0_u8..=128)
                .prop_map(|(bits, length)| IpNet::new(Ipv6Addr::from(bits).into(), length)),
        ]
        .prop_map(|net| net.unwrap().trunc())
    }

    /// Bytes that look like a list, or nearly.
    fn any_text() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            8 => any_net().prop_map(|net| net.to_string().into_bytes()),
            6 => Just(b"\n".to_vec()),
            2 => Just(b"\r\n".to_vec()),
            2 => Just(b" # comment ; \xff".to_vec()),
            1 => Just(b"\xef\xbb\xbf".to_vec()),
            1 => Just(b"\t ".to_vec()),
            1 => prop::collection::vec(any::<u8>(), 0..4),
            1 => (1000_usize..1050).prop_map(|length| [b"#".to_vec(), vec![b'x'; length]].concat()),
        ];
        let line = (
            piece.clone(),
            prop_oneof![9 => Just(b"\n".to_vec()), 1 => piece],
        )
            .prop_map(|(entry, end)| [entry, end].concat());
        prop::collection::vec(line, 0..30).prop_map(|lines| lines.concat())
    }

    proptest! {
        #[test]
        fn chunks_do_not_matter(
            text in any_text(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        ) {
            let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let chunks: Vec<_> = cuts.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect();
            let bytes: Vec<_> = text.chunks(1).collect();
            let whole = parse_in(&[&text], 20);
            prop_assert_eq!(&parse_in(&chunks, 20), &whole);
            prop_assert_eq!(&parse_in(&bytes, 20), &whole);
        }

        #[test]
        fn a_sorted_list_is_in_order_without_repetitions(
            prefixes in prop::collection::vec(any_net(), 0..50), again in 0..50_usize,
        ) {
            let mut all: Vec<IpNet> = prefixes.iter().map(IpNet::trunc).collect();
            all.extend_from_within(..again.min(all.len()));
            let expected: std::collections::BTreeSet<IpNet> = all.iter().copied().collect();
            let expected: Vec<IpNet> = expected.into_iter().collect();
            prop_assert_eq!(&*sorted(all), expected.as_slice());
        }

        #[test]
        fn the_short_way_reads_what_the_long_one_does(
            text in "[0-9]{1,3}(\\.[0-9]{1,4}){2,4}|[0-9./ :a]{0,12}", address: Ipv4Addr,
        ) {
            for text in [text, address.to_string()] {
                if let Some(prefix) = plain_v4(text.as_bytes()) {
                    prop_assert_eq!(Ok(prefix), super::parse_prefix(&text));
                }
            }
            let plain = plain_v4(address.to_string().as_bytes());
            prop_assert_eq!(plain, Some(IpNet::from(std::net::IpAddr::V4(address))));
        }

        #[test]
        fn what_is_written_reads_back(prefixes in prop::collection::vec(any_net(), 0..50)) {
            let expected: Vec<_> = prefixes
                .iter()
                .map(|net| super::parse_prefix(&net.to_string()).unwrap())
                .collect();
            let mut text = Vec::new();
            write_list(&prefixes, &mut text).unwrap();
            prop_assert_eq!(parse(&text), Ok(expected.clone()));
            text.clear();
            write_list(&expected, &mut text).unwrap();
            prop_assert_eq!(parse(&text), Ok(expected));
        }
    }
}
