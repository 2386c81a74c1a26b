//! How many rules that do not decide a packet can meet.

use crate::rules::region::Region;

/// Those of `undecided` that could together exceed `most` for one packet; none if no packet meets
/// more than `most` of them.
///
/// Rules that one packet meets all meet each other. So whoever has fewer than `most` others left
/// that it meets is in no crowd above `most`, and is set aside, which thins out the rest; what
/// cannot be set aside so is the `most`-core of the graph (Seidman, "Network structure and minimum
/// degree", 1983). One wide rule over a hundred narrow ones is no crowd.
pub fn crowd(regions: &[Region], undecided: &[usize], most: usize) -> Vec<usize> {
    let picked: Vec<(usize, &Region)> = undecided
        .iter()
        .filter_map(|index| Some((*index, regions.get(*index)?)))
        .collect();
    let neighbours: Vec<Vec<usize>> = picked
        .iter()
        .enumerate()
        .map(|(own, (_, region))| {
            picked
                .iter()
                .enumerate()
                .filter(|(other, (_, there))| *other != own && region.meets(there))
                .map(|(other, _)| other)
                .collect()
        })
        .collect();
    let mut degree: Vec<usize> = neighbours.iter().map(Vec::len).collect();
    let mut aside: Vec<usize> = (0..picked.len())
        .filter(|own| degree.get(*own).is_some_and(|degree| *degree < most))
        .collect();
    let mut next = 0;
    while let Some(own) = aside.get(next).copied() {
        next += 1;
        for other in neighbours.get(own).into_iter().flatten() {
            if let Some(degree) = degree.get_mut(*other) {
                // Once, when it falls below: those set aside already are below.
                if *degree == most {
                    aside.push(*other);
                }
                *degree = degree.saturating_sub(1);
            }
        }
    }
    aside.sort_unstable();
    picked
        .iter()
        .enumerate()
        .filter(|(own, _)| aside.binary_search(own).is_err())
        .map(|(_, (index, _))| *index)
        .collect()
}
