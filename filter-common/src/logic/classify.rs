//! Which of a thousand rules a packet meets, at a cost that does not grow with their number.
//!
//! Each dimension of a packet (protocol, ports, addresses, …) is cut into classes of values that
//! no rule tells apart, and each class has a bit vector of the rules that it satisfies. The
//! rules that a packet meets are the intersection of the vectors of its classes (Lakshman and
//! Stiliadis, "High-speed policy-based packet forwarding using efficient multi-dimensional range
//! matching", 1998). A summary, one bit for sixteen rules, says which lines of the vectors are worth
//! reading (Baboescu and Varghese, "Scalable packet classification", 2001). Lines are intersected
//! whole, so that rules whose summaries agree for nothing cost little.
//!
//! The table, in lines from the beginning of its bank:
//!
//! | lines | what they hold |
//! | --- | --- |
//! | 0 | word 0: the set of [`Dimension`]s in use; word 1: the first line of the vectors |
//! | 1 to 5 | ten [trees](Tree): of the source, the five [`Root`]s, then of the destination |
//! | 6, 7 | word `n`: the first line of the classes by rank of tree `n`, 16 bits each |
//! | 8 to 23 | the class by protocol, 16 bits each: of IPv4, then of IPv6 |
//! | 24 to 31 | by TCP flags |
//! | 32 to 39 | by time to live |
//! | 40 | by [`form`] |
//! | 64 to 2111 | by source port |
//! | 2112 to 4159 | by destination port |
//! | 4160 to 6207 | by length of the IP packet |
//! | [`POOL`] and on | the trees' nodes and classes by rank; the vectors, three lines each |
//!
//! A vector has 18 words: the bits of the services, the summary, and 16 words of 64 rules.

use super::{
    address::Family,
    lines::{self, Line, Lines},
    packet::{Fragment, Packet, Transport},
    tree::{KEY_LIMIT, Tree},
};

/// A table to classify with. The kernel has its own functions for the two things that are done over
/// and over, so that its verifier looks at them once.
pub trait Table: Lines {
    /// The class of a number in the `tree`th tree of the table that begins at line `bank`.
    #[inline(always)]
    fn ranked(&self, bank: u32, tree: u32, number: u64) -> Option<u16> {
        ranked(self, bank, tree, number)
    }

    /// Has the candidates look at what the vectors of the classes have in common in one of their
    /// lines.
    #[inline(always)]
    fn intersect(&self, candidates: &mut Candidates, classes: &Classes, index: u32) {
        candidates.intersect(self, classes, index);
    }
}

impl Table for [Line] {}

/// What packets are told apart by. The numbers are bits of the header's word 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Dimension {
    /// Family and protocol.
    Protocol = 0,
    /// TCP flags; zero for what is not TCP.
    Flags = 1,
    /// Time to live, or hop limit.
    Hops = 2,
    /// [`form`].
    Form = 3,
    /// Source port; zero for what has none.
    SourcePort = 4,
    /// Destination port.
    DestinationPort = 5,
    /// Length of the IP packet.
    Length = 6,
    /// IPv4 source, or the first half of an IPv6 source.
    Source = 7,
    /// The second half of an IPv6 source.
    SourceLow = 8,
    /// IPv4 destination, or the first half of an IPv6 destination.
    Destination = 9,
    /// The second half of an IPv6 destination.
    DestinationLow = 10,
}

/// Number of [`Dimension`]s.
pub const DIMENSIONS: usize = 11;

impl Dimension {
    /// The dimension as a set of one.
    #[inline(always)]
    pub const fn bit(self) -> u64 {
        1_u64.wrapping_shl(self as u32)
    }
}

/// The trees of an address. Keys are below 2⁶³, so that halves of IPv6 addresses have two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Root {
    /// IPv4 addresses.
    V4 = 0,
    /// First halves of IPv6 addresses whose top bit is 0.
    High0 = 1,
    /// First halves whose top bit is 1, without it.
    High1 = 2,
    /// Second halves whose top bit is 0.
    Low0 = 3,
    /// Second halves whose top bit is 1, without it.
    Low1 = 4,
}

/// Trees of an address.
pub const ROOTS: u32 = 5;
/// The first line of the trees.
pub const TREES: u32 = 1;
/// The first word of the words that say where the classes by rank are.
pub const RANKED: u32 = 6 * 8;
/// The first line of the classes by protocol.
pub const BY_PROTOCOL: u32 = 8;
/// The first line of the classes by TCP flags.
pub const BY_FLAGS: u32 = 24;
/// The first line of the classes by time to live.
pub const BY_HOPS: u32 = 32;
/// The first line of the classes by form.
pub const BY_FORM: u32 = 40;
/// The first line of the classes by source port.
pub const BY_SOURCE_PORT: u32 = 64;
/// The first line of the classes by destination port.
pub const BY_DESTINATION_PORT: u32 = 2112;
/// The first line of the classes by length.
pub const BY_LENGTH: u32 = 4160;
/// The first line that has no fixed meaning.
pub const POOL: u32 = 6208;
/// Lines of a vector.
pub const VECTOR_LINES: u32 = 3;
/// The word of a vector that has the services; the first, as [`Candidates::services`] takes it.
pub const SERVICES_WORD: u32 = 0;
/// The word of a vector that says which groups of [`GROUP`] rules are not empty.
pub const SUMMARY_WORD: u32 = 1;
/// Rules that share a bit of the summary.
pub const GROUP: u32 = 16;
/// The first word of rules.
pub const FIRST_RULES_WORD: u32 = 2;
/// Words of rules.
pub const RULES_WORDS: u32 = 16;

/// Whole, first piece or later piece (0, 1, 2), and 4 more where the transport header is
/// seen.
#[inline(always)]
pub const fn form(packet: &Packet) -> u32 {
    let piece = match packet.fragment {
        Fragment::Whole => 0,
        Fragment::First => 1,
        Fragment::Later => 2,
    };
    match packet.transport() {
        Transport::Opaque => piece,
        Transport::Tcp { .. } | Transport::Udp { .. } | Transport::Icmp { .. } => piece | 4,
    }
}

/// A packet in numbers: what it is in each dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Numbers {
    /// Halves of the source and of the destination; of IPv4, the address and zero.
    halves: [[u64; 2]; 2],
    /// By [`Dimension`], from the first to [`Dimension::Length`].
    small: [u32; TABLES.len()],
    /// 0: IPv4; 1: IPv6.
    family: u32,
}

/// The dimensions that have a table of classes, and its first line.
const TABLES: [(Dimension, u32); 7] = [
    (Dimension::Protocol, BY_PROTOCOL),
    (Dimension::Flags, BY_FLAGS),
    (Dimension::Hops, BY_HOPS),
    (Dimension::Form, BY_FORM),
    (Dimension::SourcePort, BY_SOURCE_PORT),
    (Dimension::DestinationPort, BY_DESTINATION_PORT),
    (Dimension::Length, BY_LENGTH),
];

impl Numbers {
    /// Of a packet.
    #[inline(always)]
    pub fn of(packet: &Packet) -> Self {
        let (source_port, destination_port, flags) = match packet.transport() {
            Transport::Tcp {
                source_port,
                destination_port,
                flags,
            } => (source_port, destination_port, flags.0),
            Transport::Udp {
                source_port,
                destination_port,
            } => (source_port, destination_port, 0),
            Transport::Icmp { .. } | Transport::Opaque => (0, 0, 0),
        };
        let family = match packet.source.family() {
            Family::V4 => 0,
            Family::V6 => 1,
        };
        Self {
            halves: [packet.source.numbers(), packet.destination.numbers()],
            small: [
                family << 8 | u32::from(packet.protocol),
                u32::from(flags),
                u32::from(packet.hops),
                form(packet),
                u32::from(source_port),
                u32::from(destination_port),
                u32::from(packet.length),
            ],
            family,
        }
    }
}

/// The classes of a packet, as the first lines of their vectors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Classes {
    /// The set of [`Dimension`]s that have one.
    used: u64,
    /// By dimension; those that are not in use mean nothing.
    vectors: [u32; DIMENSIONS],
    reserved: u32,
}

impl Classes {
    /// Finds the classes of a packet in the table that begins at line `bank`. `None` if the table
    /// ends before what it speaks of.
    #[inline(always)]
    pub fn find(
        &mut self,
        lines: &(impl Table + ?Sized),
        bank: u32,
        numbers: &Numbers,
    ) -> Option<()> {
        let header = lines.line(bank)?;
        let (used, first) = (header[0], bank.wrapping_add(header[1] as u32));
        let vector = |class: u16| first.wrapping_add(u32::from(class).wrapping_mul(VECTOR_LINES));
        for ((dimension, table), number) in TABLES.into_iter().zip(numbers.small) {
            if used & dimension.bit() != 0 {
                let class = lines::half(lines, bank.wrapping_add(table), number)?;
                self.set(dimension, vector(class));
            }
        }
        for (high, low, trees, halves) in [
            (
                Dimension::Source,
                Dimension::SourceLow,
                0,
                numbers.halves[0],
            ),
            (
                Dimension::Destination,
                Dimension::DestinationLow,
                ROOTS,
                numbers.halves[1],
            ),
        ] {
            if used & high.bit() != 0 {
                let root = numbers
                    .family
                    .wrapping_mul((Root::High0 as u32).wrapping_add(top(halves[0])));
                let class = lines.ranked(bank, trees.wrapping_add(root), halves[0])?;
                self.set(high, vector(class));
            }
            if used & low.bit() != 0 && numbers.family != 0 {
                let root = (Root::Low0 as u32).wrapping_add(top(halves[1]));
                let class = lines.ranked(bank, trees.wrapping_add(root), halves[1])?;
                self.set(low, vector(class));
            }
        }
        self.used = if numbers.family == 0 {
            used & !(Dimension::SourceLow.bit() | Dimension::DestinationLow.bit())
        } else {
            used
        };
        Some(())
    }

    #[inline(always)]
    fn set(&mut self, dimension: Dimension, vector: u32) {
        if let Some(place) = self.vectors.get_mut(dimension as usize) {
            *place = vector;
        }
    }
}

#[inline(always)]
const fn top(half: u64) -> u32 {
    (half >> 63) as u32
}

/// [`Table::ranked`].
#[inline(always)]
pub fn ranked(lines: &(impl Lines + ?Sized), bank: u32, tree: u32, number: u64) -> Option<u16> {
    let base = Tree::read(lines, bank.wrapping_add(TREES), tree)?.based(bank);
    let rank = base.rank(lines, number & (KEY_LIMIT - 1))?;
    let words = bank.wrapping_mul(8).wrapping_add(RANKED);
    let first = lines::word(lines, words.wrapping_add(tree))? as u32;
    lines::half(lines, bank.wrapping_add(first), rank)
}

/// What a packet's classes have in common: services, and rules in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Candidates {
    /// One line of the intersection of the vectors.
    common: Line,
    /// Groups of rules in lines that were not looked at, as a set.
    groups: u64,
    /// What is left of the word at hand.
    word: u64,
    /// Words of `common` that are left, as a set.
    words: u32,
    /// The number of the rule of the first bit of `common`; meaningless for the words before the
    /// first of rules.
    first: u32,
    /// The number of the rule of the first bit of `word`.
    base: u32,
    reserved: u32,
}

/// The groups whose rules lie in each line of a vector.
const GROUPS_BY_LINE: [u64; VECTOR_LINES as usize] = {
    const FIRST: u32 = (8 - FIRST_RULES_WORD) * 64 / GROUP;
    const SECOND: u32 = FIRST + 8 * 64 / GROUP;
    let first = (1_u64 << FIRST).wrapping_sub(1);
    let second = (1_u64 << SECOND).wrapping_sub(1);
    [first, second & !first, !second]
};

impl Candidates {
    /// All that the classes have in common.
    #[inline(always)]
    pub fn new(lines: &(impl Table + ?Sized), classes: &Classes) -> Self {
        let mut candidates = Self::default();
        candidates.begin(lines, classes);
        candidates
    }

    /// Looks at the first line, which has the services and the summary too. Nothing is in common
    /// where no dimension is in use.
    #[inline(always)]
    pub fn begin(&mut self, lines: &(impl Table + ?Sized), classes: &Classes) {
        self.words = 0;
        self.groups = 0;
        self.word = 0;
        lines.intersect(self, classes, 0);
        // Those of the first line are at hand.
        let [_, summary, ..] = self.common;
        self.groups = summary & !GROUPS_BY_LINE[0];
        self.words &= !0_u32 << FIRST_RULES_WORD;
    }

    /// The services that the packet belongs to, as a set; right after [`Candidates::begin`].
    #[inline(always)]
    pub const fn services(&self) -> u64 {
        let [services, ..] = self.common;
        services
    }

    /// Whether no rule is left.
    #[inline(always)]
    pub const fn is_empty(&self) -> bool {
        self.groups == 0 && self.words == 0 && self.word == 0
    }

    /// Intersects a line of the vectors.
    #[inline(always)]
    pub fn intersect(&mut self, lines: &(impl Lines + ?Sized), classes: &Classes, index: u32) {
        self.common = if classes.used == 0 {
            [0; lines::WORDS]
        } else {
            [u64::MAX; lines::WORDS]
        };
        for (dimension, vector) in classes.vectors.iter().enumerate() {
            if classes.used & 1_u64.wrapping_shl(dimension as u32) == 0 {
                continue;
            }
            if let Some(line) = lines.line(vector.wrapping_add(index)) {
                for (common, word) in self.common.iter_mut().zip(line) {
                    *common &= word;
                }
            }
        }
        self.words = 0;
        for (at, word) in self.common.iter().enumerate() {
            let is_set = (word | word.wrapping_neg()) >> 63;
            self.words |= (is_set as u32).wrapping_shl(at as u32);
        }
        self.first = index
            .wrapping_mul(lines::WORDS as u32)
            .wrapping_sub(FIRST_RULES_WORD)
            .wrapping_mul(64);
    }

    /// Moves on by one rule, or to another line. `None` at the end.
    #[inline(always)]
    pub fn step(&mut self, lines: &(impl Table + ?Sized), classes: &Classes) -> Option<Step> {
        if self.word == 0 {
            if self.words == 0 {
                let index = self.next_line()?;
                lines.intersect(self, classes, index);
                if self.words == 0 {
                    return Some(Step::Empty);
                }
            }
            let at = lowest(u64::from(self.words));
            self.words &= self.words.wrapping_sub(1);
            self.word = lines::at(&self.common, at);
            self.base = self.first.wrapping_add(at.wrapping_mul(64));
        }
        let rule = self.base.wrapping_add(lowest(self.word));
        self.word &= self.word.wrapping_sub(1);
        Some(Step::Rule(rule))
    }

    /// The next line that may hold a candidate.
    #[inline(always)]
    fn next_line(&mut self) -> Option<u32> {
        let second = self.groups & GROUPS_BY_LINE[1];
        if second != 0 {
            self.groups &= !GROUPS_BY_LINE[1];
            return Some(1);
        }
        if self.groups == 0 {
            return None;
        }
        self.groups = 0;
        Some(2)
    }
}

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A line without a rule.
    Empty,
    /// The rule of this number.
    Rule(u32),
}

/// Steps that it takes at most to see every candidate of a set of rules that is within
/// [`MOST_CANDIDATES`](crate::abi::rules::MOST_CANDIDATES): the lines, and one rule that decides.
pub const MOST_STEPS: u32 = VECTOR_LINES + crate::abi::rules::MOST_CANDIDATES + 1;

/// Index of the lowest bit of a word that is not zero. By multiplication (Leiserson, Prokop and
/// Randall, "Using de Bruijn sequences to index a 1 in a computer word", 1998), for BPF has no
/// instruction for it.
#[inline(always)]
pub fn lowest(word: u64) -> u32 {
    const SEQUENCE: u64 = 0x03f7_9d71_b4cb_0a89;
    #[allow(clippy::indexing_slicing, reason = "evaluated by the compiler")]
    const TABLE: [u8; 64] = {
        let mut table = [0; 64];
        let mut bit = 0_usize;
        while bit < 64 {
            table[(SEQUENCE.wrapping_shl(bit as u32) >> 58) as usize] = bit as u8;
            bit = bit.wrapping_add(1);
        }
        table
    };
    static PLACES: [u8; 64] = TABLE;
    let isolated = word & word.wrapping_neg();
    let place = (isolated.wrapping_mul(SEQUENCE) >> 58) as usize & 63;
    PLACES.get(place).map_or(0, |bit| u32::from(*bit))
}
