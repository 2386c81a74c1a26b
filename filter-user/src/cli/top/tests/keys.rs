//! What keys do, and above all what they do not.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::scenes::{app, attack, calm, now};
use crate::{
    api::types::{Mode, Outcome},
    cli::{
        exit::Failure,
        top::{
            app::{App, Dialog, Pane},
            change::Change,
            keys::{Step, press},
        },
    },
};

fn key(app: &mut App, code: KeyCode) -> Step {
    press(app, KeyEvent::from(code))
}

fn letter(app: &mut App, letter: char) -> Step {
    key(app, KeyCode::Char(letter))
}

fn ban(source: &str, may_be_forged: bool) -> Change {
    Change::Ban {
        source: source.parse().unwrap(),
        may_be_forged,
    }
}

#[test]
fn only_a_plain_yes_is_a_yes() {
    let others = [
        KeyCode::Enter,
        KeyCode::Esc,
        KeyCode::Tab,
        KeyCode::Down,
        KeyCode::Char('n'),
        KeyCode::Char('b'),
        KeyCode::Char('m'),
        KeyCode::Char('q'),
        KeyCode::Char(' '),
    ];
    for question in ['b', 'a', 'm'] {
        for other in others {
            let mut app = app(attack());
            assert_eq!(letter(&mut app, question), Step::Stay);
            assert!(matches!(app.dialog, Some(Dialog::Question(_))));
            assert_eq!(key(&mut app, other), Step::Stay, "{question} {other:?}");
            assert_eq!(app.dialog, None, "{question} {other:?}");
            assert!(!app.is_busy);
            // Nor is a yes without a question.
            assert_eq!(letter(&mut app, 'y'), Step::Stay);
        }
        let mut app = app(attack());
        letter(&mut app, question);
        for modifier in [KeyModifiers::CONTROL, KeyModifiers::ALT] {
            let key = KeyEvent::new(KeyCode::Char('y'), modifier);
            assert_eq!(press(&mut app, key), Step::Stay);
        }
        assert!(matches!(letter(&mut app, 'y'), Step::Do(_)), "{question}");
        assert!(app.is_busy);
    }
}

#[test]
fn what_is_confirmed_is_what_was_asked_about_though_all_moves() {
    let mut app = app(attack());
    letter(&mut app, 'b');
    let mut heard = attack();
    heard.view.sources.reverse();
    app.hear(heard);
    app.hear(calm());
    assert_eq!(
        letter(&mut app, 'y'),
        Step::Do(ban("198.51.100.7/32", false))
    );
}

#[test]
fn a_chosen_source_stays_chosen_wherever_it_moves() {
    let mut app = app(attack());
    key(&mut app, KeyCode::Down);
    let mut heard = attack();
    heard.view.sources.reverse();
    app.hear(heard);
    letter(&mut app, 'b');
    assert_eq!(
        app.dialog,
        Some(Dialog::Question(ban("203.0.113.0/24", true)))
    );
    letter(&mut app, 'n');
    let mut heard = attack();
    heard.view.sources.remove(1);
    app.hear(heard);
    // It is gone: the first is selected again.
    letter(&mut app, 'b');
    assert_eq!(
        app.dialog,
        Some(Dialog::Question(ban("198.51.100.7/32", false)))
    );
}

#[test]
fn the_mode_is_switched_to_the_other_one() {
    for (heard, other) in [(attack(), Mode::Monitor), (calm(), Mode::Enforce)] {
        let mut app = app(heard);
        letter(&mut app, 'm');
        assert_eq!(letter(&mut app, 'y'), Step::Do(Change::Mode(other)));
    }
}

#[test]
fn what_cannot_be_done_is_not_asked() {
    let words = |app: &App| app.notice.clone().map(|(_, text)| text).unwrap_or_default();
    for (question, needs_source) in [('b', true), ('a', true), ('m', false)] {
        let mut elsewhere = app(attack());
        elsewhere.select_pane(Pane::Vectors);
        let mut nobody = app(calm());
        for app in [&mut elsewhere, &mut nobody] {
            letter(app, question);
            assert_eq!(app.dialog.is_none(), needs_source, "{question}");
            assert_eq!(words(app).contains("Top sources"), needs_source);
        }
        let mut silent = app(attack());
        silent.miss("gone".to_owned(), now());
        letter(&mut silent, question);
        assert_eq!(silent.dialog, None);
        assert!(words(&silent).contains("floodwall mode monitor"));
        let mut busy = app(attack());
        letter(&mut busy, 'm');
        letter(&mut busy, 'y');
        letter(&mut busy, question);
        assert_eq!(busy.dialog, None);
        assert!(words(&busy).contains("under way"));
        let mut deaf = App::new(false);
        letter(&mut deaf, question);
        assert_eq!(deaf.dialog, None);
    }
}

#[test]
fn what_became_of_a_change_is_told() {
    let mut app = app(attack());
    letter(&mut app, 'm');
    letter(&mut app, 'y');
    app.done(Err(Failure::not_permitted("you may not change anything")));
    assert!(!app.is_busy);
    assert!(app.notice.take().unwrap().1.contains("may not"));
    app.done(Ok(Outcome {
        notes: vec!["one".to_owned(), "two".to_owned()],
        ..Outcome::default()
    }));
    assert_eq!(app.notice.take().unwrap().1, "one; two");
    app.done(Ok(Outcome::default()));
    assert_eq!(app.notice.unwrap().1, "done");
}

#[test]
fn panes_and_rows_are_selected() {
    let mut app = app(attack());
    assert_eq!(app.pane(), Pane::Sources);
    for pane in [Pane::Reasons, Pane::Actions, Pane::Defences, Pane::Vectors] {
        key(&mut app, KeyCode::Tab);
        assert_eq!(app.pane(), pane);
    }
    key(&mut app, KeyCode::BackTab);
    assert_eq!(app.pane(), Pane::Defences);
    key(&mut app, KeyCode::Left);
    key(&mut app, KeyCode::Left);
    key(&mut app, KeyCode::Left);
    assert_eq!(app.pane(), Pane::Sources);
    let rows = app.rows(Pane::Sources);
    for (code, row) in [
        (KeyCode::Up, 0),
        (KeyCode::Down, 1),
        (KeyCode::PageDown, 3),
        (KeyCode::Down, 3),
        (KeyCode::Up, 2),
        (KeyCode::Home, 0),
        (KeyCode::End, 3),
        (KeyCode::PageUp, 0),
    ] {
        key(&mut app, code);
        assert_eq!(app.selected(Pane::Sources, &rows), row, "{code:?}");
    }
}

#[test]
fn it_is_left_by_q_and_control_c() {
    let control_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    let mut app = app(attack());
    assert_eq!(letter(&mut app, 'q'), Step::Quit);
    assert_eq!(press(&mut app, control_c), Step::Quit);
    letter(&mut app, 'b');
    assert_eq!(press(&mut app, control_c), Step::Quit);
}
