//! The lab itself: what it puts on the wire is well-formed, and it leaves nothing behind.
//!
//! Needs root, for namespaces and BPF.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails, helpers included"
)]

use std::{fs, net::Ipv4Addr, path::Path, time::Duration};

use anyhow::{Context as _, Result};
use aya::programs::{TestRun as _, TestRunOptions};
use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use xtask::lab::{
    attack::{self, Attack, Sources, Template, Traffic},
    clock,
    flood::{self, Flood, Pace},
    http::{Client, Heard, Server},
    packet_socket::PacketSocket,
    people::{Guests, People, Report, Services},
    programs::{Lab, Tables},
    sandbox::{Ns, Options, Sandbox, hosts},
};

/// How long anything may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn every_packet_of_every_template_has_right_checksums_and_varies() {
    let mut lab = Lab::load(Tables::Tiny).unwrap();
    let mut templates = 0;
    for attack in attack::all() {
        let Traffic::Template(template) = attack.traffic else {
            continue;
        };
        let shape = template.shape(attack.carrier, 1).unwrap();
        lab.set_shape(shape, 7).unwrap();
        let packets: Vec<Vec<u8>> = (0..20)
            .map(|_| next_packet(&mut lab, "flood", attack.template().unwrap()).unwrap())
            .collect();
        for packet in &packets {
            assert_sound(packet, &attack, template);
        }
        assert!(
            packets.iter().any(|packet| *packet != packets[0]),
            "{}",
            attack.name
        );
        assert_eq!(lab.made().unwrap(), 20);
        templates += 1;
    }
    assert!(templates > 50, "{templates}");
}

#[test]
fn frames_made_beforehand_are_sent_in_order_whatever_their_lengths() {
    let frames = vec![vec![1; 14], vec![2; 1522], vec![3; 60]];
    let mut lab = Lab::load(Tables::Album(3)).unwrap();
    lab.set_album(&frames, 1).unwrap();
    for turn in 0..7 {
        let packet = next_packet(&mut lab, "replay", vec![0; 1522]).unwrap();
        assert_eq!(packet, frames[turn % 3], "turn {turn}");
    }
    assert!(lab.set_album(&[vec![0; 1523]], 1).is_err());
}

#[test]
fn a_flood_arrives_at_the_pace_it_is_given() {
    let sandbox = Sandbox::new(&Default::default()).unwrap();
    let _drop = Lab::load(Tables::Tiny)
        .unwrap()
        .attach("bare_drop", sandbox.server(), hosts::SERVER.interface)
        .unwrap();
    let options = flood::Options {
        pace: Pace::PerSecond(50_000),
        cpu: None,
        first: false,
    };
    // A machine with other work may be late, or lose frames in the ring of the veth; it is not so
    // again and again.
    let tries: Vec<String> = (0..TRIES)
        .map_while(|_| missed_pace(&sandbox, options))
        .collect();
    assert!(tries.len() < TRIES, "{tries:?}");
}

/// How often something is tried that other work of the machine may disturb.
const TRIES: usize = 10;

/// What was wrong with two seconds of a flood of 50,000 a second, if anything.
fn missed_pace(sandbox: &Sandbox, options: flood::Options) -> Option<String> {
    let received = || {
        let traffic = sandbox.traffic(Ns::Server, hosts::SERVER.interface);
        traffic.unwrap().received
    };
    let before = received();
    let flood = Flood::start(sandbox, &attack::named("udp-random").unwrap(), options).unwrap();
    std::thread::sleep(Duration::from_secs(2));
    let sent = flood.finish().unwrap();
    let received = received() - before;
    // Neighbour discovery adds a few packets.
    let whole = received + sent / 100 >= sent && received <= sent + 50;
    let right = (90_000..=125_000).contains(&sent) && whole;
    (!right).then(|| format!("sent {sent}, received {received}"))
}

#[test]
fn visitors_from_many_addresses_are_served() {
    let sandbox = Sandbox::new(&Default::default()).unwrap();
    let _server = Server::start(sandbox.server(), None).unwrap();
    let client = Client::start(sandbox.client(), None).unwrap();
    let end = clock::now() + PATIENCE;
    let mut heard = Heard::default();
    while heard.answered <= 50 && clock::now() < end {
        std::thread::sleep(Duration::from_millis(100));
        heard.add(&client.take());
    }
    assert!(heard.answered > 50, "{heard:?}");
    assert_eq!(heard.failed, 0);
}

#[test]
fn everybody_is_served_in_calm_and_the_narrow_path_is_learned() {
    let options = Options {
        far: true,
        ..Options::default()
    };
    let sandbox = Sandbox::new(&options).unwrap();
    let _services = Services::start(&sandbox, None).unwrap();
    let guests = Guests {
        partner: true,
        crowd: true,
        rate: None,
    };
    let people = People::start(&sandbox, guests, None).unwrap();
    std::thread::sleep(Duration::from_secs(2));
    let reports = people.finish().unwrap();
    assert_eq!(reports.len(), 13);
    for Report { who, heard } in &reports {
        assert!(heard.answered >= 10, "{who}: {heard:?}");
        assert_eq!(heard.failed, 0, "{who}: {heard:?}");
    }
    // The router had to say it, in both families.
    let read = |path: &str| fs::read_to_string(path).unwrap();
    let (v4, v6) = sandbox
        .in_ns(Ns::Router, || {
            let base = "/proc/thread-self/net";
            (
                read(&format!("{base}/snmp")),
                read(&format!("{base}/snmp6")),
            )
        })
        .unwrap();
    let icmp: Vec<&str> = v4
        .lines()
        .filter(|line| line.starts_with("Icmp:"))
        .collect();
    let place = icmp[0]
        .split(' ')
        .position(|name| name == "OutDestUnreachs");
    let unreachable: u64 = icmp[1]
        .split(' ')
        .nth(place.unwrap())
        .unwrap()
        .parse()
        .unwrap();
    assert!(unreachable > 5, "{v4}");
    let too_big = v6
        .lines()
        .find(|line| line.starts_with("Icmp6OutPktTooBigs"));
    let too_big: u64 = too_big
        .unwrap()
        .split_whitespace()
        .nth(1)
        .unwrap()
        .parse()
        .unwrap();
    assert!(too_big > 5, "{v6}");
}

#[test]
fn a_tagged_frame_reaches_the_server_with_its_tag() {
    let sandbox = Sandbox::new(&Default::default()).unwrap();
    let socket = sandbox
        .packet_socket(Ns::Server, hosts::SERVER.interface)
        .unwrap();
    let mut frame = attack::named("syn-one").unwrap().template().unwrap();
    frame.splice(12..12, [0x81, 0x00, 0x00, 0x07]);
    sandbox.send_to_server(&frame).unwrap();
    // The receiving socket sees the tag as the kernel's metadata: 4 bytes less, from the tag's id.
    assert!(is_received(&socket, |got| {
        got.len() + 4 == frame.len() && got[12..] == frame[16..]
    }));
}

#[test]
fn frames_sent_back_by_the_server_can_be_seen_on_the_wire() {
    let sandbox = Sandbox::new(&Default::default()).unwrap();
    let _server = Server::start(sandbox.server(), None).unwrap();
    let wire = sandbox.wire_socket().unwrap();
    let frame = attack::named("syn-one").unwrap().template().unwrap();
    wire.send(&frame).unwrap();
    assert!(is_received(&wire, is_syn_ack_to_first_bot));
}

/// Whether such a frame comes in before long, among others.
fn is_received(socket: &PacketSocket, is_it: impl Fn(&[u8]) -> bool) -> bool {
    let end = clock::now() + PATIENCE;
    while clock::now() < end {
        let got = socket.receive(Duration::from_millis(200)).unwrap();
        if got.is_some_and(|got| is_it(&got)) {
            return true;
        }
    }
    false
}

#[test]
fn nothing_is_left_of_a_sandbox() {
    let sandbox = Sandbox::new(&Default::default()).unwrap();
    let folder = sandbox.folder();
    let names: Vec<String> = [Ns::Attacker, Ns::Client, Ns::Server, Ns::Wire]
        .map(|ns| sandbox.namespace(ns).name().to_owned())
        .into();
    let mut sleeper = sandbox
        .command(Ns::Server, "sleep")
        .arg("600")
        .spawn()
        .unwrap();
    assert!(sandbox.bpf().is_dir());
    drop(sandbox);
    assert!(!sleeper.wait().unwrap().success());
    assert!(!folder.exists());
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    for name in names {
        assert!(!Path::new("/run/netns").join(&name).exists());
        assert!(!mounts.contains(&name));
    }
    assert!(!mounts.contains(&*folder.to_string_lossy()));
}

fn next_packet(lab: &mut Lab, program: &str, template: Vec<u8>) -> Result<Vec<u8>> {
    let mut packet = vec![0; template.len()];
    let options = TestRunOptions {
        data_in: Some(&template),
        data_out: Some(&mut packet),
        ..TestRunOptions::new()
    };
    let result = lab.program(program)?.test_run(options).context("flood")?;
    assert_eq!(result.return_value, 4, "XDP_REDIRECT");
    packet.truncate(result.data_size_out as usize);
    Ok(packet)
}

/// Checked with another's eyes than those that computed the sums.
fn assert_sound(packet: &[u8], attack: &Attack, template: Template) {
    let name = &attack.name;
    let sliced = SlicedPacket::from_ethernet(packet).expect(name);
    let net = sliced.net.as_ref().expect(name);
    let tcp = |tcp: &etherparse::TcpSlice<'_>| (tcp.to_header(), tcp.payload().to_vec());
    match net {
        NetSlice::Ipv4(ip) => {
            let header = ip.header().to_header();
            assert_eq!(
                header.calc_header_checksum(),
                header.header_checksum,
                "{name}"
            );
            assert!(!attack.carrier.v6, "{name}");
            let source = Ipv4Addr::from(header.source);
            assert!(belongs(source, template.sources), "{name}: {source}");
            match &sliced.transport {
                Some(TransportSlice::Udp(udp)) => {
                    let sum = udp.to_header().calc_checksum_ipv4(&header, udp.payload());
                    assert_eq!(sum.expect(name), udp.checksum(), "{name}");
                }
                Some(TransportSlice::Tcp(segment)) => {
                    let (segment, payload) = tcp(segment);
                    let sum = segment.calc_checksum_ipv4(&header, &payload);
                    assert_eq!(sum.expect(name), segment.checksum, "{name}");
                }
                Some(TransportSlice::Icmpv4(icmp)) => {
                    let sum = icmp.icmp_type().calc_checksum(icmp.payload());
                    assert_eq!(sum, icmp.checksum(), "{name}");
                }
                Some(TransportSlice::Icmpv6(_) | TransportSlice::Igmp(_)) => {
                    panic!("{name} is of another protocol")
                }
                None => {}
            }
        }
        NetSlice::Ipv6(ip) => {
            let header = ip.header().to_header();
            assert!(attack.carrier.v6, "{name}");
            if !matches!(template.sources, Sources::Server | Sources::Partner) {
                assert_eq!(header.source[..4], [0x3f, 0xff, 0, 0], "{name}");
            }
            match &sliced.transport {
                Some(TransportSlice::Udp(udp)) => {
                    let sum = udp.to_header().calc_checksum_ipv6(&header, udp.payload());
                    assert_eq!(sum.expect(name), udp.checksum(), "{name}");
                }
                Some(TransportSlice::Tcp(segment)) => {
                    let (segment, payload) = tcp(segment);
                    let sum = segment.calc_checksum_ipv6(&header, &payload);
                    assert_eq!(sum.expect(name), segment.checksum, "{name}");
                }
                Some(TransportSlice::Icmpv6(icmp)) => {
                    let sum = icmp.icmp_type().calc_checksum(
                        header.source,
                        header.destination,
                        icmp.payload(),
                    );
                    assert_eq!(sum.expect(name), icmp.checksum(), "{name}");
                }
                Some(TransportSlice::Icmpv4(_) | TransportSlice::Igmp(_)) => {
                    panic!("{name} is of another protocol")
                }
                None => {}
            }
        }
        NetSlice::Arp(_) => panic!("{name} is ARP"),
    }
}

fn belongs(source: Ipv4Addr, sources: Sources) -> bool {
    let [a, b, ..] = source.octets();
    match sources {
        Sources::One | Sources::Walk => source == Ipv4Addr::new(198, 18, 0, 1),
        Sources::Many { bits } => a == 198 && b == 18 && u32::from(source) & 0xffff < 1 << bits,
        Sources::Random | Sources::Scattered { .. } => a & 0xc0 == 0x80,
        Sources::InOrder => a & 0xc0 == 0x80 && source.octets()[3] == 0,
        Sources::Server => source == hosts::SERVER.v4,
        Sources::Partner => source == attack::PARTNER_V4,
    }
}

fn is_syn_ack_to_first_bot(frame: &[u8]) -> bool {
    let Ok(sliced) = SlicedPacket::from_ethernet(frame) else {
        return false;
    };
    let to_bot = matches!(&sliced.net, Some(NetSlice::Ipv4(ip))
        if ip.header().destination_addr() == Ipv4Addr::new(198, 18, 0, 1));
    to_bot && matches!(&sliced.transport, Some(TransportSlice::Tcp(tcp)) if tcp.syn() && tcp.ack())
}
