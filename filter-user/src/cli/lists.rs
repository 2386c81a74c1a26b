//! What `block`, `allow` and `ban` have in common.

use std::{
    fs::File,
    io::{self, BufRead, IsTerminal, Read, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use hyper::Method;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{
    context::{Context, stdout},
    exit::Failure,
    value,
};
use crate::{
    api::types::{AddEntries, EntryPage, ListKind, RemoveEntries, SCHEMA},
    config::text,
    core::lists::MANUAL,
    render,
};

/// Entries that are asked for at once.
const PAGE: usize = 10_000;

/// Arguments of `add`.
#[derive(Debug, Args)]
pub struct Add {
    /// Addresses or prefixes
    #[arg(required = true, value_parser = value::prefix, value_name = "PREFIX")]
    prefixes: Vec<String>,
    /// How long, like 90s, 1h or 7d; without it, until they are deleted, and bans 10 minutes
    #[arg(long = "for", value_parser = value::duration, value_name = "TIME")]
    duration: Option<String>,
    /// Why, at most 200 bytes
    #[arg(long, default_value = "", hide_default_value = true, value_parser = value::clean, value_name = "TEXT")]
    reason: String,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Do it even where it would cut off this host or its operators
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    trial: value::Trial,
}

/// Arguments of `del`.
#[derive(Debug, Args)]
pub struct Delete {
    /// Addresses or prefixes, as `list` shows them
    #[arg(required = true, value_parser = value::prefix, value_name = "PREFIX")]
    prefixes: Vec<String>,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    trial: value::Trial,
}

/// Arguments of `list`.
#[derive(Debug, Args)]
pub struct List {
    /// Only entries of this list: `manual`, or the name it was imported under
    #[arg(long, value_name = "NAME")]
    list: Option<String>,
    /// At most so many entries
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
}

/// Arguments of `import`.
#[derive(Debug, Args)]
pub struct Import {
    /// A text of one address or prefix a line, or `-` for stdin
    file: PathBuf,
    /// The list's name, which it replaces; the file's name without its ending if not given
    #[arg(long, value_parser = value::list_name, value_name = "NAME")]
    list: Option<String>,
    /// How long, like 90s, 1h or 7d; without it, until it is imported again or flushed
    #[arg(long = "for", value_parser = value::duration, value_name = "TIME")]
    duration: Option<String>,
    /// Why, at most 200 bytes
    #[arg(long, default_value = "", hide_default_value = true, value_parser = value::clean, value_name = "TEXT")]
    reason: String,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Do it even where it would cut off this host or its operators
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    trial: value::Trial,
}

/// Arguments of `flush`.
#[derive(Debug, Args)]
pub struct Flush {
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    trial: value::Trial,
}

const fn path(list: ListKind) -> &'static str {
    match list {
        ListKind::Allow => "/v1/allow",
        ListKind::Block => "/v1/block",
        ListKind::Ban => "/v1/ban",
    }
}

impl Add {
    /// Puts them on a list.
    pub fn execute(self, context: &Context, list: ListKind) -> Result<(), Failure> {
        let Self {
            prefixes,
            duration,
            reason,
            dry_run,
            force,
            trial,
        } = self;
        let body = AddEntries {
            prefixes,
            duration,
            reason,
            dry_run,
            force,
            confirm: trial.confirm,
        };
        context.show_outcome(&context.client()?.send(Method::POST, path(list), &body)?)
    }
}

impl Delete {
    /// Takes them off a list.
    pub fn execute(self, context: &Context, list: ListKind) -> Result<(), Failure> {
        let body = RemoveEntries {
            prefixes: self.prefixes,
            dry_run: self.dry_run,
            confirm: self.trial.confirm,
        };
        let path = format!("{}/remove", path(list));
        context.show_outcome(&context.client()?.send(Method::POST, &path, &body)?)
    }
}

impl Flush {
    /// Takes everything off a list.
    pub fn execute(self, context: &Context, list: ListKind) -> Result<(), Failure> {
        if !self.yes {
            confirm(context, list)?;
        }
        let client = context.client()?;
        context.show_outcome(&client.command(
            Method::DELETE,
            path(list),
            &[("confirm", self.trial.confirm)],
        )?)
    }
}

fn confirm(context: &Context, list: ListKind) -> Result<(), Failure> {
    if context.json || !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(Failure::usage(format!(
            "this takes every entry off the {list} and cannot be undone: say so with `floodwall {} \
             flush --yes`",
            list.noun()
        )));
    }
    let mut answer = String::new();
    write!(
        io::stderr(),
        "Take every entry off the {list}, imported lists too? [y/N] "
    )?;
    io::stdin().lock().read_line(&mut answer)?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(Failure::failed("nothing was changed")),
    }
}

impl List {
    /// Shows all of a list, page by page. As a table, imported lists of the blocklist are a row
    /// each, unless one is named: they may have a million members.
    pub fn execute(self, context: &Context, list: ListKind) -> Result<(), Failure> {
        let client = context.client()?;
        let mut out = stdout();
        let mut rows = render::entries::Rows::default();
        let mut left = self.limit.unwrap_or(u64::MAX);
        let mut cursor = None;
        let mut shown = 0_u64;
        let mut lists = Vec::new();
        let mut has_lists = false;
        let summary = !context.json && list == ListKind::Block && self.list.is_none();
        let only = if summary {
            Some(MANUAL.to_owned())
        } else {
            self.list.clone()
        };
        if summary {
            let query = [("limit", Some("1".to_owned()))];
            let page: EntryPage = client.get(path(list), &query)?;
            render::lists::render(&mut out, &page.lists, &context.style)?;
            has_lists = !page.lists.is_empty();
        }
        loop {
            let limit = usize::try_from(left).unwrap_or(PAGE).clamp(1, PAGE);
            let query = [
                ("list", only.clone()),
                ("cursor", cursor.take()),
                ("limit", Some(limit.to_string())),
            ];
            let mut page: EntryPage = client.get(path(list), &query)?;
            page.entries
                .truncate(usize::try_from(left).unwrap_or(usize::MAX));
            let count = u64::try_from(page.entries.len()).unwrap_or(u64::MAX);
            lists.append(&mut page.lists);
            left = left.saturating_sub(count);
            if context.json {
                json_entries(&mut out, &page, shown)?;
            } else if count > 0 {
                rows.page(&mut out, &page.entries)?;
            }
            shown = shown.saturating_add(count);
            cursor = page.next.filter(|_| left > 0 && count > 0);
            if cursor.is_none() {
                let total = page.total;
                if context.json {
                    write!(out, "\n  ],\n  \"lists\": ")?;
                    serde_json::to_writer(&mut out, &lists)?;
                    writeln!(out, ",\n  \"next\": null,\n  \"total\": {total}\n}}")?;
                } else if shown < total && self.limit.is_some() {
                    writeln!(out, "{shown} of {total} entries")?;
                } else if shown == 0 && !has_lists {
                    writeln!(out, "No entry.")?;
                }
                out.flush()?;
                return Ok(());
            }
        }
    }
}

/// One document out of many pages, none of which has to stay in memory.
fn json_entries(out: &mut impl Write, page: &EntryPage, before: u64) -> Result<(), Failure> {
    if before == 0 {
        write!(out, "{{\n  \"schema\": {SCHEMA},\n  \"entries\": [")?;
    }
    for (index, entry) in page.entries.iter().enumerate() {
        let comma = if before == 0 && index == 0 { "" } else { "," };
        write!(out, "{comma}\n    ")?;
        serde_json::to_writer(&mut *out, entry)?;
    }
    Ok(())
}

impl Import {
    /// Streams it to the daemon: paths never cross the socket.
    pub fn execute(self, context: &Context, list: ListKind) -> Result<(), Failure> {
        let name = match &self.list {
            Some(name) => name.clone(),
            None => name_of(&self.file)?,
        };
        let (source, size) = open(&self.file)?;
        let query = [
            ("list", Some(name)),
            ("for", self.duration),
            (
                "reason",
                Some(self.reason).filter(|reason| !reason.is_empty()),
            ),
            ("dry_run", self.dry_run.then(|| "true".to_owned())),
            ("force", self.force.then(|| "true".to_owned())),
            ("confirm", self.trial.confirm),
        ];
        let bar = progress(size, !context.json && io::stderr().is_terminal());
        let source = bar.wrap_read(source);
        let path = format!("{}/import", path(list));
        let result = context.client()?.upload(&path, &query, source);
        bar.finish_and_clear();
        let shown = self.file.display();
        let outcome = result.map_err(|failure| failure.and(&format!("the list is {shown}")))?;
        context.show_outcome(&outcome)
    }
}

fn open(file: &Path) -> Result<(Box<dyn Read + Send>, Option<u64>), Failure> {
    if file.as_os_str() == "-" {
        if io::stdin().is_terminal() {
            return Err(Failure::usage(
                "stdin is the keyboard: pipe a list into `import -`, or name a file",
            ));
        }
        return Ok((Box::new(io::stdin()), None));
    }
    let cannot =
        |error: io::Error| Failure::failed(format!("cannot read {}: {error}", file.display()));
    let source = File::open(file).map_err(cannot)?;
    let metadata = source.metadata().map_err(cannot)?;
    if metadata.is_dir() {
        return Err(Failure::failed(format!(
            "cannot read {}: it is a folder; name a file in it",
            file.display()
        )));
    }
    Ok((
        Box::new(source),
        metadata.is_file().then_some(metadata.len()),
    ))
}

/// A name for a list from that of its file.
fn name_of(file: &Path) -> Result<String, Failure> {
    if file.as_os_str() == "-" {
        return Ok("stdin".to_owned());
    }
    let stem = file
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .to_lowercase();
    let plain = |letter: char| {
        let usual = letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_' | '-');
        if usual { letter } else { '-' }
    };
    let name: String = stem.chars().map(plain).take(text::MOST_NAME).collect();
    text::list_name(&name)
        .map_err(|error| Failure::usage(error).and("name the list with --list NAME"))
}

fn progress(size: Option<u64>, visible: bool) -> ProgressBar {
    let bar = match size {
        Some(size) => ProgressBar::new(size),
        None => ProgressBar::new_spinner(),
    };
    let target = if visible {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    };
    bar.set_draw_target(target);
    let template = match size {
        Some(_) => "sending {bar:30} {percent:>3} %  {bytes} of {total_bytes}",
        None => "sending {spinner} {bytes}",
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    if visible {
        bar.enable_steady_tick(Duration::from_millis(200));
    }
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_named_after_its_file() {
        let name = |file: &str| name_of(Path::new(file)).unwrap();
        assert_eq!(name("lists/Bad Hosts (2026).txt"), "bad-hosts--2026-");
        assert_eq!(name("feed.netset"), "feed");
        assert_eq!(name("-"), "stdin");
        assert!(name_of(Path::new("manual.txt")).is_err());
        assert!(name_of(Path::new("..")).is_err());
    }
}
