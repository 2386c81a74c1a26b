//! `floodwall events`.

use std::io::{self, Write};

use super::{safe, time};
use crate::api::types::Event;

/// One event, one line.
pub fn render(out: &mut impl Write, event: &Event) -> io::Result<()> {
    writeln!(
        out,
        "{}  {:<18}  {}  [{}, #{}]",
        time(event.at),
        safe(&event.kind),
        safe(&event.text),
        safe(&event.by),
        event.id
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::tests::{at, plain};

    #[test]
    fn an_event_is_one_line_whatever_it_says() {
        let event = Event {
            id: 7,
            at: at("2026-01-02T03:04:05Z"),
            by: "uid 0 (root)".to_owned(),
            kind: "block.add".to_owned(),
            text: "blocked 192.0.2.0/24\nfor ever".to_owned(),
        };
        let expected = "2026-01-02 03:04:05Z  block.add           \
                        blocked 192.0.2.0/24\\nfor ever  [uid 0 (root), #7]\n";
        assert_eq!(plain(|out, _| render(out, &event)), expected);
    }
}
