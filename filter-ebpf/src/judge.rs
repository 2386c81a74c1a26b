//! What becomes of a reason: enforced, watched, or not looked at. The program's one exit.

use core::ops::ControlFlow;

use aya_ebpf::bindings::xdp_action;
use filter_common::{
    abi::{
        counter,
        cpu::CpuState,
        reason::{Action, Reason},
        settings::Settings,
    },
    logic::packet::Packet,
};

use crate::{clock::Tick, count, cpu, frame::XdpFrame, log, sample, scratch::Scratch, settings};

/// The judge of one packet.
pub struct Judge {
    /// The settings in force.
    pub settings: &'static Settings,
    /// The state of this CPU.
    pub cpu: &'static mut CpuState,
    /// The present.
    pub now: Tick,
    /// Whether this CPU is under pressure.
    pub pressure: bool,
    scratch: &'static mut Scratch,
}

impl Judge {
    /// A judge with the settings of the moment.
    #[inline(always)]
    pub fn new() -> Option<Self> {
        let settings = settings::current()?;
        let cpu = cpu::state()?;
        let scratch = Scratch::blank()?;
        let now = Tick::now();
        let pressure = cpu::under_pressure(cpu, settings, now);
        Some(Self {
            settings,
            cpu,
            now,
            pressure,
            scratch,
        })
    }

    /// A stage found a reason. Breaks if that decides the packet; notes it and goes on if the
    /// reason is only watched, so that a watched stage does not hide an enforced one.
    #[inline(always)]
    pub fn found(&mut self, reason: Reason) -> ControlFlow<Reason> {
        match reason.action() {
            Action::Pass => ControlFlow::Break(reason),
            Action::Drop if self.settings.unchecked & reason.bit() != 0 => {
                ControlFlow::Continue(())
            }
            Action::Drop if self.settings.enforced & reason.bit() != 0 => {
                ControlFlow::Break(reason)
            }
            Action::Drop => {
                self.scratch.observe(reason);
                ControlFlow::Continue(())
            }
        }
    }

    /// The parser's result. What cannot be parsed and is only watched has no further stages.
    #[inline(always)]
    pub fn parsed(
        &mut self,
        result: ControlFlow<Reason, Packet>,
    ) -> ControlFlow<Reason, &'static Packet> {
        match result {
            ControlFlow::Continue(packet) => ControlFlow::Continue(self.scratch.keep(packet)),
            ControlFlow::Break(reason) => {
                self.found(reason)?;
                ControlFlow::Break(Reason::Clean)
            }
        }
    }

    /// Counts the verdict, samples it, and turns it into what the driver does.
    #[inline(always)]
    pub fn conclude(mut self, frame: &XdpFrame, reason: Reason) -> u32 {
        log::verdict(frame, reason);
        let length = frame.length();
        count::add(counter::happened(reason), length);
        let shown = match (reason.action(), self.scratch.observed()) {
            (Action::Pass, Some(code)) => {
                count::add(counter::observed(code), length);
                code
            }
            (Action::Pass, None) | (Action::Drop, _) => reason.code(),
        };
        sample::maybe(frame, length, shown, reason.action(), &mut self);
        match reason.action() {
            Action::Pass => xdp_action::XDP_PASS,
            Action::Drop => xdp_action::XDP_DROP,
        }
    }
}
