//! Numbers that can be read at a glance.

/// `12345678` as `12,345,678`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && digits.len().saturating_sub(index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes as `1.2 GB`, in powers of 1000.
pub fn bytes(number: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    let mut unit = units[0];
    let mut tenths = u128::from(number).saturating_mul(10);
    for larger in &units[1..] {
        if tenths < 10_000 {
            break;
        }
        tenths = tenths.saturating_add(500) / 1000;
        unit = larger;
    }
    if unit == "B" {
        format!("{number} B")
    } else {
        format!("{}.{} {unit}", tenths / 10, tenths % 10)
    }
}

/// A rate as `1,234/s`.
pub fn rate(number: f64) -> String {
    format!("{}/s", whole(number))
}

/// What was measured or estimated as `1,234`.
pub fn whole(number: f64) -> String {
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "what is counted is not negative, and casts of floats saturate"
    )]
    let whole = number.round() as u64;
    grouped(whole)
}

/// A rate in at most seven columns below a thousand billion: `12.3k/s`.
pub fn short_rate(number: f64) -> String {
    let mut rest = number.max(0.0);
    let mut unit = "";
    for larger in ["k", "M", "G"] {
        if rest < 999.5 {
            break;
        }
        rest /= 1000.0;
        unit = larger;
    }
    if unit.is_empty() || rest >= 99.95 {
        format!("{rest:.0}{unit}/s")
    } else {
        format!("{rest:.1}{unit}/s")
    }
}

/// Bits a second as `1.2 Gbit/s`, in powers of 1000.
pub fn bits(number: f64) -> String {
    let mut rest = number.max(0.0);
    let mut unit = "";
    for larger in ["k", "M", "G", "T", "P"] {
        if rest < 999.95 {
            break;
        }
        rest /= 1000.0;
        unit = larger;
    }
    if unit.is_empty() {
        format!("{rest:.0} bit/s")
    } else {
        format!("{rest:.1} {unit}bit/s")
    }
}

/// A part of a whole as `12.3 %`; nothing of nothing is `-`.
pub fn share(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "-".to_owned();
    }
    let tenths = u128::from(part).saturating_mul(1000) / u128::from(whole);
    format!("{}.{} %", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_three() {
        let shown = [0, 999, 1000, 123_456, 1_234_567].map(grouped);
        assert_eq!(shown, ["0", "999", "1,000", "123,456", "1,234,567"]);
        assert_eq!(grouped(u64::MAX), "18,446,744,073,709,551,615");
    }

    #[test]
    fn bytes_have_one_decimal() {
        let shown = [0, 999, 1000, 1_250_000, u64::MAX].map(bytes);
        assert_eq!(shown, ["0 B", "999 B", "1.0 kB", "1.3 MB", "18.4 EB"]);
    }

    #[test]
    fn bits_have_one_decimal() {
        let shown = [0.0, 999.0, 1_000.0, 1.25e9, 999_960.0, 1e21, f64::NAN, -1.0].map(bits);
        let expected = [
            "0 bit/s",
            "999 bit/s",
            "1.0 kbit/s",
            "1.2 Gbit/s",
            "1.0 Mbit/s",
            "1000000.0 Pbit/s",
            "0 bit/s",
            "0 bit/s",
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn rates_are_whole() {
        assert_eq!([0.0, 1234.6].map(rate), ["0/s", "1,235/s"]);
    }

    #[test]
    fn short_rates_have_three_figures() {
        let shown = [0.0, 999.4, 999.6, 12_345.0, 99_960.0, 2.5e6, 1e12, f64::NAN].map(short_rate);
        let expected = [
            "0/s", "999/s", "1.0k/s", "12.3k/s", "100k/s", "2.5M/s", "1000G/s", "0/s",
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn shares_never_claim_more_than_there_is() {
        assert_eq!(share(1, 3), "33.3 %");
        assert_eq!(share(9_999, 10_000), "99.9 %");
        assert_eq!(share(3, 3), "100.0 %");
        assert_eq!(share(0, 0), "-");
    }
}
