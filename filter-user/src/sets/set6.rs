//! Builds the big set of IPv6 prefixes that [`filter_common::logic::set6`] searches.

use filter_common::logic::{
    lines::{Line, WORDS},
    set6::{MOST_PARTS_LOG2, NOBODY, Span},
    tree::KEY_LIMIT,
};
use ipnet::{IpNet, Ipv6Net};

use super::{List, SetError, by_precedence, split, tree};

/// Lines before the others: where the trees are, and where their spans begin.
const HEADER: usize = 2;
/// The pair of words at which parts begin.
const FIRST_PAIR: usize = HEADER * WORDS / 2;

/// Builds the set of all IPv6 prefixes of `lists`; empty if there are none. Of the lists that
/// cover an address, the one with the lowest number owns it.
pub fn build(lists: &[List<'_>]) -> Result<Vec<Line>, SetError> {
    let lists = by_precedence(lists)?;
    let mut prefixes: Vec<Owned> = lists.iter().flat_map(Owned::all).collect();
    if prefixes.is_empty() {
        return Ok(Vec::new());
    }
    // Each list is in order already, and runs in order are merged, not sorted.
    prefixes.sort();
    let spans = Spans::of(&borders(&prefixes))?;
    write(&spans)
}

/// A prefix and its list, ordered so that a wider one comes before those within.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Owned {
    first: u128,
    length: u8,
    list: u8,
}

impl Owned {
    fn all<'a>(list: &List<'a>) -> impl Iterator<Item = Self> + use<'a> {
        let number = list.number;
        split(list.prefixes)
            .1
            .iter()
            .filter_map(move |net| match net {
                IpNet::V6(net) => Some(Self::new(*net, number)),
                IpNet::V4(_) => None,
            })
    }

    fn new(net: Ipv6Net, list: u8) -> Self {
        Self {
            first: u128::from(net.network()),
            length: net.prefix_len(),
            list,
        }
    }

    fn last(self) -> u128 {
        self.first | u128::MAX.checked_shr(self.length.into()).unwrap_or(0)
    }
}

/// From an address on, one list owns everything up to the next border.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Border {
    at: u128,
    owner: u8,
}

/// Cuts the space where the owner changes. Prefixes either contain each other or do not meet, so
/// those open at an address are a stack.
fn borders(sorted: &[Owned]) -> Vec<Border> {
    let mut borders = Borders(vec![Border {
        at: 0,
        owner: NOBODY,
    }]);
    // The last address of each open prefix, and the owner of what is in it and in no narrower one.
    let mut open: Vec<(u128, u8)> = Vec::new();
    let below = |open: &[(u128, u8)]| open.last().map_or(NOBODY, |(_, owner)| *owner);
    for prefix in sorted {
        while let Some((last, _)) = open.pop_if(|(last, _)| *last < prefix.first) {
            borders.behind(last, below(&open));
        }
        let owner = below(&open).min(prefix.list);
        borders.at(prefix.first, owner);
        open.push((prefix.last(), owner));
    }
    while let Some((last, _)) = open.pop() {
        borders.behind(last, below(&open));
    }
    borders.0
}

struct Borders(Vec<Border>);

impl Borders {
    /// Says who owns what begins at an address, in the order of addresses.
    fn at(&mut self, at: u128, owner: u8) {
        // Of several borders at one address the last counts.
        self.0.pop_if(|border| border.at == at);
        if self.0.last().is_none_or(|border| border.owner != owner) {
            self.0.push(Border { at, owner });
        }
    }

    /// Likewise for what begins behind an address, if anything does.
    fn behind(&mut self, last: u128, owner: u8) {
        if let Some(at) = last.checked_add(1) {
            self.at(at, owner);
        }
    }
}

/// The space of /64s, each span from its start to the next one's, and the stretches of those /64s
/// of which a part is listed: the low half of the first address, and the owner.
#[derive(Debug, Default)]
struct Spans {
    spans: Vec<(u64, Span)>,
    parts: Vec<[u64; 2]>,
}

impl Spans {
    fn of(mut borders: &[Border]) -> Result<Self, SetError> {
        let mut all = Self::default();
        // The owner of what lies before the borders at hand, and the /64 up to which that is told.
        let mut owner = NOBODY;
        let mut told = Some(0);
        while let Some(first) = borders.first() {
            let high = high(first.at);
            let here = borders
                .iter()
                .take_while(|border| self::high(border.at) == high);
            let (here, after) = borders.split_at(here.count());
            borders = after;
            // A cut /64 ends where it ends, though no border is there.
            if let Some(told) = told.filter(|told| *told < high) {
                all.push(told, owner);
            }
            let last = here.last().unwrap_or(first).owner;
            if matches!(here, [only] if only.at as u64 == 0) {
                all.push(high, last);
            } else {
                all.cut(high, owner, here)?;
            }
            owner = last;
            told = high.checked_add(1);
        }
        if let Some(told) = told {
            all.push(told, owner);
        }
        Ok(all)
    }

    /// A span that is whole; nothing, if the one before goes on.
    fn push(&mut self, start: u64, owner: u8) {
        let span = Span::whole(owner);
        if self.spans.last().is_none_or(|(_, last)| *last != span) {
            self.spans.push((start, span));
        }
    }

    /// A /64 with borders in it, which begins as `owner`'s.
    fn cut(&mut self, high: u64, owner: u8, borders: &[Border]) -> Result<(), SetError> {
        let before = self.parts.len();
        let first = u32::try_from(FIRST_PAIR + before).map_err(|_| SetError::TooLarge)?;
        if borders.first().is_some_and(|border| border.at as u64 != 0) {
            self.parts.push([0, owner.into()]);
        }
        let stretches = borders.iter();
        self.parts
            .extend(stretches.map(|border| [border.at as u64, border.owner.into()]));
        let parts = self.parts.len() - before;
        if parts > 1 << MOST_PARTS_LOG2 {
            return Err(SetError::TooManyParts(high, parts));
        }
        self.spans.push((high, Span::cut(parts as u32, first)));
        Ok(())
    }
}

const fn high(address: u128) -> u64 {
    (address >> 64) as u64
}

/// Lays the table out.
fn write(spans: &Spans) -> Result<Vec<Line>, SetError> {
    let middle = spans.spans.partition_point(|(start, _)| *start < KEY_LIMIT);
    let (low, high) = spans.spans.split_at(middle);
    let low = Side::new(low, None);
    let high = Side::new(high, low.spans.last().copied());

    let mut lines = vec![[0; WORDS]; HEADER];
    append(&mut lines, spans.parts.as_flattened().iter().copied());
    let trees = [
        tree::append(&mut lines, &low.keys)?.words(),
        tree::append(&mut lines, &high.keys)?.words(),
    ];
    let first = lines.len() * WORDS;
    let all = low.spans.iter().chain(&high.spans);
    append(&mut lines, all.map(|span| span.0));

    let starts = [first, first + low.spans.len()];
    let starts = starts.map(|start| u32::try_from(start).map_err(|_| SetError::TooLarge));
    let [low, high] = starts;
    let header = trees
        .into_iter()
        .flatten()
        .chain([low?.into(), high?.into()]);
    for (word, value) in lines.as_flattened_mut().iter_mut().zip(header) {
        *word = value;
    }
    Ok(lines)
}

/// Appends words, and fills the last line up.
fn append(lines: &mut Vec<Line>, words: impl Iterator<Item = u64>) {
    let words: Vec<u64> = words.collect();
    let (whole, rest) = words.as_chunks::<WORDS>();
    lines.extend_from_slice(whole);
    if !rest.is_empty() {
        let mut last = [0; WORDS];
        for (slot, word) in last.iter_mut().zip(rest) {
            *slot = *word;
        }
        lines.push(last);
    }
}

/// What one of the two trees holds: the spans, and where all but the first start.
struct Side {
    keys: Vec<u64>,
    spans: Vec<Span>,
}

impl Side {
    /// `before` is the span that reaches in from the other side, if none starts this one.
    fn new(spans: &[(u64, Span)], before: Option<Span>) -> Self {
        let starts_here = spans
            .first()
            .is_some_and(|(start, _)| start % KEY_LIMIT == 0);
        let before = before.filter(|_| !starts_here);
        Self {
            keys: spans
                .iter()
                .skip(usize::from(starts_here))
                .map(|(start, _)| start % KEY_LIMIT)
                .collect(),
            spans: before
                .into_iter()
                .chain(spans.iter().map(|(_, span)| *span))
                .collect(),
        }
    }
}
