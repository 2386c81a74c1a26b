//! Makes the next packet of a flood out of the frame that the kernel hands in.

use aya_ebpf::{
    btf_maps::{Array, PerCpuArray},
    macros::btf_map,
    programs::XdpContext,
};

use crate::abi::{COUNTING, IN_IP_SUM, IN_L4_SUM, Patch, Progress, Shape};

#[btf_map]
static SHAPE: Array<Shape, 1> = Array::new();

#[btf_map]
static PROGRESS: PerCpuArray<Progress, 1> = PerCpuArray::new();

/// Offsets in a shape are below this, so that the verifier can follow them.
const OFFSET_MASK: usize = 0xff;

/// Puts the template back, fills in the varying fields and mends the checksums.
///
/// The whole head is written each time: a live frame comes back from the receiver as the
/// receiver left it. `None` if the maps are empty or the frame is shorter than its shape.
#[inline(always)]
pub fn next_packet(ctx: &XdpContext) -> Option<&'static Shape> {
    let shape = SHAPE.get(0)?;
    let progress = PROGRESS.get_ptr_mut(0)?;
    // SAFETY: the entry is this CPU's own, and no program of the lab runs inside another.
    let progress = unsafe { &mut *progress };

    put_template_back(ctx, shape);
    let mut ip_sum = shape.ip_sum;
    let mut l4_sum = shape.l4_sum;
    for patch in &shape.patches {
        if patch.width == 0 {
            break;
        }
        let value = value_of(patch, progress);
        let sum = if patch.width == 4 {
            write_be16(ctx, patch.at, (value >> 16) as u16)?;
            write_be16(ctx, patch.at.wrapping_add(2), value as u16)?;
            (value >> 16).wrapping_add(value & 0xffff)
        } else {
            write_be16(ctx, patch.at, value as u16)?;
            value & 0xffff
        };
        if patch.flags & IN_IP_SUM != 0 {
            ip_sum = ip_sum.wrapping_add(sum);
        }
        if patch.flags & IN_L4_SUM != 0 {
            l4_sum = l4_sum.wrapping_add(sum);
        }
    }
    if shape.ip_check_at != 0 {
        write_be16(ctx, shape.ip_check_at, checksum(ip_sum))?;
    }
    if shape.l4_check_at != 0 {
        write_be16(ctx, shape.l4_check_at, checksum(l4_sum))?;
    }
    progress.made = progress.made.wrapping_add(1);
    Some(shape)
}

#[inline(always)]
fn value_of(patch: &Patch, progress: &mut Progress) -> u32 {
    let varying = if patch.flags & COUNTING != 0 {
        // A processor shifts by less than the width of a word.
        (progress.made as u32).wrapping_shl(u32::from(patch.shift))
    } else {
        (random(progress) >> 32) as u32
    };
    (patch.base & !patch.mask) | (varying & patch.mask)
}

/// The next random number of this CPU.
#[inline(always)]
pub fn next_random() -> Option<u64> {
    let progress = PROGRESS.get_ptr_mut(0)?;
    // SAFETY: the entry is this CPU's own, and no program of the lab runs inside another.
    let progress = unsafe { &mut *progress };
    // The high bits of xorshift are the better ones, and courses take the low ones.
    Some(random(progress) >> 8)
}

/// Marsaglia's xorshift64.
#[inline(always)]
fn random(progress: &mut Progress) -> u64 {
    let mut x = progress.random;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    progress.random = x;
    x
}

#[inline(always)]
fn put_template_back(ctx: &XdpContext, shape: &Shape) {
    for (index, word) in shape.template.iter().enumerate() {
        let Some(place) = bytes_at::<u64>(ctx, index * 8) else {
            return;
        };
        // SAFETY: `bytes_at` checked the bounds; frames start on 8 bytes in a test run.
        unsafe { *place = *word };
    }
}

#[inline(always)]
fn write_be16(ctx: &XdpContext, at: u16, value: u16) -> Option<()> {
    let place = bytes_at::<u16>(ctx, usize::from(at) & OFFSET_MASK)?;
    // SAFETY: `bytes_at` checked the bounds; offsets in a shape are even.
    unsafe { *place = value.to_be() };
    Some(())
}

/// A pointer to a `T` at `offset` of the frame, if the frame reaches that far.
#[inline(always)]
pub fn bytes_at<T>(ctx: &XdpContext, offset: usize) -> Option<*mut T> {
    let start = ctx.data().wrapping_add(offset);
    if start.wrapping_add(size_of::<T>()) > ctx.data_end() {
        return None;
    }
    Some(start as *mut T)
}

/// Folds a sum of 16-bit words (RFC 1071). Zero, "no checksum" in UDP, becomes its other form.
#[inline(always)]
fn checksum(sum: u32) -> u16 {
    let sum = (sum & 0xffff).wrapping_add(sum >> 16);
    let sum = (sum & 0xffff).wrapping_add(sum >> 16);
    match !(sum as u16) {
        0 => 0xffff,
        check => check,
    }
}
