//! `floodwall stats`.

use std::{
    io::{IsTerminal, Write, stdout},
    time::Duration,
};

use clap::Args;

use super::{context::Context, exit::Failure};
use crate::{api::types, render};

/// Arguments.
#[derive(Debug, Args)]
pub struct Stats {
    /// Go on, once a second, until Ctrl-C; with --json an object a line
    #[arg(long, short)]
    watch: bool,
}

impl Stats {
    /// Does it.
    pub fn execute(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        let ask = || client.get::<types::Stats>("/v1/stats", &[]);
        if !self.watch {
            let stats = ask()?;
            return context.show(&stats, |out, style| {
                render::stats::render(out, &stats, style)
            });
        }
        loop {
            let stats = ask()?;
            let mut text = Vec::new();
            if context.json {
                serde_json::to_writer(&mut text, &stats)?;
            } else {
                if stdout().is_terminal() {
                    // Home, and away with what was there (ECMA-48, CUP and ED).
                    text.extend_from_slice(b"\x1b[H\x1b[2J");
                }
                render::stats::render(&mut text, &stats, &context.style)?;
            }
            text.push(b'\n');
            let mut out = stdout();
            out.write_all(&text)?;
            out.flush()?;
            std::thread::sleep(Duration::from_secs(1));
        }
    }
}
