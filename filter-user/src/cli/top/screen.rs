//! Where everything stands.

use jiff::Timestamp;
use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    text::{Line, Span},
    widgets::{Block, Borders, Clear, Padding, Paragraph, Wrap},
};

use super::{
    app::{App, Dialog, Pane, Scene},
    panes::{self, Column, Row},
    rates,
    texts::{self, safe},
};
use crate::{
    api::types::{AttachMode, Mode},
    config::units::format_duration,
    render::{self, Tone, number},
};

/// The smallest screen that shows everything.
const LEAST: (u16, u16) = (80, 24);
/// From this width on there is room for whole sentences.
const WIDE: u16 = 120;
/// Lines of the head.
const HEAD: u16 = 3;

/// Draws all of it.
pub fn draw(frame: &mut Frame<'_>, app: &App, now: Timestamp) {
    let area = frame.area();
    if area.width < LEAST.0 || area.height < LEAST.1 {
        let text = format!(
            "This terminal is {}x{}; floodwall top needs {}x{}. Make it larger, or press q and use \
             `floodwall stats --watch`.",
            area.width, area.height, LEAST.0, LEAST.1
        );
        frame.render_widget(Paragraph::new(text).wrap(Wrap { trim: true }), area);
        return;
    }
    // What is larger than the least is shared out: curves first, for they say most at a glance.
    let spare = area.height.saturating_sub(LEAST.1);
    let curves = rates::curves(app);
    let tall = (spare / 12).saturating_add(1).min(4);
    let rates = curves.saturating_mul(tall).saturating_add(1);
    let [head, rates, vectors, middle, low, foot] = Layout::vertical([
        Constraint::Length(HEAD),
        Constraint::Length(rates),
        Constraint::Fill(6),
        Constraint::Fill(5),
        Constraint::Fill(5),
        Constraint::Length(1),
    ])
    .areas(area);
    let halves = |area| {
        let parts = [Constraint::Percentage(55), Constraint::Fill(1)];
        Layout::horizontal(parts).spacing(1).areas::<2>(area)
    };
    draw_head(frame, head, app, now);
    draw_rates(frame, rates, app);
    draw_pane(frame, vectors, app, Pane::Vectors);
    let [left, right] = halves(middle);
    draw_pane(frame, left, app, Pane::Sources);
    draw_pane(frame, right, app, Pane::Reasons);
    let [left, right] = halves(low);
    draw_pane(frame, left, app, Pane::Actions);
    draw_pane(frame, right, app, Pane::Defences);
    draw_foot(frame, foot, app);
    if let Some(dialog) = &app.dialog {
        draw_dialog(frame, app, dialog, now);
    }
}

/// How loud something is drawn; bold alone where colours are not wanted.
fn loud(app: &App, tone: Tone) -> Style {
    let style = Style::new().add_modifier(Modifier::BOLD);
    let colour = match tone {
        Tone::Good => Color::Green,
        Tone::Warning => Color::Yellow,
        Tone::Bad => Color::Red,
    };
    if app.colour { style.fg(colour) } else { style }
}

/// What was true when the daemon was last heard is drawn as such.
fn stale(app: &App) -> Style {
    if app.silence.is_some() {
        Style::new().add_modifier(Modifier::DIM)
    } else {
        Style::new()
    }
}

fn draw_head(frame: &mut Frame<'_>, area: Rect, app: &App, now: Timestamp) {
    let lines = match (&app.silence, &app.scene) {
        (Some((since, why)), scene) => silence(app, *since, why, scene.as_ref()),
        (None, Some(scene)) => head(app, scene, now),
        (None, None) => vec![Line::raw("waiting for the daemon")],
    };
    frame.render_widget(Paragraph::new(lines), area);
    let clock = Line::raw(render::time(now)).right_aligned();
    frame.render_widget(clock, Rect { height: 1, ..area });
}

/// Mode, interfaces, and what is wrong.
fn head<'a>(app: &App, scene: &Scene, now: Timestamp) -> Vec<Line<'a>> {
    let status = &scene.status;
    let tone = match status.mode {
        Mode::Monitor => Tone::Warning,
        Mode::Enforce => Tone::Good,
    };
    let mode = render::status::mode_in_words(status);
    let mut second = Vec::new();
    if status.interfaces.is_empty() {
        second.push(Span::styled(
            "NOT PROTECTED: no interface",
            loud(app, Tone::Bad),
        ));
    }
    for interface in &status.interfaces {
        let gap = if second.is_empty() { "" } else { ", " };
        let name = safe(&interface.name);
        second.push(match interface.attach {
            Some(AttachMode::Native) => Span::raw(format!("{gap}{name} native")),
            Some(AttachMode::Generic) => Span::raw(format!("{gap}{name} generic (slower)")),
            None => Span::styled(format!("{gap}{name} NOT PROTECTED"), loud(app, Tone::Bad)),
        });
    }
    if let Some(pending) = &status.pending {
        let left = render::status::left(pending.seconds_left);
        second.push(Span::styled(
            format!("; NOT CONFIRMED: taken back in {left}"),
            loud(app, Tone::Warning),
        ));
    }
    match status.warnings.len() {
        0 => {}
        1 => second.push(Span::styled(
            "; a warning: see `floodwall status`",
            loud(app, Tone::Warning),
        )),
        many => second.push(Span::styled(
            format!("; {many} warnings: see `floodwall status`"),
            loud(app, Tone::Warning),
        )),
    }
    let mut third = vec![match scene.view.incident {
        Some(id) => {
            let open = scene.began.map_or_else(String::new, |began| {
                let seconds = began.duration_until(now).as_secs().max(0).cast_unsigned();
                let lasted = format_duration(std::time::Duration::from_secs(seconds));
                format!(" since {} ({lasted})", texts::since(began, now))
            });
            Span::styled(format!("INCIDENT {id}{open}"), loud(app, Tone::Bad))
        }
        None => Span::styled("no incident", loud(app, Tone::Good)),
    }];
    third.push(match &scene.view.bottleneck {
        Some(what) => Span::styled(
            format!("; bottleneck: {}", safe(what)),
            loud(app, Tone::Warning),
        ),
        None => Span::raw("; no bottleneck"),
    });
    if scene.view.good_dropped >= 0.5 {
        let rate = number::short_rate(scene.view.good_dropped);
        third.push(Span::styled(
            format!("; proven lose {rate}"),
            loud(app, Tone::Warning),
        ));
    }
    vec![
        Line::styled(mode, loud(app, tone)),
        Line::from(second),
        Line::from(third),
    ]
}

fn silence<'a>(app: &App, since: Timestamp, why: &str, scene: Option<&Scene>) -> Vec<Line<'a>> {
    let bad = loud(app, Tone::Bad);
    let last = scene.map_or_else(String::new, |scene| {
        let at = texts::clock(scene.stats.at);
        format!("; below is what it said at {at}; the kernel goes on without it")
    });
    let since = texts::clock(since);
    vec![
        Line::styled(
            format!("NO ANSWER since {since}, asking again twice a second"),
            bad,
        ),
        Line::styled(safe(why), bad),
        Line::raw(format!("q leaves{last}")),
    ]
}

/// A line with a title, and what is below it.
fn heading(app: &App, title: String, is_focus: bool) -> Block<'static> {
    let style = if is_focus {
        Style::new().add_modifier(Modifier::BOLD | Modifier::REVERSED)
    } else {
        stale(app).add_modifier(Modifier::BOLD)
    };
    Block::new()
        .borders(Borders::TOP)
        .border_style(Style::new().add_modifier(Modifier::DIM))
        .title(Span::styled(format!(" {title} "), style))
}

fn draw_rates(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let wide = area.width >= WIDE;
    let parts = if wide {
        [Constraint::Percentage(70), Constraint::Fill(1)]
    } else {
        [Constraint::Fill(1), Constraint::Length(0)]
    };
    let [left, right] = Layout::horizontal(parts)
        .spacing(u16::from(wide))
        .areas::<2>(area);
    let block = heading(app, rates::title(app), false);
    let inner = block.inner(left);
    frame.render_widget(block, left);
    rates::draw(frame, inner, app, |tone| loud(app, tone).patch(stale(app)));
    if wide {
        draw_classes(frame, right, app);
    }
}

/// What comes by class of traffic, the busiest first.
fn draw_classes(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let block = heading(app, "By class: now, usual, bits".to_owned(), false);
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let Some(scene) = &app.scene else { return };
    let mut classes: Vec<_> = scene
        .view
        .rates
        .iter()
        .filter(|it| it.packets >= 0.5)
        .collect();
    classes.sort_by(|one, other| other.packets.total_cmp(&one.packets));
    let lines = classes.into_iter().map(|class| {
        let usual = class
            .usual
            .map_or_else(|| "-".to_owned(), number::short_rate);
        Line::raw(format!(
            "{} {} {} {}",
            texts::fit(&safe(&class.class), 12, false),
            texts::fit(&number::rate(class.packets), 14, true),
            texts::fit(&usual, 8, true),
            texts::fit(&number::bits(class.bits), 14, true),
        ))
    });
    let lines: Vec<Line<'_>> = lines.collect();
    frame.render_widget(Paragraph::new(lines).style(stale(app)), inner);
}

fn draw_pane(frame: &mut Frame<'_>, area: Rect, app: &App, pane: Pane) {
    let is_focus = app.pane() == pane;
    let rows = app.rows(pane);
    let selected = app.selected(pane, &rows);
    let title = panes::title(pane);
    let count = match rows.len() {
        0 => title.to_owned(),
        all if is_focus => format!("{title}, {} of {all}", selected.saturating_add(1)),
        all => format!("{title}, {all}"),
    };
    let block = heading(app, count, is_focus);
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let (width, height) = (usize::from(inner.width), usize::from(inner.height));
    if rows.is_empty() {
        let nothing = Line::raw(panes::nothing(pane)).style(stale(app));
        return frame.render_widget(nothing, inner);
    }
    let is_wide = frame.area().width >= WIDE;
    let columns = panes::columns(pane, is_wide);
    let mut lines = Vec::new();
    if pane == Pane::Vectors {
        let names = columns
            .iter()
            .map(|column| (column, column.name.to_uppercase()));
        let style = stale(app).add_modifier(Modifier::DIM);
        lines.push(Line::styled(laid_out(names, &columns, width), style));
    }
    let below = panes::below(pane, is_wide).and_then(|cell| rows.get(selected)?.cells.get(cell));
    let room = height.saturating_sub(lines.len() + usize::from(below.is_some()));
    let first = selected.saturating_add(1).saturating_sub(room.max(1));
    for (index, row) in rows.iter().enumerate().skip(first).take(room) {
        let style = row_style(app, row, is_focus && index == selected);
        let cells = columns.iter().map(|column| {
            let cell = row.cells.get(column.cell).cloned();
            (column, cell.unwrap_or_default())
        });
        lines.push(Line::styled(laid_out(cells, &columns, width), style));
    }
    lines.extend(below.map(|why| {
        let text = texts::fit(&format!("why: {why}"), width, false);
        Line::styled(text, stale(app))
    }));
    frame.render_widget(Paragraph::new(lines), inner);
}

fn row_style(app: &App, row: &Row, is_selected: bool) -> Style {
    let style = row.tone.map_or_else(Style::new, |tone| loud(app, tone));
    let style = style.patch(stale(app));
    if is_selected {
        style.add_modifier(Modifier::REVERSED)
    } else {
        style
    }
}

/// Cells side by side, a blank between them.
fn laid_out<'a>(
    cells: impl Iterator<Item = (&'a Column, String)>,
    columns: &[Column],
    width: usize,
) -> String {
    let gaps = columns.len().saturating_sub(1);
    let fixed: usize = columns.iter().filter_map(|column| column.width).sum();
    let rest = width.saturating_sub(fixed.saturating_add(gaps));
    let fitted = cells
        .map(|(column, cell)| texts::fit(&cell, column.width.unwrap_or(rest), column.is_number));
    fitted.collect::<Vec<_>>().join(" ")
}

fn draw_foot(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let line = match &app.notice {
        Some((tone, text)) => {
            let text = texts::fit(&safe(text), usize::from(area.width), false);
            Line::styled(text, loud(app, *tone))
        }
        None => {
            Line::raw("Tab panes  ↑↓ rows  Enter all of it  b ban  a allow  m mode  ? help  q quit")
        }
    };
    frame.render_widget(line, area);
}

fn draw_dialog(frame: &mut Frame<'_>, app: &App, dialog: &Dialog, now: Timestamp) {
    let screen = frame.area();
    let width = screen.width.saturating_sub(8).min(84);
    let inner = usize::from(width.saturating_sub(4));
    let (title, mut lines) = match dialog {
        Dialog::Help => ("Keys".to_owned(), named(HELP.iter().copied(), inner)),
        Dialog::Row => match app.row() {
            Some(row) => {
                let details = row.details.iter();
                let details = details.map(|(name, text)| (*name, text.as_str()));
                (panes::title(app.pane()).to_owned(), named(details, inner))
            }
            None => ("Gone".to_owned(), vec![Line::raw("It is no longer there.")]),
        },
        Dialog::Question(change) => {
            let Some(scene) = &app.scene else { return };
            let sentences = change.consequences(&scene.status, &scene.stats, now);
            let mut lines = Vec::new();
            for sentence in sentences {
                lines.extend(texts::wrap(&sentence, inner).into_iter().map(Line::raw));
                lines.push(Line::default());
            }
            let ask = "Do it? y does it, any other key does not [y/N]";
            lines.push(Line::styled(ask, loud(app, Tone::Warning)));
            (format!("{}?", change.title()), lines)
        }
    };
    let most = screen.height.saturating_sub(4);
    lines.truncate(usize::from(most));
    let height = u16::try_from(lines.len()).unwrap_or(most).saturating_add(2);
    let title = Span::styled(
        format!(" {title} "),
        Style::new().add_modifier(Modifier::BOLD),
    );
    let block = Block::bordered()
        .padding(Padding::horizontal(1))
        .title(title);
    let area = screen.centered(Constraint::Length(width), Constraint::Length(height));
    frame.render_widget(Clear, area);
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

/// Names on the left, texts beside them.
fn named<'a>(all: impl Iterator<Item = (&'a str, &'a str)>, width: usize) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    for (name, text) in all {
        let mut name = name;
        for line in texts::wrap(text, width.saturating_sub(NAME)) {
            let name = texts::fit(std::mem::take(&mut name), NAME, false);
            lines.push(Line::raw(name + &line));
        }
    }
    lines
}

/// Columns of a name in a dialog.
const NAME: usize = 12;

const HELP: [(&str, &str); 10] = [
    ("Tab, ← →", "another part of the screen"),
    ("↑ ↓", "another row; also Page Up and Down, Home, End"),
    ("Enter", "all that is known of the selected row"),
    (
        "b",
        "ban the source selected under Top sources for 10 minutes",
    ),
    ("a", "allow it for an hour"),
    (
        "m",
        "switch between monitor (nothing is dropped) and enforce",
    ),
    ("q, Ctrl-C", "leave; nothing changes by that"),
    ("", " "),
    ("questions", "b, a and m ask first; only y does it"),
    (
        "sources",
        "real: completed a handshake. May be forged: did not; who bans it may hit a stranger",
    ),
];
