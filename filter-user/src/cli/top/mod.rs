//! `floodwall top`: one screen on which an attack can be watched, and met.

mod app;
mod change;
mod course;
mod feed;
mod keys;
mod panes;
mod rates;
mod screen;
mod terminal;
mod texts;

use std::{
    io::{self, IsTerminal},
    sync::mpsc::{self, RecvTimeoutError, Sender},
    thread,
    time::Duration,
};

use clap::Args;

use self::{
    app::App,
    change::Change,
    feed::{Feed, News},
    keys::Step,
    terminal::Screen,
};
use super::{context::Context, exit::Failure};
use crate::clock;

/// How often the daemon is asked, and the screen drawn without news.
const PERIOD: Duration = Duration::from_millis(500);

/// Arguments.
#[derive(Debug, Args)]
#[command(
    after_help = "Keys: Tab and arrows select, Enter shows all of a row, b bans the selected \
                        source, a allows it, m switches the mode (each after a question), ? helps, \
                        q quits."
)]
pub struct Top {}

impl Top {
    /// Does it.
    pub fn execute(self, context: &Context) -> Result<(), Failure> {
        if context.json {
            return Err(Failure::usage(
                "top is a screen and has no JSON: `floodwall stats --watch --json` prints an object \
                 a second",
            ));
        }
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        if dumb || !io::stdin().is_terminal() || !io::stdout().is_terminal() {
            return Err(Failure::usage(
                "top needs a terminal that can move its cursor: `floodwall stats --watch` goes \
                 without",
            ));
        }
        // Whoever starts it without a daemon reads why in the ordinary way.
        let mut feed = Feed::new(context.client()?.urgent());
        let mut app = App::new(context.style.colour);
        app.hear(feed.ask()?);
        let (sender, news) = mpsc::channel();
        terminal::hear_signals(&sender)
            .map_err(|error| Failure::failed(format!("cannot hear signals: {error}")))?;
        let mut screen = Screen::take().map_err(unable)?;
        terminal::hear_keys(sender.clone());
        let answers = sender.clone();
        thread::spawn(move || feed.go_on(&answers));
        loop {
            screen
                .draw(|frame| screen::draw(frame, &app, clock::now()))
                .map_err(unable)?;
            match news.recv_timeout(PERIOD) {
                Ok(News::Key(key)) => match keys::press(&mut app, key) {
                    Step::Stay => {}
                    Step::Quit => return Ok(()),
                    Step::Do(change) => carry_out(change, context, &sender)?,
                },
                Ok(News::Heard(heard)) => app.hear(*heard),
                Ok(News::Silent(failure)) => app.miss(failure.to_string(), clock::now()),
                Ok(News::Done(answer)) => app.done(answer),
                Ok(News::Resized) | Err(RecvTimeoutError::Timeout) => {}
                Ok(News::Unreadable(error)) => return Err(unable(error)),
                Ok(News::End) | Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
    }
}

/// Has the daemon do it, without waiting for it.
fn carry_out(change: Change, context: &Context, answers: &Sender<News>) -> Result<(), Failure> {
    let (client, answers) = (context.client()?, answers.clone());
    thread::spawn(move || {
        // If nobody waits, the screen is gone.
        let _ = answers.send(News::Done(change.send(client)));
    });
    Ok(())
}

fn unable(error: io::Error) -> Failure {
    Failure::failed(format!(
        "cannot use this terminal ({error}): `floodwall stats --watch` asks less of it"
    ))
}

#[cfg(test)]
mod tests;
