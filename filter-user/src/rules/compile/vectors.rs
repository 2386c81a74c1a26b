//! Bit vectors of rules and services, each kept once.

use std::collections::HashMap;

use filter_common::logic::{
    classify::{FIRST_RULES_WORD, GROUP, RULES_WORDS, SERVICES_WORD, SUMMARY_WORD, VECTOR_LINES},
    lines::{Line, WORDS},
};

/// A vector as it lies in the table, padded to whole lines.
type Words = [u64; VECTOR_LINES as usize * WORDS];

/// One bit for each rule and each service, by their indexes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Vector {
    words: Words,
}

/// Something that has a bit in a vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bit {
    /// A rule, by its place in the order.
    Rule(usize),
    /// A service, by its place in the order.
    Service(usize),
}

impl Vector {
    /// Sets or clears a bit.
    pub fn put(&mut self, bit: Bit, value: bool) {
        let (word, place) = match bit {
            Bit::Rule(index) => (FIRST_RULES_WORD as usize + index / 64, index % 64),
            Bit::Service(index) => (SERVICES_WORD as usize, index % 64),
        };
        if let Some(word) = self.words.get_mut(word) {
            let mask = 1_u64 << place;
            *word = if value { *word | mask } else { *word & !mask };
        }
    }

    /// The vector with its summary.
    fn summarised(mut self) -> Self {
        const GROUPS_IN_WORD: u32 = u64::BITS / GROUP;
        let first = FIRST_RULES_WORD as usize;
        let rules = self.words.get(first..first + RULES_WORDS as usize);
        let mut summary = 0;
        for (word, place) in rules.unwrap_or_default().iter().zip(0_u32..) {
            for group in 0..GROUPS_IN_WORD {
                let rules = word >> (group * GROUP) & ((1 << GROUP) - 1);
                summary |= u64::from(rules != 0) << (place * GROUPS_IN_WORD + group);
            }
        }
        if let Some(word) = self.words.get_mut(SUMMARY_WORD as usize) {
            *word = summary;
        }
        self
    }
}

/// Every vector in use, numbered: the numbers are the classes of all dimensions.
#[derive(Debug, Default)]
pub struct Vectors {
    classes: HashMap<Vector, u16>,
    in_order: Vec<Vector>,
}

impl Vectors {
    /// The class of a vector; `None` if there are too many.
    pub fn class(&mut self, vector: &Vector) -> Option<u16> {
        let vector = vector.clone().summarised();
        if let Some(class) = self.classes.get(&vector) {
            return Some(*class);
        }
        let class = u16::try_from(self.in_order.len()).ok()?;
        self.classes.insert(vector.clone(), class);
        self.in_order.push(vector);
        Some(class)
    }

    /// All vectors as lines, by class.
    pub fn lines(&self) -> impl Iterator<Item = Line> {
        self.in_order
            .iter()
            .flat_map(|vector| vector.words.as_chunks().0.iter().copied())
    }
}
