//! What comes and what becomes of it: now, and over ten minutes.

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::Style,
    text::Line,
    widgets::Sparkline,
};

use super::{
    app::{App, Scene},
    course::Second,
    texts,
};
use crate::{
    api::types::Action,
    render::{Tone, number},
};

/// Columns of text beside a curve, on its left and on its right.
const LABEL: u16 = 24;
const PEAK: u16 = 13;

/// Steps of a curve within a line.
const STEPS: u64 = 8;

/// One curve, its rate now, and its tone.
struct Curve {
    name: &'static str,
    now: f64,
    tone: Tone,
    of: fn(&Second) -> Option<f64>,
}

/// How many curves there are.
pub fn curves(app: &App) -> u16 {
    if app.scene.as_ref().is_some_and(watches) {
        3
    } else {
        2
    }
}

/// Whether some of what is found is only watched.
fn watches(scene: &Scene) -> bool {
    let mut reasons = scene.status.reasons.values();
    reasons.any(|reason| reason.action != Action::Pass && !reason.enforced)
}

/// The sum, for the title.
pub fn title(app: &App) -> String {
    let Some(scene) = &app.scene else {
        return "Rates".to_owned();
    };
    let bits = scene.view.rates.iter().map(|rate| rate.bits).sum();
    format!(
        "{} come in, {}: now, and over ten minutes",
        number::rate(scene.stats.rates.received),
        number::bits(bits)
    )
}

/// All curves, one below the other.
pub fn draw(frame: &mut Frame<'_>, area: Rect, app: &App, style: impl Fn(Tone) -> Style) {
    let Some(scene) = &app.scene else { return };
    let rates = &scene.stats.rates;
    let mut all = vec![
        Curve {
            name: "passed",
            now: rates.passed,
            tone: Tone::Good,
            of: |second| Some(second.passed),
        },
        Curve {
            name: "stopped",
            now: rates.dropped + rates.answered,
            tone: Tone::Bad,
            of: |second| Some(second.stopped),
        },
    ];
    if watches(scene) {
        all.push(Curve {
            name: "would stop",
            now: rates.would_drop,
            tone: Tone::Warning,
            of: |second| second.would_stop,
        });
    }
    let height = area.height / u16::try_from(all.len()).unwrap_or(1).max(1);
    let last = scene.stats.at.as_second();
    for (curve, index) in all.iter().zip(0_u16..) {
        let line = Rect {
            y: area.y.saturating_add(index.saturating_mul(height)),
            height,
            ..area
        };
        let [label, graph, peak] = Layout::horizontal([
            Constraint::Length(LABEL),
            Constraint::Min(1),
            Constraint::Length(PEAK),
        ])
        .areas(line);
        let seconds = app.course.columns(last, graph.width, curve.of);
        let most = seconds.iter().flatten().fold(0.0, |a: f64, b| a.max(*b));
        let name = texts::fit(curve.name, 10, false);
        let now = texts::fit(&number::rate(curve.now), 13, true);
        let style = style(curve.tone);
        frame.render_widget(Line::styled(format!("{name}{now}"), style), bottom(label));
        let peak_text = format!(" max {}", number::short_rate(most));
        frame.render_widget(Line::raw(peak_text), bottom(peak));
        let steps = STEPS.saturating_mul(u64::from(height));
        let bars = seconds
            .iter()
            .map(|value| value.map(|v| bar(v, most, steps)));
        let bars: Vec<Option<u64>> = bars.collect();
        let sparkline = Sparkline::default().data(bars).max(steps).style(style);
        frame.render_widget(sparkline, graph);
        // What is not known is not nothing.
        let ground = bottom(graph);
        for (at, value) in (ground.x..ground.right()).zip(&seconds) {
            if value.is_none() {
                frame.buffer_mut()[(at, ground.y)].set_char('·');
            }
        }
    }
}

/// The lowest line of an area.
const fn bottom(area: Rect) -> Rect {
    Rect {
        y: area.y.saturating_add(area.height.saturating_sub(1)),
        height: if area.height == 0 { 0 } else { 1 },
        ..area
    }
}

/// How high: whatever is not nothing can be seen.
fn bar(value: f64, most: f64, steps: u64) -> u64 {
    if value <= 0.0 || most <= 0.0 {
        return 0;
    }
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a few steps"
    )]
    let height = (value / most * steps as f64).round() as u64;
    height.clamp(1, steps)
}
