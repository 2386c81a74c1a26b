//! Messages from branches that hardly any packet takes. Built with the feature `log` alone, and read
//! by a daemon that was built with its own.

use filter_common::abi::reason::Reason;

use crate::frame::XdpFrame;

/// Says what an operator of an odd driver needs to know.
#[inline(always)]
pub fn verdict(frame: &XdpFrame, reason: Reason) {
    #[cfg(feature = "log")]
    if matches!(reason, Reason::HeaderSpan) {
        aya_log_ebpf::warn!(
            &frame.context(),
            "interface {}: headers reach beyond the first buffer of a frame of {} bytes",
            frame.interface(),
            frame.length()
        );
    }
    #[cfg(not(feature = "log"))]
    let _ = (frame, reason);
}
