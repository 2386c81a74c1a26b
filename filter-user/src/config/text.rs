//! Text from anyone: reasons, names of lists, whatever stands in a feed.

/// Most bytes of a reason or comment.
pub const MOST_BYTES: usize = 200;
/// Most bytes of a list's name.
pub const MOST_NAME: usize = 64;
/// The list that `block add` and `allow add` write to.
pub const MANUAL: &str = "manual";
/// Characters shown of a text that is quoted in an error.
const QUOTED: usize = 64;

/// Ranges of characters that are not seen, or that change how others are seen: the general
/// category Cf, `Default_Ignorable_Code_Point`, and line and paragraph separators (Unicode 16).
/// C0 and C1 controls are found by `char::is_control`.
const HIDDEN: [(char, char); 34] = [
    ('\u{ad}', '\u{ad}'),
    ('\u{34f}', '\u{34f}'),
    ('\u{600}', '\u{605}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{6dd}', '\u{6dd}'),
    ('\u{70f}', '\u{70f}'),
    ('\u{890}', '\u{891}'),
    ('\u{8e2}', '\u{8e2}'),
    ('\u{115f}', '\u{1160}'),
    ('\u{17b4}', '\u{17b5}'),
    ('\u{180b}', '\u{180f}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{2028}', '\u{202e}'),
    ('\u{2060}', '\u{206f}'),
    ('\u{3164}', '\u{3164}'),
    ('\u{fe00}', '\u{fe0f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{ffa0}', '\u{ffa0}'),
    ('\u{fff0}', '\u{fffb}'),
    ('\u{110bd}', '\u{110bd}'),
    ('\u{110cd}', '\u{110cd}'),
    ('\u{13430}', '\u{1343f}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d173}', '\u{1d17a}'),
    ('\u{e0000}', '\u{e0fff}'),
    // Private use and noncharacters: nobody can say what a terminal makes of them.
    ('\u{e000}', '\u{f8ff}'),
    ('\u{fdd0}', '\u{fdef}'),
    ('\u{fffe}', '\u{ffff}'),
    ('\u{1fffe}', '\u{1ffff}'),
    ('\u{2fffe}', '\u{2ffff}'),
    ('\u{3fffe}', '\u{3ffff}'),
    ('\u{efffe}', '\u{effff}'),
    ('\u{f0000}', '\u{fffff}'),
    ('\u{100000}', '\u{10ffff}'),
];

/// Whether a character must not reach a terminal or a journal as it is.
pub fn is_hidden(character: char) -> bool {
    if character.is_ascii() {
        return character.is_ascii_control();
    }
    character.is_control()
        || HIDDEN
            .iter()
            .any(|&(first, last)| (first..=last).contains(&character))
}

/// Text from outside as a terminal may have it: what is hidden or steers is escaped.
pub fn safe(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        if is_hidden(character) {
            safe.extend(character.escape_default());
        } else {
            safe.push(character);
        }
    }
    safe
}

/// Text that may be kept and shown: at most [`MOST_BYTES`], without control, escape,
/// bidirectional, zero-width or format characters. White space around it is taken away.
pub fn clean(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.len() > MOST_BYTES {
        return Err(format!(
            "the text has {} bytes, the most is {MOST_BYTES}: shorten it",
            text.len()
        ));
    }
    match text
        .chars()
        .enumerate()
        .find(|(_, character)| is_hidden(*character))
    {
        Some((index, character)) => Err(format!(
            "character {} of the text is U+{:04X}, which is not printable or changes how the rest \
             is shown: leave it out",
            index.saturating_add(1),
            u32::from(character)
        )),
        None => Ok(text.to_owned()),
    }
}

/// The name of an imported list: 1 to [`MOST_NAME`] of `[a-z0-9._-]`.
pub fn list_name(name: &str) -> Result<String, String> {
    let usual = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-');
    if name.is_empty() || name.len() > MOST_NAME || !name.bytes().all(usual) {
        return Err(format!(
            "{} is no name for a list: use 1 to {MOST_NAME} of a-z, 0-9, `.`, `_` and `-`",
            quote(name)
        ));
    }
    match name {
        MANUAL => Err(format!(
            "`{MANUAL}` is the list of entries added one by one: import under another name"
        )),
        "." | ".." => Err(format!(
            "`{name}` is no name for a list: it would name a folder"
        )),
        _ => Ok(name.to_owned()),
    }
}

/// The name of a protected service: 1 to [`MOST_NAME`] of `[a-z0-9_-]`.
pub fn service_name(name: &str) -> Result<String, String> {
    let usual = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
    if name.is_empty() || name.len() > MOST_NAME || !name.bytes().all(usual) {
        return Err(format!(
            "{} is no name for a service: use 1 to {MOST_NAME} of a-z, 0-9, `_` and `-`",
            quote(name)
        ));
    }
    Ok(name.to_owned())
}

/// Text from anyone as it may stand in an error: in quotation marks, shortened, and with
/// everything escaped that is not plain.
pub fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for (index, character) in text.chars().enumerate() {
        if index >= QUOTED {
            quoted.push('…');
            break;
        }
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            _ if is_hidden(character) => quoted.extend(character.escape_default()),
            _ => quoted.push(character),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ordinary_text_is_kept_and_trimmed() {
        assert_eq!(
            clean("  botnet, seen in März 日本 "),
            Ok("botnet, seen in März 日本".to_owned())
        );
        assert_eq!(clean(""), Ok(String::new()));
    }

    #[test]
    fn what_fools_a_terminal_or_a_reader_is_refused() {
        for bad in [
            "a\u{1b}[2J",
            "a\nb",
            "a\tb",
            "a\u{9b}1m",
            "a\u{202e}b",
            "a\u{2066}b",
            "a\u{200b}b",
            "a\u{200d}b",
            "a\u{feff}b",
            "a\u{ad}b",
            "a\u{7f}b",
            "a\u{2028}b",
            "a\u{e0041}b",
        ] {
            let error = clean(bad).unwrap_err();
            assert!(
                error.starts_with("character 2 of the text is U+"),
                "{error}"
            );
        }
    }

    #[test]
    fn length_is_counted_in_bytes() {
        assert!(clean(&"a".repeat(200)).is_ok());
        assert!(clean(&"a".repeat(201)).unwrap_err().contains("201 bytes"));
        assert!(clean(&"ä".repeat(101)).is_err());
    }

    #[test]
    fn list_names() {
        for good in [
            "drop",
            "spamhaus-drop.v4",
            "a",
            "0_1",
            "...",
            &"a".repeat(64),
        ] {
            assert_eq!(list_name(good).as_deref(), Ok(good));
        }
        for bad in [
            "",
            "Drop",
            "a b",
            "a/b",
            "manual",
            ".",
            "..",
            "ä",
            "a\n",
            &"a".repeat(65),
        ] {
            assert!(list_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn quoting_escapes_and_shortens() {
        assert_eq!(quote("a\u{1b}\"b"), r#""a\u{1b}\"b""#);
        assert_eq!(quote(&"x".repeat(100)).chars().count(), 67);
    }

    proptest! {
        #[test]
        fn what_is_clean_stays_so(text in ".{0,80}") {
            if let Ok(kept) = clean(&text) {
                prop_assert!(!kept.chars().any(is_hidden));
                prop_assert_eq!(clean(&kept), Ok(kept));
            }
        }

        #[test]
        fn quoted_text_is_printable(text in any::<String>()) {
            prop_assert!(!quote(&text).chars().any(is_hidden));
        }
    }
}
