//! What operators changed, as a value; and changes to it, each with an inverse.

use std::collections::{BTreeMap, BTreeSet};

use filter_common::{
    abi::{defence::Defence, reason::Reason},
    logic::set4,
};
use ipnet::IpNet;
use jiff::{SignedDuration, Timestamp};

use super::{
    actor::CONTROLLER,
    cookies::{LONGEST, WATCH},
    held::{Held, Holdings, Veto},
    lists::{End, Imported, List, Note},
    rules::AddedRule,
    trial::{Texts, Trial},
};
use crate::{
    api::types::{Entry, ListKind, Mode},
    config::{
        defence::DefenceMode,
        limit::{LimitName, LimitRate},
    },
};

/// Everything that is not in the configuration file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    allow: List,
    block: List,
    ban: List,
    /// The mode, if an operator changed it.
    pub mode: Option<Set<ModeChoice>>,
    /// Limits that an operator set by hand; `None` is off.
    pub limits: BTreeMap<LimitName, Set<Option<LimitRate>>>,
    /// Defences that an operator switched.
    pub defences: BTreeMap<Defence, Set<DefenceMode>>,
    /// TCP ports whose cookies were switched on or off by themselves, by an operator or because
    /// no connection came of them.
    pub cookie_ports: BTreeMap<u16, Set<bool>>,
    /// Interfaces that an operator detached.
    pub detached: BTreeMap<String, Set<()>>,
    /// Rules that were added, by number.
    pub rules: BTreeMap<u32, AddedRule>,
    /// The number of the next rule, if any was ever added.
    pub next_rule: u32,
    /// What the controller holds. No restart finds it again.
    pub held: Holdings,
    /// Changes that wait for confirmation.
    pub trial: Option<Box<Trial>>,
    /// What is in force instead of the file as it was read last, which nobody confirmed.
    pub unconfirmed: Option<Box<Texts>>,
}

/// Something that was set, by whom, and until when.
#[derive(Clone, Debug, PartialEq)]
pub struct Set<T> {
    /// To what.
    pub value: T,
    /// Who.
    pub by: String,
    /// Since when.
    pub since: Timestamp,
    /// Until when.
    pub until: End,
}

/// A mode, with the reasons that are enforced if not all are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModeChoice {
    /// Watch or drop.
    pub mode: Mode,
    /// Only these, if any.
    pub reasons: Vec<Reason>,
}

impl ModeChoice {
    /// The set of reasons that are enforced.
    pub fn enforced(&self) -> u64 {
        match self.mode {
            Mode::Monitor => 0,
            Mode::Enforce if self.reasons.is_empty() => Reason::all_drops(),
            Mode::Enforce => self
                .reasons
                .iter()
                .fold(0, |set, reason| set | reason.bit()),
        }
    }
}

/// One change. Applying it gives its inverse.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// A single entry; `None` removes it.
    Manual(ListKind, IpNet, Option<Note>),
    /// An imported list; `None` removes it.
    Import(ListKind, String, Option<Imported>),
    /// The mode; `None` is the file's.
    Mode(Option<Set<ModeChoice>>),
    /// A limit; `None` is the file's or the default.
    Limit(LimitName, Option<Set<Option<LimitRate>>>),
    /// When a defence holds; `None` is what the file says.
    Defence(Defence, Option<Set<DefenceMode>>),
    /// Whether a port has cookies; `None` is as the defence has it.
    CookiePort(u16, Option<Set<bool>>),
    /// Whether an interface is detached.
    Detached(String, Option<Set<()>>),
    /// A rule that was added; `None` removes it.
    Rule(u32, Option<AddedRule>),
    /// The number of the next rule.
    NextRule(u32),
    /// A defence that the controller holds; `None` lets go of it.
    HeldDefence(Defence, Option<Held<BTreeSet<u16>>>),
    /// A limit that the controller lowers; `None` gives it back.
    HeldLimit(LimitName, Option<Held<LimitRate>>),
    /// Until when the controller leaves something alone; `None` is no longer.
    Veto(Veto, Option<Timestamp>),
    /// What waits for confirmation.
    Trial(Option<Box<Trial>>),
    /// What is in force instead of the file as it was read last; `None` is the file.
    Unconfirmed(Option<Box<Texts>>),
}

impl State {
    /// One of the lists.
    pub fn list(&self, kind: ListKind) -> &List {
        match kind {
            ListKind::Allow => &self.allow,
            ListKind::Block => &self.block,
            ListKind::Ban => &self.ban,
        }
    }

    /// The live entries of a list that cover a prefix, as [`List::covering`].
    pub fn covering(&self, kind: ListKind, prefix: IpNet, now: Timestamp) -> Vec<Entry> {
        self.list(kind).covering(kind, prefix, now)
    }

    /// Gives block lists that have no number one that is free: those that an earlier version kept.
    pub fn number_lists(&mut self) {
        let imports = &mut self.block.imports;
        let taken: Vec<u8> = imports.values().filter_map(|list| list.number).collect();
        let free = (0..set4::LISTS as u8).filter(|number| !taken.contains(number));
        let without = imports.values_mut().filter(|list| list.number.is_none());
        for (list, number) in without.zip(free) {
            list.number = Some(number);
        }
    }

    /// The overrides alone, without lists and rules, which may be many.
    pub fn overrides(&self) -> Self {
        Self {
            mode: self.mode.clone(),
            limits: self.limits.clone(),
            defences: self.defences.clone(),
            cookie_ports: self.cookie_ports.clone(),
            ..Self::default()
        }
    }

    fn list_mut(&mut self, kind: ListKind) -> &mut List {
        match kind {
            ListKind::Allow => &mut self.allow,
            ListKind::Block => &mut self.block,
            ListKind::Ban => &mut self.ban,
        }
    }

    /// Applies a change and gives its inverse.
    pub fn apply(&mut self, change: Change) -> Change {
        match change {
            Change::Manual(kind, prefix, note) => {
                let manual = &mut self.list_mut(kind).manual;
                let before = match note {
                    Some(note) => manual.insert(prefix, note),
                    None => manual.remove(&prefix),
                };
                Change::Manual(kind, prefix, before)
            }
            Change::Import(kind, name, list) => {
                let imports = &mut self.list_mut(kind).imports;
                let before = match list {
                    Some(list) => imports.insert(name.clone(), list),
                    None => imports.remove(&name),
                };
                Change::Import(kind, name, before)
            }
            Change::Mode(mode) => Change::Mode(std::mem::replace(&mut self.mode, mode)),
            Change::Limit(name, limit) => {
                let before = match limit {
                    Some(limit) => self.limits.insert(name.clone(), limit),
                    None => self.limits.remove(&name),
                };
                Change::Limit(name, before)
            }
            Change::Defence(defence, set) => {
                let before = match set {
                    Some(set) => self.defences.insert(defence, set),
                    None => self.defences.remove(&defence),
                };
                Change::Defence(defence, before)
            }
            Change::CookiePort(port, set) => {
                let before = match set {
                    Some(set) => self.cookie_ports.insert(port, set),
                    None => self.cookie_ports.remove(&port),
                };
                Change::CookiePort(port, before)
            }
            Change::Detached(name, set) => {
                let before = match set {
                    Some(set) => self.detached.insert(name.clone(), set),
                    None => self.detached.remove(&name),
                };
                Change::Detached(name, before)
            }
            Change::Rule(number, rule) => {
                let before = match rule {
                    Some(rule) => self.rules.insert(number, rule),
                    None => self.rules.remove(&number),
                };
                Change::Rule(number, before)
            }
            Change::NextRule(number) => {
                Change::NextRule(std::mem::replace(&mut self.next_rule, number))
            }
            Change::HeldDefence(defence, held) => {
                let before = match held {
                    Some(held) => self.held.defences.insert(defence, held),
                    None => self.held.defences.remove(&defence),
                };
                Change::HeldDefence(defence, before)
            }
            Change::HeldLimit(name, held) => {
                let before = match held {
                    Some(held) => self.held.limits.insert(name.clone(), held),
                    None => self.held.limits.remove(&name),
                };
                Change::HeldLimit(name, before)
            }
            Change::Veto(veto, until) => {
                let before = match until {
                    Some(until) => self.held.vetoes.insert(veto.clone(), until),
                    None => self.held.vetoes.remove(&veto),
                };
                Change::Veto(veto, before)
            }
            Change::Trial(trial) => Change::Trial(std::mem::replace(&mut self.trial, trial)),
            Change::Unconfirmed(texts) => {
                Change::Unconfirmed(std::mem::replace(&mut self.unconfirmed, texts))
            }
        }
    }

    /// The changes that forget what has ended.
    pub fn expired(&self, now: Timestamp) -> Vec<Change> {
        let over = |until: End| until.is_some_and(|until| until <= now);
        let mut changes = Vec::new();
        for kind in ListKind::ALL {
            let list = self.list(kind);
            let manual = list.manual.iter().filter(|(_, note)| over(note.until));
            changes.extend(manual.map(|(prefix, _)| Change::Manual(kind, *prefix, None)));
            let imports = list
                .imports
                .iter()
                .filter(|(_, list)| over(list.note.until));
            changes.extend(imports.map(|(name, _)| Change::Import(kind, name.clone(), None)));
        }
        if self.mode.as_ref().is_some_and(|mode| over(mode.until)) {
            changes.push(Change::Mode(None));
        }
        let detached = self.detached.iter().filter(|(_, set)| over(set.until));
        changes.extend(detached.map(|(name, _)| Change::Detached(name.clone(), None)));
        let rules = self.rules.iter().filter(|(_, rule)| over(rule.note.until));
        changes.extend(rules.map(|(number, _)| Change::Rule(*number, None)));
        let limits = self.limits.iter().filter(|(_, set)| over(set.until));
        changes.extend(limits.map(|(name, _)| Change::Limit(name.clone(), None)));
        let defences = self.defences.iter().filter(|(_, set)| over(set.until));
        changes.extend(defences.map(|(defence, _)| Change::Defence(*defence, None)));
        let ports = self.cookie_ports.iter().filter(|(_, set)| over(set.until));
        changes.extend(ports.map(|(port, _)| Change::CookiePort(*port, None)));
        let held = &self.held;
        let defences = held.defences.iter().filter(|(_, it)| over(Some(it.until)));
        changes.extend(defences.map(|(defence, _)| Change::HeldDefence(*defence, None)));
        let limits = held.limits.iter().filter(|(_, it)| over(Some(it.until)));
        changes.extend(limits.map(|(name, _)| Change::HeldLimit(name.clone(), None)));
        let vetoes = held.vetoes.iter().filter(|(_, until)| over(Some(**until)));
        changes.extend(vetoes.map(|(veto, _)| Change::Veto(veto.clone(), None)));
        changes
    }
}

impl State {
    /// Moves what the daemon holds by itself along with a calendar that was set: it was to last for a
    /// time.
    pub fn postpone_held(&mut self, by: SignedDuration) {
        let latest = |_| {
            if by.is_negative() {
                Timestamp::MIN
            } else {
                Timestamp::MAX
            }
        };
        let moved = |moment: Timestamp| moment.checked_add(by).unwrap_or_else(latest);
        let held = &mut self.held;
        for (since, until) in held
            .defences
            .values_mut()
            .map(|held| (&mut held.since, &mut held.until))
            .chain(
                held.limits
                    .values_mut()
                    .map(|held| (&mut held.since, &mut held.until)),
            )
        {
            (*since, *until) = (moved(*since), moved(*until));
        }
        for until in held.vetoes.values_mut() {
            *until = moved(*until);
        }
        for set in self.cookie_ports.values_mut().filter(|set| set.by == WATCH) {
            set.since = moved(set.since);
            set.until = set.until.map(moved);
        }
        let move_note = |note: &Note| {
            (note.by == CONTROLLER).then(|| Note {
                since: moved(note.since),
                until: note.until.map(moved),
                ..note.clone()
            })
        };
        let bans = self.ban.manual.iter().filter_map(|(prefix, note)| {
            Some(Change::Manual(
                ListKind::Ban,
                *prefix,
                Some(move_note(note)?),
            ))
        });
        let rules = self.rules.iter().filter_map(|(number, added)| {
            let note = move_note(&added.note)?;
            let added = AddedRule {
                note,
                ..added.clone()
            };
            Some(Change::Rule(*number, Some(added)))
        });
        let changes: Vec<Change> = bans.chain(rules).collect();
        for change in changes {
            let _ = self.apply(change);
        }
    }
}

impl State {
    /// Lets no pause of cookies last longer than the longest does: the calendar may have been set back
    /// while no daemon ran.
    pub fn bound_pauses(&mut self, now: Timestamp) {
        let longest = now.checked_add(LONGEST).unwrap_or(Timestamp::MAX);
        for set in self.cookie_ports.values_mut().filter(|set| set.by == WATCH) {
            set.until = set.until.map(|until| until.min(longest));
        }
    }
}

impl Change {
    /// Whether the big sets differ before and after this change, which was not applied yet.
    pub fn moves_sets(&self, state: &State) -> bool {
        let Self::Import(kind, name, list) = self else {
            return false;
        };
        let before = state.list(*kind).imports.get(name);
        let members = |list: &Imported| list.number.map(|number| (number, list.prefixes.clone()));
        before.and_then(members) != list.as_ref().and_then(members)
    }

    /// The prefixes of single entries that this change may alter in the kernel, before and after
    /// it.
    pub fn prefixes(&self, state: &State) -> Vec<(ListKind, IpNet)> {
        match self {
            Self::Manual(kind, prefix, _) => vec![(*kind, *prefix)],
            Self::Import(kind, name, list) => {
                let before = state.list(*kind).imports.get(name);
                let mut all: Vec<IpNet> = before
                    .into_iter()
                    .chain(list)
                    .filter(|list| list.number.is_none())
                    .flat_map(|list| list.prefixes.iter().copied())
                    .collect();
                all.sort_unstable();
                all.dedup();
                all.into_iter().map(|prefix| (*kind, prefix)).collect()
            }
            Self::Mode(_)
            | Self::Limit(..)
            | Self::Defence(..)
            | Self::CookiePort(..)
            | Self::Detached(..)
            | Self::Rule(..)
            | Self::NextRule(_)
            | Self::HeldDefence(..)
            | Self::HeldLimit(..)
            | Self::Veto(..)
            | Self::Unconfirmed(_) => Vec::new(),
            Self::Trial(trial) => {
                let both = state.trial.iter().chain(trial);
                both.flat_map(|trial| trial.inverse.entries.keys().copied())
                    .collect()
            }
        }
    }

    /// Whether what it leaves behind outlives a restart. What the controller does need not: it would
    /// do it again, and must be able to while the disk is full.
    pub fn is_kept(&self) -> bool {
        match self {
            Self::Manual(_, _, Some(note)) => note.by != CONTROLLER,
            Self::Rule(_, Some(added)) => added.note.by != CONTROLLER,
            Self::HeldDefence(..) | Self::HeldLimit(..) | Self::Veto(..) => false,
            Self::Manual(_, _, None)
            | Self::Rule(_, None)
            | Self::Import(..)
            | Self::Mode(_)
            | Self::Limit(..)
            | Self::Defence(..)
            | Self::CookiePort(..)
            | Self::Detached(..)
            | Self::NextRule(_)
            | Self::Trial(_)
            | Self::Unconfirmed(_) => true,
        }
    }

    /// Whether neither what was nor what is to be outlives a restart, so that nothing need be written
    /// for this change, which was not applied yet.
    pub fn is_fleeting(&self, state: &State) -> bool {
        let by_controller = |note: Option<&Note>| note.is_some_and(|it| it.by == CONTROLLER);
        match self {
            Self::Manual(kind, prefix, None) => by_controller(state.list(*kind).manual.get(prefix)),
            Self::Rule(number, None) => {
                by_controller(state.rules.get(number).map(|added| &added.note))
            }
            Self::Manual(kind, prefix, Some(_)) => {
                let before = state.list(*kind).manual.get(prefix);
                !self.is_kept() && before.is_none_or(|note| note.by == CONTROLLER)
            }
            Self::Rule(..)
            | Self::HeldDefence(..)
            | Self::HeldLimit(..)
            | Self::Veto(..)
            | Self::Import(..)
            | Self::Mode(_)
            | Self::Limit(..)
            | Self::Defence(..)
            | Self::CookiePort(..)
            | Self::Detached(..)
            | Self::NextRule(_)
            | Self::Trial(_)
            | Self::Unconfirmed(_) => !self.is_kept(),
        }
    }

    /// Whether what the settings say may depend on it.
    pub const fn is_of_settings(&self) -> bool {
        match self {
            Self::Mode(_)
            | Self::Limit(..)
            | Self::Defence(..)
            | Self::CookiePort(..)
            | Self::Rule(..)
            | Self::HeldDefence(..)
            | Self::HeldLimit(..)
            | Self::Trial(_)
            | Self::Unconfirmed(_) => true,
            // Entries: an open gate for short prefixes of IPv6.
            Self::Manual(_, prefix, _) => matches!(prefix, IpNet::V6(_)),
            Self::Import(..) => true,
            Self::Detached(..) | Self::NextRule(_) | Self::Veto(..) => false,
        }
    }

    /// What takes it back, once it is applied to this state.
    pub fn undone(&self, state: &State) -> Self {
        let held = &state.held;
        match self {
            Self::Manual(kind, prefix, _) => {
                let before = state.list(*kind).manual.get(prefix);
                Self::Manual(*kind, *prefix, before.cloned())
            }
            Self::Import(kind, name, _) => {
                let before = state.list(*kind).imports.get(name);
                Self::Import(*kind, name.clone(), before.cloned())
            }
            Self::Mode(_) => Self::Mode(state.mode.clone()),
            Self::Limit(name, _) => Self::Limit(name.clone(), state.limits.get(name).cloned()),
            Self::Defence(defence, _) => {
                Self::Defence(*defence, state.defences.get(defence).cloned())
            }
            Self::CookiePort(port, _) => {
                Self::CookiePort(*port, state.cookie_ports.get(port).cloned())
            }
            Self::Detached(name, _) => {
                Self::Detached(name.clone(), state.detached.get(name).cloned())
            }
            Self::Rule(number, _) => Self::Rule(*number, state.rules.get(number).cloned()),
            Self::NextRule(_) => Self::NextRule(state.next_rule),
            Self::HeldDefence(defence, _) => {
                Self::HeldDefence(*defence, held.defences.get(defence).cloned())
            }
            Self::HeldLimit(name, _) => {
                Self::HeldLimit(name.clone(), held.limits.get(name).cloned())
            }
            Self::Veto(veto, _) => Self::Veto(veto.clone(), held.vetoes.get(veto).copied()),
            Self::Trial(_) => Self::Trial(state.trial.clone()),
            Self::Unconfirmed(_) => Self::Unconfirmed(state.unconfirmed.clone()),
        }
    }

    /// The same, unless what it brings has ended: then it takes that away.
    pub fn without_ended(self, now: Timestamp) -> Self {
        if self.end().is_none_or(|end| end > now) {
            return self;
        }
        match self {
            Self::Manual(kind, prefix, _) => Self::Manual(kind, prefix, None),
            Self::Import(kind, name, _) => Self::Import(kind, name, None),
            Self::Mode(_) => Self::Mode(None),
            Self::Limit(name, _) => Self::Limit(name, None),
            Self::Defence(defence, _) => Self::Defence(defence, None),
            Self::CookiePort(port, _) => Self::CookiePort(port, None),
            Self::Detached(name, _) => Self::Detached(name, None),
            Self::Rule(number, _) => Self::Rule(number, None),
            Self::HeldDefence(defence, _) => Self::HeldDefence(defence, None),
            Self::HeldLimit(name, _) => Self::HeldLimit(name, None),
            Self::Veto(veto, _) => Self::Veto(veto, None),
            Self::NextRule(_) | Self::Trial(_) | Self::Unconfirmed(_) => self,
        }
    }

    /// When what it brings ends, if it brings something that does.
    pub fn end(&self) -> End {
        match self {
            Self::Manual(_, _, note) => note.as_ref()?.until,
            Self::Import(_, _, list) => list.as_ref()?.note.until,
            Self::Mode(set) => set.as_ref()?.until,
            Self::Limit(_, set) => set.as_ref()?.until,
            Self::Defence(_, set) => set.as_ref()?.until,
            Self::CookiePort(_, set) => set.as_ref()?.until,
            Self::Detached(_, set) => set.as_ref()?.until,
            Self::Rule(_, added) => added.as_ref()?.note.until,
            Self::HeldDefence(_, held) => Some(held.as_ref()?.until),
            Self::HeldLimit(_, held) => Some(held.as_ref()?.until),
            Self::Veto(_, until) => *until,
            Self::NextRule(_) | Self::Trial(_) | Self::Unconfirmed(_) => None,
        }
    }

    /// Whether it changes the rules.
    pub const fn is_of_rules(&self) -> bool {
        matches!(self, Self::Rule(..) | Self::Unconfirmed(_))
    }
}

#[cfg(test)]
mod properties {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::config::{bytes::ByteRate, limit::Measure, units::Rate};
    use crate::core::trial::{Inverse, Standing};

    fn prefixes() -> impl Strategy<Value = IpNet> {
        // Few, so that changes meet.
        (0..4_u8, prop_oneof![Just(24_u8), Just(32)]).prop_map(|(last, length)| {
            let net = IpNet::new([192, 0, 2, last].into(), length).expect("a length that fits");
            net.trunc()
        })
    }

    fn ends() -> impl Strategy<Value = End> {
        prop::option::of((1..100_i64).prop_map(second))
    }

    fn second(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    fn notes() -> impl Strategy<Value = Note> {
        ("[a-c]", ends()).prop_map(|(reason, until)| Note {
            reason,
            by: "uid 0".to_owned(),
            since: Timestamp::UNIX_EPOCH,
            until,
        })
    }

    fn set<T: std::fmt::Debug>(
        value: impl Strategy<Value = T>,
    ) -> impl Strategy<Value = Option<Set<T>>> {
        let set = (value, ends()).prop_map(|(value, until)| Set {
            value,
            by: "uid 0".to_owned(),
            since: Timestamp::UNIX_EPOCH,
            until,
        });
        prop::option::of(set)
    }

    fn changes() -> impl Strategy<Value = Change> {
        let kinds = || prop::sample::select(ListKind::ALL.to_vec());
        let members = prop::collection::btree_set(prefixes(), 1..4);
        let numbers = prop::option::of(0..3_u8);
        let lists = (members, notes(), numbers).prop_map(|(prefixes, note, number)| Imported {
            prefixes: Arc::from_iter(prefixes),
            note,
            number,
        });
        let modes =
            prop::sample::select(vec![Mode::Monitor, Mode::Enforce]).prop_map(|mode| ModeChoice {
                mode,
                reasons: Vec::new(),
            });
        let names = LimitName::fixed().chain([LimitName::Service("web".into(), Measure::Bytes)]);
        let limits = (prop::sample::select(names.collect::<Vec<_>>()), 0..9_u64).prop_flat_map(
            |(name, rate)| {
                let limit = match name.measure() {
                    Measure::Packets => LimitRate::Packets(Rate::per_second(rate)),
                    Measure::Bytes => LimitRate::Bytes(ByteRate::per_second(rate)),
                };
                let limit = (rate > 0).then_some(limit);
                set(Just(limit)).prop_map(move |set| Change::Limit(name.clone(), set))
            },
        );
        prop_oneof![
            (kinds(), prefixes(), prop::option::of(notes()))
                .prop_map(|(kind, prefix, note)| Change::Manual(kind, prefix, note)),
            (kinds(), "[ab]", prop::option::of(lists))
                .prop_map(|(kind, name, list)| Change::Import(kind, name, list)),
            set(modes).prop_map(Change::Mode),
            limits,
            (
                prop::sample::select(Defence::ALL.to_vec()),
                set(prop::sample::select(DefenceMode::ALL.to_vec()))
            )
                .prop_map(|(defence, set)| Change::Defence(defence, set)),
            (1..4_u16, set(any::<bool>())).prop_map(|(port, set)| Change::CookiePort(port, set)),
            ("eth[01]", set(Just(()))).prop_map(|(name, set)| Change::Detached(name, set)),
            (
                1..4_u32,
                1..9_u64,
                crate::rules::strategy::rule(),
                prop::option::of(notes())
            )
                .prop_map(|(number, place, rule, note)| {
                    let added = note.map(|note| AddedRule { place, rule, note });
                    Change::Rule(number, added)
                }),
            (0..9_u32).prop_map(Change::NextRule),
            held_changes(),
        ]
    }

    /// Changes as operators make them on trial.
    fn tried() -> impl Strategy<Value = Vec<Change>> {
        let tried = changes().prop_filter("not tried", |change| {
            !matches!(
                change,
                Change::Import(..) | Change::Detached(..) | Change::NextRule(_)
            )
        });
        prop::collection::vec(tried, 1..8)
    }

    fn try_out(state: &mut State, changes: &[Change], until: i64) {
        let trial = Trial {
            until: second(until),
            inverse: Inverse::of(changes, state),
            ..Trial::default()
        };
        let trial = match &state.trial {
            Some(older) => trial.joined(older),
            None => trial,
        };
        for change in changes.iter().cloned() {
            let _ = state.apply(change);
        }
        let _ = state.apply(Change::Trial(Some(Box::new(trial))));
    }

    /// What the kernel has of a prefix at a moment, with the policy before in force or not: when it
    /// ends.
    fn ends_at(standing: Option<Standing>, policy: u32, now: i64) -> Option<End> {
        let standing = standing?;
        let is_there = standing.absent.wrapping_shr(policy) & 1 == 0;
        let is_live = standing.end.is_none_or(|end| end > second(now));
        (is_there && is_live).then_some(standing.end)
    }

    fn held<T: std::fmt::Debug>(
        value: impl Strategy<Value = T>,
    ) -> impl Strategy<Value = Option<Held<T>>> {
        let held = (value, 1..100_i64).prop_map(|(value, until)| Held {
            value,
            since: Timestamp::UNIX_EPOCH,
            until: second(until),
            reason: String::new(),
        });
        prop::option::of(held)
    }

    fn held_changes() -> impl Strategy<Value = Change> {
        let defences = || prop::sample::select(Defence::ALL.to_vec());
        let names = || prop::sample::select(LimitName::fixed().collect::<Vec<_>>());
        let rates = (1..9_u64)
            .prop_map(|rate| LimitRate::Packets(crate::config::units::Rate::per_second(rate)));
        let vetoes = prop_oneof![
            defences().prop_map(Veto::Defence),
            names().prop_map(Veto::Limit),
            prefixes().prop_map(Veto::Ban),
            "[ab]".prop_map(Veto::Rule),
        ];
        let ends = prop::option::of((1..100_i64).prop_map(second));
        prop_oneof![
            (
                defences(),
                held(prop::collection::btree_set(1..4_u16, 0..3))
            )
                .prop_map(|(defence, held)| Change::HeldDefence(defence, held)),
            (names(), held(rates)).prop_map(|(name, held)| Change::HeldLimit(name, held)),
            (vetoes, ends).prop_map(|(veto, until)| Change::Veto(veto, until)),
        ]
    }

    proptest! {
        #[test]
        fn the_inverse_of_every_change_restores_the_state(
            before in prop::collection::vec(changes(), 0..20),
            changes in prop::collection::vec(changes(), 1..20),
        ) {
            let mut state = State::default();
            for change in before {
                let _ = state.apply(change);
            }
            let original = state.clone();
            let inverse: Vec<Change> =
                changes.iter().map(|change| state.apply(change.clone())).collect();
            for change in inverse.into_iter().rev() {
                let _ = state.apply(change);
            }
            prop_assert_eq!(state, original);
        }

        #[test]
        fn what_was_tried_is_taken_back_or_kept(
            before in prop::collection::vec(changes(), 0..20),
            first in tried(), second_ in tried(),
        ) {
            let mut state = State::default();
            for change in before {
                let _ = state.apply(change);
            }
            let original = state.clone();
            try_out(&mut state, &first, 10);
            try_out(&mut state, &second_, 20);
            // Confirmed: as if it had never been on trial.
            let mut kept = original.clone();
            for change in first.into_iter().chain(second_) {
                let _ = kept.apply(change);
            }
            let mut confirmed = state.clone();
            let _ = confirmed.apply(Change::Trial(None));
            prop_assert_eq!(&confirmed, &kept);
            // Taken back before anything ended.
            let trial = state.trial.clone().expect("a trial");
            for change in trial.inverse.changes(Timestamp::UNIX_EPOCH) {
                let _ = state.apply(change);
            }
            let _ = state.apply(Change::Trial(None));
            prop_assert_eq!(state, original);
        }

        /// The kernel alone comes to the entries that the daemon would.
        #[test]
        fn entries_on_trial_are_as_changed_and_then_as_before(
            before in prop::collection::vec(changes(), 0..20),
            tried in tried(), until in 1..100_i64, later in 0..100_i64,
        ) {
            let mut state = State::default();
            for change in before {
                let _ = state.apply(change);
            }
            let original = state.clone();
            try_out(&mut state, &tried, until);
            for kind in ListKind::ALL {
                let all = original.list(kind).prefixes().into_iter();
                for prefix in all.chain(state.list(kind).prefixes()) {
                    let standing = state.standing(kind, &prefix);
                    let now = state.list(kind).end(&prefix);
                    let was = original.list(kind).end(&prefix);
                    let is_live = |end: Option<End>, moment| {
                        end.is_some_and(|end| end.is_none_or(|end| end > second(moment)))
                    };
                    // What outlasts the trial is there, and what was removed is not.
                    if now.is_none() || now.is_some_and(|end| end.is_none_or(|end| end > second(until))) {
                        let there = ends_at(standing, 0, 0).is_some();
                        prop_assert_eq!(there, now.is_some());
                    }
                    let moment = until + later;
                    let there = ends_at(standing, 1, moment).is_some();
                    prop_assert_eq!(there, is_live(was, moment), "{} at {}", prefix, moment);
                }
            }
        }

        #[test]
        fn a_change_moves_no_prefix_that_it_does_not_name(
            before in prop::collection::vec(changes(), 0..20), change in changes(),
        ) {
            let mut state = State::default();
            for change in before {
                let _ = state.apply(change);
            }
            let named = change.prefixes(&state);
            let ends = |state: &State| -> Vec<(ListKind, IpNet, Option<End>)> {
                let all = ListKind::ALL.into_iter();
                all.flat_map(|kind| {
                    let list = state.list(kind).clone();
                    list.prefixes().into_iter().map(move |it| (kind, it, list.end(&it)))
                })
                .filter(|(kind, prefix, _)| !named.contains(&(*kind, *prefix)))
                .collect()
            };
            let others = ends(&state);
            let _ = state.apply(change);
            prop_assert_eq!(ends(&state), others);
        }

        #[test]
        fn what_has_ended_is_forgotten_and_nothing_else(
            before in prop::collection::vec(changes(), 0..30), now in 0..100_i64,
        ) {
            let now = second(now);
            let mut state = State::default();
            for change in before {
                let _ = state.apply(change);
            }
            let original = state.clone();
            for change in state.expired(now) {
                let _ = state.apply(change);
            }
            prop_assert!(state.expired(now).is_empty());
            for kind in ListKind::ALL {
                let (before, after) = (original.list(kind), state.list(kind));
                for (prefix, note) in &before.manual {
                    let is_live = note.until.is_none_or(|until| until > now);
                    prop_assert_eq!(after.manual.contains_key(prefix), is_live);
                }
                for (name, list) in &before.imports {
                    let is_live = list.note.until.is_none_or(|until| until > now);
                    prop_assert_eq!(after.imports.contains_key(name), is_live);
                }
            }
            for (number, rule) in &original.rules {
                let is_live = rule.note.until.is_none_or(|until| until > now);
                prop_assert_eq!(state.rules.contains_key(number), is_live);
            }
            for (defence, set) in &original.defences {
                let is_live = set.until.is_none_or(|until| until > now);
                prop_assert_eq!(state.defences.contains_key(defence), is_live);
            }
            for (port, set) in &original.cookie_ports {
                let is_live = set.until.is_none_or(|until| until > now);
                prop_assert_eq!(state.cookie_ports.contains_key(port), is_live);
            }
            for (defence, held) in &original.held.defences {
                let is_held = state.held.defences.contains_key(defence);
                prop_assert_eq!(is_held, held.until > now);
            }
            for (name, held) in &original.held.limits {
                prop_assert_eq!(state.held.limits.contains_key(name), held.until > now);
            }
            for (veto, until) in &original.held.vetoes {
                prop_assert_eq!(state.held.vetoes.contains_key(veto), *until > now);
            }
            for (name, set) in &original.detached {
                let is_live = set.until.is_none_or(|until| until > now);
                prop_assert_eq!(state.detached.contains_key(name), is_live);
            }
        }
    }
}
