//! A packet now and then for userspace, within a budget that is kept here: the daemon may be slow
//! or dead.

use aya_ebpf::{bindings::xdp_md, macros::map, maps::RingBuf};
use filter_common::abi::{
    cpu::CpuState,
    feature::Feature,
    reason::{Action, Reason},
    sample::{CAPTURE, Sample},
};

use crate::{clock::Tick, cpu, frame::XdpFrame, judge::Judge, random, settings, shape};

#[map]
static SAMPLES: RingBuf = RingBuf::with_byte_size(1 << 20, 0);

/// Nobody is woken: the daemon looks ten times a second.
#[doc(alias = "BPF_RB_NO_WAKEUP")]
const NO_WAKEUP: u64 = 1;

/// Samples the packet if it is its turn.
#[inline(always)]
pub fn maybe(frame: &XdpFrame, shown: u8, verdict: Reason, judge: &mut Judge) {
    let [passed, dropped] = &mut judge.cpu.samplers;
    let (sampler, kind) = match verdict.action() {
        Action::Pass => (passed, PASSED),
        Action::Drop => (dropped, DROPPED),
        // It had its sample before it was answered.
        Action::Answer => return,
    };
    if shape::has(Feature::Samples) && !sampler.passes_over(judge.now.count()) {
        let (shown, verdict) = (u32::from(shown), verdict as u32);
        sample_take(frame.raw(), judge.length(), shown, kind, verdict);
    }
}

/// Samples a SYN that is about to be answered.
#[inline(always)]
pub fn answer(context: *mut xdp_md, length: u32, cpu: &mut CpuState) {
    let [_, dropped] = &mut cpu.samplers;
    if shape::has(Feature::Samples) && !dropped.passes_over(Tick::now().count()) {
        let verdict = Reason::CookieAnswered as u32;
        sample_take(context, length, verdict, DROPPED, verdict);
    }
}

/// Kinds of samples, as [`Sample::dropped`] says it.
const PASSED: u32 = 0;
const DROPPED: u32 = 1;

/// Takes a sample, if it is the packet's turn and the budget allows it. Exported, because the
/// verifier then looks at it once.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn sample_take(
    context: *mut xdp_md,
    length: u32,
    shown: u32,
    kind: u32,
    verdict: u32,
) -> u32 {
    if !shape::has(Feature::Samples) {
        return 0;
    }
    let Some((cpu, scratch)) = cpu::own() else {
        return 0;
    };
    let Some(settings) = settings::noted(scratch) else {
        return 0;
    };
    let now = Tick::now();
    let [passed, dropped] = &mut cpu.samplers;
    let (sampler, budget) = match kind {
        PASSED => (passed, &settings.sample_passed),
        _ => (dropped, &settings.sample_dropped),
    };
    if !sampler.takes(now.count(), budget, random::number) {
        return 0;
    }
    let Some(mut entry) = SAMPLES.reserve::<Sample>(0) else {
        return 0;
    };
    let frame = XdpFrame::of(context);
    let sample = entry.write(Sample {
        tick: now.count(),
        length,
        interface: frame.interface(),
        queue: frame.queue(),
        captured: 0,
        spared: match kind {
            PASSED => verdict as u8,
            _ => scratch.spared().unwrap_or(Reason::Clean.code()),
        },
        reason: shown as u8,
        dropped: kind as u8,
        bytes: [0; CAPTURE],
    });
    sample.captured = frame.copy_beginning(&mut sample.bytes);
    entry.submit(NO_WAKEUP);
    1
}
