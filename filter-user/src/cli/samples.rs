//! `floodwall samples`.

use std::{
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use pcap_file::pcap::{PcapPacket, PcapWriter};
use serde::Serialize;
use tempfile::NamedTempFile;

use super::{context::Context, exit::Failure};
use crate::{
    api::types::{SCHEMA, SamplePage, SampledPacket},
    render,
};

/// Arguments.
#[derive(Debug, Args)]
pub struct Samples {
    /// Only packets that met their fate for this reason
    #[arg(long, value_name = "NAME")]
    reason: Option<String>,
    /// At most so many, the newest
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Save them in this file, for Wireshark or tcpdump
    #[arg(long, value_name = "FILE")]
    pcap: Option<PathBuf>,
}

/// What was saved, as JSON.
#[derive(Serialize)]
struct Saved {
    schema: u32,
    file: String,
    packets: usize,
}

impl Samples {
    /// Does it.
    pub fn execute(self, context: &Context) -> Result<(), Failure> {
        let query = [
            ("reason", self.reason),
            ("limit", self.limit.map(|limit| limit.to_string())),
        ];
        let page: SamplePage = context.client()?.get("/v1/samples", &query)?;
        let Some(file) = self.pcap else {
            let samples = &page.samples;
            return context.show(&page, |out, style| {
                render::samples::render(out, samples, style)
            });
        };
        save(&page.samples, &file).map_err(|error| {
            Failure::failed(format!("cannot write {}: {error}", file.display()))
        })?;
        let packets = page.samples.len();
        let saved = Saved {
            schema: SCHEMA,
            file: file.display().to_string(),
            packets,
        };
        context.show(&saved, |out, _| {
            writeln!(
                out,
                "{packets} packets are in {}",
                render::safe(&saved.file)
            )
        })
    }
}

/// Written beside its place and then moved there, so that nobody reads half of it.
fn save(samples: &[SampledPacket], file: &Path) -> io::Result<()> {
    let folder = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let mut beside = NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))?;
    write(samples, &mut beside)?;
    beside.as_file().sync_all()?;
    beside.persist(file).map_err(|error| error.error)?;
    Ok(())
}

fn write(samples: &[SampledPacket], out: &mut impl Write) -> io::Result<()> {
    let mut out = BufWriter::new(out);
    let mut writer = PcapWriter::new(&mut out).map_err(io::Error::other)?;
    for sample in samples {
        let bytes = unhex(&sample.bytes)
            .ok_or_else(|| io::Error::other("the daemon sent a packet that is not hexadecimal"))?;
        // The format counts from 1970 and has no sign.
        let at = Duration::try_from(sample.at.as_duration()).unwrap_or_default();
        let packet = PcapPacket::new_owned(at, sample.length, bytes);
        writer.write_packet(&packet).map_err(io::Error::other)?;
    }
    out.flush()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs
        .iter()
        .map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?))
        .collect()
}

#[cfg(test)]
mod tests {
    use pcap_file::pcap::PcapReader;

    use super::*;

    #[test]
    fn what_is_saved_can_be_read_back() {
        let sample = SampledPacket {
            at: "2026-01-02T03:04:05.25Z".parse().unwrap(),
            interface: "eth0".to_owned(),
            queue: 0,
            reason: "blocked".to_owned(),
            dropped: true,
            length: 1500,
            summary: String::new(),
            bytes: "00ff10Ab".to_owned(),
        };
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.pcap");
        std::fs::write(&file, "what was there").unwrap();
        save(std::slice::from_ref(&sample), &file).unwrap();
        let mut reader = PcapReader::new(std::fs::File::open(&file).unwrap()).unwrap();
        let packet = reader.next_packet().unwrap().unwrap();
        assert_eq!(packet.data.as_ref(), [0x00, 0xff, 0x10, 0xab]);
        assert_eq!(packet.orig_len, 1500);
        assert_eq!(packet.timestamp, Duration::from_millis(1_767_323_045_250));
        assert!(reader.next_packet().is_none());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn half_a_byte_is_no_packet() {
        assert_eq!(unhex("0"), None);
        assert_eq!(unhex("zz"), None);
        assert_eq!(unhex(""), Some(Vec::new()));
    }
}
