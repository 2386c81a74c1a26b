//! The last sampled packets.

use std::{collections::VecDeque, fmt::Write as _, net::IpAddr};

use filter_common::{
    abi::{reason::Reason, sample::Sample},
    logic::{
        packet::{Fragment, TcpFlags, Transport, protocol},
        parse,
    },
};

use super::tables::Moment;
use crate::{
    api::types::{SCHEMA, SamplePage, SampledPacket},
    stats::reasons,
};

/// Samples that are kept: some 2.5 MiB.
const ROOM: usize = 16_384;

/// The last samples.
#[derive(Debug, Default)]
pub struct Album {
    samples: VecDeque<Sample>,
}

impl Album {
    /// Keeps a sample, and forgets the oldest if there is no room.
    pub fn keep(&mut self, sample: &Sample) {
        if self.samples.len() >= ROOM {
            self.samples.pop_front();
        }
        self.samples.push_back(*sample);
    }

    /// All, oldest first.
    pub fn samples(&self) -> impl Iterator<Item = &Sample> {
        self.samples.iter()
    }

    /// The newest samples, only of one reason if one is given, oldest first.
    pub fn page(
        &self,
        reason: Option<Reason>,
        limit: usize,
        moment: Moment,
        interface: impl Fn(u32) -> String,
    ) -> SamplePage {
        let wanted = |sample: &&Sample| reason.is_none_or(|reason| reason.code() == sample.reason);
        let mut samples: Vec<SampledPacket> = self
            .samples
            .iter()
            .rev()
            .filter(wanted)
            .take(limit)
            .map(|sample| show(sample, moment, &interface))
            .collect();
        samples.reverse();
        SamplePage {
            schema: SCHEMA,
            samples,
        }
    }
}

fn show(sample: &Sample, moment: Moment, interface: &impl Fn(u32) -> String) -> SampledPacket {
    let captured = usize::from(sample.captured).min(sample.bytes.len());
    let bytes = sample.bytes.get(..captured).unwrap_or_default();
    SampledPacket {
        at: moment.time(sample.tick),
        interface: interface(sample.interface),
        queue: sample.queue,
        reason: Reason::try_from(sample.reason).map_or_else(
            |unknown| format!("code_{}", unknown.0),
            |reason| reasons::name(reason).to_owned(),
        ),
        dropped: sample.dropped != 0,
        length: sample.length,
        summary: summary(bytes, sample.length),
        bytes: bytes
            .iter()
            .fold(String::with_capacity(captured * 2), |mut text, byte| {
                // Writing to a string cannot fail.
                let _ = write!(text, "{byte:02x}");
                text
            }),
    }
}

/// The beginning of a frame that is longer than what was captured of it.
pub(super) struct Beginning<'a> {
    /// What was captured.
    pub(super) bytes: &'a [u8],
    /// How long the frame was.
    pub(super) length: u32,
}

impl parse::Frame for Beginning<'_> {
    type Piece<'b, const N: usize>
        = &'b [u8; N]
    where
        Self: 'b;

    fn holds(&self, length: u32) -> bool {
        length <= self.length
    }

    fn piece<const N: usize>(&self, offset: u32) -> Option<&[u8; N]> {
        self.bytes
            .get(usize::try_from(offset).ok()?..)?
            .first_chunk()
    }
}

/// A frame in one line: addresses, protocol, ports, flags.
pub fn summary(bytes: &[u8], length: u32) -> String {
    let packet = match parse::packet(&Beginning { bytes, length }) {
        std::ops::ControlFlow::Continue(packet) => packet,
        std::ops::ControlFlow::Break(reason) => return reasons::text(reason).to_owned(),
    };
    let source = IpAddr::from(packet.source);
    let destination = IpAddr::from(packet.destination);
    let mut text = match packet.transport() {
        Transport::Tcp {
            source_port,
            destination_port,
            flags,
        } => format!(
            "{source} port {source_port} > {destination} port {destination_port} tcp {}",
            flag_letters(flags)
        ),
        Transport::Udp {
            source_port,
            destination_port,
        } => {
            format!("{source} port {source_port} > {destination} port {destination_port} udp")
        }
        Transport::Icmp { kind, code } => {
            let name = if packet.protocol == protocol::ICMP {
                "icmp"
            } else {
                "icmpv6"
            };
            format!("{source} > {destination} {name} type {kind} code {code}")
        }
        Transport::Opaque => format!("{source} > {destination} protocol {}", packet.protocol),
    };
    match packet.fragment {
        Fragment::Whole => {}
        Fragment::First => text.push_str(", first fragment"),
        Fragment::Later => text.push_str(", later fragment"),
    }
    text
}

fn flag_letters(flags: TcpFlags) -> String {
    const LETTERS: [(u8, char); 6] = [
        (TcpFlags::SYN, 'S'),
        (TcpFlags::ACK, 'A'),
        (TcpFlags::PSH, 'P'),
        (TcpFlags::FIN, 'F'),
        (TcpFlags::RST, 'R'),
        (TcpFlags::URG, 'U'),
    ];
    let letters: String = LETTERS
        .iter()
        .filter(|(bit, _)| flags.0 & bit != 0)
        .map(|(_, letter)| *letter)
        .collect();
    if letters.is_empty() {
        "-".to_owned()
    } else {
        letters
    }
}
