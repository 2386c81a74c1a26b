//! SYN cookies (Bernstein, 1996), made by the kernel's own helpers, so that its TCP takes what comes
//! back: the answer is sent from here, and the stack hears of a client when that has shown where it
//! is.

pub mod admitted;
mod ceilings;
pub mod counters;
pub mod guests;
pub mod learned;
mod repeats;
mod segment;
mod send;
mod stamps;

use core::ops::ControlFlow;

use aya_ebpf::bindings::xdp_md;
use filter_common::{
    abi::{
        defence::{Defence, mss_index},
        feature::Feature,
        reason::Reason,
        settings::Settings,
    },
    logic::{
        bucket,
        packet::{Fragment, Packet, TcpFlags, Transport},
        syn::{Offer, Terms},
    },
};

use self::ceilings::standing;
use self::learned::Learned;
pub use self::segment::Segment;
use crate::{
    clock::Tick,
    cpu,
    frame::XdpFrame,
    hops,
    judge::Judge,
    known,
    lookup::{Kind, TcpSocket},
    sample, settings, shape,
};

/// Answers a SYN to a defended port.
#[inline(always)]
pub fn answer(frame: &XdpFrame, judge: &mut Judge) -> ControlFlow<Reason> {
    let mut how = 0;
    if judge.decides(Reason::CookieAnswered) {
        how |= ENFORCED;
    }
    if judge.defends(Defence::ClosedPorts) {
        how |= CLOSED_PORTS;
    }
    let mut code = cookies_answer(frame.raw(), how);
    if code == NO_ROOM_YET {
        code = Reason::CookieCeiling as u32;
        if repeats::have_room(frame.raw()) {
            code = cookies_answer(frame.raw(), how | GRANTED);
        }
    }
    match code {
        code if code == Reason::CookieAnswered as u32 => judge.found(Reason::CookieAnswered),
        code if code == Reason::CookieCeiling as u32 => judge.found(Reason::CookieCeiling),
        code if code == Reason::ClosedTcp as u32 => judge.found(Reason::ClosedTcp),
        UNANSWERED => judge.spare(Reason::Clean),
        _ => ControlFlow::Continue(()),
    }
}

/// The answer is sent.
const ENFORCED: u32 = 1;
/// What goes to closed ports is dropped.
const CLOSED_PORTS: u32 = 2;
/// There is room for the answer.
const GRANTED: u32 = 4;
/// There is none, unless the SYN, whose source is known good, is one that is sent again.
const NO_ROOM_YET: u32 = u32::MAX;
/// The SYN is the stack's, within what there is for known good sources. It is charged to none, for it
/// may be forged.
const UNANSWERED: u32 = u32::MAX - 1;
/// The SYN is the stack's.
const NOTHING: u32 = 0;

/// The code of what becomes of the noted SYN, or [`NO_ROOM_YET`]; zero if it goes on to the stack. Makes the frame its
/// answer, after a sample, so that samples show what came: in one function, for each return costs
/// some nanoseconds where processors are kept from guessing it (SRSO). Exported, because it then has a stack of its own and the verifier looks at
/// it once.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn cookies_answer(context: *mut xdp_md, how: u32) -> u32 {
    let Some((cpu, scratch)) = cpu::own() else {
        return NOTHING;
    };
    let Some(settings) = settings::noted(scratch) else {
        return NOTHING;
    };
    if !shape::has(Feature::Cookies) {
        return NOTHING;
    }
    let packet = scratch.packet();
    let Transport::Tcp {
        source_port,
        destination_port,
        flags,
    } = packet.transport()
    else {
        return NOTHING;
    };
    if flags.0 & (TcpFlags::FIN | TcpFlags::RST) != 0 || !matches!(packet.fragment, Fragment::Whole)
    {
        return NOTHING;
    }
    let standing = scratch.stand(if !known::is_good(packet, settings) {
        standing::STRANGER
    } else if hops::are_expected(packet, settings) {
        standing::EXPECTED
    } else {
        standing::GOOD
    });
    if goes_unanswered(standing, &mut cpu.cookies_known, settings) {
        return if how & ENFORCED != 0 {
            UNANSWERED
        } else {
            NOTHING
        };
    }
    let syn = Syn {
        context,
        packet,
        source_port,
        port: destination_port,
        settings,
    };
    if guests::is_known(&packet.source, settings) && syn.meets_connection() {
        return NOTHING;
    }
    if how & GRANTED == 0 && !ceilings::have_room(packet, settings, cpu, standing) {
        return if standing == standing::STRANGER {
            Reason::CookieCeiling as u32
        } else {
            NO_ROOM_YET
        };
    }
    let Some(segment) = Segment::read_whole(context, packet) else {
        return NOTHING;
    };
    match syn.cookie(segment, how & ENFORCED != 0) {
        Cookie::Made(cookie) => {
            if !syn.note_terms(segment, cookie) {
                return NOTHING;
            }
            sample::answer(context, scratch.length, cpu);
            scratch.is_sent = send::send(context, scratch, destination_port, source_port).into();
            Reason::CookieAnswered as u32
        }
        Cookie::Watched => Reason::CookieAnswered as u32,
        Cookie::NoListener if how & CLOSED_PORTS != 0 => Reason::ClosedTcp as u32,
        Cookie::NoListener | Cookie::Declined => NOTHING,
    }
}

/// Whether the stack gets the SYN of a known good source as it is, so many a second. Of those without
/// an expected hop limit half of the burst is kept back, so that the others go first; but room for one
/// there is, however small the burst.
#[inline(always)]
fn goes_unanswered(standing: u64, bucket: &mut u64, settings: &Settings) -> bool {
    if standing == standing::STRANGER {
        return false;
    }
    let mut limit = settings.cookies.known;
    let part = limit.depth.wrapping_shr(1 & !standing as u32);
    limit.depth = part.max(limit.interval);
    bucket::take(bucket, Tick::now().moment(), &limit)
}

/// What came of asking for a cookie.
enum Cookie {
    Made(u32),
    /// Nothing is sent, so that none is made.
    Watched,
    /// Nobody listens.
    NoListener,
    /// The kernel would not take it, or the SYN belongs to a connection.
    Declined,
}

/// A SYN to be answered.
struct Syn {
    context: *mut xdp_md,
    packet: &'static Packet,
    source_port: u16,
    port: u16,
    settings: &'static Settings,
}

/// The window of an answer where none was learned: that of the kernel's defaults.
const WINDOW: u32 = 64_240;
/// Nanoseconds in a millisecond, which timestamps count.
const MILLISECOND: u64 = 1_000_000;

impl Syn {
    #[inline(always)]
    fn find(&self) -> Option<TcpSocket> {
        let from = (&self.packet.source, self.source_port);
        TcpSocket::find(self.context, from, (&self.packet.destination, self.port))
    }

    /// Whether it meets a connection that is, or was a moment ago.
    #[inline(always)]
    fn meets_connection(&self) -> bool {
        let Some(socket) = self.find() else {
            return false;
        };
        let kind = socket.kind();
        socket.release();
        kind != Kind::Listener
    }

    /// The cookie; stamps the listener if that is due.
    #[inline(always)]
    fn cookie(&self, segment: &mut Segment, is_enforced: bool) -> Cookie {
        let (to, port) = (&self.packet.destination, self.port);
        if is_enforced && stamps::is_fresh(to, port, self.settings) {
            return match segment.cookie() {
                Some(cookie) => Cookie::Made(cookie),
                None => Cookie::Declined,
            };
        }
        let Some(socket) = self.find() else {
            return Cookie::NoListener;
        };
        if socket.kind() != Kind::Listener {
            socket.release();
            return Cookie::Declined;
        }
        if !is_enforced {
            socket.release();
            return Cookie::Watched;
        }
        let cookie = segment.cookie_of(&socket);
        socket.release();
        match cookie {
            Some(cookie) => {
                stamps::note(to, port, self.settings);
                Cookie::Made(cookie)
            }
            None => {
                counters::declined(port);
                Cookie::Declined
            }
        }
    }

    /// Notes how the SYN is answered; false if the kernel is to answer it, so that its terms are
    /// seen.
    #[inline(always)]
    fn note_terms(&self, segment: &Segment, cookie: u32) -> bool {
        let Some(scratch) = cpu::notes() else {
            return false;
        };
        let cookies = &self.settings.cookies;
        let learned = Learned::of(self.port);
        let known = learned.window();
        let (window, window_scale) = known.unwrap_or((WINDOW, 0));
        scratch.offer = Offer::default();
        let mut timestamp = 0;
        if cookies.timestamps != 0 {
            scratch.offer = segment.offer();
            if scratch.offer.has_timestamps != 0 {
                if known.is_none() && scratch.offer.has_window_scale != 0 {
                    if learned.takes_turn(self.port, self.settings) {
                        return false;
                    }
                    scratch.offer.has_window_scale = 0;
                }
                timestamp = scratch.offer.timestamp_of_answer(milliseconds());
            }
        }
        scratch.terms = Terms {
            cookie,
            sequence: segment.sequence(),
            mss: cookies.mss[mss_index(self.packet.source.family())],
            window,
            window_scale,
            timestamp,
        };
        true
    }
}

/// The kernel's clock of TCP timestamps.
#[doc(alias = "bpf_ktime_get_ns")]
#[inline(always)]
fn milliseconds() -> u64 {
    // SAFETY: the helper takes nothing and has no precondition.
    unsafe { aya_ebpf::helpers::generated::bpf_ktime_get_ns() / MILLISECOND }
}
