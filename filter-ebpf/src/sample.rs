//! A packet now and then for userspace, within a budget that is kept here: the daemon may be slow
//! or dead.

use aya_ebpf::{bindings::xdp_md, macros::map, maps::RingBuf};
use filter_common::{
    abi::{
        feature::Feature,
        reason::Action,
        sample::{CAPTURE, Sample},
    },
    logic::bucket,
};

use crate::{clock::Tick, cpu, frame::XdpFrame, judge::Judge, settings, shape};

#[map]
static SAMPLES: RingBuf = RingBuf::with_byte_size(1 << 20, 0);

/// Nobody is woken: the daemon looks ten times a second.
#[doc(alias = "BPF_RB_NO_WAKEUP")]
const NO_WAKEUP: u64 = 1;

/// Samples the packet if the budget of its kind allows it. A full ring loses the sample.
#[inline(always)]
pub fn maybe(frame: &XdpFrame, reason: u8, action: Action, judge: &Judge) {
    if !shape::has(Feature::Samples) {
        return;
    }
    // What a bucket refused it refuses for the rest of the tick.
    let spent = match action {
        Action::Pass => judge.cpu.passed_spent,
        Action::Drop | Action::Answer => judge.cpu.dropped_spent,
    };
    if spent != judge.now.count() {
        let dropped = u32::from(!matches!(action, Action::Pass));
        sample_take(frame.raw(), judge.length(), u32::from(reason), dropped);
    }
}

/// Takes a sample, if the budget allows it. Exported, because the verifier then looks at it once.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn sample_take(context: *mut xdp_md, length: u32, reason: u32, dropped: u32) -> u32 {
    let Some((cpu, scratch)) = cpu::own() else {
        return 0;
    };
    let Some(settings) = settings::noted(scratch) else {
        return 0;
    };
    let now = Tick::now();
    let (bucket, spent, budget) = if dropped == 0 {
        (
            &mut cpu.sample_passed,
            &mut cpu.passed_spent,
            &settings.sample_passed,
        )
    } else {
        (
            &mut cpu.sample_dropped,
            &mut cpu.dropped_spent,
            &settings.sample_dropped,
        )
    };
    if !bucket::take(bucket, now.moment(), budget) {
        *spent = now.count();
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
        reason: reason as u8,
        dropped: dropped as u8,
        bytes: [0; CAPTURE],
    });
    sample.captured = frame.copy_beginning(&mut sample.bytes);
    entry.submit(NO_WAKEUP);
    1
}
