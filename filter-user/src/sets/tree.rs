//! Builds the static trees that [`filter_common::logic::tree`] searches.

use filter_common::logic::{
    lines::{Line, WORDS},
    tree::{FANOUT, KEY_LIMIT, LEVELS, PADDING, Tree},
};

const FANOUT_NODES: usize = FANOUT as usize;
/// Keys that a tree of all levels has: 8 × 9⁶.
pub const MOST_KEYS: usize = WORDS * FANOUT_NODES.pow(LEVELS as u32 - 1);

/// A tree that cannot be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// More keys than a tree has room for.
    #[error("{0} keys are more than the {MOST_KEYS} that a tree has room for")]
    TooManyKeys(usize),
    /// The pool has lines at and beyond 2³².
    #[error("a table of {0} lines is longer than its indices reach")]
    PoolTooLong(usize),
}

/// Appends the tree of `keys` to a pool, and gives where it lies. Keys are sorted and below
/// [`KEY_LIMIT`]; equal ones count each. Without keys nothing is appended, and every rank is 0.
pub fn append(pool: &mut Vec<Line>, keys: &[u64]) -> Result<Tree, TreeError> {
    debug_assert!(keys.is_sorted() && keys.last().is_none_or(|last| *last < KEY_LIMIT));
    if keys.len() > MOST_KEYS {
        return Err(TreeError::TooManyKeys(keys.len()));
    }
    let mut tree = Tree::default();
    let heights = heights(keys.len());
    for (height, start) in (0..heights).rev().zip(tree.starts.iter_mut()) {
        *start = u32::try_from(pool.len()).map_err(|_| TreeError::PoolTooLong(pool.len()))?;
        append_level(pool, keys, height);
    }
    tree.levels = heights;
    Ok(tree)
}

/// Lines that [`append`] takes for so many keys.
pub fn lines(keys: usize) -> usize {
    (0..heights(keys)).map(|height| nodes(keys, height)).sum()
}

/// Levels of a tree.
fn heights(keys: usize) -> u32 {
    if keys == 0 {
        return 0;
    }
    let mut heights = 1;
    while nodes(keys, heights - 1) > 1 {
        heights += 1;
    }
    heights
}

/// Nodes at a height, which the leaves have none of.
fn nodes(keys: usize, height: u32) -> usize {
    keys.div_ceil(keys_under(height))
}

/// Keys at and below one node of a height.
fn keys_under(height: u32) -> usize {
    WORDS * FANOUT_NODES.pow(height)
}

/// Leaves hold the keys themselves; the others, the smallest key under each child but the first.
fn append_level(pool: &mut Vec<Line>, keys: &[u64], height: u32) {
    let Some(below) = height.checked_sub(1) else {
        let (whole, rest) = keys.as_chunks::<WORDS>();
        pool.extend_from_slice(whole);
        if !rest.is_empty() {
            pool.push(line(rest.iter().copied()));
        }
        return;
    };
    let step = keys_under(below);
    for node in keys.chunks(keys_under(height)) {
        pool.push(line(node.iter().copied().step_by(step).skip(1)));
    }
}

fn line(keys: impl Iterator<Item = u64>) -> Line {
    let mut line = [PADDING; WORDS];
    for (slot, key) in line.iter_mut().zip(keys) {
        *slot = key;
    }
    line
}

#[cfg(test)]
mod tests {
    use filter_common::logic::lines::Lines as _;
    use proptest::prelude::*;

    use super::*;

    fn rank(pool: &[Line], tree: &Tree, number: u64) -> usize {
        tree.rank(pool, number).expect("the pool holds the tree") as usize
    }

    #[test]
    fn no_key_takes_no_line() {
        let mut pool = Vec::new();
        let tree = append(&mut pool, &[]).unwrap();
        assert!(pool.is_empty());
        assert_eq!(rank(&pool, &tree, 7), 0);
    }

    #[test]
    fn sizes_around_every_full_level_are_exact_at_and_beside_every_key() {
        for full in [8, 72, 648, 5_832] {
            for count in full - 1..=full + 9 {
                let keys: Vec<u64> = (0..count as u64).map(|key| key * 2 + 1).collect();
                let mut pool = vec![[7; WORDS]; 3];
                let tree = append(&mut pool, &keys).unwrap();
                assert_eq!(pool.len() - 3, lines(keys.len()));
                for (index, key) in keys.iter().enumerate() {
                    assert_eq!(rank(&pool, &tree, key - 1), index);
                    assert_eq!(rank(&pool, &tree, *key), index + 1);
                }
                assert_eq!(rank(&pool, &tree, KEY_LIMIT - 1), keys.len());
            }
        }
    }

    #[test]
    fn more_keys_than_there_is_room_for_are_refused() {
        let keys = vec![0; MOST_KEYS + 1];
        let refusal = append(&mut Vec::new(), &keys);
        assert_eq!(refusal, Err(TreeError::TooManyKeys(MOST_KEYS + 1)));
    }

    proptest! {
        #[test]
        fn a_rank_is_the_number_of_keys_not_above(
            mut keys in prop::collection::vec(prop_oneof![0..100_u64, 0..KEY_LIMIT], 0..3_000),
            numbers in prop::collection::vec(prop_oneof![0..102_u64, 0..KEY_LIMIT], 1..50),
        ) {
            keys.sort_unstable();
            let mut pool = Vec::new();
            let tree = append(&mut pool, &keys).unwrap();
            prop_assert_eq!(pool.len(), lines(keys.len()));
            for number in numbers.iter().chain(keys.iter().take(50)) {
                let expected = keys.partition_point(|key| key <= number);
                prop_assert_eq!(rank(&pool, &tree, *number), expected);
            }
            let read = Tree::read(&[[0; WORDS], words(&tree)][..], 1, 1);
            prop_assert_eq!(read, Some(tree));
            prop_assert!(pool.as_slice().line(pool.len() as u32).is_none());
        }
    }

    fn words(tree: &Tree) -> Line {
        let [a, b, c, d] = tree.words();
        [0, 0, 0, 0, a, b, c, d]
    }
}
