//! The allowlist, the blocklist and the bans: single entries, and imported lists.

use std::{collections::BTreeMap, ops::Bound, sync::Arc, time::Duration};

use filter_common::{
    abi::entry::{EntryKey, ListId},
    logic::address::Address,
};
use ipnet::IpNet;
use jiff::Timestamp;

use crate::api::types::{Entry, ListKind};

/// When something ends; `None` is never.
pub type End = Option<Timestamp>;

/// Name of entries by hand where a list's name is asked for.
pub const MANUAL: &str = "manual";

/// What is known of an entry by hand, and of an imported list as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Why.
    pub reason: String,
    /// Who.
    pub by: String,
    /// Since when.
    pub since: Timestamp,
    /// Until when.
    pub until: End,
}

impl Note {
    fn is_live(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| until > now)
    }
}

/// A list that was imported as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// Its members, in order, without repetitions.
    pub prefixes: Arc<[IpNet]>,
    /// What is known of it.
    pub note: Note,
    /// Its number among the lists of the big sets; `None` if its members are single entries to
    /// the kernel.
    pub number: Option<u8>,
}

/// One of the lists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List {
    /// Single entries.
    pub manual: BTreeMap<IpNet, Note>,
    /// Imported lists by name.
    pub imports: BTreeMap<String, Imported>,
}

impl List {
    /// When the kernel's entry for exactly this prefix ends; `None` if there is none.
    pub fn end(&self, prefix: &IpNet) -> Option<End> {
        self.end_with(self.manual.get(prefix), prefix)
    }

    /// Likewise, if the single entry were another.
    pub fn end_with(&self, manual: Option<&Note>, prefix: &IpNet) -> Option<End> {
        let imports = self.hashed().filter(|list| list.holds(prefix));
        manual
            .into_iter()
            .chain(imports.map(|list| &list.note))
            .map(|note| note.until)
            .reduce(later)
    }

    /// Imported lists whose members are single entries to the kernel.
    fn hashed(&self) -> impl Iterator<Item = &Imported> {
        self.imports.values().filter(|list| list.number.is_none())
    }

    /// The entries for exactly this prefix, with the name of their list.
    fn notes<'a>(&'a self, prefix: &'a IpNet) -> impl Iterator<Item = (&'a str, &'a Note)> {
        let manual = self.manual.get(prefix).map(|note| (MANUAL, note));
        let imports = self.imports.iter().filter(|(_, list)| list.holds(prefix));
        let imports = imports.map(|(name, list)| (name.as_str(), &list.note));
        manual.into_iter().chain(imports)
    }

    /// The live entries of this list, which is of `kind`, that cover a prefix, the longest first;
    /// those of the prefix itself among them.
    pub fn covering(&self, kind: ListKind, prefix: IpNet, now: Timestamp) -> Vec<Entry> {
        let mut found = Vec::new();
        let mut wider = Some(prefix);
        while let Some(prefix) = wider {
            let live = self.notes(&prefix).filter(|(_, note)| note.is_live(now));
            found.extend(live.map(|(list, note)| entry(kind, prefix, list, note)));
            wider = prefix.supernet();
        }
        found
    }

    /// Whether an entry lies within a prefix.
    pub fn has_within(&self, prefix: &IpNet) -> bool {
        let mut manual = self.manual.range(*prefix..);
        let first = manual.next().map(|(member, _)| member);
        first.is_some_and(|member| prefix.contains(member))
            || self
                .imports
                .values()
                .any(|list| !within(&list.prefixes, prefix).is_empty())
    }

    /// The entries behind a place, in the order of pages: by hand first, then the imported lists by
    /// name; only those of one list if a name is given.
    pub fn behind<'a>(
        &'a self,
        name: Option<&'a str>,
        after: Option<&'a (String, IpNet)>,
    ) -> impl Iterator<Item = (&'a str, IpNet, &'a Note)> {
        let wanted = move |list: &str| name.is_none_or(|name| name == list);
        let start = match after {
            None => Some(Bound::Unbounded),
            Some((list, prefix)) if list == MANUAL => Some(Bound::Excluded(*prefix)),
            Some(_) => None,
        };
        let manual = start
            .filter(|_| wanted(MANUAL))
            .map(|start| self.manual.range((start, Bound::Unbounded)))
            .into_iter()
            .flatten()
            .map(|(prefix, note)| (MANUAL, *prefix, note));
        let place = after.filter(|(list, _)| list != MANUAL);
        let imports = self
            .imports
            .iter()
            .filter(move |(name, _)| wanted(name) && place.is_none_or(|(list, _)| *name >= list))
            .flat_map(move |(name, list)| {
                let skip = match place {
                    Some((at, prefix)) if at == name => {
                        list.prefixes.partition_point(|member| member <= prefix)
                    }
                    _ => 0,
                };
                let rest = list.prefixes.get(skip..).unwrap_or_default();
                rest.iter()
                    .map(move |prefix| (name.as_str(), *prefix, &list.note))
            });
        manual.chain(imports)
    }

    /// How many entries [`List::behind`] gives from the start.
    pub fn count(&self, name: Option<&str>) -> usize {
        let wanted = |list: &str| name.is_none_or(|name| name == list);
        let imports = self.imports.iter().filter(|(name, _)| wanted(name));
        self.manual.len() * usize::from(wanted(MANUAL))
            + imports.map(|(_, list)| list.prefixes.len()).sum::<usize>()
    }

    /// The prefixes of the kernel's entries, in order, without repetitions.
    pub fn prefixes(&self) -> Vec<IpNet> {
        let mut all: Vec<IpNet> = self.manual.keys().copied().collect();
        let manual = all.len();
        all.extend(self.hashed().flat_map(|list| list.prefixes.iter().copied()));
        if all.len() > manual {
            all.sort_unstable();
            all.dedup();
        }
        all
    }

    /// How many entries the kernel has.
    pub fn entries(&self) -> usize {
        if self.hashed().next().is_none() {
            self.manual.len()
        } else {
            self.prefixes().len()
        }
    }

    /// The lists that make the big sets, with their names and numbers.
    pub fn sets(&self) -> impl Iterator<Item = (&str, u8, &Imported)> {
        let imports = self.imports.iter();
        imports.filter_map(|(name, list)| Some((name.as_str(), list.number?, list)))
    }
}

impl Imported {
    fn holds(&self, prefix: &IpNet) -> bool {
        self.prefixes.binary_search(prefix).is_ok()
    }
}

/// Those of sorted prefixes that lie within a prefix, itself among them.
pub fn within<'a>(sorted: &'a [IpNet], prefix: &IpNet) -> &'a [IpNet] {
    let start = sorted.partition_point(|member| member < prefix);
    let rest = sorted.get(start..).unwrap_or_default();
    let inside = rest.partition_point(|member| prefix.contains(member));
    rest.get(..inside).unwrap_or_default()
}

/// The later of two ends.
pub fn later(one: End, other: End) -> End {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.max(other)),
        _ => None,
    }
}

/// An entry as it is shown.
pub fn entry(kind: ListKind, prefix: IpNet, list: &str, note: &Note) -> Entry {
    Entry {
        prefix,
        kind,
        list: list.to_owned(),
        reason: note.reason.clone(),
        by: note.by.clone(),
        since: note.since,
        until: note.until,
        packets: None,
    }
}

/// The key of a prefix in the kernel's lists.
pub fn key(prefix: &IpNet) -> EntryKey {
    EntryKey::covering(&Address::from(prefix.addr()), prefix.prefix_len())
}

/// The prefix of a key; `None` if the key is none of ours.
pub fn prefix(key: &EntryKey) -> Option<IpNet> {
    IpNet::new(key.address().into(), key.length()).ok()
}

impl ListKind {
    /// All.
    pub const ALL: [Self; 3] = [Self::Allow, Self::Block, Self::Ban];

    /// The kernel's number.
    pub const fn id(self) -> ListId {
        match self {
            Self::Allow => ListId::Allow,
            Self::Block => ListId::Block,
            Self::Ban => ListId::Ban,
        }
    }

    /// How long an entry lasts if nobody says; `None` is until it is taken off.
    pub const fn default_duration(self) -> Option<Duration> {
        match self {
            Self::Allow | Self::Block => None,
            // A ban always has an end.
            Self::Ban => Some(Duration::from_mins(10)),
        }
    }

    /// `allow`, `block` or `ban`: the command's noun.
    pub const fn noun(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Block => "block",
            Self::Ban => "ban",
        }
    }
}

impl std::fmt::Display for ListKind {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Allow => "allowlist",
            Self::Block => "blocklist",
            Self::Ban => "list of bans",
        })
    }
}

#[cfg(test)]
mod properties {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_prefix_comes_back_from_its_key(address: std::net::IpAddr, length in 0..=128_u8) {
            let width = if address.is_ipv4() { 32 } else { 128 };
            let net = IpNet::new(address, length % (width + 1)).expect("a length that fits");
            prop_assert_eq!(prefix(&key(&net)), Some(net.trunc()));
        }
    }
}
