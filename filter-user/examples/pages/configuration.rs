//! `floodwall.toml(5)`, made of the example that the tests hold to what the daemon reads.

use crate::roff;

const EXAMPLE: &str = include_str!("../../../docs/floodwall.example.toml");

/// The page.
pub fn page(date: &str) -> String {
    let release = filter_user::version::RELEASE;
    let mut page = format!(
        ".TH FLOODWALL.TOML 5 {date} \"floodwall {release}\" \"floodwall\"\n\
         .SH NAME\nfloodwall.toml \\- configuration of floodwall(8)\n.SH DESCRIPTION\n"
    );
    page += &roff::paragraph(
        "The daemon reads it at its start and by `floodwall reload`; all of it takes effect, or \
         nothing. It is TOML. What follows is the example that comes with floodwall.",
    )[".PP\n".len()..];
    page += &body(EXAMPLE);
    page + ".SH FILES\n.I /etc/floodwall/floodwall.toml\n.SH SEE ALSO\n.BR floodwall (8)\n"
}

/// Comments become prose, keys stay as they are, and what stands over a table goes below its name.
fn body(example: &str) -> String {
    let mut page = String::new();
    let mut prose: Vec<&str> = Vec::new();
    let mut keys: Vec<&str> = Vec::new();
    for line in example.lines() {
        if let Some(words) = line.strip_prefix("# ") {
            flush_keys(&mut page, &mut keys);
            prose.push(words);
        } else if matches!(line, "" | "#") {
            flush_keys(&mut page, &mut keys);
            flush_prose(&mut page, &mut prose);
        } else if line.trim_start_matches('#').starts_with('[') {
            flush_keys(&mut page, &mut keys);
            page += &roff::subsection(line.trim_start_matches('#'));
            flush_prose(&mut page, &mut prose);
        } else {
            flush_prose(&mut page, &mut prose);
            keys.push(line);
        }
    }
    flush_keys(&mut page, &mut keys);
    flush_prose(&mut page, &mut prose);
    page
}

fn flush_prose(page: &mut String, prose: &mut Vec<&str>) {
    if !prose.is_empty() {
        let words = std::mem::take(prose).join(" ");
        *page += &roff::paragraph(&words)[begin(page)..];
    }
}

fn flush_keys(page: &mut String, keys: &mut Vec<&str>) {
    if !keys.is_empty() {
        *page += &roff::literal(&std::mem::take(keys))[begin(page)..];
    }
}

/// How much of a paragraph's beginning is too much: its request, behind a heading.
fn begin(page: &str) -> usize {
    let last = page.lines().last();
    if last.is_some_and(|line| line.starts_with(".SS")) {
        ".PP\n".len()
    } else {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_over_a_table_goes_below_its_name() {
        let page = body("# About it,\n# at length.\n[table]\n#key = \"a\"\n");
        assert_eq!(
            page,
            ".SS \"[table]\"\nAbout it, at length.\n.PP\n.RS 4\n.nf\n#key = \"a\"\n.fi\n.RE\n"
        );
    }
}
