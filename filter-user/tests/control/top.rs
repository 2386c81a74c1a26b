//! `floodwall top` in a terminal: what it draws, what keys lead to, and what it leaves behind.

use std::{
    fs::File,
    io::{Read, Write},
    num::NonZero,
    os::fd::OwnedFd,
    process::{Child, Command as Process, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use filter_user::{
    api::types::{ListKind, Mode},
    core::{command::Command, refusal::Refusal},
};
use nix::{
    pty::{Winsize, openpty},
    sys::{
        signal::{Signal, kill},
        termios::{LocalFlags, tcgetattr},
    },
    unistd::Pid,
};

use crate::lab::{As, Lab};

/// A terminal, and the command in it.
struct Terminal {
    child: Child,
    keys: File,
    /// Held, so that its settings can be read when the command is gone.
    line: OwnedFd,
    shown: Arc<Mutex<vt100::Parser>>,
}

impl Terminal {
    fn open(lab: &Lab, (rows, columns): (u16, u16), settings: &[(&str, &str)]) -> Self {
        let size = Winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let pty = openpty(&size, None).unwrap();
        let end = || Stdio::from(pty.slave.try_clone().unwrap());
        let child = Process::new(env!("CARGO_BIN_EXE_floodwall"))
            .args(["top", "--bpf", "/nonexistent/floodwall"])
            .env("FLOODWALL_SOCKET", &lab.socket)
            .env("TERM", "xterm-256color")
            .env_remove("NO_COLOR")
            .envs(settings.iter().copied())
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn()
            .unwrap();
        let some = |size| NonZero::new(size).unwrap();
        let shown = Arc::new(Mutex::new(vt100::Parser::new(some(rows), some(columns), 0)));
        let mut output = File::from(pty.master.try_clone().unwrap());
        let screen = Arc::clone(&shown);
        thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(read @ 1..) = output.read(&mut piece) {
                screen.lock().unwrap().process(&piece[..read]);
            }
        });
        Self {
            child,
            keys: File::from(pty.master),
            line: pty.slave,
            shown,
        }
    }

    fn small(lab: &Lab) -> Self {
        Self::open(lab, (24, 80), &[])
    }

    fn text(&self) -> String {
        self.shown.lock().unwrap().screen().contents()
    }

    /// Waits until the screen shows it.
    fn sees(&self, words: &str) {
        self.until(words, |text| text.contains(words));
    }

    fn until(&self, what: &str, is_there: impl Fn(&str) -> bool) {
        for _ in 0..300 {
            if is_there(&self.text()) {
                return;
            }
            thread::sleep(Duration::from_millis(100));
        }
        panic!("{what} was not seen:\n{}", self.text());
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Its end, by which the terminal has to be as it was.
    fn ends(mut self) -> ExitStatus {
        let status = self.child.wait().unwrap();
        let flags = tcgetattr(&self.line).unwrap().local_flags;
        assert!(flags.contains(LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::ISIG));
        for _ in 0..300 {
            let shown = self.shown.lock().unwrap();
            let screen = shown.screen();
            if !screen.alternate_screen() && !screen.hide_cursor() {
                return status;
            }
            drop(shown);
            thread::sleep(Duration::from_millis(100));
        }
        panic!("the terminal was not given back");
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It has ended, unless a test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn nothing_is_changed_but_by_a_yes() {
    let lab = Lab::new(As::Admin);
    let mut terminal = Terminal::small(&lab);
    terminal.sees("MONITOR: nothing is dropped");
    terminal.sees("INCIDENT 3 since 2026-01-02");
    terminal.sees("198.51.100.7");
    for (key, question) in [
        ("b", "Ban 198.51.100.7?"),
        ("a", "Allow 198.51.100.7?"),
        ("m", "Switch to ENFORCE?"),
    ] {
        terminal.press(key);
        terminal.sees(question);
        terminal.sees("[y/N]");
        terminal.press("\r");
        terminal.until("no question", |text| !text.contains("[y/N]"));
        terminal.sees("nothing was changed");
        assert!(lab.notes().is_empty(), "{key}");
    }
    for key in ["b", "a", "m"] {
        let before = lab.notes().len();
        terminal.press(key);
        terminal.sees("[y/N]");
        terminal.press("y");
        terminal.sees("noted");
        assert_eq!(lab.notes().len(), before + 1);
        // Any key takes the notice away.
        terminal.press("x");
        terminal.sees("q quit");
    }
    let commands: Vec<_> = lab.notes().into_iter().map(|note| note.command).collect();
    let add = |list, minutes| Command::Add {
        list,
        prefixes: vec!["198.51.100.7/32".parse().unwrap()],
        duration: Some(Duration::from_mins(minutes)),
        reason: "from floodwall top".to_owned(),
        force: false,
    };
    let mode = Command::SetMode {
        mode: Mode::Enforce,
        reasons: Vec::new(),
        duration: None,
    };
    assert_eq!(
        commands,
        [add(ListKind::Ban, 10), add(ListKind::Allow, 60), mode]
    );
    assert!(lab.notes().iter().all(|note| !note.dry_run));
    terminal.press("q");
    assert!(terminal.ends().success());
}

#[test]
fn who_may_not_change_anything_is_told() {
    let lab = Lab::new(As::Reader);
    let mut terminal = Terminal::small(&lab);
    terminal.sees("198.51.100.7");
    terminal.press("b");
    terminal.sees("[y/N]");
    terminal.press("y");
    terminal.sees("may not change");
    assert!(lab.notes().is_empty());
    terminal.press("q");
    assert!(terminal.ends().success());
}

#[test]
fn a_daemon_that_goes_away_is_waited_for() {
    let lab = Lab::new(As::Admin);
    let mut terminal = Terminal::small(&lab);
    terminal.sees("MONITOR");
    // Nobody finds it there.
    let (socket, aside) = (lab.socket.clone(), lab.socket.with_extension("aside"));
    std::fs::rename(&socket, &aside).unwrap();
    terminal.sees("NO ANSWER since");
    terminal.sees("no daemon listens on");
    terminal.press("m");
    terminal.sees("floodwall mode monitor");
    std::fs::rename(&aside, &socket).unwrap();
    terminal.until("an answer", |text| !text.contains("NO ANSWER"));
    terminal.sees("MONITOR: nothing is dropped");
    // Nor is a refusal the end.
    lab.book.lock().unwrap().refuse = Some(Refusal::failed("a bad\x1b[2J day"));
    terminal.sees("a bad\\u{1b}[2J day");
    terminal.until("an answer", |text| !text.contains("NO ANSWER"));
    // As Ctrl-C comes from a terminal in raw mode.
    terminal.press("\x03");
    assert!(terminal.ends().success());
}

#[test]
fn signals_end_it_and_the_terminal_is_given_back() {
    let lab = Lab::new(As::Reader);
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        let terminal = Terminal::small(&lab);
        terminal.sees("MONITOR");
        assert!(terminal.shown.lock().unwrap().screen().alternate_screen());
        let child = i32::try_from(terminal.child.id()).unwrap();
        kill(Pid::from_raw(child), signal).unwrap();
        assert!(terminal.ends().success(), "{signal}");
    }
}

#[test]
fn sizes_and_colours_are_those_of_the_terminal() {
    let lab = Lab::new(As::Reader);
    let has_colours = |terminal: &Terminal| {
        let shown = terminal.shown.lock().unwrap();
        let screen = shown.screen();
        let mut cells = (0..24).flat_map(|row| (0..80).filter_map(move |at| screen.cell(row, at)));
        cells.any(|cell| cell.fgcolor() != vt100::Color::Default)
    };
    for (settings, colours) in [(&[][..], true), (&[("NO_COLOR", "1")][..], false)] {
        let mut terminal = Terminal::open(&lab, (60, 200), settings);
        terminal.sees("By class");
        assert_eq!(has_colours(&terminal), colours);
        terminal.press("q");
        assert!(terminal.ends().success());
    }
    let mut terminal = Terminal::open(&lab, (20, 70), &[]);
    terminal.sees("floodwall top needs 80x24");
    terminal.press("q");
    assert!(terminal.ends().success());
}

#[test]
fn without_a_terminal_or_a_daemon_it_says_what_else_there_is() {
    let mut lab = Lab::new(As::Reader);
    let run = |arguments: &[&str], term: &str| {
        let output = Process::new(env!("CARGO_BIN_EXE_floodwall"))
            .args(arguments)
            .env("FLOODWALL_SOCKET", &lab.socket)
            .env("TERM", term)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let mut said = String::from_utf8(output.stdout).unwrap();
        said.push_str(&String::from_utf8(output.stderr).unwrap());
        (output.status.code(), said)
    };
    for arguments in [&["top"][..], &["top", "--json"]] {
        for term in ["xterm", "dumb"] {
            let (code, said) = run(arguments, term);
            assert_eq!(code, Some(2), "{said}");
            assert!(said.contains("floodwall stats --watch"), "{said}");
            assert!(!said.contains('\x1b'), "{said}");
        }
    }
    let terminal = Terminal::open(&lab, (24, 80), &[("TERM", "dumb")]);
    terminal.sees("floodwall stats --watch");
    assert_eq!(terminal.ends().code(), Some(2));
    lab.stop();
    let terminal = Terminal::small(&lab);
    terminal.sees("no daemon listens on");
    assert_eq!(terminal.ends().code(), Some(3));
}
