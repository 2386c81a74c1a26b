use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::config::{bytes::ByteRate, limit::Measure, units::Rate};
use crate::core::{
    held::{Held, Veto},
    lists::Imported,
    trial::{Inverse, Standing},
};

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
