//! The terminal: taken, heard, and always given back as it was.

use std::{
    io::{self, Stdout, Write, stdout},
    panic,
    sync::mpsc::Sender,
    thread,
};

use nix::sys::signal::{SigSet, Signal};
use ratatui::{
    Frame, Terminal,
    backend::CrosstermBackend,
    crossterm::{
        cursor::Show,
        event::{self, Event, KeyEventKind},
        execute,
        terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode},
    },
};

use super::feed::News;

/// The terminal, while it is ours.
pub struct Screen(Terminal<CrosstermBackend<Stdout>>);

impl Screen {
    /// Takes it, until this is dropped or a thread panics.
    pub fn take() -> io::Result<Self> {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            give_back();
            before(panic);
            // Else the other threads would go on with a terminal that is no longer theirs.
            std::process::exit(101);
        }));
        enable_raw_mode()?;
        let taken = execute!(stdout(), EnterAlternateScreen)
            .and_then(|()| Terminal::new(CrosstermBackend::new(stdout())));
        if taken.is_err() {
            give_back();
        }
        taken.map(Self)
    }

    /// Draws.
    pub fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        self.0.draw(draw).map(|_| ())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

/// What fails here fails because there is no terminal left.
fn give_back() {
    let _ = disable_raw_mode();
    let _ = execute!(stdout(), LeaveAlternateScreen, Show);
    let _ = stdout().flush();
}

/// Tells of keys, from a thread of its own.
pub fn hear_keys(news: Sender<News>) {
    thread::spawn(move || {
        loop {
            let new = match event::read() {
                Ok(Event::Key(key)) if key.kind != KeyEventKind::Release => News::Key(key),
                Ok(Event::Resize(..)) => News::Resized,
                Ok(
                    Event::Key(_)
                    | Event::FocusGained
                    | Event::FocusLost
                    | Event::Mouse(_)
                    | Event::Paste(_),
                ) => continue,
                Err(error) => News::Unreadable(error),
            };
            let is_last = matches!(new, News::Unreadable(_));
            if news.send(new).is_err() || is_last {
                return;
            }
        }
    });
}

/// Tells of signals that end a program, from a thread of its own. Called before there are others,
/// which would have to die of them.
pub fn hear_signals(news: &Sender<News>) -> nix::Result<()> {
    let mut ends = SigSet::empty();
    for signal in [
        Signal::SIGTERM,
        Signal::SIGINT,
        Signal::SIGHUP,
        Signal::SIGQUIT,
    ] {
        ends.add(signal);
    }
    ends.thread_block()?;
    let news = news.clone();
    thread::spawn(move || {
        let told = ends.wait().map(|_| news.send(News::End));
        // A terminal that takes no more output holds up whoever draws.
        if told.is_ok() && ends.wait().is_ok() {
            std::process::exit(1);
        }
    });
    Ok(())
}
