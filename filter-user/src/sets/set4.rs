//! Builds the big set of IPv4 prefixes that [`filter_common::logic::set4`] searches.

use std::ops::Range;

use filter_common::logic::{
    lines::{Line, WORDS},
    set4::{DIRECTORY, LEAF_OWNER, RUN_WORDS},
};
use ipnet::{IpNet, Ipv4Net};

use super::{List, SetError, by_precedence, split};

/// A built set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Set4 {
    /// The table; empty if nothing is listed.
    pub lines: Vec<Line>,
    /// For each run of 64 neighbouring /24s, those in which something is listed.
    pub near: Vec<u64>,
    /// Leaves and runs whose members are of several lists and all count for the first of them,
    /// because there was no room to tell them apart.
    pub approximate_owners: usize,
}

/// /24s.
const BLOCKS: usize = 1 << 24;
/// /24s in a run.
const RUN: usize = 64;
/// Addresses in a /24.
const LEAF: usize = 256;
/// No list.
const NOBODY: u8 = u8::MAX;

/// Builds the set of all IPv4 prefixes of `lists`. Of the lists that cover an address, the one
/// with the lowest number owns it. At most `owner_lines` lines tell owners apart where neighbours
/// have several; membership is exact without them.
pub fn build(lists: &[List<'_>], owner_lines: usize) -> Result<Set4, SetError> {
    let mut whole = Whole::default();
    let mut pieces = Vec::new();
    for list in by_precedence(lists)?.into_iter().rev() {
        for net in v4(list.prefixes) {
            match Piece::of(net, list.number) {
                Some(piece) => pieces.push(piece.0),
                None => whole.paint(net, list.number),
            }
        }
    }
    if pieces.is_empty() && whole.owners.is_empty() {
        return Ok(Set4::default());
    }
    // Each list is in order already, and runs in order are merged, not sorted.
    pieces.sort();

    let mut builder = Builder {
        lines: vec![[0; WORDS]; DIRECTORY as usize],
        near: vec![0; BLOCKS / RUN],
        mixed: Vec::new(),
        owner_lines,
        approximate_owners: 0,
    };
    // A leaf for each piece, and no move while they are built.
    builder.lines.reserve(pieces.len());
    let mut rest = pieces.as_slice();
    for run in 0..BLOCKS / RUN {
        let here = rest
            .iter()
            .take_while(|piece| Piece(**piece).block() / RUN == run)
            .count();
        let (pieces, after) = rest.split_at(here);
        rest = after;
        if pieces.is_empty() && !whole.reaches(run) {
            continue;
        }
        builder.add_run(run, whole.run(run), pieces)?;
    }
    Ok(Set4 {
        lines: builder.lines,
        near: builder.near,
        approximate_owners: builder.approximate_owners,
    })
}

fn v4(prefixes: &[IpNet]) -> impl Iterator<Item = Ipv4Net> + '_ {
    split(prefixes).0.iter().filter_map(|net| match net {
        IpNet::V4(net) => Some(*net),
        IpNet::V6(_) => None,
    })
}

/// The owner of each /24 that is listed whole. Takes no memory while there is none.
#[derive(Default)]
struct Whole {
    owners: Vec<u8>,
}

impl Whole {
    /// Lists are painted from the last to the first, so that the first stays on top.
    fn paint(&mut self, net: Ipv4Net, number: u8) {
        if self.owners.is_empty() {
            self.owners = vec![NOBODY; BLOCKS];
        }
        let first = (u32::from(net.network()) >> 8) as usize;
        let blocks = 1_usize << 24_u8.saturating_sub(net.prefix_len());
        if let Some(owners) = self.owners.get_mut(first..first + blocks) {
            owners.fill(number);
        }
    }

    fn run(&self, run: usize) -> [u8; RUN] {
        let (runs, _) = self.owners.as_chunks::<RUN>();
        runs.get(run).copied().unwrap_or([NOBODY; RUN])
    }

    fn reaches(&self, run: usize) -> bool {
        self.run(run) != [NOBODY; RUN]
    }
}

/// A prefix longer than /24, in the order of addresses: `address:32 | length:8 | list:8`.
#[derive(Clone, Copy)]
struct Piece(u64);

impl Piece {
    /// `None` if the prefix is not longer than /24.
    fn of(net: Ipv4Net, number: u8) -> Option<Self> {
        let length = net.prefix_len();
        let key = u64::from(u32::from(net.network())) << 16 | u64::from(length) << 8;
        (length > 24).then_some(Self(key | u64::from(number)))
    }

    const fn block(self) -> usize {
        (self.0 >> 24) as usize
    }

    const fn list(self) -> u8 {
        self.0 as u8
    }

    /// The addresses within the /24.
    const fn hosts(self) -> Range<usize> {
        let first = (self.0 >> 16 & 0xff) as usize;
        let length = (self.0 >> 8 & 0xff) as u32;
        first..first + (1 << 32_u32.saturating_sub(length))
    }

    /// The same as bits of a leaf.
    fn bits(self, bits: &mut [u64; 4]) {
        let hosts = self.hosts();
        let size = hosts.end - hosts.start;
        let mask = u64::MAX >> (64 - size.min(64));
        let words = bits.iter_mut().skip(hosts.start / 64);
        for word in words.take(size.div_ceil(64)) {
            *word |= mask << (hosts.start % 64);
        }
    }
}

struct Builder {
    lines: Vec<Line>,
    near: Vec<u64>,
    /// Leaves of the run at hand whose members are of several lists, and whose.
    mixed: Vec<(usize, Box<[u8; LEAF]>)>,
    /// Lines of owners that there is still room for.
    owner_lines: usize,
    approximate_owners: usize,
}

impl Builder {
    /// Adds a run: what owns its /24s whole, and the pieces of the others. A run's leaves lie side
    /// by side, owners behind them.
    fn add_run(
        &mut self,
        run: usize,
        mut owners: [u8; RUN],
        mut pieces: &[u64],
    ) -> Result<(), SetError> {
        let leaves = self.lines.len();
        let mut part = 0_u64;
        while let Some(first) = pieces.first() {
            let block = Piece(*first).block();
            let here = pieces
                .iter()
                .take_while(|piece| Piece(**piece).block() == block)
                .count();
            let (same, after) = pieces.split_at(here);
            pieces = after;
            let place = block % RUN;
            let Some(owner) = owners.get_mut(place) else {
                continue;
            };
            match leaf(same, *owner) {
                Leaf::Whole(number) => *owner = number,
                Leaf::Part(bits, number) => {
                    part |= 1 << place;
                    let [a, b, c, d] = bits;
                    self.lines.push([a, b, c, d, u64::from(number), 0, 0, 0]);
                }
                Leaf::Mixed(bits, owners) => {
                    part |= 1 << place;
                    // The bytes say who is on the list at all.
                    *owner = NOBODY;
                    let [a, b, c, d] = bits;
                    self.mixed.push((self.lines.len(), owners));
                    self.lines.push([a, b, c, d, 0, 0, 0, 0]);
                }
            }
        }
        let whole = listed(&owners);
        if let Some(near) = self.near.get_mut(run) {
            *near = whole | part;
        }
        let mut mixed = std::mem::take(&mut self.mixed);
        for (leaf, owners) in mixed.drain(..) {
            let owner = self.owner(owners.as_slice())?;
            if let Some(line) = self.lines.get_mut(leaf) {
                line[LEAF_OWNER] = u64::from(owner);
            }
        }
        self.mixed = mixed;
        let refer = u64::from(self.owner(&owners)?) << 32 | u64::from(index(leaves)?);
        let (entries, _) = self
            .lines
            .as_flattened_mut()
            .as_chunks_mut::<{ RUN_WORDS as usize }>();
        if let Some(entry) = entries.get_mut(run) {
            *entry = [whole, part, refer, 0];
        }
        Ok(())
    }

    /// How a leaf or run says whose its members are.
    fn owner(&mut self, owners: &[u8]) -> Result<u32, SetError> {
        let first = owners.iter().copied().min().unwrap_or(NOBODY);
        if first == NOBODY {
            return Ok(0);
        }
        // What nobody owns is never asked for.
        let others = |owner: &u8| *owner != first && *owner != NOBODY;
        if !owners.iter().any(others) {
            return Ok(first.into());
        }
        let lines = owners.len() / size_of::<Line>();
        let Some(left) = self.owner_lines.checked_sub(lines) else {
            self.approximate_owners += 1;
            return Ok(u32::from(first));
        };
        self.owner_lines = left;
        let start = index(self.lines.len())?;
        let (words, _) = owners.as_chunks::<8>();
        let (chunks, _) = words.as_chunks::<WORDS>();
        let new = chunks.iter().map(|line| line.map(u64::from_le_bytes));
        self.lines.extend(new);
        Ok(start)
    }
}

/// A bit for each /24 that is listed whole.
fn listed(owners: &[u8; RUN]) -> u64 {
    let [first, ..] = owners;
    if *owners == [*first; RUN] {
        return if *first == NOBODY { 0 } else { u64::MAX };
    }
    let places = owners.iter().enumerate();
    places.fold(0, |set, (place, owner)| {
        set | u64::from(*owner != NOBODY) << place
    })
}

fn index(line: usize) -> Result<u32, SetError> {
    u32::try_from(line).map_err(|_| SetError::TooLarge)
}

/// What the pieces of a /24 come to.
enum Leaf {
    /// All of it, one list's.
    Whole(u8),
    /// Some of it, one list's.
    Part([u64; 4], u8),
    /// Members of several lists.
    Mixed([u64; 4], Box<[u8; LEAF]>),
}

/// Joins the pieces of a /24, of which `under` owns all, if anybody.
fn leaf(pieces: &[u64], under: u8) -> Leaf {
    let mut bits = [0; 4];
    let first = pieces.first().map_or(NOBODY, |piece| Piece(*piece).list());
    let mut lowest_list = NOBODY;
    let mut is_mixed = false;
    for piece in pieces {
        let piece = Piece(*piece);
        lowest_list = lowest_list.min(piece.list());
        is_mixed |= piece.list() != first;
        piece.bits(&mut bits);
    }
    if under <= lowest_list {
        return Leaf::Whole(under);
    }
    let is_full = bits == [u64::MAX; 4];
    if !is_mixed && under == NOBODY {
        return if is_full {
            Leaf::Whole(first)
        } else {
            Leaf::Part(bits, first)
        };
    }
    let mut owners = Box::new([under; LEAF]);
    for piece in pieces {
        let piece = Piece(*piece);
        for owner in owners.get_mut(piece.hosts()).unwrap_or_default() {
            *owner = piece.list().min(*owner);
        }
    }
    let [one, ..] = *owners;
    if is_full && owners.iter().all(|owner| *owner == one) {
        return Leaf::Whole(one);
    }
    if under != NOBODY {
        bits = [u64::MAX; 4];
    }
    Leaf::Mixed(bits, owners)
}
