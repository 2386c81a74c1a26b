//! What is told of a decision: short, with figures, and clean whatever went into it.

use crate::{
    config::text::{MOST_BYTES, is_hidden},
    detect::Threat,
    render::number,
};

/// A threat in a sentence.
pub fn describe(threat: &Threat) -> String {
    format!(
        "{} at {}: {} come, {} of them to the stack, usual {}",
        threat.vector.text(),
        threat.target,
        number::rate(threat.rate),
        number::rate(threat.passed),
        number::rate(threat.usual),
    )
}

/// Text as commands take it: what must not reach a terminal is left out, and what is too long is
/// cut.
pub fn reason(text: &str) -> String {
    let mut reason = String::new();
    for character in text.chars().filter(|character| !is_hidden(*character)) {
        if reason.len().saturating_add(character.len_utf8()) > MOST_BYTES {
            break;
        }
        reason.push(character);
    }
    reason.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::text::clean;

    proptest! {
        #[test]
        fn any_text_becomes_a_reason(text in "\\PC*|(?s).{0,300}") {
            let reason = reason(&text);
            prop_assert_eq!(clean(&reason), Ok(reason));
        }
    }
}
