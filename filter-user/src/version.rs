//! What this is: the release, and the eBPF object inside.

/// The release.
pub const RELEASE: &str = env!("CARGO_PKG_VERSION");

/// The SHA-256 of the embedded eBPF object, in hexadecimal digits. Whoever builds the same sources with
/// the same compiler gets the same object.
pub const OBJECT: &str = env!("FLOODWALL_OBJECT");

/// For `-V`, and the first line of `status`.
pub const SHORT: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (eBPF object ",
    env!("FLOODWALL_OBJECT_SHORT"),
    ")"
);

/// For `--version`.
pub const LONG: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (eBPF object ",
    env!("FLOODWALL_OBJECT"),
    ")"
);

/// The digits of an object's hash that people compare, whoever told them; none if there are too few.
pub fn short(object: &str) -> Option<&str> {
    const DIGITS: usize = env!("FLOODWALL_OBJECT_SHORT").len();
    object.get(..DIGITS)
}

#[cfg(test)]
mod tests {
    use sha2::{Digest as _, Sha256};

    use super::*;

    #[test]
    fn the_hash_is_that_of_what_is_embedded() {
        let embedded = include_bytes!(concat!(env!("OUT_DIR"), "/floodwall.bpf.o"));
        let digest = Sha256::digest(embedded);
        let digits: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(OBJECT, digits);
        let short = short(OBJECT).expect("digits");
        assert!(SHORT.contains(short) && LONG.contains(OBJECT));
    }
}
