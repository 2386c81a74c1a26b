//! Words of the language for numbers of the protocols.

use filter_common::logic::packet::protocol;

use super::rule::Pieces;

/// Protocols that have a word.
pub const PROTOCOLS: [(&str, u8); 4] = [
    ("tcp", protocol::TCP),
    ("udp", protocol::UDP),
    ("icmp", protocol::ICMP),
    ("icmp6", protocol::ICMPV6),
];

/// Kinds of pieces.
pub const PIECES: [(&str, Pieces); 4] = [
    ("whole", Pieces::Whole),
    ("first", Pieces::First),
    ("later", Pieces::Later),
    ("any", Pieces::Any),
];

/// TCP flags by rising bit (RFC 9293, RFC 3168).
pub const FLAGS: [&str; 8] = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"];
/// No flag.
pub const NO_FLAG: &str = "none";
/// Every flag.
pub const ALL_FLAGS: &str = "all";

/// The word for a protocol.
pub fn of_protocol(number: u8) -> Option<&'static str> {
    let found = PROTOCOLS.iter().find(|(_, known)| *known == number);
    found.map(|(name, _)| *name)
}

/// The word for pieces; all kinds have none.
pub fn of_pieces(pieces: Pieces) -> Option<&'static str> {
    let found = PIECES.iter().find(|(_, known)| *known == pieces);
    found.map(|(name, _)| *name)
}

/// A set of flags: `SYN,ACK`, `none` or `all`.
pub fn of_flags(flags: u8) -> String {
    match flags {
        0 => NO_FLAG.to_owned(),
        u8::MAX => ALL_FLAGS.to_owned(),
        _ => flag_bits()
            .filter(|(_, bit)| flags & bit != 0)
            .map(|(name, _)| name)
            .collect::<Vec<_>>()
            .join(","),
    }
}

/// Flags and their bits.
pub fn flag_bits() -> impl Iterator<Item = (&'static str, u8)> {
    (0_u32..)
        .zip(FLAGS)
        .map(|(place, name)| (name, 1_u8.wrapping_shl(place)))
}
