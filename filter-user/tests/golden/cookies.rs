//! SYN cookies: what is sent, and what is taken.

use std::{net::TcpListener, time::Duration};

use etherparse::TcpOptionElement::{
    MaximumSegmentSize, Noop, SelectiveAcknowledgementPermitted, Timestamp, WindowScale,
};
use filter_common::{
    abi::{
        defence::{Defence, PortSet},
        reason::Reason,
        settings::{Class, Settings},
    },
    logic::{bucket::Limit, repeat::UNIT_SHORTER},
};
use filter_user::dataplane::Dataplane as _;

use crate::{
    bench::{Bench, XDP_PASS, XDP_TX},
    force::{Force, only},
    frame::{ACK, FIN, PSH, RST, SYN},
    host::{self, CLIENT, OWN},
    segment::{Answer, Segment, usual_options},
};

/// Cookies at a port whose own SYN-ACKs told a window scale of 7.
pub fn force(port: u16, hz: u64) -> Force {
    let told = [8, 10, 0, 0, 0, 1, 0, 0, 0, 1, 1, 3, 3, 7];
    let own = Segment::syn(OWN[0], port, CLIENT[0], 1)
        .flags(SYN | ACK)
        .options(&scale_only_padded(&told));
    unseen(port, hz).sends(own.frame())
}

/// Cookies at a port of which no SYN-ACK was seen.
pub fn unseen(port: u16, hz: u64) -> Force {
    Force::new()
        .defend(Defence::Cookies, &OWN)
        .port(PortSet::Cookies, port)
        .with(|it| {
            it.cookies.mss = [1460, 1440];
            it.cookies.timestamps = 1;
            it.cookies.stamp = 30 * hz;
            it.seen_log2 = 20;
            it.prefix_mask_v4 = 0xffff_ff00;
            it.prefix_mask_v6 = 0xffff_ffff_ffff_0000;
        })
}

/// The answer to a SYN.
pub fn ask(bench: &mut Bench, force: &Force, syn: &Segment) -> Answer {
    bench.put(force);
    answer(bench, syn)
}

fn answer(bench: &mut Bench, syn: &Segment) -> Answer {
    let frame = syn.frame();
    let (verdict, left) = bench.transmit(&frame);
    assert_eq!(verdict, XDP_TX, "{syn:?}");
    let answer = Answer::read(&left);
    assert_eq!((answer.from, answer.to), (syn.to, syn.from));
    assert_eq!(
        (answer.from_port, answer.to_port),
        (syn.to_port, syn.from_port)
    );
    assert_eq!(answer.acknowledged, syn.sequence.wrapping_add(1));
    let (to, rest) = answer.link.split_at(6);
    let (from, rest) = rest.split_at(6);
    assert_eq!((from, to), (&frame[..6], &frame[6..12]));
    assert_eq!(rest, &frame[12..answer.link.len()], "tags and type");
    answer
}

/// A host whose cookies are on.
struct Defended {
    bench: Bench,
    hz: u64,
    listeners: [TcpListener; 2],
}

impl Defended {
    fn new() -> Self {
        let bench = Bench::new();
        host::enter();
        let hz = bench.hz();
        let first = host::listener(OWN[0]);
        let port = host::port(&first);
        let second = TcpListener::bind((OWN[1], port)).expect("the port is free");
        let mut defended = Self {
            bench,
            hz,
            listeners: [first, second],
        };
        defended.put(|force| force);
        defended
    }

    fn port(&self) -> u16 {
        host::port(&self.listeners[0])
    }

    fn put(&mut self, change: impl FnOnce(Force) -> Force) {
        let force = force(self.port(), self.hz);
        self.bench.put(&change(force));
    }

    fn syn(&self, family: usize, from_port: u16) -> Segment {
        Segment::syn(CLIENT[family], from_port, OWN[family], self.port())
    }

    fn meets(&mut self, says: &str, segment: &Segment, reason: Reason) {
        println!("{says}");
        let frame = segment.frame();
        let fate = self.bench.run(&frame);
        fate.assert(&frame, reason, None, true);
    }

    fn counted(&mut self) -> (u64, u64) {
        let port = self.port();
        let read = self
            .bench
            .kernel
            .cookie_ports(&[port])
            .expect("counters are read");
        (read[0].accepted, read[0].declined)
    }
}

#[test]
fn an_answer_is_sound_in_every_shape_and_its_acknowledgement_is_accepted() {
    let mut host = Defended::new();
    let mut accepted = 0;
    for family in [0, 1] {
        for tags in [vec![], vec![0x8100], vec![0x88a8, 0x8100]] {
            for network_options in [0, 8, 40] {
                for options in [vec![], vec![2, 4, 5, 0xb4], usual_options(0xcafe_f00d)] {
                    for payload in [0, 1, 300] {
                        let mut syn = host.syn(family, 1000 + accepted);
                        syn.tags.clone_from(&tags);
                        syn.network_options = network_options;
                        syn.options.clone_from(&options);
                        syn.payload = vec![0x5a; payload];
                        syn.sequence = 0xffff_ffff_u32.wrapping_add(u32::from(accepted) * 77_777);
                        let answer = answer(&mut host.bench, &syn);
                        assert_eq!(answer.window, 64_000);
                        let ack = syn.acknowledging(&answer);
                        host.meets("its acknowledgement", &ack, Reason::CookieAccepted);
                        accepted += 1;
                    }
                }
            }
        }
    }
    assert_eq!(host.counted(), (u64::from(accepted), 0));
}

#[test]
fn options_are_taken_up_where_the_kernel_finds_them_again() {
    let mut host = Defended::new();
    let mss = [MaximumSegmentSize(1460), MaximumSegmentSize(1440)];
    for family in [0, 1] {
        let port = host.port();
        let offers =
            |options: &[u8]| Segment::syn(CLIENT[family], 5, OWN[family], port).options(options);
        let usual = offers(&usual_options(0xcafe_f00d));
        let taken = answer(&mut host.bench, &usual).options;
        let [
            size,
            SelectiveAcknowledgementPermitted,
            Timestamp(own, theirs),
            Noop,
            WindowScale(7),
        ] = taken.as_slice()
        else {
            panic!("{taken:?}")
        };
        assert_eq!((size, *theirs), (&mss[family], 0xcafe_f00d));
        assert_eq!(
            own & 0x3f,
            0x10 | 9,
            "selective acknowledgements, and scale 9"
        );

        let scale_only = [8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 3, 3, 20, 1];
        let taken = answer(&mut host.bench, &offers(&scale_only_padded(&scale_only))).options;
        let [_, Noop, Noop, Timestamp(own, 1), Noop, WindowScale(7)] = taken.as_slice() else {
            panic!("{taken:?}")
        };
        assert_eq!(own & 0x3f, 14, "a scale of 20 is one of 14");

        let no_scale = [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0];
        let taken = answer(&mut host.bench, &offers(&no_scale)).options;
        let [_, Noop, Noop, Timestamp(own, 1)] = taken.as_slice() else {
            panic!("{taken:?}")
        };
        assert_eq!(own & 0x3f, 0xf, "no scale");

        // Without timestamps nothing else comes back.
        for options in [
            vec![2, 4, 5, 0xb4, 4, 2, 3, 3, 7, 0, 0, 0],
            // The timestamp is behind the end, or behind what lies about its length.
            [&[0, 0, 0, 0], usual_options(1).as_slice()].concat(),
            [&[30, 0, 1, 1], usual_options(1).as_slice()].concat(),
            [&[30, 60, 1, 1], usual_options(1).as_slice()].concat(),
            vec![1; 40],
        ] {
            let taken = answer(&mut host.bench, &offers(&options)).options;
            assert_eq!(taken, [mss[family].clone()], "{options:?}");
        }
    }
    host.put(|force| force.with(|it| it.cookies.timestamps = 0));
    let usual = host.syn(0, 6).options(&usual_options(1));
    assert_eq!(answer(&mut host.bench, &usual).options, [mss[0].clone()]);
}

/// Options end on a word.
fn scale_only_padded(options: &[u8]) -> Vec<u8> {
    let mut padded = options.to_vec();
    padded.resize(options.len().next_multiple_of(4), 1);
    padded
}

#[test]
fn the_timestamp_of_an_answer_is_not_later_than_the_kernels_and_close_to_it() {
    let mut host = Defended::new();
    let now = || {
        let mut time = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: the place is ours.
        let result = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
        assert_eq!(result, 0);
        (time.tv_sec * 1000 + time.tv_nsec / 1_000_000) as u32
    };
    for _ in 0..200 {
        let syn = host.syn(0, 7).options(&usual_options(1));
        let before = now();
        let answer = answer(&mut host.bench, &syn);
        let after = now();
        let Some(Timestamp(own, _)) = answer.options.get(2) else {
            panic!("{answer:?}")
        };
        assert!(
            after.wrapping_sub(*own) < 1 << 31,
            "{own} is later than {after}"
        );
        assert!(
            before.wrapping_sub(*own) as i32 <= 64,
            "{own} is long before {before}"
        );
    }
}

#[test]
fn a_cookie_is_taken_once_it_was_given_and_nothing_else_is() {
    let mut host = Defended::new();
    for family in [0, 1] {
        let syn = host.syn(family, 11);
        let answer = answer(&mut host.bench, &syn);
        let ack = syn.acknowledging(&answer);
        let mut forged = Vec::new();
        // The kernel tells four segment sizes by the lowest bits.
        for change in [4_u32, 1 << 24, 0x8000_0000] {
            let mut other = ack.clone();
            other.acknowledged = other.acknowledged.wrapping_add(change);
            forged.push(other);
        }
        let mut port = ack.clone();
        port.from_port += 1;
        forged.push(port);
        for flags in [ACK | RST, ACK | SYN, RST, FIN, PSH, ACK | SYN | FIN] {
            forged.push(ack.clone().flags(flags));
        }
        for segment in &forged {
            let reason = match segment.flags & (SYN | FIN) {
                flags if flags == SYN | FIN => Reason::TcpFlags,
                _ => Reason::CookieRefused,
            };
            host.meets("not the cookie", segment, reason);
        }
        host.meets(
            "data with the cookie",
            &ack.clone().flags(ACK | PSH),
            Reason::CookieAccepted,
        );
        host.meets(
            "its end with the cookie",
            &ack.clone().flags(ACK | FIN),
            Reason::CookieAccepted,
        );
        host.meets("the cookie", &ack, Reason::CookieAccepted);
        // The stack has not seen the cookie, and data follows it.
        let mut more = ack.clone().flags(ACK | PSH);
        more.sequence = more.sequence.wrapping_add(1460);
        host.meets("what follows a cookie", &more, Reason::Clean);
        more.from_port += 1;
        host.meets("what follows none", &more, Reason::CookieRefused);
    }
}

#[test]
fn the_kernels_own_cookies_are_taken_while_sockets_alone_are_asked() {
    let mut host = Defended::new();
    let syn = host.syn(0, 12);
    let answer = answer(&mut host.bench, &syn);
    host.put(|force| {
        force
            .with(|it| it.defences_always = 0)
            .defend(Defence::Sockets, &OWN)
    });
    host.meets(
        "the cookie",
        &syn.acknowledging(&answer),
        Reason::CookieAccepted,
    );
    host.meets("a SYN", &syn, Reason::Clean);
}

#[test]
fn a_syn_that_nobody_would_take_a_cookie_of_goes_to_the_stack() {
    let mut host = Defended::new();
    let syn = host.syn(0, 13);
    host::set("tcp_syncookies", 1);
    host.meets("cookies are not for all", &syn, Reason::Clean);
    assert_eq!(host.counted(), (0, 1));
    host::set("tcp_syncookies", 2);
    host.meets("they are", &syn, Reason::CookieAnswered);
    assert_eq!(host.counted(), (0, 1));

    host.put(|force| force.with(|it| it.unchecked = Reason::TcpFlags.bit()));
    let mut piece = crate::frame::v4(CLIENT[0], 6, crate::frame::syn(host.port()));
    piece = piece.piece(0, true);
    let frame = piece.frame();
    host.bench
        .run(&frame)
        .assert(&frame, Reason::Clean, None, true);
    host.meets(
        "a SYN that ends",
        &syn.clone().flags(SYN | FIN),
        Reason::Clean,
    );
    host.meets(
        "a SYN with ECN",
        &syn.clone().flags(SYN | 0xc0),
        Reason::CookieAnswered,
    );

    let port = host.port();
    host.listeners = [host::listener(OWN[0]), host::listener(OWN[1])];
    let syn = Segment::syn(CLIENT[0], 13, OWN[0], port);
    let elsewhere = force(port, host.hz);
    host.bench.put(&elsewhere);
    host.meets("nobody listens", &syn, Reason::Clean);
    host.bench.put(
        &elsewhere
            .defend(Defence::ClosedPorts, &OWN)
            .port(PortSet::TcpOpen, port),
    );
    host.meets(
        "nobody listens, and that is dropped",
        &syn,
        Reason::ClosedTcp,
    );
}

#[test]
fn a_syn_that_meets_a_connection_is_the_kernels_to_answer() {
    let mut host = Defended::new();
    let connection = host::connection(CLIENT[0], OWN[0], &host.listeners[0]);
    let mine = host.syn(0, connection.client_port());
    let other = host.syn(0, connection.client_port() ^ 1);
    host.meets(
        "a packet of the connection",
        &mine.clone().flags(ACK),
        Reason::Established,
    );
    host.meets("a SYN that meets it", &mine, Reason::Clean);
    host.meets("another SYN of the client", &other, Reason::CookieAnswered);
    connection.close();
    host.meets("a SYN that meets time-wait", &mine, Reason::Clean);
}

#[test]
fn answers_have_a_ceiling_in_all_and_for_each_prefix() {
    let mut host = Defended::new();
    let hz = host.hz;
    let count = |host: &mut Defended, from: &str, count: usize| {
        let syn = Segment::syn(from, 9, OWN[usize::from(from.contains(':'))], host.port());
        let frame = syn.frame();
        let answered = (0..count).filter(|_| host.bench.run(&frame).verdict == XDP_TX);
        answered.count()
    };
    host.put(|force| force.with(|it| it.cookies.answers_prefix = only(6, hz)));
    assert_eq!(count(&mut host, "198.51.100.1", 9), 3);
    assert_eq!(count(&mut host, "198.51.100.200", 9), 0, "the same prefix");
    assert_eq!(count(&mut host, "198.51.101.1", 9), 3, "another");
    assert_eq!(count(&mut host, "2001:db8:1::1", 9), 3);
    assert_eq!(count(&mut host, "2001:db8:1:ffff::1", 9), 0, "the same /48");
    // Who is known good has half of what strangers leave, beside what goes to the stack.
    host.bench
        .know(&[("198.51.101.9", 20_000..20_002), ("198.51.102.9", 0..0)]);
    host.put(|force| {
        force.with(|it| {
            it.cookies.answers_prefix = only(8, hz);
            it.cookies.known = only(2, hz);
        })
    });
    assert_eq!(
        count(&mut host, "198.51.101.1", 9),
        1,
        "beside three before"
    );
    assert_eq!(count(&mut host, "198.51.101.9", 9), 2);
    assert_eq!(count(&mut host, "198.51.102.9", 9), 4, "a stranger");
    // Strangers have at most half of what there is, and lose at random from a quarter on.
    host.put(|force| {
        force.with(|it| it.cookies.answers = Limit::new(1, 800, hz, 1).expect("a limit"))
    });
    let answered = count(&mut host, "198.51.100.1", 2000);
    assert!((200..=420).contains(&answered), "{answered}");
    host.meets_one_of(&[Reason::CookieCeiling]);
}

/// Ticks in a unit of time, as a power of two.
const UNIT_LOG2: u32 = 5;

/// A host whose client is known good, and has come with a hop limit of 52.
fn known_client() -> Defended {
    let mut host = Defended::new();
    host.bench.kernel.put_in_force().expect("the maps");
    host.bench.know(&[(CLIENT[0], 20_000..20_002)]);
    host.bench.expect_hops(CLIENT[0], 52);
    host
}

impl Defended {
    /// Ceilings of what goes to the stack as it is, and of answers for a prefix.
    fn limit(&mut self, known: u64, answers: u64) {
        self.limit_and(known, answers, |_| ());
    }

    fn limit_and(&mut self, known: u64, answers: u64, change: impl FnOnce(&mut Settings)) {
        let hz = self.hz;
        self.put(|force| {
            force.with(|it| {
                it.seen_log2 = UNIT_SHORTER + UNIT_LOG2;
                it.cookies.known = only(known, hz);
                it.cookies.answers_prefix = only(answers, hz);
                change(it);
            })
        });
    }

    /// Between 11 and 80 units.
    fn pause(&self) {
        std::thread::sleep(Duration::from_millis(20 * (1000 << UNIT_LOG2) / self.hz));
    }

    /// How many of so many SYNs with this hop limit, the first of them with this sequence number, have
    /// this fate.
    fn fates(&mut self, hops: u8, sequence: u32, count: u32, reason: Reason) -> usize {
        let mut syn = self.syn(0, 21);
        syn.hops = hops;
        let fates = (sequence..sequence + count).filter(|it| {
            syn.sequence = *it;
            self.bench.run(&syn.frame()).reason() == reason
        });
        fates.count()
    }
}

#[test]
fn a_part_of_what_known_good_sources_have_is_kept_for_the_hop_limit_they_come_with() {
    let mut host = known_client();
    host.limit(8, 8);
    let (unanswered, answered) = (Reason::Clean, Reason::CookieAnswered);
    assert_eq!(host.fates(53, 0, 99, unanswered), 4, "half of the burst");
    assert_eq!(host.fates(53, 100, 99, answered), 0, "the first had them");
    assert_eq!(host.fates(52, 200, 4, unanswered), 4, "the other half");
    assert_eq!(host.fates(52, 300, 99, answered), 1, "an eighth of eight");
}

#[test]
fn a_limit_of_one_leaves_room_for_one_without_the_expected_hop_limit() {
    let mut host = known_client();
    host.limit(1, 8);
    assert_eq!(host.fates(53, 0, 9, Reason::Clean), 1);
    assert_eq!(host.fates(52, 100, 9, Reason::Clean), 0, "that was all");
}

#[test]
fn who_goes_to_the_stack_is_charged_to_no_limit_where_cookies_are_enforced() {
    let mut host = known_client();
    let hz = host.hz;
    let mut answers = |enforced| {
        host.limit_and(16, 8, |it| {
            it.enforced = enforced;
            it.source.limits[Class::Syn as usize] = only(2, hz);
            it.source.always = Class::Syn.bit();
        });
        host.fates(52, 0, 9, Reason::Clean)
    };
    assert_eq!(answers(Reason::all_drops()), 9);
    let watched = Reason::all_drops() & !Reason::CookieAnswered.bit();
    assert_eq!(answers(watched), 2, "as if there were no cookies");
}

#[test]
fn a_syn_that_is_sent_again_is_answered_from_what_is_kept_for_such() {
    let mut host = known_client();
    host.limit(1, 16);
    // Three quarters of the burst, and one SYN to the stack; then another eighth.
    assert_eq!(host.fates(53, 0, 99, Reason::CookieCeiling), 99 - 13);
    assert_eq!(host.fates(52, 1000, 99, Reason::CookieCeiling), 99 - 2);
    let again =
        |host: &mut Defended, hops, sequence| host.fates(hops, sequence, 1, Reason::CookieAnswered);
    assert_eq!(again(&mut host, 52, 1098), 0, "it comes too soon");
    host.pause();
    assert_eq!(again(&mut host, 52, 5000), 0, "another");
    assert_eq!(again(&mut host, 53, 1098), 0, "another hop limit");
    assert_eq!(again(&mut host, 52, 1098), 1);
    assert_eq!(again(&mut host, 52, 1098), 0, "without a pause");
    assert_eq!(again(&mut host, 52, 1097), 1, "there was room");
    assert_eq!(again(&mut host, 52, 1096), 0, "that was all");
}

#[test]
fn what_finds_no_room_on_the_cpu_costs_the_prefix_nothing() {
    let mut host = known_client();
    let hz = host.hz;
    let mut answered = |all, sequence, count| {
        host.limit_and(1, 16, |it| it.cookies.answers = all);
        host.fates(52, sequence, count, Reason::CookieAnswered)
    };
    // The CPU has room for one.
    assert_eq!(answered(only(1, hz), 0, 99), 1);
    host.pause();
    let mut answered = |all, sequence, count| {
        host.limit_and(1, 16, |it| it.cookies.answers = all);
        host.fates(52, sequence, count, Reason::CookieAnswered)
    };
    assert_eq!(answered(only(1, hz), 50, 40), 0);
    assert_eq!(answered(only(16, hz), 90, 4), 4);
}

impl Defended {
    /// The next SYN has one of these fates.
    fn meets_one_of(&mut self, reasons: &[Reason]) {
        let frame = self.syn(0, 14).frame();
        let fate = self.bench.run(&frame);
        let moved = reasons.iter().any(|reason| {
            let at = usize::from(reason.code());
            fate.after[at].packets > fate.before[at].packets
        });
        assert!(moved, "none of {reasons:?}");
    }
}

#[test]
fn monitor_mode_transmits_nothing_and_changes_nothing() {
    let mut host = Defended::new();
    host.put(|force| force.with(|it| it.enforced = 0));
    for family in [0, 1] {
        for options in [vec![], usual_options(1)] {
            let frame = host.syn(family, 15).options(&options).frame();
            let (verdict, left) = host.bench.transmit(&frame);
            assert_eq!((verdict, left), (XDP_PASS, frame.clone()));
            let fate = host.bench.run(&frame);
            fate.assert(&frame, Reason::Clean, Some(Reason::CookieAnswered), true);
        }
    }
}
