//! Incidents in a sentence.

use crate::{
    detect::{
        Phase,
        output::{Report, Spoofed, VectorReport},
    },
    render::number,
};

/// What began.
pub fn opening(report: &Report) -> String {
    let why = strongest(report).map_or_else(String::new, |vector| {
        let usual = number::rate(vector.usual);
        let evidence = &vector.evidence;
        format!(
            ": up to {}, where {usual} are usual; sources {}; {evidence}",
            number::rate(vector.peak_packets),
            sources(vector.spoofed)
        )
    });
    format!("incident {} began: {}{why}", report.id, title(report))
}

/// What is over.
pub fn closing(report: &Report) -> String {
    let lasted = report.end.map_or_else(String::new, |end| {
        let seconds = report.first.duration_until(end).as_secs().max(0);
        let lasted = std::time::Duration::from_secs(seconds.cast_unsigned());
        format!(" after {}", crate::config::units::format_duration(lasted))
    });
    let peak = strongest(report).map_or(0.0, |vector| vector.peak_packets);
    format!(
        "incident {} is over{lasted}: {}, up to {}; {} packets were stopped, {} above what is usual \
         passed, {} of known good sources were stopped",
        report.id,
        title(report),
        number::rate(peak),
        number::grouped(report.stopped),
        number::grouped(report.passed),
        number::grouped(report.good_stopped)
    )
}

/// What it was, and whom it was aimed at.
pub fn title(report: &Report) -> String {
    let parts = named(report.vectors.iter());
    if parts.is_empty() {
        return "an attack".to_owned();
    }
    parts.join(", ")
}

/// What goes on at the moment; all of it, where it is watched whether anything returns.
pub fn going_on(report: &Report) -> Vec<String> {
    let attacks = report.vectors.iter();
    let attacks = named(attacks.filter(|vector| vector.phase == Phase::Attack));
    if attacks.is_empty() {
        return named(report.vectors.iter());
    }
    attacks
}

fn named<'a>(vectors: impl Iterator<Item = &'a VectorReport>) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    for vector in vectors {
        let part = format!("{} at {}", vector.vector.text(), vector.target);
        if !parts.contains(&part) {
            parts.push(part);
        }
    }
    parts
}

/// Whether sources are forged.
pub fn sources(spoofed: Spoofed) -> &'static str {
    match spoofed {
        Spoofed::Unknown => "may be forged",
        Spoofed::Forged => "are forged",
        Spoofed::Real => "are real",
        Spoofed::Reflected => "are real servers that others had send",
    }
}

fn strongest(report: &Report) -> Option<&VectorReport> {
    let vectors = report.vectors.iter();
    vectors.max_by(|one, other| one.peak_packets.total_cmp(&other.peak_packets))
}
