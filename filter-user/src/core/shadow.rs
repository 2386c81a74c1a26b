//! Which entries do nothing because of others: told, where it is no reason to refuse.

use ipnet::IpNet;

use super::{lists::List, state::State};
use crate::api::types::ListKind;

/// What new entries make useless, or are made useless by: a sentence each. `new` is sorted.
pub fn notes(kind: ListKind, new: &[IpNet], state: &State) -> Vec<String> {
    let mut narrower = within_list(state.list(kind), new);
    narrower.retain(|prefix| new.binary_search(prefix).is_err());
    precedence(kind, new, state)
        .into_iter()
        .chain(tell(narrower, NARROWER))
        .collect()
}

/// Likewise of an imported list. Members that lists have in common are told of neither: each
/// counts for itself, and may go without the other.
pub fn notes_of_import(kind: ListKind, new: &[IpNet], state: &State) -> Vec<String> {
    let manual: Vec<IpNet> = state.list(kind).manual.keys().copied().collect();
    let mut narrower = covered(new, &manual);
    narrower.retain(|prefix| new.binary_search(prefix).is_err());
    precedence(kind, new, state)
        .into_iter()
        .chain(tell(narrower, NARROWER))
        .collect()
}

const NARROWER: &str = "there already, within these and without effect of its own";

/// What the allowlist has to do with it.
fn precedence(kind: ListKind, new: &[IpNet], state: &State) -> Option<String> {
    match kind {
        ListKind::Allow => {
            let mut lifted = within_list(state.list(ListKind::Block), new);
            lifted.extend(within_list(state.list(ListKind::Ban), new));
            tell(
                lifted,
                "blocked or banned without effect, for the allowlist goes first",
            )
        }
        ListKind::Block | ListKind::Ban => {
            let allowed = state.list(ListKind::Allow).prefixes();
            tell(
                covered(&allowed, new),
                "of these without effect, for the allowlist covers them and goes first",
            )
        }
    }
}

/// The members of a list that some prefix of sorted `by` covers.
fn within_list(list: &List, by: &[IpNet]) -> Vec<IpNet> {
    let manual: Vec<IpNet> = list.manual.keys().copied().collect();
    let imports = list.imports.values();
    let imported = imports.flat_map(|list| covered(by, &list.prefixes));
    covered(by, &manual).into_iter().chain(imported).collect()
}

/// The members of `sorted` that some prefix of sorted `by` covers. Both may be long, and are gone
/// through once.
fn covered(by: &[IpNet], sorted: &[IpNet]) -> Vec<IpNet> {
    let mut by = by.iter().peekable();
    let mut widest: Option<&IpNet> = None;
    let covered = sorted.iter().filter(|member| {
        while let Some(next) = by.next_if(|next| next <= member) {
            // What lies within another covers nothing more.
            if widest.is_none_or(|widest| !widest.contains(next)) {
                widest = Some(next);
            }
        }
        widest.is_some_and(|widest| widest.contains(*member))
    });
    covered.copied().collect()
}

fn tell(mut entries: Vec<IpNet>, what: &str) -> Option<String> {
    entries.sort_unstable();
    entries.dedup();
    let shown: Vec<String> = entries.iter().take(3).map(ToString::to_string).collect();
    let more = if entries.len() > shown.len() {
        ", …"
    } else {
        ""
    };
    let number = match entries.len() {
        0 => return None,
        1 => "1 entry".to_owned(),
        many => format!("{many} entries"),
    };
    Some(format!("{number} {what}: {}{more}", shown.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{lists::Note, state::Change};

    fn state(entries: &[(ListKind, &str)]) -> State {
        let mut state = State::default();
        for (kind, prefix) in entries {
            let note = Note {
                reason: String::new(),
                by: "test".to_owned(),
                since: "2026-01-01T00:00:00Z".parse().unwrap(),
                until: None,
            };
            state.apply(Change::Manual(*kind, prefix.parse().unwrap(), Some(note)));
        }
        state
    }

    fn nets(texts: &[&str]) -> Vec<IpNet> {
        let mut nets: Vec<IpNet> = texts.iter().map(|text| text.parse().unwrap()).collect();
        nets.sort_unstable();
        nets
    }

    #[test]
    fn an_allowed_prefix_tells_which_blocked_ones_it_lifts() {
        let state = state(&[
            (ListKind::Block, "192.0.2.4/32"),
            (ListKind::Block, "192.0.3.0/24"),
            (ListKind::Block, "2001:db8::/32"),
        ]);
        let notes = notes(ListKind::Allow, &nets(&["192.0.2.0/24"]), &state);
        assert_eq!(
            notes,
            [
                "1 entry blocked or banned without effect, for the allowlist goes first: \
              192.0.2.4/32"
            ]
        );
    }

    #[test]
    fn a_feed_tells_what_of_it_is_allowed_and_what_it_covers() {
        let state = state(&[
            (ListKind::Allow, "192.0.2.0/24"),
            (ListKind::Block, "198.51.100.7/32"),
        ]);
        let feed = nets(&[
            "192.0.2.1/32",
            "192.0.2.2/32",
            "198.51.100.0/24",
            "203.0.113.0/24",
        ]);
        assert_eq!(
            notes(ListKind::Block, &feed, &state),
            [
                "2 entries of these without effect, for the allowlist covers them and goes first: \
                 192.0.2.1/32, 192.0.2.2/32",
                "1 entry there already, within these and without effect of its own: 198.51.100.7/32",
            ]
        );
    }

    #[test]
    fn what_is_told_of_nothing_is_nothing() {
        let none = State::default();
        assert!(notes(ListKind::Block, &nets(&["10.0.0.0/8"]), &none).is_empty());
    }
}
