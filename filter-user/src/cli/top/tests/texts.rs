//! Texts and curves.

use super::scenes::{calm, now};
use crate::{
    api::types::{Count, HistoryPage, SCHEMA, SecondStatus},
    cli::top::{course::Course, texts},
};

#[test]
fn texts_fill_their_columns_and_no_more() {
    assert_eq!(texts::fit("ab", 4, false), "ab  ");
    assert_eq!(texts::fit("ab", 4, true), "  ab");
    assert_eq!(texts::fit("abcde", 4, false), "abc…");
    // A wide character does not fit into one column.
    assert_eq!(texts::fit("ab漢字", 4, false), "ab… ");
    assert_eq!(texts::fit("abc", 0, false), "");
}

#[test]
fn lines_are_broken_between_words_where_that_can_be() {
    assert_eq!(texts::wrap("one two three", 7), ["one two", "three"]);
    assert_eq!(texts::wrap("abcdefgh i", 3), ["abc", "def", "gh", "i"]);
    assert_eq!(texts::wrap("", 3), [""]);
}

#[test]
fn ends_of_other_days_are_told_with_their_day() {
    let later = |hours| Some(now() + jiff::SignedDuration::from_hours(hours));
    assert_eq!(texts::until(later(1), now()), "until 04:04:05Z");
    assert_eq!(texts::until(later(24), now()), "until 2026-01-03");
    assert_eq!(texts::until(None, now()), "no end");
}

#[test]
fn a_course_knows_the_strongest_second_of_each_column() {
    let second = |age: i64, packets| SecondStatus {
        at: now() - jiff::SignedDuration::from_secs(age),
        received: Count::default(),
        passed: Count { packets, bytes: 0 },
        stopped: Count::default(),
        would_stop: Count {
            packets: 1,
            bytes: 0,
        },
        classes: std::collections::BTreeMap::new(),
    };
    let mut course = Course::default();
    course.recall(&HistoryPage {
        schema: SCHEMA,
        seconds: vec![second(700, 9), second(599, 5), second(590, 7), second(1, 3)],
        next: None,
        damaged: 0,
    });
    let mut heard = calm();
    // What is remembered here yields to what is written there, and to what is measured now.
    heard.view.history.truncate(2);
    heard.view.history[0].packets = 1_000.0;
    heard.view.history[1].packets = 1_000.0;
    course.fill(&heard.view);
    course.add(&heard.stats);
    let last = now().as_second();
    let passed = course.columns(last, 4, |second| Some(second.passed));
    assert_eq!(passed, [Some(7.0), None, None, Some(5_123.0)]);
    let would = course.columns(last, 4, |second| second.would_stop);
    assert_eq!(would, [Some(1.0), None, None, Some(12.0)]);
    assert_eq!(course.columns(last, 0, |second| Some(second.passed)), []);
    let fine = course.columns(last, 600, |second| Some(second.passed));
    assert_eq!(fine[598], Some(3.0));
}
