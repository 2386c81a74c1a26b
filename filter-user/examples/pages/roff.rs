//! Text as roff(7) reads it.

/// A line of prose or code: neither requests nor escapes come of what it says.
pub fn text(line: &str) -> String {
    let escaped = line.replace('\\', "\\e").replace('-', "\\-");
    if escaped.starts_with(['.', '\'']) {
        format!("\\&{escaped}")
    } else {
        escaped
    }
}

/// A paragraph.
pub fn paragraph(words: &str) -> String {
    format!(".PP\n{}\n", text(words))
}

/// Lines as they are.
pub fn literal(lines: &[&str]) -> String {
    let lines: String = lines.iter().map(|line| text(line) + "\n").collect();
    format!(".PP\n.RS 4\n.nf\n{lines}.fi\n.RE\n")
}

/// A heading of a part of a section.
pub fn subsection(name: &str) -> String {
    format!(".SS \"{}\"\n", text(name))
}

/// A page as mandoc(1) wants it: no white space at the end of lines, none that are longer than need be,
/// and no break beside an empty line.
pub fn tidy(page: &str) -> String {
    let lines: Vec<&str> = page.lines().map(str::trim_end).collect();
    let mut tidy = String::new();
    let mut is_literal = false;
    for (index, line) in lines.iter().enumerate() {
        let beside = [index.checked_sub(1), index.checked_add(1)];
        let mut beside = beside.iter().flatten().filter_map(|it| lines.get(*it));
        if *line == ".br" && beside.any(|line| matches!(*line, "" | ".sp")) {
            continue;
        }
        is_literal = match *line {
            ".nf" => true,
            ".fi" => false,
            _ => is_literal,
        };
        if is_literal || line.starts_with('.') {
            tidy += line;
        } else {
            wrap(line, &mut tidy);
        }
        tidy.push('\n');
    }
    tidy
}

/// Breaks a line of prose at spaces, but before no word that would be a request.
fn wrap(line: &str, out: &mut String) {
    const WIDTH: usize = 79;
    let mut length = 0_usize;
    for (index, word) in line.split(' ').enumerate() {
        let after = length.saturating_add(word.len()).saturating_add(1);
        if index > 0 && after > WIDTH && !word.is_empty() && !word.starts_with(['.', '\'']) {
            out.push('\n');
            length = 0;
        } else if index > 0 {
            out.push(' ');
            length = length.saturating_add(1);
        }
        out.push_str(word);
        length = length.saturating_add(word.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_said_is_a_request() {
        assert_eq!(text(".so /etc/shadow"), "\\&.so /etc/shadow");
        assert_eq!(text("'a\\nb-c"), "\\&'a\\enb\\-c");
    }

    #[test]
    fn a_tidy_page_has_short_lines_and_says_the_same() {
        let prose = "word .word ".repeat(20);
        let page = format!("{prose}\n.br\n\n.br\n.nf\n{prose}\n.fi\n.br\nend \n");
        let tidy = tidy(&page);
        let lines: Vec<&str> = tidy.lines().collect();
        assert!(
            lines[..3].iter().all(|line| line.starts_with("word")),
            "{tidy}"
        );
        assert!(tidy.contains(&format!("\n\n.nf\n{}\n.fi\n.br\nend\n", prose.trim_end())));
        let words = |text: &str| -> Vec<String> {
            text.split_whitespace()
                .filter(|it| *it != ".br")
                .map(str::to_owned)
                .collect()
        };
        assert_eq!(words(&tidy), words(&page));
    }
}
