//! IP protocols that are neither TCP, UDP nor ICMP.

use filter_common::abi::{
    defence::{
        Defence,
        ProtocolPolicy::{Drop, Limit, Pass},
    },
    reason::Reason::{Allowed, Clean, Control, LimitProtocols, ProtocolDrop, RulePass, Truncated},
};

use crate::{
    force::{Force, only},
    frame::{AUTHENTICATION, DESTINATION, ICMP, IGMP, TCP, UDP, icmp, syn, udp, v4, v6},
    icmp::{NO_ROOM, press},
    row::{Row, Scenario, row},
};

const GRE: u8 = 47;
const ESP: u8 = 50;
const NONE: u8 = 59;
const OSPF: u8 = 89;
const SCTP: u8 = 132;
const HOST: &str = "192.0.2.7";

pub fn scenarios(hz: u64) -> Vec<Scenario> {
    vec![
        Scenario {
            name: "policies of protocols",
            force: Force::new()
                .policies(&[
                    (GRE, Drop),
                    (NONE, Drop),
                    (IGMP, Drop),
                    (TCP, Drop),
                    (UDP, Drop),
                    (ICMP, Drop),
                    (ESP, Limit),
                    (SCTP, Pass),
                ])
                .allow("198.51.100.6/32")
                .rule("pass ip proto 47 from 198.51.100.5")
                .with(|settings| settings.protocols = only(2, hz)),
            rows: policies(),
        },
        Scenario {
            name: "protocols while the defence is on",
            force: Force::new()
                .policies(&[(SCTP, Pass), (GRE, Drop)])
                .with(|settings| {
                    settings.defences_always = Defence::Protocols.bit();
                    settings.protocols = NO_ROOM;
                }),
            rows: vec![
                row("one without a policy", packet(OSPF), LimitProtocols),
                row("whichever", packet(255), LimitProtocols),
                row("one that passes", packet(SCTP), Clean),
                row("one that is dropped", packet(GRE), ProtocolDrop),
                row("TCP is none", v4(HOST, TCP, syn(80)).frame(), Clean),
            ],
        },
        Scenario {
            name: "protocols without a limit",
            force: Force::new().policies(&[(ESP, Limit)]).with(|settings| {
                settings.defences_always = Defence::Protocols.bit();
            }),
            rows: vec![
                row("one without a policy", packet(OSPF), Clean),
                row("one that is limited", packet(ESP), Clean),
            ],
        },
        Scenario {
            name: "protocols while the defence waits for pressure",
            force: waiting(),
            rows: vec![row("one without a policy", packet(OSPF), Clean)],
        },
        Scenario {
            name: "protocols that are only watched",
            force: Force::new()
                .policies(&[(TCP, Drop), (GRE, Drop), (ESP, Limit), (DESTINATION, Drop)])
                .allow("198.51.100.6/32")
                .with(|settings| {
                    settings.enforced = 0;
                    settings.protocols = NO_ROOM;
                }),
            rows: vec![
                row("one that is dropped", packet(GRE), Clean).observed(ProtocolDrop),
                row("one that is limited", packet(ESP), Clean).observed(LimitProtocols),
                row(
                    "one of the allowed",
                    v4("198.51.100.6", GRE, vec![0; 8]).frame(),
                    Allowed,
                )
                .observed(ProtocolDrop),
                row(
                    "a segment that is cut short is none of these",
                    v4(HOST, TCP, vec![0; 8]).frame(),
                    Clean,
                )
                .observed(Truncated),
                row(
                    "nor headers that cannot be followed",
                    v6("2001:db8::7", GRE, vec![])
                        .header(DESTINATION, 0)
                        .payload_length(9)
                        .frame(),
                    Clean,
                )
                .observed(Truncated),
            ],
        },
    ]
}

/// To come late, for pressure lasts.
pub fn under_pressure(hz: u64) -> Scenario {
    Scenario {
        name: "protocols under pressure",
        force: waiting().with(|settings| press(settings, hz)),
        rows: vec![row("one without a policy", packet(OSPF), LimitProtocols)],
    }
}

fn waiting() -> Force {
    Force::new().with(|settings| {
        settings.defences_pressed = Defence::Protocols.bit();
        settings.protocols = NO_ROOM;
    })
}

fn packet(protocol: u8) -> Vec<u8> {
    v4(HOST, protocol, vec![0; 8]).frame()
}

fn packet6(protocol: u8) -> Vec<u8> {
    v6("2001:db8::7", protocol, vec![0; 8]).frame()
}

fn policies() -> Vec<Row> {
    vec![
        row("one that is dropped", packet(GRE), ProtocolDrop),
        row("over IPv6, too", packet6(GRE), ProtocolDrop),
        row(
            "behind extension headers, too",
            v6("2001:db8::7", GRE, vec![0; 8])
                .header(DESTINATION, 0)
                .header(AUTHENTICATION, 0)
                .frame(),
            ProtocolDrop,
        ),
        row("no next header", packet6(NONE), ProtocolDrop),
        row(
            "its first fragment",
            v4(HOST, GRE, vec![0; 8]).piece(0, true).frame(),
            ProtocolDrop,
        ),
        row("one that is limited", packet(ESP), Clean),
        row("from whomever", packet6(ESP), Clean),
        row("above the limit", packet(ESP), LimitProtocols),
        row("whoever sends it", packet6(ESP), LimitProtocols),
        row("one that passes", packet(SCTP), Clean),
        row("one without a policy", packet(OSPF), Clean),
        row("TCP has none", v4(HOST, TCP, syn(80)).frame(), Clean),
        row("nor has UDP", v4(HOST, UDP, udp(1000, 53)).frame(), Clean),
        row("nor ICMP", v4(HOST, ICMP, icmp(8, 0)).frame(), Clean),
        row(
            "membership of this link",
            v4(HOST, IGMP, vec![0x16; 8]).hops(1).frame(),
            Control,
        ),
        row(
            "membership from elsewhere",
            v4(HOST, IGMP, vec![0x16; 8]).hops(2).frame(),
            ProtocolDrop,
        ),
        row(
            "one of the allowed",
            v4("198.51.100.6", GRE, vec![0; 8]).frame(),
            ProtocolDrop,
        ),
        row(
            "one that a rule passes",
            v4("198.51.100.5", GRE, vec![0; 8]).frame(),
            RulePass,
        ),
    ]
}
