//! Ceilings of protected services: who goes first when a service is sent more than it can take.
//!
//! Everybody shares the service's bucket. Newcomers may use half of it; from a quarter on they are
//! dropped at random, the more often the fuller it is (Floyd and Jacobson, "Random early detection
//! gateways for congestion avoidance", 1993). Sources that were seen before the overload or
//! are known good, established connections, and the allowlist may use all of it. Beyond a quarter every source is held to a fair
//! share, which grows and shrinks with the bucket's level, so that the heavy lose before the light
//! (Pan, Breslau, Prabhakar and Shenker, "Approximate fairness through differential dropping",
//! 2003).

mod known;

use core::ops::ControlFlow;

use aya_ebpf::{
    bindings::xdp_md,
    macros::map,
    maps::{Array, PerCpuArray},
};
use filter_common::{
    abi::{
        cpu::CpuState,
        feature::Feature,
        reason::Reason,
        rules::SLOTS,
        service::{SERVICES as MOST, Service, ServiceCounter, ServiceState},
        settings::{POLICIES, Settings},
    },
    logic::{
        bucket::{self, Limit},
        classify::lowest,
        hash::source_number,
        packet::Packet,
        share::{self, Level, Unit},
        source::{self, Line, SETS_LOG2, Slot},
    },
};

use crate::{
    atomic, clock::Tick, cpu, frame::XdpFrame, judge::Judge, lists::MMAPABLE, random, settings,
    shape,
};

#[map]
static SERVICES: Array<Service> = Array::with_max_entries(MOST * POLICIES, 0);

#[map]
static SERVICE_STATE: Array<ServiceState> = Array::with_max_entries(MOST, MMAPABLE);

#[map]
static SERVICE_COUNTERS: PerCpuArray<ServiceCounter> = PerCpuArray::with_max_entries(MOST, 0);

/// Buckets of fair shares, in sets of two ways.
#[map]
static SHARES: Array<Line> = Array::with_max_entries(1 << SHARE_LINES_LOG2, MMAPABLE);

const SHARE_LINES_LOG2: u32 = 15;
/// `64 - log2(sets)`, where a line has four sets.
const SHARES_SHIFT: u32 = 64 - SHARE_LINES_LOG2 - SETS_LOG2;

/// Charges a packet to the first service that it belongs to, and drops it if that has no room for
/// the likes of it.
#[inline(always)]
pub fn check(frame: &XdpFrame, judge: &mut Judge) -> ControlFlow<Reason> {
    if !shape::has(Feature::Services) || judge.services() == 0 {
        return ControlFlow::Continue(());
    }
    match services_visit(frame.raw(), judge.length()) {
        code if code == Reason::CeilingNew as u32 => judge.found(Reason::CeilingNew),
        code if code == Reason::CeilingHeavy as u32 => judge.found(Reason::CeilingHeavy),
        code if code == Reason::CeilingFull as u32 => judge.found(Reason::CeilingFull),
        _ => ControlFlow::Continue(()),
    }
}

/// Code of the reason why the noted packet has to go; zero if it has not. Exported, because it
/// then has a stack of its own and the verifier looks at it once.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn services_visit(context: *mut xdp_md, length: u32) -> u32 {
    if !shape::has(Feature::Services) {
        return 0;
    }
    let Some((cpu, scratch)) = cpu::own() else {
        return 0;
    };
    let Some(settings) = settings::noted(scratch) else {
        return 0;
    };
    let index = lowest(scratch.services()) & (MOST - 1);
    let (Some(service), Some(state), Some(counter)) = (
        SERVICES.get(scratch.policy().wrapping_mul(MOST).wrapping_add(index)),
        SERVICE_STATE.get_ptr_mut(index),
        SERVICE_COUNTERS.get_ptr_mut(index),
    ) else {
        return 0;
    };
    let visit = Visit {
        packet: scratch.packet(),
        is_favoured: scratch.spared() == Some(Reason::Allowed.code()),
        is_connected: scratch.spared() == Some(Reason::Established.code()),
        length,
        service,
        state,
        index,
        settings,
        now: Tick::now(),
    };
    let reason = visit.refusal(context, cpu);
    // SAFETY: only this CPU writes its own copy, and this program is not preempted by itself.
    let counter = unsafe { &mut *counter };
    let cell = match reason {
        None => &mut counter.passed,
        Some(Reason::CeilingNew) => &mut counter.dropped_new,
        Some(Reason::CeilingHeavy) => &mut counter.dropped_heavy,
        Some(_) => &mut counter.dropped_known,
    };
    *cell = cell.wrapping_add(1);
    reason.map_or(0, |reason| reason as u32)
}

/// A packet at a service.
struct Visit {
    packet: &'static Packet,
    /// Whether the source is on the allowlist.
    is_favoured: bool,
    /// Whether it was found to belong to a connection.
    is_connected: bool,
    length: u32,
    service: &'static Service,
    state: *mut ServiceState,
    index: u32,
    settings: &'static Settings,
    now: Tick,
}

impl Visit {
    /// Why the packet has to go; charges it if it has not.
    #[inline(always)]
    fn refusal(&self, context: *mut xdp_md, cpu: &mut CpuState) -> Option<Reason> {
        let level = self.level();
        if level.is_calm() && !self.is_overloaded() {
            known::note(self.packet, self.settings, cpu, self.now);
            self.pay();
            return None;
        }
        if level.is_crowded() {
            self.note_overload();
        }
        self.adjust(&level);
        let is_known = self.is_favoured
            || known::is_known(self.packet, self.settings, self.now)
            || crate::known::is_good(self.packet, self.settings);
        if level.is_full() {
            return Some(if is_known {
                Reason::CeilingFull
            } else {
                Reason::CeilingNew
            });
        }
        if !is_known
            && level.loses(random::number())
            && !self.is_connected
            && !known::is_established(context, self.packet)
        {
            self.note_overload();
            return Some(Reason::CeilingNew);
        }
        if !self.is_favoured && !self.is_fair() {
            return Some(Reason::CeilingHeavy);
        }
        self.pay();
        None
    }

    /// How full the fuller of the service's buckets would be with the packet.
    #[inline(always)]
    fn level(&self) -> Level {
        let packets = &self.service.packets;
        let bytes = &self.service.bytes;
        Level::of(
            self.after(self.packets(), packets, packets.interval),
            packets.depth,
        )
        .max(Level::of(
            self.after(self.bytes(), bytes, bytes.cost(self.length)),
            bytes.depth,
        ))
    }

    /// The deficit with the packet; none where there is no limit.
    #[inline(always)]
    fn after(&self, word: *mut u64, limit: &Limit, cost: u64) -> u64 {
        if limit.is_none() {
            return 0;
        }
        // SAFETY: a whole word of a live map value.
        let word = unsafe { word.read_volatile() };
        bucket::deficit(word, self.now.moment(), limit).wrapping_add(cost)
    }

    /// Charges the packet. Another CPU may have filled the bucket meanwhile: it is then above its
    /// depth by a packet, and the next one waits.
    #[inline(always)]
    fn pay(&self) {
        let now = self.now.moment();
        let packets = &self.service.packets;
        if !packets.is_none() {
            atomic::take(self.packets(), now, packets, packets.interval);
        }
        let bytes = &self.service.bytes;
        if !bytes.is_none() {
            atomic::take(self.bytes(), now, bytes, bytes.cost(self.length));
        }
    }

    /// What is shared: packets, or bytes where there is no ceiling in packets.
    #[inline(always)]
    fn shared(&self) -> (&Limit, Unit) {
        if self.service.packets.is_none() {
            (&self.service.bytes, Unit::Bytes)
        } else {
            (&self.service.packets, Unit::Packets)
        }
    }

    /// Holds a source to its fair share; charges it.
    #[inline(always)]
    fn is_fair(&self) -> bool {
        // SAFETY: a whole word of a live map value.
        let fair = unsafe { (&raw const (*self.state).fair).read_volatile() };
        let (ceiling, unit) = self.shared();
        let limit = share::limit(fair, ceiling, unit);
        if limit.is_none() {
            return true;
        }
        // Services are numbered behind the rules, so that a source has a share of each.
        let salt = source::salt(SLOTS.wrapping_add(self.index));
        let number = source_number(&self.packet.source).wrapping_add(salt);
        let family = self.packet.source.family();
        let slot = Slot::of_number(family, number, &self.settings.key, SHARES_SHIFT);
        match SHARES.get_ptr_mut(slot.line >> SETS_LOG2) {
            Some(line) => {
                let cost = match unit {
                    Unit::Packets => limit.interval,
                    Unit::Bytes => limit.cost(self.length),
                };
                atomic::charge(line, &slot, self.now.moment(), &limit, cost)
            }
            None => true,
        }
    }

    /// Lets the fair share follow the level, once a tick.
    #[inline(always)]
    fn adjust(&self, level: &Level) {
        let tick = self.now.count();
        // SAFETY: whole words of a live map value; two CPUs that adjust at the same time do it
        // once or twice.
        unsafe {
            let at = &raw mut (*self.state).fair_tick;
            if at.read_volatile() == tick {
                return;
            }
            at.write_volatile(tick);
            let fair = &raw mut (*self.state).fair;
            let (ceiling, unit) = self.shared();
            let next = share::next(fair.read_volatile(), level, ceiling, unit);
            fair.write_volatile(next);
        }
    }

    #[inline(always)]
    fn is_overloaded(&self) -> bool {
        // SAFETY: a whole word of a live map value.
        let until = unsafe { (&raw const (*self.state).overloaded_until).read_volatile() };
        until > self.now.count()
    }

    #[inline(always)]
    fn note_overload(&self) {
        let until = self.now.count().wrapping_add(self.settings.pressure_hold);
        // SAFETY: a whole word of a live map value.
        unsafe {
            let at = &raw mut (*self.state).overloaded_until;
            if at.read_volatile() != until {
                at.write_volatile(until);
            }
        }
    }

    #[inline(always)]
    fn packets(&self) -> *mut u64 {
        // SAFETY: a field of a live map value; nothing is read.
        unsafe { &raw mut (*self.state).packets }
    }

    #[inline(always)]
    fn bytes(&self) -> *mut u64 {
        // SAFETY: as above.
        unsafe { &raw mut (*self.state).bytes }
    }
}
