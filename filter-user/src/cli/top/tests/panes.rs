//! What is drawn, compared with `snapshots/`. `UPDATE_SNAPSHOTS=1` writes them anew: look at them.

use std::{env, fs, path::Path};

use ratatui::{
    Terminal,
    backend::TestBackend,
    crossterm::event::{KeyCode, KeyEvent},
    style::Color,
};

use super::scenes::{app, attack, calm, now};
use crate::{
    api::types::Mode,
    cli::top::{
        app::{App, Pane},
        keys::press,
        screen,
    },
};

fn terminal(app: &App, (width, height): (u16, u16)) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal
        .draw(|frame| screen::draw(frame, app, now()))
        .unwrap();
    terminal
}

fn drawn(app: &App, size: (u16, u16)) -> String {
    let terminal = terminal(app, size);
    let mut text = String::new();
    for line in terminal
        .backend()
        .buffer()
        .content
        .chunks(usize::from(size.0))
    {
        let line: String = line.iter().map(ratatui::buffer::Cell::symbol).collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn check(name: &str, app: &App, size: (u16, u16)) {
    let shown = drawn(app, size);
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src/cli/top/snapshots")
        .join(format!("{name}.txt"));
    if env::var_os("UPDATE_SNAPSHOTS").is_some() {
        fs::write(&path, &shown).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap();
    assert!(shown == expected, "{name} is drawn so:\n{shown}");
}

const SMALL: (u16, u16) = (80, 24);
const LARGE: (u16, u16) = (200, 60);

#[test]
fn an_attack_is_shown() {
    let app = app(attack());
    check("attack-80x24", &app, SMALL);
    check("attack-200x60", &app, LARGE);
}

#[test]
fn calm_is_shown() {
    let app = app(calm());
    check("calm-80x24", &app, SMALL);
    check("calm-200x60", &app, LARGE);
}

#[test]
fn a_daemon_that_went_away_is_told_with_what_it_last_said() {
    let mut app = app(attack());
    app.miss("no daemon listens on /run/\x1b]0;x".to_owned(), now());
    app.miss(
        "and later\nstill".to_owned(),
        now() + jiff::SignedDuration::from_secs(9),
    );
    check("silence-80x24", &app, SMALL);
    app.hear(attack());
    assert!(app.silence.is_none());
}

#[test]
fn questions_say_what_will_happen_and_until_when() {
    for (name, heard, keys) in [
        ("ban-real", attack(), "b"),
        ("ban-forged", attack(), "jb"),
        ("allow-forged", attack(), "ja"),
        ("monitor", attack(), "m"),
        ("enforce", calm(), "m"),
        ("help", attack(), "?"),
    ] {
        let mut app = app(heard);
        for key in keys.chars() {
            let code = if key == 'j' {
                KeyCode::Down
            } else {
                KeyCode::Char(key)
            };
            press(&mut app, KeyEvent::from(code));
        }
        check(&format!("{name}-80x24"), &app, SMALL);
    }
}

#[test]
fn a_ban_that_the_mode_does_not_enforce_says_so() {
    let mut heard = attack();
    heard.status = Some(super::scenes::status(Mode::Monitor));
    let mut app = app(heard);
    press(&mut app, KeyEvent::from(KeyCode::Char('b')));
    check("ban-watched-80x24", &app, SMALL);
}

#[test]
fn all_of_a_row_is_shown_on_demand() {
    let mut app = app(attack());
    for (pane, name) in [
        (Pane::Vectors, "row-vector"),
        (Pane::Sources, "row-source"),
        (Pane::Reasons, "row-reason"),
        (Pane::Actions, "row-action"),
        (Pane::Defences, "row-defence"),
    ] {
        app.select_pane(pane);
        press(&mut app, KeyEvent::from(KeyCode::Enter));
        check(&format!("{name}-80x24"), &app, SMALL);
        press(&mut app, KeyEvent::from(KeyCode::Esc));
    }
}

#[test]
fn a_screen_that_is_too_small_says_so() {
    let app = app(attack());
    check("small-79x24", &app, (79, 24));
    check("small-80x23", &app, (80, 23));
    for width in 1..30 {
        drawn(&app, (width, 3));
    }
}

#[test]
fn every_larger_size_is_drawn_with_and_without_rows() {
    for app in [app(attack()), app(calm()), App::new(true)] {
        for size in [
            (80, 25),
            (119, 24),
            (120, 24),
            (121, 37),
            (300, 24),
            (80, 100),
        ] {
            assert!(!drawn(&app, size).contains('\x1b'));
        }
    }
}

#[test]
fn colours_are_shown_only_where_they_are_wanted() {
    let mut app = app(attack());
    for colour in [false, true] {
        app.colour = colour;
        let terminal = terminal(&app, SMALL);
        let cells = &terminal.backend().buffer().content;
        let coloured = cells
            .iter()
            .any(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset);
        assert_eq!(coloured, colour);
    }
}
