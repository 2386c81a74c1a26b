//! A short form of what the simulator does.

use super::*;

fn attack(name: &str) -> &'static attacks::Attack {
    ATTACKS.iter().find(|attack| attack.name == name).unwrap()
}

#[test]
fn floods_of_each_kind_are_noticed_within_a_second_stopped_and_forgotten() {
    for name in ["syn-random", "amp-dns", "rst", "udp-closed", "icmp-echo"] {
        let outcome = trial::run(attack(name), 0, &Default::default());
        assert!(
            outcome.detected.is_some_and(|seconds| seconds <= 1.0),
            "{outcome:?}"
        );
        assert!(
            outcome.mitigated.is_some_and(|seconds| seconds <= 1.0),
            "{outcome:?}"
        );
        assert!(
            outcome.stopped >= 0.95 && outcome.harm <= 0.001,
            "{outcome:?}"
        );
        assert!(outcome.let_go.is_some(), "{outcome:?}");
    }
}

#[test]
fn the_same_seed_gives_the_same_figures_and_another_seed_others() {
    let run = |seed| {
        let outcome = trial::run(attack("connections-nat"), seed, &Default::default());
        serde_json::to_string(&outcome).unwrap()
    };
    assert_eq!(run(3), run(3));
    assert_ne!(run(3), run(4));
}

#[test]
fn a_flash_crowd_is_no_attack_and_nobody_is_dropped() {
    let outcome = trial::run(attack("flash-crowd"), 0, &Default::default());
    assert_eq!(
        (outcome.detected, outcome.actions),
        (None, 0),
        "{outcome:?}"
    );
    assert_eq!(outcome.harm, 0.0, "{outcome:?}");
}

#[test]
fn some_hours_of_calm_with_a_newsletter_bring_no_incident() {
    let plan = Plan {
        days: 0.25,
        crowds: 1,
        ..plans(30.0)[0]
    };
    let month = month::run(&plan, 1);
    assert_eq!(
        (month.incidents, month.actions, month.bans),
        (0, 0, 0),
        "{month:?}"
    );
    assert_eq!(month.dropped, 0.0, "{month:?}");
}

#[test]
fn a_forged_partner_is_not_banned() {
    let outcome = trial::run(attack("partner"), 0, &Default::default());
    assert!(
        !outcome.is_partner_banned && outcome.detected.is_some(),
        "{outcome:?}"
    );
}
