//! Checksums (RFC 1071), computed anew or carried along (RFC 1624).

use super::{Headers, Slice, protocol};

/// The unfolded sum of 16-bit words; 32 bits hold that of any frame.
pub fn sum(bytes: &[u8]) -> u32 {
    bytes
        .chunks(2)
        .map(|word| u32::from(word[0]) << 8 | u32::from(word.get(1).copied().unwrap_or(0)))
        .sum()
}

/// Puts the checksums of a frame right: IPv4's, and that of the fourth layer where all that it
/// covers is there. What is not IP, or is cut short, stays as it is.
pub fn mend(frame: &mut [u8]) {
    let Some(headers) = Headers::of(frame) else {
        return;
    };
    if headers.is_v4 {
        mend_v4_header(frame, &headers);
    }
    if headers.slice != Slice::Whole {
        return;
    }
    let Some(check) = headers.transport_check() else {
        return;
    };
    frame[check..check + 2].fill(0);
    let mut total = sum(&frame[headers.transport..headers.end]);
    if headers.has_pseudo_header() {
        let length = headers.end - headers.transport;
        total += sum(&frame[headers.addresses()]) + u32::from(headers.protocol) + length as u32;
    }
    let value = match (!fold(total), headers.protocol) {
        // Zero means "no checksum" there.
        (0, protocol::UDP) => 0xffff,
        (value, _) => value,
    };
    frame[check..check + 2].copy_from_slice(&value.to_be_bytes());
}

/// Puts IPv4's checksum right, and no other.
pub fn mend_header(frame: &mut [u8]) {
    if let Some(headers) = Headers::of(frame).filter(|headers| headers.is_v4) {
        mend_v4_header(frame, &headers);
    }
}

fn mend_v4_header(frame: &mut [u8], headers: &Headers) {
    let check = headers.ip + 10;
    frame[check..check + 2].fill(0);
    let value = !fold(sum(&frame[headers.ip..headers.transport]));
    frame[check..check + 2].copy_from_slice(&value.to_be_bytes());
}

/// A change of bytes that a checksum covers.
#[derive(Clone, Copy, Debug)]
pub struct Change {
    /// The unfolded sum of the bytes before.
    pub before: u32,
    /// The unfolded sum of the bytes after.
    pub after: u32,
}

impl Change {
    /// Carries a checksum along that cannot be computed anew, for a part of what it covers is in
    /// other fragments.
    pub fn apply(self, check: [u8; 2]) -> [u8; 2] {
        let old = u32::from(!u16::from_be_bytes(check));
        let new = old + u32::from(!fold(self.before)) + u32::from(fold(self.after));
        (!fold(new)).to_be_bytes()
    }
}

fn fold(sum: u32) -> u16 {
    let sum = (sum & 0xffff) + (sum >> 16);
    ((sum & 0xffff) + (sum >> 16)) as u16
}
