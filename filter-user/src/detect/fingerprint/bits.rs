//! Sets of samples.

/// A set of indexes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Bits(Vec<u64>);

impl Bits {
    /// The indexes of the samples for which something holds.
    pub fn of<T>(samples: &[T], mut holds: impl FnMut(&T) -> bool) -> Self {
        let word = |chunk: &[T]| {
            let bits = chunk.iter().enumerate();
            bits.fold(0, |word, (index, sample)| {
                word | u64::from(holds(sample)) << index
            })
        };
        Self(samples.chunks(64).map(word).collect())
    }

    /// Those in both.
    pub fn and(&self, other: &Self) -> Self {
        let words = self.0.iter().zip(&other.0);
        Self(words.map(|(one, two)| one & two).collect())
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// How many are in both.
    pub fn count_both(&self, other: &Self) -> usize {
        let words = self.0.iter().zip(&other.0);
        words
            .map(|(one, two)| (one & two).count_ones() as usize)
            .sum()
    }

    /// They, rising.
    pub fn indexes(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().enumerate().flat_map(|(place, word)| {
            let mut left = *word;
            std::iter::from_fn(move || {
                let bit = (left != 0).then(|| left.trailing_zeros() as usize)?;
                left &= left - 1;
                Some(place * 64 + bit)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn sets_are_what_they_were_made_of(
            samples in prop::collection::vec(any::<(bool, bool)>(), 0..200),
        ) {
            let one = Bits::of(&samples, |sample| sample.0);
            let two = Bits::of(&samples, |sample| sample.1);
            let expected: Vec<usize> = (0..samples.len()).filter(|i| samples[*i] == (true, true)).collect();
            let both = one.and(&two);
            prop_assert_eq!(both.count(), expected.len());
            prop_assert_eq!(one.count_both(&two), expected.len());
            prop_assert_eq!(both.indexes().collect::<Vec<_>>(), expected);
        }
    }
}
