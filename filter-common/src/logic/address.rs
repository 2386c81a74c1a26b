//! An IP address in the one form that every stage and table uses.

/// The family of an address; the number is the IP version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Family {
    /// IPv4.
    V4 = 4,
    /// IPv6.
    V6 = 6,
}

impl Family {
    /// Bits of an address.
    #[inline(always)]
    pub const fn width(self) -> u8 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }
}

/// An address. Words are in network order, IPv4 in the first with zeros behind it; the family
/// keeps 192.0.2.1 and `c000:201::` apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    words: [u32; 4],
    family: Family,
}

impl Address {
    /// From the bytes of an IPv4 address as one word in network order.
    #[inline(always)]
    pub const fn v4(word: u32) -> Self {
        Self {
            words: [word, 0, 0, 0],
            family: Family::V4,
        }
    }

    /// From the bytes of an IPv6 address as four words in network order.
    #[inline(always)]
    pub const fn v6(words: [u32; 4]) -> Self {
        Self {
            words,
            family: Family::V6,
        }
    }

    /// The family.
    #[inline(always)]
    pub const fn family(&self) -> Family {
        self.family
    }

    /// The words, in network order.
    #[inline(always)]
    pub const fn words(&self) -> &[u32; 4] {
        &self.words
    }

    /// The words with all but the first `length` bits cleared.
    #[inline(always)]
    pub fn masked(&self, length: u8) -> [u32; 4] {
        let mask = mask(length);
        [
            self.words[0] & mask[0],
            self.words[1] & mask[1],
            self.words[2] & mask[2],
            self.words[3] & mask[3],
        ]
    }

    /// The words as two numbers, to be put together again by [`Address::from_halves`].
    #[inline(always)]
    pub const fn halves(&self) -> [u64; 2] {
        let [a, b, c, d] = self.words;
        [(a as u64) | (b as u64) << 32, (c as u64) | (d as u64) << 32]
    }

    /// From what [`Address::halves`] gave.
    #[inline(always)]
    pub const fn from_halves(family: Family, halves: [u64; 2]) -> Self {
        let [high, low] = halves;
        let words = [
            high as u32,
            (high >> 32) as u32,
            low as u32,
            (low >> 32) as u32,
        ];
        Self { words, family }
    }

    /// The first 32 bits as a number.
    #[inline(always)]
    pub const fn high32(&self) -> u32 {
        u32::from_be(self.words[0])
    }

    /// The last 64 bits as a number.
    #[inline(always)]
    pub const fn low64(&self) -> u64 {
        ((u32::from_be(self.words[2]) as u64) << 32) | u32::from_be(self.words[3]) as u64
    }

    /// The two halves as numbers. An IPv4 address is its number, and zero.
    #[inline(always)]
    pub const fn numbers(&self) -> [u64; 2] {
        match self.family {
            Family::V4 => [self.high32() as u64, 0],
            Family::V6 => [self.high64(), self.low64()],
        }
    }

    /// The first 64 bits as a number.
    #[inline(always)]
    pub const fn high64(&self) -> u64 {
        ((self.high32() as u64) << 32) | u32::from_be(self.words[1]) as u64
    }
}

/// The mask of the first `length` bits, as words in network order. Lengths above 128 are 128.
///
/// A table, because the verifier follows every branch that computing it would take.
#[inline(always)]
#[allow(
    clippy::indexing_slicing,
    reason = "256 entries, and the index is a byte"
)]
pub fn mask(length: u8) -> [u32; 4] {
    MASKS[length as usize]
}

#[allow(clippy::indexing_slicing, reason = "evaluated by the compiler")]
static MASKS: [[u32; 4]; 256] = {
    let mut masks = [[0; 4]; 256];
    let mut length = 0_usize;
    while length < masks.len() {
        let mut word = 0_usize;
        while word < 4 {
            let bits = length.saturating_sub(word.wrapping_mul(32));
            let bits = if bits > 32 { 32 } else { bits as u32 };
            let mask = 0xffff_ffff_u64.wrapping_shl(32_u32.wrapping_sub(bits)) as u32;
            masks[length][word] = mask.to_be();
            word = word.wrapping_add(1);
        }
        length = length.wrapping_add(1);
    }
    masks
};

impl From<core::net::IpAddr> for Address {
    fn from(address: core::net::IpAddr) -> Self {
        match address {
            core::net::IpAddr::V4(v4) => Self::v4(u32::from_ne_bytes(v4.octets())),
            core::net::IpAddr::V6(v6) => {
                let octets = v6.octets();
                let mut words = [0; 4];
                for (word, bytes) in words.iter_mut().zip(octets.as_chunks().0) {
                    *word = u32::from_ne_bytes(*bytes);
                }
                Self::v6(words)
            }
        }
    }
}

impl From<Address> for core::net::IpAddr {
    fn from(address: Address) -> Self {
        match address.family {
            Family::V4 => Self::from(address.words[0].to_ne_bytes()),
            Family::V6 => {
                let mut octets = [0; 16];
                for (bytes, word) in octets.as_chunks_mut().0.iter_mut().zip(address.words) {
                    *bytes = word.to_ne_bytes();
                }
                Self::from(octets)
            }
        }
    }
}
