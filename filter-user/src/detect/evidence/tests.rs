use super::*;
use crate::detect::{profile::Share, rates::Window};

const NORMAL: Normal = Normal {
    usual: Some(100.0),
    threshold: 1_000.0,
    ceiling: None,
};

/// A second in which `packets` of a vector came, of which `alien` belong to nothing.
fn second(vector: Vector, packets: f64, alien: f64) -> Window {
    let mut window = Window {
        seconds: 1.0,
        ..Window::default()
    };
    let class = vector.class().unwrap() as usize;
    window.packets[class] = packets;
    window.bytes[class] = packets * 80.0;
    window.fates.alien[class] = alien;
    window.fates.stopped[class] = alien;
    window
}

fn weigh(vector: Vector, window: &Window, crowd: &Crowd, jumped: bool) -> Evidence {
    Signs {
        vector,
        brisk: window,
        steady: window,
        normal: &NORMAL,
        crowd,
        strain: &Strain::default(),
        jumped,
        talk: 1.0,
        accompanied: false,
        counts_handshakes: true,
    }
    .weigh()
}

fn many() -> Crowd {
    Crowd {
        samples: 200,
        sources: 190,
        heaviest: 0.1,
        single: 0.95,
        one_hop: 0.2,
        ..Crowd::default()
    }
}

#[test]
fn syns_are_told_by_what_becomes_of_them() {
    let mut window = second(Vector::Syn, 5_000.0, 0.0);
    let flood = weigh(Vector::Syn, &window, &many(), true);
    assert!(flood.score >= ENOUGH);
    assert_eq!(flood.spoofed, Spoofed::Forged);
    assert_eq!(flood.words, ["of 5,000 SYNs/s, 0 become connections"]);
    window.handshakes = 4_600.0;
    let crowd = weigh(Vector::Syn, &window, &many(), true);
    assert!(crowd.score <= BENIGN);
    assert_eq!(crowd.spoofed, Spoofed::Real);
}

#[test]
fn where_handshakes_are_not_counted_data_speaks() {
    let mut window = second(Vector::Syn, 5_000.0, 0.0);
    let signs = |window: &Window| {
        Signs {
            vector: Vector::Syn,
            brisk: window,
            steady: window,
            normal: &NORMAL,
            crowd: &Crowd::default(),
            strain: &Strain::default(),
            jumped: false,
            talk: 1.0,
            accompanied: false,
            counts_handshakes: false,
        }
        .weigh()
        .score
    };
    assert!(signs(&window) >= ENOUGH);
    window.packets[Vector::Ack.class().unwrap() as usize] = 40_000.0;
    assert!(signs(&window) < ENOUGH);
}

#[test]
fn connections_are_told_by_what_follows_them() {
    let mut window = second(Vector::Ack, 4_400.0, 0.0);
    window.handshakes = 4_000.0;
    assert!(weigh(Vector::Connections, &window, &many(), true).score >= ENOUGH);
    window.packets[Vector::Ack.class().unwrap() as usize] = 60_000.0;
    assert!(weigh(Vector::Connections, &window, &many(), true).score <= BENIGN);
}

#[test]
fn what_belongs_to_nothing_is_enough_and_what_is_proven_speaks_against_it() {
    let crowd = Crowd {
        samples: 100,
        sources: 3,
        heaviest: 1.0,
        proven: 0.95,
        ..Crowd::default()
    };
    let backup = second(Vector::Ack, 80_000.0, 100.0);
    assert!(weigh(Vector::Ack, &backup, &crowd, true).score <= BENIGN);
    // A flood beside it is one, though it is the smaller part.
    let both = second(Vector::Ack, 80_000.0, 30_000.0);
    assert!(weigh(Vector::Ack, &both, &crowd, true).score >= ENOUGH);
}

#[test]
fn many_that_begin_at_once_are_no_crowd_of_people() {
    let window = second(Vector::Udp, 50_000.0, 0.0);
    assert!(weigh(Vector::Udp, &window, &many(), true).score >= ENOUGH);
    assert!(weigh(Vector::Udp, &window, &many(), false).score < ENOUGH);
    let few = Crowd {
        samples: 200,
        sources: 3,
        heaviest: 1.0,
        ..Crowd::default()
    };
    assert!(weigh(Vector::Udp, &window, &few, true).score <= BENIGN);
}

/// A newsletter over QUIC: scattered, met once, never here; of these, a share completed handshakes.
fn newsletter(proven: f64) -> Crowd {
    Crowd {
        single: 0.99,
        each: Some(1.2),
        unfamiliar: Some(0.75),
        vouched: Share::of(proven, 200.0),
        ..many()
    }
}

#[test]
fn visitors_over_quic_are_known_by_the_handshakes_that_come_with_them() {
    let window = second(Vector::Udp, 50_000.0, 0.0);
    let lossy = Strain {
        udp: 5_000.0,
        ..Strain::default()
    };
    let weigh_in = |strain: &Strain, crowd: &Crowd, window: &Window, accompanied| {
        Signs {
            vector: Vector::Udp,
            brisk: window,
            steady: window,
            normal: &NORMAL,
            crowd,
            strain,
            jumped: false,
            talk: 1.0,
            accompanied,
            counts_handshakes: true,
        }
        .weigh()
    };
    let weigh = |crowd: &Crowd, window: &Window, accompanied| {
        weigh_in(&Strain::default(), crowd, window, accompanied)
    };
    let calm = weigh(&newsletter(0.6), &window, true);
    assert!(calm.score < 0.5, "{calm:?}");
    assert_eq!(
        calm.words,
        ["60 % are of visitors, whose handshakes rose as much"]
    );
    // They are more than the server reads.
    assert!(weigh_in(&lossy, &newsletter(0.6), &window, true).score < ENOUGH);
    let forged = Crowd {
        odd_hops: 0.4,
        ..newsletter(0.6)
    };
    assert!(weigh_in(&lossy, &forged, &window, true).score >= ENOUGH);
    // Addresses of visitors are forged: no handshake comes of it.
    assert!(weigh(&newsletter(0.6), &window, false).score >= ENOUGH);
    // A flood four times as large as the newsletter it hides behind.
    assert!(weigh(&newsletter(0.12), &window, true).score >= ENOUGH);
    // Nobody proved anything, though little was observed.
    let few = Crowd {
        samples: 20,
        vouched: Share::of(0.0, 3.0),
        ..newsletter(0.0)
    };
    assert!(weigh(&few, &window, true).score >= ENOUGH);
    let forged = Crowd {
        impossible: 0.14,
        ..newsletter(0.6)
    };
    assert!(weigh(&forged, &window, true).score >= ENOUGH);
    let aliens = second(Vector::Udp, 50_000.0, 30_000.0);
    assert!(weigh(&newsletter(0.6), &aliens, true).score >= ENOUGH);
}

#[test]
fn losses_of_the_stack_are_evidence() {
    let window = second(Vector::Udp, 50_000.0, 0.0);
    let strain = Strain {
        udp: 5_000.0,
        ..Strain::default()
    };
    let signs = Signs {
        vector: Vector::Udp,
        brisk: &window,
        steady: &window,
        normal: &NORMAL,
        crowd: &Crowd::default(),
        strain: &strain,
        jumped: false,
        talk: 1.0,
        accompanied: false,
        counts_handshakes: true,
    };
    let evidence = signs.weigh();
    assert!(evidence.score >= ENOUGH);
    assert_eq!(
        evidence.words,
        ["5,000 datagrams/s find a socket's buffer full"]
    );
}
