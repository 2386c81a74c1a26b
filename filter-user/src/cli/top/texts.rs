//! Words that several panes have in common.

use ipnet::IpNet;
use jiff::Timestamp;
use ratatui::text::Span;

use crate::{detect::output::Spoofed, render};

/// A source: a whole prefix, or only its address.
pub fn source(prefix: &IpNet) -> String {
    if prefix.prefix_len() == prefix.max_prefix_len() {
        prefix.addr().to_string()
    } else {
        prefix.to_string()
    }
}

/// The time of day, where there is no room for more.
pub fn clock(at: Timestamp) -> String {
    at.strftime("%H:%M:%SZ").to_string()
}

/// A point in time, likewise; its day, unless that is today.
pub fn since(at: Timestamp, now: Timestamp) -> String {
    let day = |at: Timestamp| at.strftime("%Y-%m-%d").to_string();
    if day(at) == day(now) {
        clock(at)
    } else {
        day(at)
    }
}

/// The end of something, likewise.
pub fn until(end: Option<Timestamp>, now: Timestamp) -> String {
    end.map_or_else(
        || "no end".to_owned(),
        |end| format!("until {}", since(end, now)),
    )
}

/// Whether sources are forged, in a word.
pub const fn spoofed(spoofed: Spoofed) -> &'static str {
    match spoofed {
        Spoofed::Unknown => "unknown",
        Spoofed::Forged => "forged",
        Spoofed::Real => "real",
        Spoofed::Reflected => "reflected",
    }
}

/// Text from outside, on one line.
pub fn safe(text: &str) -> String {
    render::safe(text)
}

/// Text in exactly so many columns.
pub fn fit(text: &str, columns: usize, right: bool) -> String {
    let width = Span::raw(text).width();
    if width <= columns {
        let blanks = " ".repeat(columns.saturating_sub(width));
        return if right {
            blanks + text
        } else {
            text.to_owned() + &blanks
        };
    }
    let mut cut = String::new();
    let mut taken = 0_usize;
    for character in text.chars() {
        let wide = Span::raw(character.to_string()).width();
        if taken.saturating_add(wide) >= columns {
            break;
        }
        cut.push(character);
        taken = taken.saturating_add(wide);
    }
    if columns > 0 {
        cut.push('…');
        taken = taken.saturating_add(1);
    }
    cut + &" ".repeat(columns.saturating_sub(taken))
}

/// Text in lines of so many columns at most, broken between words where that can be.
pub fn wrap(text: &str, columns: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split(' ') {
        let gap = usize::from(!line.is_empty());
        let taken = Span::raw(&line).width().saturating_add(gap);
        if !line.is_empty() && taken.saturating_add(Span::raw(word).width()) > columns {
            lines.push(std::mem::take(&mut line));
        } else if gap > 0 {
            line.push(' ');
        }
        for character in word.chars() {
            let wide = Span::raw(character.to_string()).width();
            if Span::raw(&line).width().saturating_add(wide) > columns.max(1) {
                lines.push(std::mem::take(&mut line));
            }
            line.push(character);
        }
    }
    lines.push(line);
    lines
}
