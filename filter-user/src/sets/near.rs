//! The gate's bits of the big sets.

use filter_common::logic::{
    gate::{Bit, LINE_WORDS, LINES, SHORTEST_V6, SHORTEST_V6_NARROW},
    hash::HashKey,
};
use ipnet::{IpNet, Ipv6Net};

use super::{List, Sets, split};

/// Words of the gate.
pub const WORDS: usize = LINES as usize * LINE_WORDS;

/// Which bits of the gate the sets want.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Near {
    /// The gate's words; empty if there is no bit.
    pub words: Vec<u64>,
    /// Whether there are IPv6 prefixes too short for bits.
    pub is_open_v6: bool,
}

impl Near {
    /// Of sets that were built of these lists.
    pub fn of(sets: &Sets, lists: &[List<'_>], key: &HashKey) -> Self {
        let mut near = Self::default();
        if !sets.v4.near.is_empty() {
            // A run of the set is a word of the gate.
            near.words.clone_from(&sets.v4.near);
            near.words.resize(WORDS, 0);
        }
        for list in lists {
            near.add_v6(split(list.prefixes).1, key);
        }
        near
    }

    fn add_v6(&mut self, sorted: &[IpNet], key: &HashKey) {
        let mut wider: Option<Ipv6Net> = None;
        for net in sorted {
            let IpNet::V6(net) = net else { continue };
            // What lies within another has its bits.
            if wider.is_some_and(|wider| wider.contains(net)) {
                continue;
            }
            wider = Some(*net);
            match bits_of_v6(*net, key) {
                Some(bits) => bits.for_each(|bit| self.set(bit)),
                None => self.is_open_v6 = true,
            }
        }
    }

    fn set(&mut self, bit: Bit) {
        if self.words.is_empty() {
            self.words = vec![0; WORDS];
        }
        let index = bit.line() as usize * LINE_WORDS + bit.word();
        if let Some(word) = self.words.get_mut(index) {
            *word |= bit.mask();
        }
    }
}

/// The bits of an IPv6 prefix; `None` if it is too short to have any.
pub fn bits_of_v6(net: Ipv6Net, key: &HashKey) -> Option<impl Iterator<Item = Bit> + use<>> {
    let (key, length) = (*key, net.prefix_len());
    let is_narrow = length >= SHORTEST_V6_NARROW;
    let block = if is_narrow { 48 } else { 32 };
    let first = (u128::from(net.network()) >> (128 - block)) as u64;
    let blocks = 1_u64 << (block as u8).saturating_sub(length);
    (length >= SHORTEST_V6).then(|| {
        (first..first.saturating_add(blocks)).map(move |block| {
            if is_narrow {
                Bit::of_v6_block(block, &key)
            } else {
                Bit::of_v6_wide_block(block, &key)
            }
        })
    })
}
