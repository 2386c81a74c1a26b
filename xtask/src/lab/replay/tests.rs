use std::{
    fs,
    io::Cursor,
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
    time::Duration,
};

use pcap_file::{
    DataLink, Endianness,
    pcap::{PcapHeader, PcapPacket, PcapWriter},
    pcapng::{
        PcapNgWriter,
        blocks::{
            enhanced_packet::EnhancedPacketBlock, interface_description::InterfaceDescriptionBlock,
            simple_packet::SimplePacketBlock,
        },
    },
};

use super::{
    super::{frame as build, sandbox::hosts},
    *,
};

/// A file of a test's own, gone with it.
struct File(PathBuf);

impl File {
    fn new(name: &str, bytes: &[u8]) -> Self {
        let name = format!("floodwall-replay-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::write(&path, bytes).unwrap();
        Self(path)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

const VICTIM: Ipv4Addr = Ipv4Addr::new(10, 10, 10, 10);

/// A frame as it came to somebody else, with a wrong checksum, as offloading leaves it.
fn captured(source: [u8; 4], payload: usize) -> Vec<u8> {
    let ip = build::Ip::new(source.into(), VICTIM.into(), build::protocol::UDP);
    let mut frame = ip.frame([[9; 6]; 2], &build::udp(53, 40_000, &vec![7; payload]));
    frame[40..42].copy_from_slice(&[0xba, 0xd0]);
    frame
}

fn pcap(endianness: Endianness, datalink: DataLink, packets: &[(Vec<u8>, usize)]) -> Vec<u8> {
    let header = PcapHeader {
        endianness,
        datalink,
        ..PcapHeader::default()
    };
    let mut writer = PcapWriter::with_header(Vec::new(), header).unwrap();
    for (bytes, length) in packets {
        let packet = PcapPacket::new(Duration::ZERO, *length as u32, bytes);
        writer.write_packet(&packet).unwrap();
    }
    writer.into_writer()
}

fn pcapng(endianness: Endianness, packets: &[Vec<u8>]) -> Vec<u8> {
    let mut writer = PcapNgWriter::with_endianness(Cursor::new(Vec::new()), endianness).unwrap();
    // The first interface is there to be the wrong one.
    for linktype in [DataLink::LINUX_SLL, DataLink::ETHERNET] {
        writer
            .write_pcapng_block(InterfaceDescriptionBlock {
                linktype,
                snaplen: 65_535,
                options: Vec::new(),
            })
            .unwrap();
    }
    for bytes in packets {
        writer
            .write_pcapng_block(EnhancedPacketBlock {
                interface_id: 1,
                timestamp: Duration::ZERO,
                original_len: bytes.len() as u32,
                data: bytes.into(),
                options: Vec::new(),
            })
            .unwrap();
    }
    writer.into_inner().into_inner()
}

/// As it goes out, its ports its own.
fn sent(packet: &Packet) -> Result<Vec<u8>, LeftOut> {
    frame(packet, Ports::default())
}

fn read(file: &File) -> (Vec<Packet>, Option<String>) {
    let mut capture = Capture::open(&file.0).unwrap();
    let mut packets = Vec::new();
    while let Some(packet) = capture.next_packet().unwrap() {
        packets.push(packet);
    }
    (packets, capture.torn().map(str::to_owned))
}

fn ethernet(bytes: Vec<u8>) -> Packet {
    Packet {
        link: Link::Ethernet,
        length: bytes.len(),
        bytes,
    }
}

#[test]
fn both_formats_in_both_orders_of_bytes_give_the_same_packets() {
    let frames = [captured([192, 0, 2, 1], 20), captured([8, 8, 8, 8], 33)];
    let with_length: Vec<_> = frames.iter().map(|it| (it.clone(), it.len())).collect();
    for (number, order) in [Endianness::Big, Endianness::Little]
        .into_iter()
        .enumerate()
    {
        let files = [
            pcap(order, DataLink::ETHERNET, &with_length),
            pcapng(order, &frames),
        ];
        for (format, bytes) in files.iter().enumerate() {
            let file = File::new(&format!("same-{number}-{format}"), bytes);
            let (packets, torn) = read(&file);
            assert_eq!(packets, frames.clone().map(ethernet));
            assert_eq!(torn, None);
        }
    }
}

#[test]
fn a_simple_packet_of_pcapng_is_of_the_first_interface() {
    let mut writer = PcapNgWriter::new(Cursor::new(Vec::new())).unwrap();
    let interface = InterfaceDescriptionBlock {
        linktype: DataLink::RAW,
        snaplen: 0,
        options: Vec::new(),
    };
    writer.write_pcapng_block(interface).unwrap();
    let packet = captured([192, 0, 2, 1], 5)[14..].to_vec();
    let block = SimplePacketBlock {
        original_len: packet.len() as u32,
        data: (&packet).into(),
    };
    writer.write_pcapng_block(block).unwrap();
    let file = File::new("simple", &writer.into_inner().into_inner());
    let (packets, torn) = read(&file);
    assert_eq!((packets.len(), torn), (1, None));
    assert_eq!(packets[0].link, Link::Raw);
    assert_eq!(packets[0].bytes, packet);
}

#[test]
fn a_capture_cut_off_anywhere_gives_what_came_before_and_a_sentence() {
    let frames = [captured([192, 0, 2, 1], 20), captured([8, 8, 8, 8], 20)];
    let with_length: Vec<_> = frames.iter().map(|it| (it.clone(), it.len())).collect();
    let files = [
        pcap(Endianness::Little, DataLink::ETHERNET, &with_length),
        pcapng(Endianness::Little, &frames),
    ];
    for (format, bytes) in files.iter().enumerate() {
        for length in 0..bytes.len() {
            let file = File::new(&format!("cut-{format}"), &bytes[..length]);
            let Ok(mut capture) = Capture::open(&file.0) else {
                continue;
            };
            let mut count = 0;
            while let Some(packet) = capture.next_packet().unwrap() {
                assert_eq!(packet, ethernet(frames[count].clone()));
                count += 1;
            }
            assert!(count < 2, "{length} of {}", bytes.len());
            let between = capture.torn().is_none();
            // Where one packet, or none, ends exactly, nothing is missing.
            assert!(!between || length < bytes.len(), "{length}");
        }
    }
}

#[test]
fn garbage_is_refused_or_ends_in_a_sentence_and_never_takes_much() {
    let frames = [captured([192, 0, 2, 1], 20), captured([8, 8, 8, 8], 20)];
    let with_length: Vec<_> = frames.iter().map(|it| (it.clone(), it.len())).collect();
    let mut files = vec![
        pcap(Endianness::Big, DataLink::ETHERNET, &with_length),
        pcapng(Endianness::Big, &frames),
    ];
    let mut random = super::super::random::Random::new(7);
    for format in 0..2 {
        // Every byte, with every bit set, and with none.
        for at in 0..files[format].len() {
            for value in [0, 0xff] {
                let mut bytes = files[format].clone();
                bytes[at] = value;
                files.push(bytes);
            }
        }
    }
    files.extend((0..200).map(|length| random.bytes(length)));
    for bytes in &files {
        let file = File::new("garbage", bytes);
        if let Ok(survey) = Survey::of(&file.0) {
            assert!(survey.packets <= 2, "{survey:?}");
        }
    }
}

#[test]
fn what_is_wrong_with_a_file_is_said() {
    let said = |name: &str, bytes: &[u8]| {
        let file = File::new(name, bytes);
        Survey::of(&file.0).map_err(|error| format!("{error:#}"))
    };
    let error = said("text", b"this is no capture at all, but a text").unwrap_err();
    assert!(error.contains("neither pcap nor pcapng"), "{error}");
    assert!(said("empty", b"").unwrap_err().contains("neither pcap"));
    let wireless = pcap(
        Endianness::Little,
        DataLink::IEEE802_11,
        &[(vec![0; 40], 40)],
    );
    let error = said("wireless", &wireless).unwrap_err();
    assert!(error.contains("packet 1 is of link type 105"), "{error}");
    let error = format!(
        "{:#}",
        Survey::of(Path::new("/nonexistent.pcap")).unwrap_err()
    );
    assert!(error.contains("/nonexistent.pcap"), "{error}");
    let folder = format!("{:#}", Survey::of(&std::env::temp_dir()).unwrap_err());
    assert!(folder.contains("is a folder"), "{folder}");
    // A length that no packet has.
    let mut bytes = pcap(
        Endianness::Little,
        DataLink::ETHERNET,
        &[(captured([192, 0, 2, 1], 9), 51)],
    );
    bytes.extend([0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0x7f, 1, 0, 0, 0]);
    let survey = said("absurd", &bytes).unwrap();
    assert_eq!(survey.packets, 1);
    let torn = survey.torn.unwrap();
    assert!(
        torn.ends_with("behind 1 packets, there is a packet of 2147483647 bytes"),
        "{torn}"
    );
}

#[test]
fn a_packet_goes_to_the_server_from_its_source_with_right_sums() {
    let frame = sent(&ethernet(captured([203, 0, 114, 7], 20))).unwrap();
    assert_eq!(frame[..6], hosts::SERVER.mac);
    assert_eq!(frame[6..12], hosts::GATEWAY.mac);
    assert_eq!(frame[26..30], [203, 0, 114, 7]);
    assert_eq!(frame[30..34], hosts::SERVER.v4.octets());
    let mut mended = frame.clone();
    build::mend(&mut mended);
    assert_eq!(mended, frame);
    assert_ne!(frame[40..42], [0xba, 0xd0]);
}

#[test]
fn a_source_that_the_sandbox_has_itself_gets_a_stand_in() {
    for source in [
        hosts::SERVER.v4,
        hosts::CLIENT.v4,
        Ipv4Addr::new(100, 70, 3, 4),
    ] {
        let frame = sent(&ethernet(captured(source.octets(), 20))).unwrap();
        assert_eq!(frame[26..28], [198, 18]);
        assert_eq!(frame[28..30], source.octets()[2..]);
    }
}

#[test]
fn tags_stay_and_other_links_become_ethernet() {
    let whole = captured([8, 8, 8, 8], 20);
    let mut tagged = whole.clone();
    build::Tags::Two.insert(&mut tagged);
    let frame = sent(&ethernet(tagged)).unwrap();
    assert_eq!(frame[12..22], [0x88, 0xa8, 0, 7, 0x81, 0, 0, 0x2a, 8, 0]);
    let expected = sent(&ethernet(whole.clone())).unwrap();
    assert_eq!(frame[22..], expected[14..]);
    let others = [
        (Link::Raw, Vec::new()),
        (Link::Cooked, [vec![0; 14], vec![8, 0]].concat()),
        (Link::Cooked2, [vec![8, 0], vec![0; 18]].concat()),
    ];
    for (link, head) in others {
        let bytes = [&head, &whole[14..]].concat();
        let length = bytes.len();
        let frame = sent(&Packet {
            link,
            bytes,
            length,
        })
        .unwrap();
        assert_eq!(frame, expected, "{link:?}");
    }
}

#[test]
fn what_the_capture_cut_off_is_zeros_and_what_cannot_be_sent_is_counted() {
    let whole = captured([8, 8, 8, 8], 300);
    let cut = Packet {
        link: Link::Ethernet,
        bytes: whole[..96].to_vec(),
        length: whole.len(),
    };
    let frame = sent(&cut).unwrap();
    assert_eq!(frame.len(), whole.len());
    assert!(frame[96..].iter().all(|byte| *byte == 0));
    let mut mended = frame.clone();
    build::mend(&mut mended);
    assert_eq!(mended, frame);

    assert_eq!(
        sent(&ethernet(captured([8, 8, 8, 8], 2000))),
        Err(LeftOut::TooLong)
    );
    let mut arp = whole.clone();
    arp[12..14].copy_from_slice(&[0x08, 0x06]);
    for length in 0..20 {
        assert_eq!(
            sent(&ethernet(whole[..length].to_vec())),
            Err(LeftOut::NotIp)
        );
    }
    let packets: Vec<_> = [arp, whole, captured([8, 8, 8, 8], 2000)]
        .into_iter()
        .map(|bytes| (bytes.clone(), bytes.len()))
        .collect();
    let file = File::new(
        "count",
        &pcap(Endianness::Little, DataLink::ETHERNET, &packets),
    );
    let survey = Survey::of(&file.0).unwrap();
    assert_eq!(survey.packets, 1);
    assert_eq!(survey.left_out[&LeftOut::NotIp], 1);
    assert_eq!(survey.left_out[&LeftOut::TooLong], 1);
}

/// What UDP and its payload are, to the server, put together from two fragments that were captured:
/// a datagram from port 53 to 40,000.
fn sent_in_fragments(payload: &[u8], ports: Ports) -> Vec<u8> {
    let datagram = datagram(VICTIM, (53, 40_000), payload);
    let mut ip = build::Ip::new(REFLECTOR, VICTIM.into(), build::protocol::UDP);
    let mut assembled: Vec<u8> = Vec::new();
    for (offset, more, piece) in [
        (0, true, &datagram[..1200]),
        (1200, false, &datagram[1200..]),
    ] {
        ip.part = Some(build::Part {
            id: 7,
            offset,
            more,
        });
        let fragment = ethernet(ip.frame([[9; 6]; 2], piece));
        assembled.extend(&frame(&fragment, ports).unwrap()[34..]);
    }
    assembled
}

const REFLECTOR: IpAddr = IpAddr::V4(Ipv4Addr::new(8, 8, 8, 8));

fn datagram(to: Ipv4Addr, ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
    let ip = build::Ip::new(REFLECTOR, to.into(), build::protocol::UDP);
    ip.frame([[9; 6]; 2], &build::udp(ports.0, ports.1, payload))[34..].to_vec()
}

/// The sum of a datagram in fragments is right once they are put together.
#[test]
fn the_sum_in_a_first_fragment_is_carried_along() {
    let payload = [0x5a; 1600];
    for (ports, expected) in [
        (Ports::default(), (53, 40_000)),
        (OTHERS, (19_999, 7777)),
        (
            Ports {
                from: None,
                ..OTHERS
            },
            (53, 7777),
        ),
    ] {
        let expected = datagram(hosts::SERVER.v4, expected, &payload);
        assert_eq!(sent_in_fragments(&payload, ports), expected);
    }
}

const OTHERS: Ports = Ports {
    from: Some(19_999),
    to: Some(7777),
};

#[test]
fn ports_are_those_that_are_asked_for_and_sums_are_right() {
    let ip = build::Ip::new(REFLECTOR, VICTIM.into(), build::protocol::TCP);
    let mut segment = vec![0; 20];
    segment[12] = 0x50;
    let tcp = ip.frame([[9; 6]; 2], &segment);
    for captured in [captured([8, 8, 8, 8], 20), tcp] {
        let frame = frame(&ethernet(captured.clone()), OTHERS).unwrap();
        assert_eq!(frame[34..36], 19_999_u16.to_be_bytes());
        assert_eq!(frame[36..38], 7777_u16.to_be_bytes());
        let mut mended = frame.clone();
        build::mend(&mut mended);
        assert_eq!(mended, frame);
    }
    // An ICMP message has none, and what was cut off has none either.
    let ip = build::Ip::new(REFLECTOR, VICTIM.into(), build::protocol::ICMP);
    let echo = ip.frame([[9; 6]; 2], &[8, 0, 0, 0, 1, 2, 3, 4]);
    let cut = captured([8, 8, 8, 8], 20)[..36].to_vec();
    for captured in [echo, cut] {
        let captured = ethernet(captured);
        assert_eq!(frame(&captured, OTHERS), sent(&captured));
    }
}

#[test]
fn a_feed_gives_everything_once_or_again_and_again() {
    let packets: Vec<_> = (1..=5)
        .map(|number| captured([8, 8, 8, number], 20))
        .map(|bytes| (bytes.clone(), bytes.len()))
        .collect();
    let file = File::new(
        "feed",
        &pcap(Endianness::Little, DataLink::ETHERNET, &packets),
    );
    let mut once = Replayed::new(&file.0, Ports::default(), false).unwrap();
    assert!(!once.goes_round());
    assert_eq!(once.next().unwrap().len(), 5);
    assert_eq!(once.next().unwrap().len(), 0);
    let mut again = Replayed::new(&file.0, Ports::default(), true).unwrap();
    assert!(again.goes_round());
    assert_eq!(again.next().unwrap().len(), 5);
    assert_eq!(again.next().unwrap().len(), 5);
}
