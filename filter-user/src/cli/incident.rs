//! `floodwall incident`.

use clap::{Args, Subcommand};

use super::{context::Context, exit::Failure};
use crate::{
    api::types::{HistoryPage, IncidentDetail, IncidentPage},
    render,
};

/// Arguments.
#[derive(Debug, Subcommand)]
pub enum Incident {
    /// Show all incidents, newest first
    List(List),
    /// Show one incident: a story that can be handed on
    Show(Show),
}

/// Arguments of `list`.
#[derive(Debug, Args)]
pub struct List {
    /// Only incidents with a number below this
    #[arg(long, value_name = "ID")]
    before: Option<u64>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=200))]
    limit: u16,
}

/// Arguments of `show`.
#[derive(Debug, Args)]
pub struct Show {
    /// The number that `list` shows
    id: u64,
}

/// Seconds that are fetched of one incident at most: a day.
const MOST_SECONDS: usize = 86_400;

impl Incident {
    /// Does it.
    pub fn execute(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::List(list) => list.execute(context),
            Self::Show(show) => show.execute(context),
        }
    }
}

impl List {
    fn execute(self, context: &Context) -> Result<(), Failure> {
        let query = [
            ("before", self.before.map(|id| id.to_string())),
            ("limit", Some(self.limit.to_string())),
        ];
        let page: IncidentPage = context.client()?.get("/v1/incidents", &query)?;
        context.show(&page, |out, style| {
            render::incidents::render_list(out, &page, style)
        })
    }
}

impl Show {
    fn execute(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        let path = format!("/v1/incidents/{}", self.id);
        let mut detail: IncidentDetail = client.get(&path, &[])?;
        let around = std::time::Duration::from_secs(60);
        let end = detail
            .incident
            .end
            .and_then(|end| end.checked_add(around).ok());
        while let Some(from) = detail.next
            && detail.seconds.len() < MOST_SECONDS
        {
            let query = [
                ("from", Some(from.to_string())),
                ("to", end.map(|end| end.to_string())),
                ("limit", Some("10000".to_owned())),
            ];
            let page: HistoryPage = client.get("/v1/history", &query)?;
            detail.seconds.extend(page.seconds);
            // What began anew would never end.
            detail.next = page.next.filter(|next| *next > from);
            detail.damaged = detail.damaged.saturating_add(page.damaged);
        }
        context.show(&detail, |out, style| {
            render::incidents::render(out, &detail, style)
        })
    }
}
