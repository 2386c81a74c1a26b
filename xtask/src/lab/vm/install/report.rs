//! What came of a trial of packages: a table on the terminal, and one in the documentation.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use comfy_table::{Table, presets};

use crate::{
    document::put_between,
    lab::vm::message::{Message, Row},
};

/// From the workspace's root.
const PAGE: &str = "docs/packages.md";
const HEADS: [&str; 4] = ["what", "has to", "does", ""];

/// What was told.
#[derive(Debug, Default)]
pub struct Report {
    rows: Vec<Row>,
    troubles: Vec<String>,
}

impl Report {
    /// Takes a message, and says what is in it.
    pub fn take(&mut self, message: Message) {
        match message {
            Message::Row(row) => {
                eprintln!("vm: {}: {}", row.what, row.found);
                self.rows.push(row);
            }
            Message::Trouble { text } => {
                eprintln!("vm: {text}");
                self.troubles.push(text);
            }
            Message::Wish(wish) => {
                let text = format!("nobody grants a wish here: {wish:?}");
                self.take(Message::Trouble { text });
            }
            Message::Up { .. }
            | Message::LeftOut { .. }
            | Message::Effort(_)
            | Message::Refused { .. }
            | Message::Attached { .. }
            | Message::Said { .. }
            | Message::Tests { .. }
            | Message::Done => {}
        }
    }

    /// Prints the table.
    pub fn print(&self) {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header(HEADS);
        for row in &self.rows {
            table.add_row(cells(row));
        }
        println!("{table}");
    }

    /// Puts the table into the page of this workspace, between these lines, unless something could not be
    /// tried.
    pub fn write(
        &self,
        workspace: Option<&PathBuf>,
        lines: [&str; 2],
        heading: &str,
    ) -> Result<()> {
        let Some(workspace) = workspace.filter(|_| self.troubles.is_empty()) else {
            return Ok(());
        };
        let page = workspace.join(PAGE);
        let shown = page.display();
        let text = fs::read_to_string(&page).with_context(|| format!("{shown} cannot be read"))?;
        let text = put_into(&text, lines, heading, &self.rows)
            .with_context(|| format!("{shown} lacks the lines between which the table goes"))?;
        fs::write(&page, text).with_context(|| format!("{shown} cannot be written"))?;
        println!("wrote {shown}");
        Ok(())
    }

    /// An error unless everything was tried and is as it has to be.
    pub fn judge(&self) -> Result<()> {
        let Self { rows, troubles } = self;
        let bad = rows.iter().filter(|row| !row.is_good).count();
        ensure!(
            bad == 0 && troubles.is_empty(),
            "{bad} of {} rows are not as they have to be, and {} things could not be tried",
            rows.len(),
            troubles.len()
        );
        if rows.is_empty() {
            bail!("nothing was tried");
        }
        Ok(())
    }
}

fn cells(row: &Row) -> [String; HEADS.len()] {
    let mark = if row.is_good { "ok" } else { "NO" };
    [&row.what, &row.wanted, &row.found, mark].map(str::to_owned)
}

/// A page with the table in its place; none if the page has no place for it.
fn put_into(page: &str, lines: [&str; 2], heading: &str, rows: &[Row]) -> Option<String> {
    let line = |cells: [String; HEADS.len()]| {
        let cells = cells.map(|cell| cell.replace('\n', " ").replace('|', "\\|"));
        format!("| {} |\n", cells.join(" | "))
    };
    let mut text = format!("{heading}:\n\n");
    text += &line(HEADS.map(str::to_owned));
    text += &line(["---"; HEADS.len()].map(str::to_owned));
    text.extend(rows.iter().map(|row| line(cells(row))));
    put_between(page, lines, &format!("\n\n{text}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_keeps_its_prose_and_has_a_cell_for_each_head() {
        let row = Row {
            what: "purge".to_owned(),
            wanted: "nothing | left".to_owned(),
            found: "2 files\nleft".to_owned(),
            is_good: false,
        };
        let lines = ["<!-- begin -->", "<!-- end -->"];
        let [begin, end] = lines;
        let page = format!("prose\n{begin}\nold\n{end}\nmore\n");
        let page = put_into(&page, lines, "Linux 6.1.0-50-amd64", &[row]).unwrap();
        assert!(page.starts_with("prose\n") && page.ends_with(&format!("{end}\nmore\n")));
        assert!(!page.contains("old"), "{page}");
        assert!(
            page.contains("| purge | nothing \\| left | 2 files left | NO |\n"),
            "{page}"
        );
        assert_eq!(put_into("no markers", lines, "Linux 6.1", &[]), None);
    }
}
