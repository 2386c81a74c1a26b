//! Builds the trees that [`filter_common::logic::tree`] searches.

use filter_common::logic::{
    lines::{Line, WORDS},
    tree::{FANOUT, LEVELS, PADDING, Tree},
};

/// Lays out a tree of sorted keys behind `lines`, whose first is line 0 of the table. `None` if
/// there are more keys than a tree holds.
pub fn build(keys: &[u64], lines: &mut Vec<Line>) -> Option<Tree> {
    let mut tree = Tree::default();
    if keys.is_empty() {
        return Some(tree);
    }
    // From the keys up: each level has the least key under each child but the first of its node.
    let mut levels = vec![pack(keys)];
    let mut least: Vec<u64> = keys.iter().copied().step_by(WORDS).collect();
    while least.len() > 1 {
        let nodes = least.chunks(FANOUT as usize);
        let above = nodes.clone().map(|children| {
            let mut node = [PADDING; WORDS];
            for (key, child) in node.iter_mut().zip(children.iter().skip(1)) {
                *key = *child;
            }
            node
        });
        let above: Vec<Line> = above.collect();
        least = nodes
            .filter_map(|children| children.first().copied())
            .collect();
        levels.push(above);
    }
    if levels.len() > LEVELS {
        return None;
    }
    tree.levels = u32::try_from(levels.len()).ok()?;
    for (start, level) in tree.starts.iter_mut().zip(levels.into_iter().rev()) {
        *start = u32::try_from(lines.len()).ok()?;
        lines.extend(level);
    }
    Some(tree)
}

/// Keys in lines, the last filled up.
fn pack(keys: &[u64]) -> Vec<Line> {
    keys.chunks(WORDS)
        .map(|keys| {
            let mut line = [PADDING; WORDS];
            for (slot, key) in line.iter_mut().zip(keys) {
                *slot = *key;
            }
            line
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use filter_common::logic::tree::KEY_LIMIT;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_number_finds_its_rank(
            keys in prop::collection::btree_set(
                prop_oneof![0..2_000_u64, 0..KEY_LIMIT, KEY_LIMIT - 3..KEY_LIMIT],
                0..900,
            ),
            numbers in prop::collection::vec(
                prop_oneof![0..2_000_u64, 0..KEY_LIMIT, KEY_LIMIT - 3..KEY_LIMIT],
                50,
            ),
        ) {
            let keys: Vec<u64> = keys.into_iter().collect();
            let mut lines = vec![[7; WORDS]; 3];
            let tree = build(&keys, &mut lines).expect("few keys");
            for number in numbers.into_iter().chain(keys.iter().copied()) {
                let below = keys.partition_point(|key| *key <= number);
                prop_assert_eq!(tree.rank(lines.as_slice(), number), u32::try_from(below).ok());
            }
        }
    }
}
