//! `floodwall events`.

use std::io::{Write, stdout};

use clap::Args;

use super::{context::Context, exit::Failure};
use crate::{
    api::types::{Event, EventPage},
    render,
};

/// Arguments.
#[derive(Debug, Args)]
pub struct Events {
    /// Go on with what happens, until Ctrl-C; with --json an object a line
    #[arg(long, short)]
    follow: bool,
    /// Only events after the one with this number
    #[arg(long, value_name = "ID")]
    after: Option<i64>,
    /// At most so many; with --follow, of those that happened before
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    limit: u16,
}

impl Events {
    /// Does it.
    pub fn execute(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        let query = [
            ("after", self.after.map(|id| id.to_string())),
            ("limit", Some(self.limit.to_string())),
            ("follow", self.follow.then(|| "true".to_owned())),
        ];
        if !self.follow {
            let page: EventPage = client.get("/v1/events", &query)?;
            return context.show(&page, |out, _| {
                page.events
                    .iter()
                    .try_for_each(|event| render::events::render(out, event))
            });
        }
        client.follow("/v1/events", &query, |line| {
            let mut out = stdout().lock();
            if context.json {
                out.write_all(line)?;
                writeln!(out)?;
            } else {
                let event: Event = serde_json::from_slice(line).map_err(|error| {
                    Failure::failed(format!("cannot read what the daemon sends: {error}"))
                })?;
                render::events::render(&mut out, &event)?;
            }
            out.flush()?;
            Ok(())
        })
    }
}
