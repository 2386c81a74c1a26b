//! Turns a frame and what is to vary in it into what the generator's eBPF program reads.

#[path = "../../../filter-ebpf/src/lab/abi.rs"]
pub mod abi;

use abi::{IN_IP_SUM, IN_L4_SUM, PATCHES, Patch, Shape, TEMPLATE_BYTES};
use anyhow::{Result, bail, ensure};

const ETHERNET: usize = 14;
const IPV6_HEADER: usize = 40;

// SAFETY: `repr(C)`, integers only, no implicit padding; asserted in `abi`.
unsafe impl aya::Pod for Shape {}
// SAFETY: as above.
unsafe impl aya::Pod for abi::Progress {}
// SAFETY: as above.
unsafe impl aya::Pod for abi::Course {}

/// Where things lie in an untagged frame without IPv4 options or extension headers, except one
/// fragment header.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// IPv4 or IPv6.
    pub is_v4: bool,
    /// Where TCP, UDP or ICMP begins.
    pub l4: usize,
    protocol: u8,
    has_l4_header: bool,
}

impl Layout {
    /// Reads a frame that the lab built.
    pub fn of(frame: &[u8]) -> Result<Self> {
        ensure!(
            frame.len() >= ETHERNET + IPV6_HEADER,
            "a template is at least 54 bytes long"
        );
        match [frame[12], frame[13]] {
            [0x08, 0x00] => {
                let header = usize::from(frame[ETHERNET] & 0xf) * 4;
                let offset = u16::from_be_bytes([frame[20], frame[21]]) & 0x1fff;
                Ok(Self {
                    is_v4: true,
                    l4: ETHERNET + header,
                    protocol: frame[23],
                    has_l4_header: offset == 0,
                })
            }
            [0x86, 0xdd] => Ok(Self {
                is_v4: false,
                l4: ETHERNET + IPV6_HEADER,
                protocol: frame[20],
                has_l4_header: true,
            }),
            other => bail!("a template is IPv4 or IPv6, not {other:02x?}"),
        }
    }

    /// Where the checksum of the fourth layer lies; `None` for a later fragment.
    pub fn l4_check(self) -> Option<usize> {
        if !self.has_l4_header {
            return None;
        }
        match self.protocol {
            6 => Some(self.l4 + 16),
            17 => Some(self.l4 + 6),
            1 | 58 => Some(self.l4 + 2),
            _ => None,
        }
    }

    /// A 16- or 32-bit field of the source address, `at` bytes into it.
    pub fn source(self, at: u16, base: u32, mask: u32) -> Patch {
        let start: u16 = if self.is_v4 { 26 } else { 22 };
        let mut flags = if self.is_v4 { IN_IP_SUM } else { 0 };
        if self.protocol != 1 {
            flags |= IN_L4_SUM;
        }
        Patch {
            at: start + at,
            width: 4,
            base,
            mask,
            flags,
            padding: 0,
        }
    }

    /// A field of the fourth layer, `at` bytes into it.
    pub fn l4_field(self, at: u16, width: u16, base: u32, mask: u32) -> Patch {
        let at = self.l4 as u16 + at;
        Patch {
            at,
            width,
            base,
            mask,
            flags: IN_L4_SUM,
            padding: 0,
        }
    }

    /// The IPv4 identification.
    pub fn identification(self, mask: u32) -> Patch {
        Patch {
            at: 18,
            width: 2,
            base: 0,
            mask,
            flags: IN_IP_SUM,
            padding: 0,
        }
    }

    fn pseudo_header_sum(self, frame: &[u8], payload: usize) -> u32 {
        let addresses = if self.is_v4 {
            &frame[26..34]
        } else {
            &frame[22..54]
        };
        sum(addresses) + u32::from(self.protocol) + payload as u32
    }
}

/// The shape of a flood of `frame`, whose varying fields are `patches`.
pub fn shape(frame: &[u8], patches: &[Patch], ifindex: u32) -> Result<Shape> {
    ensure!(
        patches.len() <= PATCHES,
        "a packet has at most {PATCHES} varying fields"
    );
    let layout = Layout::of(frame)?;
    let end = ip_end(frame, layout);
    ensure!(
        end <= frame.len(),
        "the template's IP length is beyond its end"
    );
    let ip_check = layout.is_v4.then_some(24);
    let l4_check = layout.l4_check();

    // Sums are taken over a copy in which everything that the program fills in is zero.
    let mut still = frame.to_vec();
    let checks = [ip_check, l4_check].into_iter().flatten().map(|at| (at, 2));
    let fields = patches
        .iter()
        .map(|patch| (usize::from(patch.at), usize::from(patch.width)));
    for (at, width) in checks.chain(fields) {
        ensure!(
            at % 2 == 0 && at + width <= frame.len(),
            "a varying field lies at {at}"
        );
        still[at..at + width].fill(0);
    }
    let l4 = &still[layout.l4..end];
    let mut l4_sum = sum(l4);
    if layout.protocol != 1 {
        l4_sum += layout.pseudo_header_sum(&still, l4.len());
    }

    let mut list = [Patch::default(); PATCHES];
    list[..patches.len()].copy_from_slice(patches);
    Ok(Shape {
        template: template(frame),
        patches: list,
        ip_check_at: ip_check.unwrap_or(0) as u16,
        l4_check_at: l4_check.unwrap_or(0) as u16,
        ip_sum: if layout.is_v4 {
            sum(&still[ETHERNET..layout.l4])
        } else {
            0
        },
        l4_sum,
        ifindex,
    })
}

fn ip_end(frame: &[u8], layout: Layout) -> usize {
    if layout.is_v4 {
        ETHERNET + usize::from(u16::from_be_bytes([frame[16], frame[17]]))
    } else {
        ETHERNET + IPV6_HEADER + usize::from(u16::from_be_bytes([frame[18], frame[19]]))
    }
}

fn template(frame: &[u8]) -> [u64; TEMPLATE_BYTES / 8] {
    let mut words = [0; TEMPLATE_BYTES / 8];
    for (word, bytes) in words.iter_mut().zip(frame.chunks(8)) {
        let mut whole = [0; 8];
        whole[..bytes.len()].copy_from_slice(bytes);
        *word = u64::from_ne_bytes(whole);
    }
    words
}

/// The unfolded sum of 16-bit words (RFC 1071); 32 bits hold that of any frame.
fn sum(bytes: &[u8]) -> u32 {
    bytes
        .chunks(2)
        .map(|word| u32::from(word[0]) << 8 | u32::from(word.get(1).copied().unwrap_or(0)))
        .sum()
}
