//! Lays the table out: classes of each dimension, trees of addresses, vectors.

use filter_common::{
    abi::rules::BANK_LINES,
    logic::{
        classify::{
            BY_DESTINATION_PORT, BY_FLAGS, BY_FORM, BY_HOPS, BY_LENGTH, BY_PROTOCOL,
            BY_SOURCE_PORT, Dimension, POOL, RANKED, ROOTS, Root, TREES,
        },
        lines::{Line, WORDS},
        tree::KEY_LIMIT,
    },
};

use super::vectors::{Bit, Vector, Vectors};
use crate::{
    rules::region::{Region, Side, Stretch},
    sets::tree,
};

/// 16-bit numbers in a line.
const HALVES: usize = WORDS * 4;
/// Every tree of an address.
const EVERY_ROOT: [Root; ROOTS as usize] =
    [Root::V4, Root::High0, Root::High1, Root::Low0, Root::Low1];

/// A table in the making.
pub struct Layout<'r> {
    all: Vec<(Bit, &'r Region)>,
    vectors: Vectors,
    lines: Vec<Line>,
    used: u64,
}

/// From this number on, up to the next, everything is of one class.
struct Section {
    from: u64,
    class: u16,
}

impl<'r> Layout<'r> {
    /// The whole table; `None` if it does not fit into a bank.
    pub fn build(rules: &'r [Region], services: &'r [Region]) -> Option<Vec<Line>> {
        let rules = rules.iter().enumerate();
        let services = services.iter().enumerate();
        let mut layout = Layout {
            all: rules
                .map(|(index, region)| (Bit::Rule(index), region))
                .chain(services.map(|(index, region)| (Bit::Service(index), region)))
                .collect(),
            vectors: Vectors::default(),
            lines: vec![[0; WORDS]; POOL as usize],
            used: 0,
        };
        layout.small()?;
        layout.spans()?;
        layout.addresses()?;
        layout.finish()
    }

    /// Dimensions of few values: every value is tried on every rule.
    fn small(&mut self) -> Option<()> {
        self.direct(Dimension::Protocol, BY_PROTOCOL, 512, |region, number| {
            let [protocol, family, ..] = number.to_le_bytes();
            region.has_protocol(usize::from(family), protocol)
        })?;
        // Rules without any condition are found here.
        self.used |= Dimension::Protocol.bit();
        self.direct(Dimension::Flags, BY_FLAGS, 256, |region, number| {
            let [flags, ..] = number.to_le_bytes();
            region.flags.contains(flags)
        })?;
        self.direct(Dimension::Form, BY_FORM, 8, |region, number| {
            region.forms >> number & 1 != 0
        })
    }

    fn direct(
        &mut self,
        dimension: Dimension,
        table: u32,
        numbers: u32,
        contains: impl Fn(&Region, u32) -> bool,
    ) -> Option<()> {
        let mut sections = Vec::new();
        for number in 0..numbers {
            let mut vector = Vector::default();
            for (bit, region) in &self.all {
                vector.put(*bit, contains(region, number));
            }
            sections.push(Section {
                from: number.into(),
                class: self.vectors.class(&vector)?,
            });
        }
        self.spread(dimension, table, numbers, &sections);
        Some(())
    }

    /// Dimensions of which a rule has one range.
    fn spans(&mut self) -> Option<()> {
        self.span(Dimension::Hops, BY_HOPS, 1 << 8, |region| {
            region.hops.indexes().into_inner()
        })?;
        self.span(Dimension::SourcePort, BY_SOURCE_PORT, 1 << 16, |region| {
            region.ports.source.indexes().into_inner()
        })?;
        self.span(
            Dimension::DestinationPort,
            BY_DESTINATION_PORT,
            1 << 16,
            |region| region.ports.destination.indexes().into_inner(),
        )?;
        self.span(Dimension::Length, BY_LENGTH, 1 << 16, |region| {
            region.length.indexes().into_inner()
        })
    }

    fn span(
        &mut self,
        dimension: Dimension,
        table: u32,
        numbers: u32,
        ends: impl Fn(&Region) -> (u32, u32),
    ) -> Option<()> {
        let stretches = self.all.iter().map(|(bit, region)| {
            let (first, last) = ends(region);
            (*bit, u64::from(first), u64::from(last))
        });
        let sections = sections(stretches.collect(), numbers.into(), &mut self.vectors)?;
        self.spread(dimension, table, numbers, &sections);
        Some(())
    }

    /// Writes a class for each number. Does nothing if all are one, which tells nothing apart:
    /// every rule then has every number.
    fn spread(&mut self, dimension: Dimension, table: u32, numbers: u32, sections: &[Section]) {
        let mut classes = sections.iter().map(|section| section.class);
        let first = classes.next();
        if classes.all(|class| Some(class) == first) {
            return;
        }
        self.used |= dimension.bit();
        let ends = sections
            .iter()
            .skip(1)
            .map(|section| section.from)
            .chain([numbers.into()]);
        for (section, end) in sections.iter().zip(ends) {
            for number in section.from..end {
                put_half(
                    &mut self.lines,
                    table as usize,
                    number as usize,
                    section.class,
                );
            }
        }
    }

    fn addresses(&mut self) -> Option<()> {
        self.address([Dimension::Source, Dimension::SourceLow], 0, |region| {
            &region.source
        })?;
        self.address(
            [Dimension::Destination, Dimension::DestinationLow],
            ROOTS,
            |region| &region.destination,
        )
    }

    fn address(
        &mut self,
        [high, low]: [Dimension; 2],
        first_tree: u32,
        side: impl Fn(&Region) -> &Side,
    ) -> Option<()> {
        for root in EVERY_ROOT {
            let (dimension, limit, stretches): (_, _, fn(&Side) -> Vec<Stretch>) = match root {
                Root::V4 => (high, 1 << 32, Side::high),
                Root::High0 | Root::High1 => (high, KEY_LIMIT, Side::high),
                Root::Low0 | Root::Low1 => (low, KEY_LIMIT, Side::low),
            };
            let here = self.all.iter().flat_map(|(bit, region)| {
                let all = stretches(side(region)).into_iter();
                all.filter(|stretch| stretch.root == root)
                    .map(|stretch| (*bit, stretch.first, stretch.last))
            });
            let sections = sections(here.collect(), limit, &mut self.vectors)?;
            if sections.len() > 1 {
                self.used |= dimension.bit();
            }
            self.tree(first_tree + root as u32, &sections)?;
        }
        Some(())
    }

    /// A tree of where sections begin, and their classes by rank.
    fn tree(&mut self, index: u32, sections: &[Section]) -> Option<()> {
        // The first begins at zero, which every number is above: its rank is 0.
        let keys: Vec<u64> = sections
            .iter()
            .skip(1)
            .map(|section| section.from)
            .collect();
        let tree = tree::append(&mut self.lines, &keys).ok()?;
        let at = TREES as usize * WORDS + index as usize * 4;
        for (offset, word) in tree.words().into_iter().enumerate() {
            put_word(&mut self.lines, at + offset, word);
        }
        let first = self.lines.len();
        put_word(&mut self.lines, (RANKED + index) as usize, first as u64);
        let room = first + sections.len().div_ceil(HALVES);
        self.lines.resize(room, [0; WORDS]);
        for (rank, section) in sections.iter().enumerate() {
            put_half(&mut self.lines, first, rank, section.class);
        }
        Some(())
    }

    /// The vectors behind everything, and the header.
    fn finish(mut self) -> Option<Vec<Line>> {
        let first = self.lines.len();
        self.lines.extend(self.vectors.lines());
        put_word(&mut self.lines, 0, self.used);
        put_word(&mut self.lines, 1, first as u64);
        (self.lines.len() <= BANK_LINES as usize).then_some(self.lines)
    }
}

/// Cuts the numbers below `limit` into sections in which the same bits are set, each in a stretch
/// from the first number to the last. `None` if there are too many different ones.
fn sections(
    stretches: Vec<(Bit, u64, u64)>,
    limit: u64,
    vectors: &mut Vectors,
) -> Option<Vec<Section>> {
    let mut turns: Vec<(u64, Bit, bool)> = Vec::new();
    for (bit, first, last) in stretches {
        turns.push((first, bit, true));
        if last < limit - 1 {
            turns.push((last + 1, bit, false));
        }
    }
    turns.sort_by_key(|(at, ..)| *at);
    let mut vector = Vector::default();
    let mut all = Vec::new();
    let mut from = 0;
    for (at, bit, value) in turns {
        if at != from {
            push(&mut all, from, vectors.class(&vector)?);
            from = at;
        }
        vector.put(bit, value);
    }
    push(&mut all, from, vectors.class(&vector)?);
    Some(all)
}

/// Adds a section, unless it goes on as the one before.
fn push(all: &mut Vec<Section>, from: u64, class: u16) {
    if all.last().is_none_or(|last| last.class != class) {
        all.push(Section { from, class });
    }
}

fn put_word(lines: &mut [Line], index: usize, value: u64) {
    if let Some(word) = lines.as_flattened_mut().get_mut(index) {
        *word = value;
    }
}

/// Writes the 16-bit number at an index that counts such numbers from line `first`.
fn put_half(lines: &mut [Line], first: usize, index: usize, value: u16) {
    let at = first * WORDS + index / 4;
    if let Some(word) = lines.as_flattened_mut().get_mut(at) {
        let shift = index % 4 * 16;
        *word = *word & !(0xffff << shift) | u64::from(value) << shift;
    }
}
