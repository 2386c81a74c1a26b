use jiff::SignedDuration;
use proptest::prelude::*;

use super::*;

const UDP: (Vector, &Target) = (Vector::Udp, &Target::Host);

fn monday() -> Timestamp {
    "2025-10-06T00:00:00Z".parse().unwrap()
}

fn after(hours: i64) -> Timestamp {
    monday() + SignedDuration::from_hours(hours)
}

fn threshold(all: &Baselines, now: Timestamp) -> f64 {
    all.normal(Vector::Udp, &Target::Host, now, &Detection::default())
        .threshold
}

#[test]
fn the_first_minute_is_sensible() {
    let all = Baselines::default();
    for vector in Vector::ALL {
        let normal = all.normal(vector, &Target::Host, monday(), &Detection::default());
        assert_eq!(normal.usual, None);
        assert_eq!(normal.threshold, floor(vector));
    }
}

#[test]
fn half_a_minute_is_relied_on_up_to_twice_the_floor() {
    let config = Detection::default();
    for (rate, wanted) in [(100.0, 10_000.0), (8_000.0, 16_000.0), (1e6, 20_000.0)] {
        let mut all = Baselines::default();
        for second in 0..60 {
            let normal = all.normal(UDP.0, UDP.1, monday(), &config);
            assert_eq!(normal.usual.is_some(), second >= 30);
            all.learn(UDP, rate, 1.0, monday(), &config);
        }
        assert!(all.is_young(UDP.0));
        let threshold = threshold(&all, monday());
        assert!(
            (threshold / wanted - 1.0).abs() < 0.1,
            "{rate}: {threshold}"
        );
        all.learn(UDP, rate, 600.0, monday(), &config);
        assert!(!all.is_young(UDP.0));
    }
}

#[test]
fn floors_and_ceilings_of_the_operator_hold() {
    let mut config = Detection::default();
    config.floor.insert(Vector::Udp, 50.0);
    config.ceiling.insert(Vector::Udp, 800.0);
    let mut all = Baselines::default();
    assert_eq!(all.normal(UDP.0, UDP.1, monday(), &config).threshold, 50.0);
    for second in 0..7_200 {
        all.learn(UDP, 5_000.0, 1.0, after(second / 3_600), &config);
    }
    let normal = all.normal(UDP.0, UDP.1, monday(), &config);
    assert!(normal.threshold <= 800.0);
    assert_eq!(normal.ceiling, Some(800.0));
}

#[test]
fn hours_of_the_week_count_once_there_are_enough() {
    let mut all = Baselines::default();
    let config = Detection::default();
    // Nights of 1,000 and days of 30,000 packets a second, for three weeks.
    let rate = |hour: i64| if hour % 24 < 8 { 1_000.0 } else { 30_000.0 };
    for hour in 0..21 * 24 {
        for _ in 0..6 {
            all.learn(UDP, rate(hour), 600.0, after(hour), &config);
        }
    }
    let next = 21 * 24;
    let night = all.normal(UDP.0, UDP.1, after(next + 3), &config);
    let noon = all.normal(UDP.0, UDP.1, after(next + 12), &config);
    assert!(
        (900.0..1_100.0).contains(&night.usual.unwrap()),
        "{night:?}"
    );
    assert!(
        (27_000.0..33_000.0).contains(&noon.usual.unwrap()),
        "{noon:?}"
    );
    assert!(noon.threshold > 50_000.0, "{noon:?}");
    assert_eq!(hour_of_week(after(next - 1)), 167);
    assert_eq!(hour_of_week(after(next)), 0);
}

#[test]
fn a_december_becomes_usual_within_weeks() {
    let mut all = Baselines::default();
    let config = Detection::default();
    for hour in 0..30 * 24 {
        all.learn(UDP, 20_000.0, 3_600.0, after(hour), &config);
    }
    let october = threshold(&all, after(30 * 24));
    // Five times as much, by an eighth more every day: never above what is unusual.
    let mut rate = 20_000.0;
    for day in 30..60 {
        rate = f64::min(rate * 1.125, 100_000.0);
        for hour in 0..24 {
            let now = after(day * 24 + hour);
            assert!(rate < threshold(&all, now), "day {day}: {rate}");
            all.learn(UDP, rate, 3_600.0, now, &config);
        }
    }
    let december = threshold(&all, after(60 * 24));
    assert!(december > 3.0 * october, "{october} to {december}");
}

#[test]
fn services_are_bounded_and_the_quietest_goes() {
    let mut all = Baselines::default();
    let config = Detection::default();
    for port in 1..=500_u16 {
        let target = Target::Service { protocol: 17, port };
        for _ in 0..3 {
            all.learn(
                (Vector::Udp, &target),
                f64::from(port),
                1.0,
                monday(),
                &config,
            );
        }
    }
    assert_eq!(all.len(), SERVICES);
    let loudest = Target::Service {
        protocol: 17,
        port: 500,
    };
    assert!(all.of.contains_key(&(Vector::Udp, loudest)));
}

#[test]
fn a_file_that_was_tampered_with_is_survived() {
    let text = r#"[{"vector":"udp","target":{"kind":"host"},"baseline":{
        "levels":{"weights":{"250":1.0,"7":-3.0},"fresh":-5.0},
        "hours":{"200":{"median":1.0,"high":2.0,"weeks":9},"3":{"median":1e300,"high":0.0,"weeks":9}},
        "hour":[255,{"weights":{},"fresh":0.0}],"bound":1e300,"learned":-1.0}}]"#;
    let all: Baselines = serde_json::from_str(text).unwrap();
    assert_eq!(threshold(&all, after(3)), floor(Vector::Udp));
    assert_eq!(all.of.values().next(), Some(&Baseline::default()));
}

proptest! {
    #[test]
    fn nobody_ramps_a_threshold_up_faster_than_the_bound(
        ramp in 1.0..3.0_f64,
        start in 1.0..1e5_f64,
        days in 1..20_i64,
    ) {
        let mut all = Baselines::default();
        let config = Detection::default();
        for hour in 0..48 {
            all.learn(UDP, start, 3_600.0, after(hour), &config);
        }
        let before = threshold(&all, after(48));
        // Whoever ramps stays below what is noticed, as far as they know it.
        for step in 0..days * 24 {
            let now = after(48 + step);
            let wanted = start * ramp.powf(step as f64);
            let rate = wanted.min(0.99 * threshold(&all, now));
            all.learn(UDP, rate, 3_600.0, now, &config);
        }
        let after = threshold(&all, after(48 + days * 24));
        let bound = before.max(HEADROOM * floor(Vector::Udp)) * GROWTH.powf(days as f64);
        prop_assert!(after <= bound * 1.001, "{before} to {after} in {days} days");
    }

    #[test]
    fn what_is_learned_is_never_nonsense(
        lessons in prop::collection::vec((any::<f64>(), 0.0..1e5_f64, -4_000_000_i64..4_000_000), 0..60),
    ) {
        let mut all = Baselines::default();
        for (rate, seconds, hour) in lessons {
            all.learn(UDP, rate, seconds, after(hour / 100), &Detection::default());
            let normal = all.normal(UDP.0, UDP.1, after(hour / 100), &Detection::default());
            prop_assert!(normal.threshold.is_finite() && normal.threshold >= floor(Vector::Udp));
            prop_assert!(normal.usual.is_none_or(|usual| usual.is_finite() && usual >= 0.0));
        }
        let text = serde_json::to_string(&all).unwrap();
        prop_assert_eq!(serde_json::from_str::<Baselines>(&text).unwrap(), all);
    }
}
