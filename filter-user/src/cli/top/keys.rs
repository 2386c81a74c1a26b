//! What keys do.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::{
    app::{App, Dialog, Pane},
    change::Change,
    panes::What,
};
use crate::{api::types::Mode, render::Tone};

/// What comes of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing but another screen.
    Stay,
    /// The end.
    Quit,
    /// Something that was confirmed.
    Do(Change),
}

/// Rows that Page Up and Page Down move over.
const PAGE: isize = 10;

/// Does what a key says.
pub fn press(app: &mut App, key: KeyEvent) -> Step {
    let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
    if is_control && key.code == KeyCode::Char('c') {
        return Step::Quit;
    }
    if is_control || key.modifiers.contains(KeyModifiers::ALT) {
        return Step::Stay;
    }
    app.notice = None;
    match app.dialog.take() {
        Some(Dialog::Question(change)) => answer(app, change, key.code),
        // Any key takes it away, and does nothing else.
        Some(Dialog::Help | Dialog::Row) => Step::Stay,
        None => plain(app, key.code),
    }
}

/// Only a plain yes is one.
fn answer(app: &mut App, change: Change, key: KeyCode) -> Step {
    if matches!(key, KeyCode::Char('y' | 'Y')) {
        app.is_busy = true;
        app.notice = Some((Tone::Warning, format!("{}: asked for…", change.title())));
        return Step::Do(change);
    }
    app.notice = Some((Tone::Warning, "nothing was changed".to_owned()));
    Step::Stay
}

#[allow(
    clippy::wildcard_enum_match_arm,
    reason = "keys that mean nothing here are many"
)]
fn plain(app: &mut App, key: KeyCode) -> Step {
    match key {
        KeyCode::Char('q') => return Step::Quit,
        KeyCode::Char('?' | 'h') => app.dialog = Some(Dialog::Help),
        KeyCode::Enter if app.row().is_some() => app.dialog = Some(Dialog::Row),
        KeyCode::Tab | KeyCode::Right => app.turn(true),
        KeyCode::BackTab | KeyCode::Left => app.turn(false),
        KeyCode::Down => app.step(1),
        KeyCode::Up => app.step(-1),
        KeyCode::PageDown => app.step(PAGE),
        KeyCode::PageUp => app.step(-PAGE),
        KeyCode::Home => app.step(isize::MIN),
        KeyCode::End => app.step(isize::MAX),
        KeyCode::Char('b') => propose(app, |app| {
            let (source, may_be_forged) = source(app, "b bans")?;
            Ok(Change::Ban {
                source,
                may_be_forged,
            })
        }),
        KeyCode::Char('a') => propose(app, |app| {
            let (source, may_be_forged) = source(app, "a allows")?;
            Ok(Change::Allow {
                source,
                may_be_forged,
            })
        }),
        KeyCode::Char('m') => propose(app, |app| {
            let scene = app.scene.as_ref().ok_or("nothing was heard yet")?;
            Ok(Change::Mode(match scene.status.mode {
                Mode::Monitor => Mode::Enforce,
                Mode::Enforce => Mode::Monitor,
            }))
        }),
        _ => {}
    }
    Step::Stay
}

/// Asks whether to do it, if it can be done at all.
fn propose(app: &mut App, change: impl FnOnce(&App) -> Result<Change, String>) {
    let change = if app.is_busy {
        Err("wait: the last change is still under way".to_owned())
    } else if app.silence.is_some() {
        Err("no daemon answers; `floodwall mode monitor` works without one".to_owned())
    } else {
        change(app)
    };
    match change {
        Ok(change) => app.dialog = Some(Dialog::Question(change)),
        Err(why) => app.notice = Some((Tone::Warning, why)),
    }
}

fn source(app: &App, key: &str) -> Result<(ipnet::IpNet, bool), String> {
    let none = || format!("{key} the source that is selected under Top sources; none is");
    if app.pane() != Pane::Sources {
        return Err(format!(
            "{key} the source that is selected under Top sources: go there with Tab"
        ));
    }
    match app.row().ok_or_else(none)?.what {
        What::Source(source, may_be_forged) => Ok((source, may_be_forged)),
        What::Other => Err(none()),
    }
}
