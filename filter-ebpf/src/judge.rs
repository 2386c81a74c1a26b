//! What becomes of a reason: enforced, watched, or not looked at. The program's one exit.

use core::ops::ControlFlow;

use aya_ebpf::bindings::xdp_action;
use filter_common::{
    abi::{
        counter,
        cpu::CpuState,
        defence::Defence,
        feature::Feature,
        reason::{Action, Reason},
        settings::Settings,
    },
    logic::{
        classify::{Numbers, lowest},
        packet::Packet,
        parse,
    },
};

use crate::{
    clock::Tick, count, cpu, frame::XdpFrame, log, sample, scratch::Scratch, settings, shape,
    state, traffic,
};

/// What still holds a packet that is spared rules and limits.
const STILL_HELD: u64 = Feature::Services.bit() | state::FEATURES;

/// The judge of one packet.
pub struct Judge {
    /// The settings in force.
    pub settings: &'static Settings,
    /// The state of this CPU.
    pub cpu: &'static mut CpuState,
    /// The present.
    pub now: Tick,
    scratch: &'static mut Scratch,
}

impl Judge {
    /// A judge with the settings of the moment.
    #[inline(always)]
    pub fn new() -> Option<Self> {
        let now = Tick::now();
        let (settings, row) = settings::current(now)?;
        let (cpu, scratch) = cpu::own()?;
        scratch.clear();
        scratch.settings_row = row;
        scratch.pressure = u32::from(cpu::under_pressure(cpu, settings, now));
        Some(Self {
            settings,
            cpu,
            now,
            scratch,
        })
    }

    /// The policy that holds for the packet: [`policy`](filter_common::abi::settings::policy).
    #[inline(always)]
    pub fn policy(&self) -> u32 {
        self.scratch.policy()
    }

    /// Whether this CPU is under pressure.
    #[inline(always)]
    pub fn pressure(&self) -> bool {
        self.scratch.pressure != 0
    }

    /// Bytes of the frame.
    #[inline(always)]
    pub fn length(&self) -> u32 {
        self.scratch.length
    }

    /// A stage found a reason. Breaks if that decides the packet; notes it and goes on if the
    /// reason is only watched, so that a watched stage does not hide an enforced one.
    #[inline(always)]
    pub fn found(&mut self, reason: Reason) -> ControlFlow<Reason> {
        match reason.action() {
            Action::Pass => ControlFlow::Break(reason),
            Action::Drop | Action::Answer if self.settings.unchecked & reason.bit() != 0 => {
                ControlFlow::Continue(())
            }
            Action::Drop | Action::Answer if self.enforces(reason) => ControlFlow::Break(reason),
            Action::Drop | Action::Answer => {
                self.scratch.observe(reason);
                ControlFlow::Continue(())
            }
        }
    }

    /// Whether a reason is enforced.
    #[inline(always)]
    pub fn enforces(&self, reason: Reason) -> bool {
        self.settings.enforced & reason.bit() != 0
    }

    /// Whether a reason is looked at and enforced, so that it decides a packet.
    #[inline(always)]
    pub fn decides(&self, reason: Reason) -> bool {
        self.settings.enforced & !self.settings.unchecked & reason.bit() != 0
    }

    /// Whether a defence is on at the moment.
    #[inline(always)]
    pub fn defends(&self, defence: Defence) -> bool {
        self.defences() & defence.bit() != 0
    }

    /// The set of defences that are on at the moment, of those that the program has: the verifier
    /// sees that others are never asked for, and leaves out the code.
    #[inline(always)]
    pub fn defences(&self) -> u32 {
        let mut on = self.settings.defences_always;
        if self.pressure() {
            on |= self.settings.defences_pressed;
        }
        on & shape::defences()
    }

    /// A reason to pass that spares the packet rules and limits, but not the state of this host's
    /// sockets, nor a service's ceiling: where there are neither, it decides. The first counts.
    #[inline(always)]
    pub fn spare(&mut self, reason: Reason) -> ControlFlow<Reason> {
        if !shape::has_any(STILL_HELD) {
            return ControlFlow::Break(reason);
        }
        if self.scratch.spared().is_none() {
            self.scratch.spare(reason);
        }
        ControlFlow::Continue(())
    }

    /// Whether no limit of a source can stop the packet.
    #[inline(always)]
    pub fn is_spared(&self) -> bool {
        shape::has_any(STILL_HELD) && self.scratch.spared().is_some()
    }

    /// Whether a rule passes the packet, or the first fragment that it belongs to.
    #[inline(always)]
    pub fn is_passed_by_rule(&self) -> bool {
        shape::has_any(STILL_HELD) && self.scratch.spared() == Some(Reason::RulePass.code())
    }

    /// Notes what classification looks at.
    #[inline(always)]
    pub fn number(&mut self, packet: &Packet) {
        self.scratch.numbers = Numbers::of(packet);
    }

    /// Whether no rule can match the packet.
    #[inline(always)]
    pub fn has_no_candidates(&self) -> bool {
        self.scratch.candidates.is_empty()
    }

    /// Notes that the packet belongs to no service.
    #[inline(always)]
    pub fn has_no_services(&mut self) {
        if shape::has(Feature::Services) {
            self.scratch.note_services(0);
        }
    }

    /// The services that the packet belongs to, as a set.
    #[inline(always)]
    pub fn services(&self) -> u64 {
        self.scratch.services()
    }

    /// Parses the frame and notes what was found. What cannot be parsed and is only watched has no
    /// further stages.
    #[inline(always)]
    pub fn parse(&mut self, frame: &XdpFrame) -> ControlFlow<Reason, &'static Packet> {
        if let Some(packet) = parse::plain(frame) {
            self.scratch.length = frame.linear();
            return ControlFlow::Continue(self.scratch.keep::<0>(packet));
        }
        if let Some(packet) = parse::plain_v6(frame) {
            self.scratch.length = frame.linear();
            return ControlFlow::Continue(self.scratch.keep::<1>(packet));
        }
        self.scratch.length = frame.length();
        match parse::packet(frame) {
            ControlFlow::Continue(packet) => ControlFlow::Continue(self.scratch.keep::<2>(packet)),
            ControlFlow::Break(reason) => {
                traffic::count_unparsed(frame, reason, self.length());
                self.found(reason)?;
                ControlFlow::Break(Reason::Clean)
            }
        }
    }

    /// Concludes when nothing spoke against the packet: the way of almost every packet of a
    /// visitor, compiled for itself.
    #[inline(always)]
    pub fn conclude_clean(self, frame: &XdpFrame) -> u32 {
        let reason = self.clean();
        if matches!(reason, Reason::Clean) {
            return self.conclude(frame, Reason::Clean);
        }
        if matches!(reason, Reason::Allowed) {
            return self.conclude(frame, Reason::Allowed);
        }
        if matches!(reason, Reason::Established) {
            return self.conclude(frame, Reason::Established);
        }
        if matches!(reason, Reason::CookieAccepted) {
            return self.conclude(frame, Reason::CookieAccepted);
        }
        self.conclude(frame, Reason::RulePass)
    }

    /// The reason of a packet that nothing spoke against.
    #[inline(always)]
    pub fn clean(&self) -> Reason {
        if !self.is_spared() {
            return Reason::Clean;
        }
        match self.scratch.spared() {
            Some(code) if code == Reason::Clean.code() => Reason::Clean,
            Some(code) if code == Reason::Allowed.code() => Reason::Allowed,
            Some(code) if code == Reason::Established.code() => Reason::Established,
            Some(code) if code == Reason::CookieAccepted.code() => Reason::CookieAccepted,
            _ => Reason::RulePass,
        }
    }

    /// The first service that the packet belongs to, by its index plus one; zero for none.
    #[inline(always)]
    pub fn service(&self) -> u8 {
        if !shape::has(Feature::Services) {
            return 0;
        }
        match self.scratch.services() {
            0 => 0,
            services => (lowest(services) as u8).wrapping_add(1),
        }
    }

    /// Has the packet belong to the service that [`Judge::service`] gave of another.
    #[inline(always)]
    pub fn belongs_to(&mut self, service: u8) {
        self.scratch.inherited = service;
    }

    /// Counts the verdict, samples it, and turns it into what the driver does.
    #[inline(always)]
    pub fn conclude(mut self, frame: &XdpFrame, reason: Reason) -> u32 {
        log::verdict(frame, reason);
        let length = self.length();
        let action = reason.action();
        count::add(counter::happened(reason), length);
        let shown = match (action, self.scratch.observed()) {
            (Action::Pass, Some(code)) => {
                count::add(counter::observed(code), length);
                code
            }
            (Action::Pass, None) | (Action::Drop | Action::Answer, _) => reason.code(),
        };
        sample::maybe(frame, shown, reason, &mut self);
        match action {
            Action::Pass => xdp_action::XDP_PASS,
            Action::Drop => xdp_action::XDP_DROP,
            Action::Answer if self.scratch.is_sent != 0 => xdp_action::XDP_TX,
            Action::Answer => xdp_action::XDP_DROP,
        }
    }
}
