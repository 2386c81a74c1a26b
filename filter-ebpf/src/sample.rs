//! A packet now and then for userspace, within a budget that is kept here: the daemon may be slow
//! or dead.

use aya_ebpf::{macros::map, maps::RingBuf};
use filter_common::{
    abi::{
        reason::Action,
        sample::{CAPTURE, Sample},
    },
    logic::bucket,
};

use crate::{frame::XdpFrame, judge::Judge};

#[map]
static SAMPLES: RingBuf = RingBuf::with_byte_size(1 << 20, 0);

/// Nobody is woken: the daemon looks ten times a second.
#[doc(alias = "BPF_RB_NO_WAKEUP")]
const NO_WAKEUP: u64 = 1;

/// Samples the packet if the budget of its kind allows it. A full ring loses the sample.
#[inline(always)]
pub fn maybe(frame: &XdpFrame, length: u32, reason: u8, action: Action, judge: &mut Judge) {
    let now = judge.now.moment();
    let granted = match action {
        Action::Pass => bucket::take(
            &mut judge.cpu.sample_passed,
            now,
            &judge.settings.sample_passed,
        ),
        Action::Drop => bucket::take(
            &mut judge.cpu.sample_dropped,
            now,
            &judge.settings.sample_dropped,
        ),
    };
    if granted {
        take(frame, length, reason, action, judge.now.count());
    }
}

#[inline(always)]
fn take(frame: &XdpFrame, length: u32, reason: u8, action: Action, tick: u64) {
    let Some(mut entry) = SAMPLES.reserve::<Sample>(0) else {
        return;
    };
    let sample = entry.write(Sample {
        tick,
        length,
        interface: frame.interface(),
        queue: frame.queue(),
        captured: 0,
        reason,
        dropped: u8::from(matches!(action, Action::Drop)),
        bytes: [0; CAPTURE],
    });
    sample.captured = frame.copy_beginning(&mut sample.bytes);
    entry.submit(NO_WAKEUP);
}
