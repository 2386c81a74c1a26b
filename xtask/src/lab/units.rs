//! How times are spelled on the command line.

use std::time::Duration;

/// `5s`, `2m`, `1h`, or `300ms`.
pub fn seconds(text: &str) -> Result<Duration, String> {
    let number = text.trim_end_matches(|character: char| character.is_ascii_alphabetic());
    let unit = &text[number.len()..];
    let millis: u64 = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(format!("`{text}` is no time; write `5s` or `2m`")),
    };
    number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(millis))
        .filter(|millis| (1..=86_400_000).contains(millis))
        .map(Duration::from_millis)
        .ok_or_else(|| format!("`{text}` is no time between 1ms and 24h"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit_and_a_bound() {
        assert_eq!(seconds("5s"), Ok(Duration::from_secs(5)));
        assert_eq!(seconds("300ms"), Ok(Duration::from_millis(300)));
        assert_eq!(seconds("2m"), Ok(Duration::from_secs(120)));
        for nonsense in [
            "5",
            "s",
            "",
            "0s",
            "-1s",
            "25h",
            "1d",
            "99999999999999999999s",
            "ü",
        ] {
            assert!(seconds(nonsense).is_err(), "{nonsense}");
        }
    }
}
