//! Which entries do nothing because of others: told, where it is no reason to refuse.

use ipnet::IpNet;

use super::{lists::within, state::State};
use crate::api::types::ListKind;

/// What new entries make useless, or are made useless by: a sentence each. `new` is sorted.
pub fn notes(kind: ListKind, new: &[IpNet], state: &State) -> Vec<String> {
    let same = state.list(kind).prefixes();
    let mut notes: Vec<String> = match kind {
        ListKind::Allow => {
            let blocked = state.list(ListKind::Block).prefixes();
            tell(
                covered(new, &blocked),
                "on the blocklist without effect, for the allowlist goes first",
            )
        }
        ListKind::Block => {
            let allowed = state.list(ListKind::Allow).prefixes();
            tell(
                covered(&allowed, new),
                "of these without effect, for the allowlist covers them and goes first",
            )
        }
    }
    .into_iter()
    .collect();
    let narrower: Vec<IpNet> = covered(new, &same)
        .into_iter()
        .filter(|prefix| new.binary_search(prefix).is_err())
        .collect();
    notes.extend(tell(
        narrower,
        "there already, within these and without effect of its own",
    ));
    notes
}

/// The members of `sorted` that some prefix of `by` covers.
fn covered(by: &[IpNet], sorted: &[IpNet]) -> Vec<IpNet> {
    let mut all: Vec<IpNet> = by
        .iter()
        .flat_map(|prefix| within(sorted, prefix))
        .copied()
        .collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn tell(entries: Vec<IpNet>, what: &str) -> Option<String> {
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
                "1 entry on the blocklist without effect, for the allowlist goes first: \
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
