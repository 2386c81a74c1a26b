//! What the daemon says, twice a second, from a thread of its own: it may hang, the keys may not.

use std::{io, sync::mpsc::Sender, thread};

use jiff::Timestamp;
use ratatui::crossterm::event::KeyEvent;

use super::{
    super::{client::Client, exit::Failure},
    PERIOD,
};
use crate::{
    api::types::{HistoryPage, IncidentPage, Outcome, Stats, Status, ViewStatus},
    detect::View,
};

/// Whatever may happen to the screen.
pub enum News {
    /// A key was pressed.
    Key(KeyEvent),
    /// The terminal has another size.
    Resized,
    /// The daemon answered.
    Heard(Box<Heard>),
    /// It did not.
    Silent(Failure),
    /// What became of a change.
    Done(Result<Outcome, Failure>),
    /// The terminal can no longer be read.
    Unreadable(io::Error),
    /// A signal.
    End,
}

/// What the daemon said.
#[derive(Debug)]
pub struct Heard {
    /// Every other time.
    pub status: Option<Status>,
    pub stats: Stats,
    pub view: View,
    /// When the open incident began.
    pub began: Option<Timestamp>,
    /// At the first time, and after a silence.
    pub history: Option<HistoryPage>,
}

/// Asks the daemon.
#[derive(Debug)]
pub struct Feed {
    client: Client,
    /// Whether the last answer had no status.
    wants_status: bool,
    wants_history: bool,
    /// Number and beginning of the open incident.
    incident: Option<(u64, Timestamp)>,
}

impl Feed {
    /// From one who does not wait long.
    pub const fn new(client: Client) -> Self {
        Self {
            client,
            wants_status: true,
            wants_history: true,
            incident: None,
        }
    }

    /// Asks once.
    pub fn ask(&mut self) -> Result<Heard, Failure> {
        let heard = self.try_ask();
        if heard.is_err() {
            // Another daemon may answer next.
            (self.wants_status, self.wants_history, self.incident) = (true, true, None);
        }
        heard
    }

    fn try_ask(&mut self) -> Result<Heard, Failure> {
        let stats = self.client.get("/v1/stats", &[])?;
        let view = self.client.get::<ViewStatus>("/v1/view", &[])?.view;
        let status = match self.wants_status {
            true => Some(self.client.get("/v1/status", &[])?),
            false => None,
        };
        let history = match self.wants_history {
            true => Some(self.client.get("/v1/history", &[])?),
            false => None,
        };
        let began = self.began(view.incident)?;
        self.wants_status = !self.wants_status;
        self.wants_history = false;
        Ok(Heard {
            status,
            stats,
            view,
            began,
            history,
        })
    }

    fn began(&mut self, open: Option<u64>) -> Result<Option<Timestamp>, Failure> {
        let Some(id) = open else {
            return Ok(None);
        };
        if self.incident.is_none_or(|(known, _)| known != id) {
            let query = [
                ("before", id.checked_add(1).map(|next| next.to_string())),
                ("limit", Some("1".to_owned())),
            ];
            let page: IncidentPage = self.client.get("/v1/incidents", &query)?;
            // It may not be written yet.
            let found = page.incidents.iter().find(|incident| incident.id == id);
            self.incident = found.map(|incident| (id, incident.first));
        }
        Ok(self.incident.map(|(_, first)| first))
    }

    /// Asks on and on, until nobody listens.
    pub fn go_on(mut self, news: &Sender<News>) {
        loop {
            thread::sleep(PERIOD);
            let new = match self.ask() {
                Ok(heard) => News::Heard(Box::new(heard)),
                Err(failure) => News::Silent(failure),
            };
            if news.send(new).is_err() {
                return;
            }
        }
    }
}
