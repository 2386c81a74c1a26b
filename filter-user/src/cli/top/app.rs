//! What the screen knows, and what is selected on it.

use jiff::Timestamp;

use super::{
    super::exit::Failure,
    change::Change,
    course::Course,
    feed::Heard,
    panes::{self, Row},
};
use crate::{
    api::types::{Outcome, Stats, Status},
    detect::View,
    render::Tone,
};

/// A part of the screen with rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pane {
    Vectors,
    Sources,
    Reasons,
    Actions,
    Defences,
}

impl Pane {
    /// In the order of the screen, and of Tab.
    pub const ALL: [Self; 5] = [
        Self::Vectors,
        Self::Sources,
        Self::Reasons,
        Self::Actions,
        Self::Defences,
    ];
}

/// What the daemon last said.
#[derive(Debug)]
pub struct Scene {
    pub status: Status,
    pub stats: Stats,
    pub view: View,
    pub began: Option<Timestamp>,
}

/// What lies over the screen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dialog {
    /// The keys.
    Help,
    /// All of the selected row.
    Row,
    /// Whether to do it.
    Question(Change),
}

/// Everything that is drawn.
#[derive(Debug, Default)]
pub struct App {
    pub scene: Option<Scene>,
    pub course: Course,
    /// Since when the daemon does not answer, and why.
    pub silence: Option<(Timestamp, String)>,
    pub focus: Focus,
    pub dialog: Option<Dialog>,
    /// What became of the last key.
    pub notice: Option<(Tone, String)>,
    /// Whether a change is under way.
    pub is_busy: bool,
    pub colour: bool,
}

/// What is selected: in each pane the row that was chosen, wherever it moves, or the first.
#[derive(Debug, Default)]
pub struct Focus {
    pane: usize,
    chosen: [Option<String>; Pane::ALL.len()],
}

impl App {
    /// Before anything was heard.
    pub fn new(colour: bool) -> Self {
        let mut app = Self {
            colour,
            ..Self::default()
        };
        app.select_pane(Pane::Sources);
        app
    }

    /// The daemon answered.
    pub fn hear(&mut self, heard: Heard) {
        self.silence = None;
        if let Some(page) = &heard.history {
            self.course.recall(page);
            self.course.fill(&heard.view);
        }
        self.course.add(&heard.stats);
        let before = self.scene.take().map(|scene| scene.status);
        self.scene = heard.status.or(before).map(|status| Scene {
            status,
            stats: heard.stats,
            view: heard.view,
            began: heard.began,
        });
    }

    /// The daemon did not answer.
    pub fn miss(&mut self, why: String, now: Timestamp) {
        let since = self.silence.take().map_or(now, |(since, _)| since);
        self.silence = Some((since, why));
    }

    /// A change was carried out, or not.
    pub fn done(&mut self, answer: Result<Outcome, Failure>) {
        self.is_busy = false;
        self.notice = Some(match answer {
            Ok(outcome) if outcome.notes.is_empty() => (Tone::Good, "done".to_owned()),
            Ok(outcome) => (Tone::Good, outcome.notes.join("; ")),
            Err(failure) => (Tone::Bad, failure.to_string()),
        });
    }

    /// Where keys go.
    pub fn pane(&self) -> Pane {
        Pane::ALL
            .get(self.focus.pane)
            .copied()
            .unwrap_or(Pane::Vectors)
    }

    /// Moves keys elsewhere.
    pub fn select_pane(&mut self, pane: Pane) {
        self.focus.pane = pane as usize;
    }

    /// Moves keys to a pane before or behind this, round and round.
    pub const fn turn(&mut self, forward: bool) {
        let all = Pane::ALL.len();
        let step = if forward { 1 } else { all - 1 };
        self.focus.pane = (self.focus.pane + step) % all;
    }

    /// The rows of a pane.
    pub fn rows(&self, pane: Pane) -> Vec<Row> {
        self.scene
            .as_ref()
            .map_or_else(Vec::new, |scene| panes::rows(pane, scene))
    }

    /// Which row of a pane is selected: the first, if the chosen one is gone.
    pub fn selected(&self, pane: Pane, rows: &[Row]) -> usize {
        let chosen = self
            .focus
            .chosen
            .get(pane as usize)
            .and_then(Option::as_ref);
        chosen
            .and_then(|key| rows.iter().position(|row| row.key == *key))
            .unwrap_or(0)
    }

    /// The selected row of the pane that keys go to.
    pub fn row(&self) -> Option<Row> {
        let mut rows = self.rows(self.pane());
        let index = self.selected(self.pane(), &rows);
        (index < rows.len()).then(|| rows.swap_remove(index))
    }

    /// Selects the row so many below, or the last or first there is.
    pub fn step(&mut self, down: isize) {
        let rows = self.rows(self.pane());
        let last = rows.len().saturating_sub(1);
        let to = self
            .selected(self.pane(), &rows)
            .saturating_add_signed(down);
        let key = rows.get(to.min(last)).map(|row| row.key.clone());
        if let Some(chosen) = self.focus.chosen.get_mut(self.focus.pane) {
            *chosen = key;
        }
    }
}
