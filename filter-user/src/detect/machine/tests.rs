use proptest::prelude::*;

use super::*;

const RECOVER: Duration = Duration::from_secs(60);

fn normal(threshold: f64) -> Normal {
    Normal {
        usual: Some(threshold / 10.0),
        threshold,
        ceiling: None,
    }
}

fn reading(rate: f64, score: f64) -> Reading {
    Reading {
        fast: rate,
        brisk: rate,
        steady: rate,
        normal: normal(1_000.0),
        score,
        is_known: true,
        is_quiet: rate < 700.0,
    }
}

/// Steps of a tenth of a second, with what each of them leads to.
fn run(track: &mut Track, now: &mut Duration, steps: u32, reading: &Reading) -> Vec<Phase> {
    let mut phases = Vec::new();
    for _ in 0..steps {
        *now += Duration::from_millis(100);
        if let Some(change) = track.step(*now, reading, RECOVER) {
            phases.push(change.to);
        }
    }
    phases
}

#[test]
fn a_flood_is_suspected_then_an_attack_and_in_the_end_calm() {
    let (mut track, mut now) = (Track::default(), Duration::ZERO);
    let loud = reading(5_000.0, 1.0);
    assert_eq!(
        run(&mut track, &mut now, 2, &loud),
        [Phase::Suspected, Phase::Attack]
    );
    let quiet = reading(100.0, 0.0);
    assert_eq!(run(&mut track, &mut now, 11, &quiet), [Phase::Recovering]);
    assert_eq!(run(&mut track, &mut now, 598, &quiet), []);
    assert_eq!(run(&mut track, &mut now, 5, &quiet), [Phase::Calm]);
    assert!(track.remembers(now));
    assert_eq!(
        run(&mut track, &mut now, 1, &loud),
        [Phase::Attack],
        "at once"
    );
    assert_eq!(track.recovery(RECOVER), 2 * RECOVER);
    assert_eq!(run(&mut track, &mut now, 20, &quiet), [Phase::Recovering]);
    assert_eq!(run(&mut track, &mut now, 1_300, &quiet), [Phase::Calm]);
    assert_eq!(run(&mut track, &mut now, 6_000, &quiet), []);
    assert!(track.is_idle(now));
    assert_eq!(
        run(&mut track, &mut now, 1, &loud),
        [Phase::Suspected],
        "forgotten"
    );
}

#[test]
fn what_is_suspected_without_evidence_may_be_usual_and_nothing_else() {
    let (mut track, mut now) = (Track::default(), Duration::ZERO);
    assert!(!track.may_be_usual(now), "it is calm");
    let busy = reading(1_500.0, 0.0);
    run(&mut track, &mut now, 15, &busy);
    assert!(!track.may_be_usual(now), "evidence may take longer");
    run(&mut track, &mut now, 10, &busy);
    assert!(track.phase == Phase::Suspected && track.may_be_usual(now));
    run(&mut track, &mut now, 1, &reading(1_500.0, 0.5));
    assert!(!track.may_be_usual(now));
    run(&mut track, &mut now, 50, &busy);
    assert!(track.may_be_usual(now));
    run(&mut track, &mut now, 1, &reading(1_500.0, 1.0));
    assert!(track.phase == Phase::Attack && !track.may_be_usual(now));
}

#[test]
fn what_comes_and_goes_while_its_vector_stays_is_no_pulse() {
    let (mut track, mut now) = (Track::default(), Duration::ZERO);
    let loud = reading(5_000.0, 1.0);
    let elsewhere = Reading {
        is_quiet: false,
        ..reading(100.0, 1.0)
    };
    run(&mut track, &mut now, 2, &loud);
    for _ in 0..5 {
        assert_eq!(
            run(&mut track, &mut now, 20, &elsewhere),
            [Phase::Recovering]
        );
        assert_eq!(run(&mut track, &mut now, 2, &loud), [Phase::Attack]);
    }
    assert_eq!(track.recovery(RECOVER), RECOVER);
    let quiet = reading(100.0, 0.0);
    assert_eq!(run(&mut track, &mut now, 20, &quiet), [Phase::Recovering]);
    assert_eq!(run(&mut track, &mut now, 2, &loud), [Phase::Attack]);
    assert_eq!(track.recovery(RECOVER), 2 * RECOVER, "a pulse");
}

#[test]
fn a_rate_without_evidence_stays_suspicion_and_is_tolerated_in_the_end() {
    let (mut track, mut now) = (Track::default(), Duration::ZERO);
    let busy = reading(5_000.0, 0.0);
    assert_eq!(run(&mut track, &mut now, 5_900, &busy), [Phase::Suspected]);
    assert_eq!(run(&mut track, &mut now, 200, &busy), [Phase::Calm]);
    assert!(track.may_learn(now) && track.explains());
    assert_eq!(run(&mut track, &mut now, 1_000, &reading(7_000.0, 0.0)), []);
    let proof = reading(5_000.0, 1.0);
    let phases = run(&mut track, &mut now, 3, &proof);
    assert_eq!(phases, [Phase::Suspected, Phase::Attack]);
}

#[test]
fn above_the_ceiling_everything_is_an_attack() {
    let (mut track, mut now) = (Track::default(), Duration::ZERO);
    let mut busy = reading(5_000.0, -1.0);
    busy.normal.ceiling = Some(4_000.0);
    let phases = run(&mut track, &mut now, 3, &busy);
    assert_eq!(phases, [Phase::Suspected, Phase::Attack]);
}

#[test]
fn an_attack_that_turns_out_to_be_none_is_taken_back() {
    let (mut track, mut now) = (Track::default(), Duration::ZERO);
    run(&mut track, &mut now, 3, &reading(5_000.0, 1.0));
    let benign = reading(5_000.0, -1.0);
    assert_eq!(run(&mut track, &mut now, 29, &benign), []);
    assert_eq!(run(&mut track, &mut now, 5, &benign), [Phase::Recovering]);
    assert_eq!(
        run(&mut track, &mut now, 700, &benign),
        [Phase::Calm, Phase::Suspected]
    );
}

#[test]
fn an_attack_for_which_nothing_speaks_any_more_is_over_though_much_comes() {
    let (mut track, mut now) = (Track::default(), Duration::from_secs(100));
    run(&mut track, &mut now, 10, &reading(5_000.0, 1.0));
    assert_eq!(track.phase, Phase::Attack);
    run(&mut track, &mut now, 590, &reading(1_500.0, 0.0));
    assert_eq!(track.phase, Phase::Attack);
    run(&mut track, &mut now, 30, &reading(1_500.0, 0.0));
    assert_eq!(track.phase, Phase::Recovering);
}

fn any_reading() -> impl Strategy<Value = Reading> {
    let rate = prop_oneof![Just(0.0), 0.0..2_000.0_f64, 0.0..1e7_f64];
    (
        rate.clone(),
        rate.clone(),
        rate,
        -2.0..3.0_f64,
        any::<(bool, bool)>(),
    )
        .prop_map(
            |(fast, brisk, steady, score, (has_ceiling, is_known))| Reading {
                fast,
                brisk,
                steady,
                is_known,
                is_quiet: steady < 700.0,
                normal: Normal {
                    ceiling: has_ceiling.then_some(5_000.0),
                    ..normal(1_000.0)
                },
                score,
            },
        )
}

proptest! {
    #[test]
    fn calm_is_never_an_attack_without_suspicion_unless_one_is_remembered(
        steps in prop::collection::vec((any_reading(), 1..2_000_u64), 1..300),
    ) {
        let (mut track, mut now) = (Track::default(), Duration::ZERO);
        let mut ended: Option<Duration> = None;
        for (reading, millis) in steps {
            now += Duration::from_millis(millis);
            let before = track.clone();
            let Some(change) = track.step(now, &reading, RECOVER) else {
                prop_assert_eq!(before.phase, track.phase);
                continue;
            };
            prop_assert_eq!(change, Change { from: before.phase, to: track.phase });
            let is_remembered = ended.is_some_and(|ended| now - ended <= REMEMBERED);
            let is_sane = match (change.from, change.to) {
                (Phase::Calm, Phase::Suspected)
                | (Phase::Suspected, Phase::Calm)
                | (Phase::Attack, Phase::Recovering)
                | (Phase::Recovering, Phase::Calm) => true,
                (Phase::Suspected | Phase::Recovering, Phase::Attack) => {
                    reading.fast >= 1_000.0 || reading.brisk >= 1_000.0
                }
                (Phase::Calm, Phase::Attack) => is_remembered && reading.score > 0.0,
                (Phase::Calm | Phase::Suspected | Phase::Attack | Phase::Recovering, _) => false,
            };
            prop_assert!(is_sane, "{change:?} by {reading:?}");
            if change.from == Phase::Attack {
                ended = Some(now);
            }
            prop_assert!(track.recovery(RECOVER) <= LONGEST * RECOVER);
            prop_assert!(track.recovery(Duration::from_secs(3_600)) <= Duration::from_secs(3_600));
        }
    }
}
