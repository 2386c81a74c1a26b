//! A capture comes out like what the generator makes.

use std::{fs, time::Duration};

use pcap_file::pcap::{PcapPacket, PcapWriter};
use xtask::lab::{
    attack,
    catalogue::{Load, Promise, Setup},
    flood::Pace,
    people::Guests,
    replay::{Ports, Replayed},
};

use crate::{PACE, TIME, keeper};

#[test]
fn a_captured_flood_is_met_like_a_made_one() {
    let attack = attack::named("land").unwrap();
    let frame = attack.template().unwrap();
    let path = std::env::temp_dir().join(format!("floodwall-catalogue-{}", std::process::id()));
    let mut writer = PcapWriter::new(fs::File::create(&path).unwrap()).unwrap();
    for number in 0..500_u32 {
        let mut frame = frame.clone();
        // To somebody else, with sums that are not right; from all sorts of martians.
        frame[26..30].copy_from_slice(&(0x7f00_0001 + number).to_be_bytes());
        frame[30..34].copy_from_slice(&[10, 10, 10, 10]);
        let packet = PcapPacket::new(Duration::ZERO, frame.len() as u32, &frame);
        writer.write_packet(&packet).unwrap();
    }
    drop(writer);
    let feed = Replayed::new(&path, Ports::default(), true).unwrap();
    fs::remove_file(&path).unwrap();
    let measured = keeper::with(&attack, |site| {
        let load = Load::Feed(Box::new(feed), Pace::PerSecond(PACE));
        site.measure(Some(load), Guests::default(), TIME).unwrap()
    });
    assert!(measured.sent > 500, "over and over: {measured:?}");
    let broken = Promise::of(&attack, Setup::Defended).broken(&measured);
    assert!(broken.is_empty(), "{broken:#?}");
}
