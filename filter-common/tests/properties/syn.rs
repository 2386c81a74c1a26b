//! SYNs' options, and answers.

use etherparse::{TcpOptionElement, TcpOptionsIterator};
use filter_common::logic::{
    address::Address,
    syn::{Answer, Ends, HEADER, Offer, Terms},
};
use proptest::prelude::*;

/// Options as systems send them, and as nobody does.
fn option() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(vec![1]),
        Just(vec![4, 2]),
        Just(vec![2, 4, 5, 0xb4]),
        any::<u8>().prop_map(|scale| vec![3, 3, scale]),
        any::<[u8; 8]>().prop_map(|times| [&[8, 10], &times[..]].concat()),
        Just(vec![0]),
        (5..=255_u8, 2..6_u8).prop_map(|(kind, size)| {
            let mut option = vec![kind, size];
            option.resize(size.into(), 7);
            option
        }),
        any::<[u8; 3]>().prop_map(Vec::from),
    ]
}

fn header() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(option(), 0..10).prop_map(|options| {
        let mut header = vec![0; 20];
        header.extend(options.concat());
        header.truncate(60);
        header.resize(header.len().next_multiple_of(4), 0);
        header
    })
}

fn offer(header: &[u8]) -> Offer {
    let mut padded = [0xff; HEADER];
    padded[..header.len()].copy_from_slice(header);
    Offer::of(&padded, header.len() as u32)
}

proptest! {
    #[test]
    fn what_is_offered_is_what_another_parser_reads(header in header()) {
        let mut expected = Offer::default();
        let options = TcpOptionsIterator::from_slice(&header[20..]);
        for option in options.map_while(Result::ok) {
            match option {
                TcpOptionElement::Timestamp(own, _) => {
                    expected.has_timestamps = 1;
                    expected.timestamp = own;
                }
                TcpOptionElement::WindowScale(scale) => {
                    expected.has_window_scale = 1;
                    expected.window_scale = u32::from(scale.min(14));
                }
                TcpOptionElement::SelectiveAcknowledgementPermitted => expected.sack = 1,
                TcpOptionElement::Noop
                | TcpOptionElement::MaximumSegmentSize(_)
                | TcpOptionElement::SelectiveAcknowledgement(..) => {}
            }
        }
        // The other parser ends at an option that it does not know, or whose size is not that of its
        // kind, which Linux skips.
        let knows = |kind, size| {
            matches!((kind, size), (2, 4) | (3, 3) | (4, 2) | (5, 10 | 18 | 26 | 34) | (8, 10))
        };
        let mut at = 20;
        while let Some(&[kind, size]) = header.get(at..at + 2) && kind != 0 {
            prop_assume!(kind == 1 || knows(kind, size));
            at += if kind == 1 { 1 } else { usize::from(size) };
        }
        prop_assume!(at + 1 != header.len() || header[at] <= 1);
        prop_assert_eq!(offer(&header), expected);
    }

    #[test]
    fn any_bytes_can_be_options(bytes in any::<[u8; HEADER]>(), words in 5..=15_u32) {
        let offer = Offer::of(&bytes, words * 4);
        prop_assert!(offer.window_scale <= 14);
        prop_assert!(offer.has_timestamps | offer.has_window_scale | offer.sack <= 1);
    }

    #[test]
    fn a_timestamp_says_what_was_offered_and_is_not_from_the_future(
        now in 64..u64::MAX,
        scale in 0..=14_u32,
        has_window_scale in 0..=1_u32,
        sack in 0..=1_u32,
    ) {
        let offer = Offer {
            has_window_scale,
            window_scale: scale * has_window_scale,
            sack,
            ..Offer::default()
        };
        let told = offer.timestamp_of_answer(now);
        prop_assert!((now as u32).wrapping_sub(told) < 64);
        prop_assert_eq!(told & 0xf, if has_window_scale == 1 { scale } else { 0xf });
        prop_assert_eq!(told >> 4 & 3, sack);
    }

    #[test]
    fn answers_have_the_checksums_that_another_writer_computes(
        addresses in prop_oneof![
            any::<[[u8; 4]; 2]>().prop_map(|both| both.map(std::net::IpAddr::from)),
            any::<[[u8; 16]; 2]>().prop_map(|both| both.map(std::net::IpAddr::from)),
        ],
        ports in any::<[u16; 2]>(),
        numbers in any::<[u32; 4]>(),
        header in header(),
    ) {
        let [from, to] = addresses.map(Address::from);
        let ends = Ends { from: &from, to: &to, from_port: ports[0], to_port: ports[1] };
        let [cookie, sequence, timestamp, sizes] = numbers;
        let terms = Terms {
            cookie,
            sequence,
            mss: sizes >> 16,
            window: sizes & 0xffff,
            window_scale: cookie & 0xf,
            timestamp,
        };
        let offer = offer(&header);
        let options = Answer::options_of(&offer);
        let mut answer = Answer::default();
        answer.write(&ends, &offer, &terms, options);
        let bytes = |words: &[u32]| -> Vec<u8> {
            words.iter().flat_map(|word| word.to_ne_bytes()).collect()
        };
        let mut segment = bytes(&answer.tcp);
        segment.extend(&bytes(&answer.options)[..options as usize]);
        let tcp = etherparse::TcpSlice::from_slice(&segment).expect("a sound header");
        prop_assert_eq!(tcp.header_len(), 20 + options as usize);
        prop_assert_eq!(tcp.sequence_number(), cookie);
        prop_assert_eq!(tcp.acknowledgment_number(), sequence.wrapping_add(1));
        let [from, to] = addresses;
        match (from, to) {
            (std::net::IpAddr::V4(from), std::net::IpAddr::V4(to)) => {
                let header = bytes(&answer.v4);
                let ip = etherparse::Ipv4HeaderSlice::from_slice(&header).expect("a sound header");
                prop_assert_eq!(ip.header_checksum(), ip.to_header().calc_header_checksum());
                prop_assert_eq!(usize::from(ip.total_len()), 20 + segment.len());
                prop_assert_eq!((ip.source_addr(), ip.destination_addr()), (from, to));
                let check = tcp.calc_checksum_ipv4(from.octets(), to.octets());
                prop_assert_eq!(tcp.checksum(), check.expect("a short one"));
            }
            (std::net::IpAddr::V6(from), std::net::IpAddr::V6(to)) => {
                let header = bytes(&answer.v6);
                let ip = etherparse::Ipv6HeaderSlice::from_slice(&header).expect("a sound header");
                prop_assert_eq!(usize::from(ip.payload_length()), segment.len());
                prop_assert_eq!((ip.source_addr(), ip.destination_addr()), (from, to));
                let check = tcp.calc_checksum_ipv6(from.octets(), to.octets());
                prop_assert_eq!(tcp.checksum(), check.expect("a short one"));
            }
            _ => unreachable!("both are of one family"),
        }
    }
}
