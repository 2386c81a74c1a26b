//! How full tables get: what operators fill is refused beyond that, what packets fill makes room itself.

use std::{fmt::Write as _, net::Ipv4Addr, thread, time::Duration};

use anyhow::{Context as _, Result, ensure};
use etherparse::PacketBuilder;
use filter_common::{abi::rules::RULES, logic::set4::LISTS};

use super::{
    super::{
        interrupt,
        packet_socket::PacketSocket,
        sandbox::{Ns, UPLINK, hosts},
    },
    Course, Site,
    site::many,
};

/// The three lists, and where their entries are from here.
const SINGLES: [(&str, &str); 3] = [("block", "10.1.0"), ("allow", "10.2.0"), ("ban", "10.3.0")];
/// Small ones, and limits for which senders are kept.
const SMALL: &str = "[tables]\nallow = 64\nblock = 64\nbans = 64\nlists_v4 = 4096\nlists_v6 = 64\n\
                     sources = 1024\nprefixes = 1024\n[limits.source]\nudp = \"5k/s\"\n\
                     [limits.prefix]\nudp = \"5k/s\"\n";
/// Senders that nobody saw before, each in a prefix of its own.
const STRANGERS: u32 = 20_000;

/// Not one more fits.
pub fn full(site: &mut Site, course: Course) -> Result<Vec<String>> {
    site.stop()?;
    site.configure(SMALL)?;
    site.start()?;
    for _ in 0..course.rounds {
        singles(site)?;
        lists(site)?;
        rules(site)?;
        strangers(site)?;
    }
    // Each list is another program: a minute is much for a test.
    if !course.is_test {
        numbers(site)?;
    }
    Ok(vec![format!(
        "bans, both lists, {LISTS} imported lists and {RULES} rules are filled, and a list with more \
         prefixes than there is room for is imported: what does not fit is refused, with what there is \
         room for; {STRANGERS} new senders over tables of 1,024 sources and prefixes, which give a \
         newcomer the fuller bucket of two, or none if both are more than half empty"
    )])
}

fn singles(site: &Site) -> Result<()> {
    for (noun, from) in SINGLES {
        let mut refused = None;
        for number in 0..=64 {
            let address = format!("{from}.{number}");
            let mut words = vec![noun, "add", address.as_str()];
            if noun == "ban" {
                words.extend(["--for", "1h"]);
            }
            let output = site.floodwall.output(&words)?;
            if !output.status.success() {
                let said = [output.stderr, output.stdout].concat();
                refused = Some(String::from_utf8_lossy(&said).into_owned());
                break;
            }
        }
        let said = refused.with_context(|| format!("`{noun}` takes more than it holds"))?;
        ensure!(
            said.contains("room for 64") && said.contains("[tables]"),
            "{said}"
        );
        interrupt::check()?;
        // Room for what comes after.
        let own = format!("{from}.0");
        site.say(&[noun, "del", &own])?;
    }
    for (noun, from) in SINGLES {
        for number in 1..64 {
            let address = format!("{from}.{number}");
            // Those for which there was no room are not there.
            site.floodwall.output(&[noun, "del", &address])?;
        }
    }
    Ok(())
}

fn lists(site: &Site) -> Result<()> {
    let large = site.write("too-large.txt", &many(4_100))?;
    let large = large.to_string_lossy();
    site.refuses(&["block", "import", &large, "--list", "more"], "`lists_v4`")?;
    let large: String = (0..65).map(|net| format!("3ffe:{net:x}::/48\n")).collect();
    let large = site.write("too-large.txt", &large)?;
    let large = large.to_string_lossy();
    site.refuses(&["block", "import", &large, "--list", "more"], "`lists_v6`")?;
    Ok(())
}

fn numbers(site: &Site) -> Result<()> {
    let small = site.write("small.txt", "10.8.0.0/24\n")?;
    let small = small.to_string_lossy();
    // One is there.
    for number in 1..LISTS {
        let name = format!("list-{number}");
        site.say(&["block", "import", &small, "--list", &name])?;
        interrupt::check()?;
    }
    site.refuses(
        &["block", "import", &small, "--list", "more"],
        &format!("there are {LISTS} imported lists already"),
    )?;
    Ok(())
}

fn rules(site: &Site) -> Result<()> {
    let mut text = String::from("rules = [\n");
    for port in (10_000..).take(RULES as usize) {
        // Writing to a text cannot fail.
        let _ = writeln!(text, "\"drop udp dport {port}\",");
    }
    site.configure_above(&format!("{text}]\n"), SMALL)?;
    site.say(&["reload"])?;
    site.refuses(
        &["rule", "add", "drop", "udp", "dport", "9000"],
        &format!("there is room for {RULES}"),
    )?;
    site.configure(SMALL)?;
    site.say(&["reload"])?;
    Ok(())
}

/// A packet of each, beside the paced flood.
fn strangers(site: &Site) -> Result<()> {
    let socket = PacketSocket::open(site.sandbox.namespace(Ns::Wire), UPLINK)?;
    let (from, to) = (hosts::GATEWAY, hosts::SERVER);
    for number in 0..STRANGERS {
        let source = Ipv4Addr::from_bits(0x1400_0000 | number << 8 | 1);
        let mut frame = Vec::new();
        PacketBuilder::ethernet2(from.mac, to.mac)
            .ipv4(source.octets(), to.v4.octets(), 64)
            .udp(40_000, super::traffic::PORT)
            .write(&mut frame, &[0; 8])
            .context("a datagram cannot be made")?;
        // Where the ring is full, one fewer.
        let _ = socket.send(&frame);
        if number.is_multiple_of(32) {
            thread::sleep(Duration::from_millis(1));
        }
    }
    Ok(())
}
