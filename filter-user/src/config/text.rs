//! Text from anyone.

/// The text, if it is at most 200 bytes without control, escape or bidirectional characters.
pub fn clean(text: &str) -> Result<String, String> {
    if text.len() > 200 {
        return Err(format!(
            "the text has {} bytes; at most 200 are kept",
            text.len()
        ));
    }
    let bad = |character: char| {
        character.is_control()
            || matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    match text.chars().find(|character| bad(*character)) {
        Some(character) => Err(format!("the text contains {}", character.escape_unicode())),
        None => Ok(text.to_owned()),
    }
}
