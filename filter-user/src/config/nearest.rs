//! What somebody may have meant.

/// Names compared are cut to this, for the comparison is quadratic and its input anyone's.
const MOST_COMPARED: usize = 64;

/// The candidate closest to `typed`, if it is close enough to be what was meant.
pub fn nearest<'a>(typed: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let typed: String = typed
        .chars()
        .take(MOST_COMPARED)
        .flat_map(char::to_lowercase)
        .collect();
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&typed, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.chars().count() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// What to say after "unknown": the nearest candidate, or all of them.
pub fn suggestion(typed: &str, candidates: &[&str]) -> String {
    match nearest(typed, candidates.iter().copied()) {
        Some(candidate) => format!("did you mean `{candidate}`?"),
        None => format!("known: {}", candidates.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found_and_far_ones_are_not() {
        let names = ["interfaces", "mode", "attach"];
        assert_eq!(nearest("interface", names), Some("interfaces"));
        assert_eq!(nearest("MODE", names), Some("mode"));
        assert_eq!(nearest("moed", names), Some("mode"));
        assert_eq!(nearest("colour", names), None);
        assert_eq!(
            suggestion("colour", &names),
            "known: interfaces, mode, attach"
        );
    }
}
