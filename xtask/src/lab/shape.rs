//! Turns a frame and what is to vary in it into what the generator's eBPF program reads.

#[path = "../../../filter-ebpf/src/lab/abi.rs"]
pub mod abi;

use abi::{COUNTING, IN_IP_SUM, IN_L4_SUM, PATCHES, Patch, Shape, TEMPLATE_BYTES};
use anyhow::{Context as _, Result, ensure};

use super::frame::{Headers, sum};

// SAFETY: `repr(C)`, integers only, no implicit padding; asserted in `abi`.
unsafe impl aya::Pod for Shape {}
// SAFETY: as above.
unsafe impl aya::Pod for abi::Progress {}
// SAFETY: as above.
unsafe impl aya::Pod for abi::Course {}
// SAFETY: as above.
unsafe impl aya::Pod for abi::Page {}
// SAFETY: as above.
unsafe impl aya::Pod for abi::Turn {}

/// How a field goes from packet to packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Varying {
    /// Its value where `mask` has no bit.
    pub base: u32,
    /// Which bits vary.
    pub mask: u32,
    /// Whether it counts, in steps of two to this power; else it is random.
    pub counting: Option<u16>,
}

impl Varying {
    /// Random bits.
    pub const fn random(base: u32, mask: u32) -> Self {
        Self {
            base,
            mask,
            counting: None,
        }
    }
}

/// A frame of the lab's own, in which fields are named.
#[derive(Clone, Copy, Debug)]
pub struct Layout(Headers);

impl Layout {
    /// Reads a frame that the lab built.
    pub fn of(frame: &[u8]) -> Result<Self> {
        Headers::of(frame)
            .map(Self)
            .context("a template is IPv4 or IPv6, with all its headers")
    }

    /// 32 bits of the source address, `at` bytes into it.
    pub fn source(self, at: usize, varying: Varying) -> Patch {
        self.address(self.0.source() + at, varying)
    }

    /// 32 bits of the destination address, `at` bytes into it.
    pub fn destination(self, at: usize, varying: Varying) -> Patch {
        self.address(self.0.destination() + at, varying)
    }

    fn address(self, at: usize, varying: Varying) -> Patch {
        let mut flags = if self.0.is_v4 { IN_IP_SUM } else { 0 };
        if self.0.has_pseudo_header() {
            flags |= IN_L4_SUM;
        }
        patch(at, 4, varying, flags)
    }

    /// A field of the fourth layer, `at` bytes into it, 16 or 32 bits.
    pub fn transport(self, at: usize, width: u16, varying: Varying) -> Patch {
        patch(self.0.transport + at, width, varying, IN_L4_SUM)
    }

    /// The hop limit, below 128, beside the protocol that shares its two bytes.
    pub fn hop_limit(self) -> Patch {
        const LIMIT: u32 = 0x7f;
        let protocol = u32::from(self.0.protocol);
        if self.0.is_v4 {
            let varying = Varying::random(protocol, LIMIT << 8);
            patch(self.0.ip + 8, 2, varying, IN_IP_SUM)
        } else {
            patch(self.0.ip + 6, 2, Varying::random(protocol << 8, LIMIT), 0)
        }
    }

    /// The identification that joins fragments: all of IPv4's, half of IPv6's.
    pub fn identification(self) -> Patch {
        let varying = Varying::random(0, 0xffff);
        match self.0.fragment_header {
            Some(at) => patch(at + 6, 2, varying, 0),
            None => patch(self.0.ip + 4, 2, varying, IN_IP_SUM),
        }
    }
}

fn patch(at: usize, width: u16, varying: Varying, flags: u16) -> Patch {
    let counting = varying.counting.map_or(0, |_| COUNTING);
    Patch {
        at: at as u16,
        width,
        base: varying.base,
        mask: varying.mask,
        flags: flags | counting,
        shift: varying.counting.unwrap_or(0),
    }
}

/// The shape of a flood of `frame`, whose varying fields are `patches`.
pub fn shape(frame: &[u8], patches: &[Patch], ifindex: u32) -> Result<Shape> {
    ensure!(
        patches.len() <= PATCHES,
        "a packet has at most {PATCHES} varying fields"
    );
    let headers = Layout::of(frame)?.0;
    let ip_check = headers.is_v4.then_some(headers.ip + 10);
    let l4_check = headers.transport_check();

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
    let l4 = &still[headers.transport..headers.end];
    let mut l4_sum = sum(l4);
    if headers.has_pseudo_header() {
        let addresses = sum(&still[headers.addresses()]);
        l4_sum += addresses + u32::from(headers.protocol) + l4.len() as u32;
    }

    let mut list = [Patch::default(); PATCHES];
    list[..patches.len()].copy_from_slice(patches);
    Ok(Shape {
        template: template(frame),
        patches: list,
        ip_check_at: ip_check.unwrap_or(0) as u16,
        l4_check_at: l4_check.unwrap_or(0) as u16,
        ip_sum: if headers.is_v4 {
            sum(&still[headers.ip..headers.transport])
        } else {
            0
        },
        l4_sum,
        ifindex,
    })
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
