//! Reads captures, pcap and pcapng, one packet at a time, and trusts none of their lengths.

use std::{
    fs::File,
    io::{self, BufReader, Read},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

/// The longest packet that is taken for one: what capturing programs allow at most.
const LONGEST: u32 = 262_144;
/// The longest block of another kind that is skipped.
const LONGEST_BLOCK: u32 = 16 << 20;
/// Descriptions of interfaces in one section that are kept.
const INTERFACES: usize = 4096;

/// What the bytes of a packet begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// Ethernet.
    Ethernet,
    /// IP.
    Raw,
    /// What Linux writes for all interfaces together ("cooked").
    Cooked,
    /// Its second version.
    Cooked2,
}

impl Link {
    /// By its number in a capture (<https://www.tcpdump.org/linktypes.html>).
    fn numbered(number: u32) -> Option<Self> {
        // The upper half is about check sequences.
        match number & 0xffff {
            1 => Some(Self::Ethernet),
            12 | 14 | 101 | 228 | 229 => Some(Self::Raw),
            113 => Some(Self::Cooked),
            276 => Some(Self::Cooked2),
            _ => None,
        }
    }
}

/// One packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// What it begins with.
    pub link: Link,
    /// What was captured of it.
    pub bytes: Vec<u8>,
    /// How long it was.
    pub length: usize,
}

/// An open capture.
#[derive(Debug)]
pub struct Capture {
    path: PathBuf,
    input: BufReader<File>,
    format: Format,
    /// Packets read so far.
    count: u64,
    over: bool,
    torn: Option<String>,
}

#[derive(Debug)]
enum Format {
    Pcap { big: bool, link: u32 },
    PcapNg { big: bool, interfaces: Vec<u32> },
}

/// The magic number of a pcapng section, which reads the same in both orders.
const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;

/// What came of reading a piece.
enum Piece {
    /// A packet; of a link type that is not understood, its number.
    Packet(Result<Packet, u32>),
    /// Something else.
    Other,
    /// The capture ends here, as it should.
    End,
    /// Not what a capture looks like, in words.
    Torn(String),
}

impl Capture {
    /// Opens a file and reads its beginning.
    pub fn open(path: &Path) -> Result<Self> {
        let named = || format!("cannot read {}", path.display());
        let file = File::open(path).with_context(named)?;
        if file.metadata().with_context(named)?.is_dir() {
            bail!("{} is a folder; name captures in it", path.display());
        }
        let mut input = BufReader::new(file);
        let format = Format::read(&mut input)
            .with_context(named)?
            .with_context(|| {
                format!(
                    "{} is neither pcap nor pcapng; `tcpdump -w FILE` writes the one and Wireshark \
                     the other",
                    path.display()
                )
            })?;
        Ok(Self {
            path: path.to_owned(),
            input,
            format,
            count: 0,
            over: false,
            torn: None,
        })
    }

    /// The next packet. What cannot be read ends the capture, and [`Self::torn`] tells.
    pub fn next_packet(&mut self) -> Result<Option<Packet>> {
        while !self.over {
            let piece = self.format.piece(&mut self.input);
            match piece.with_context(|| format!("cannot read {}", self.path.display()))? {
                Piece::Other => {}
                Piece::End => self.over = true,
                Piece::Torn(why) => {
                    let (count, path) = (self.count, self.path.display());
                    self.over = true;
                    self.torn = Some(format!("{path}: behind {count} packets, {why}"));
                }
                Piece::Packet(Ok(packet)) => {
                    self.count += 1;
                    return Ok(Some(packet));
                }
                Piece::Packet(Err(link)) => bail!(
                    "{}: packet {} is of link type {link}; those of Ethernet (1), IP (101) and \
                     Linux (113, 276) are understood",
                    self.path.display(),
                    self.count + 1
                ),
            }
        }
        Ok(None)
    }

    /// Why the capture ended before its time, in a sentence.
    pub fn torn(&self) -> Option<&str> {
        self.torn.as_deref()
    }
}

impl Format {
    /// `None` if it is no capture.
    fn read(input: &mut impl Read) -> io::Result<Option<Self>> {
        let Some(magic) = exactly::<4>(input)? else {
            return Ok(None);
        };
        let big = match u32::from_be_bytes(magic) {
            0xa1b2_c3d4 | 0xa1b2_3c4d => true,
            0xd4c3_b2a1 | 0x4d3c_b2a1 => false,
            SECTION => {
                let mut format = Self::PcapNg {
                    big: true,
                    interfaces: Vec::new(),
                };
                let is_section = matches!(format.section(input)?, Piece::Other);
                return Ok(is_section.then_some(format));
            }
            _ => return Ok(None),
        };
        let Some(head) = exactly::<20>(input)? else {
            return Ok(None);
        };
        let [.., a, b, c, d] = head;
        let link = number([a, b, c, d], big);
        Ok(Some(Self::Pcap { big, link }))
    }

    fn piece(&mut self, input: &mut impl Read) -> io::Result<Piece> {
        match self {
            Self::Pcap { big, link } => pcap_packet(input, *big, *link),
            Self::PcapNg { .. } => self.block(input),
        }
    }

    /// A section's head, behind its type, which says in which order bytes are from here on.
    fn section(&mut self, input: &mut impl Read) -> io::Result<Piece> {
        let Some([length @ .., a, b, c, d]) = exactly::<8>(input)? else {
            return Ok(torn("it ends within a section's head"));
        };
        let order = match [a, b, c, d] {
            [0x1a, 0x2b, 0x3c, 0x4d] => true,
            [0x4d, 0x3c, 0x2b, 0x1a] => false,
            _ => return Ok(torn("there is a section without an order of bytes")),
        };
        let length = number(length, order);
        if let Self::PcapNg { big, interfaces } = self {
            *big = order;
            interfaces.clear();
        }
        match length.checked_sub(12) {
            Some(rest) if length.is_multiple_of(4) => skip(input, rest),
            Some(_) | None => Ok(torn("there is a section of no length")),
        }
    }

    fn block(&mut self, input: &mut impl Read) -> io::Result<Piece> {
        let Self::PcapNg { big, interfaces } = self else {
            return Ok(Piece::End);
        };
        let Some(kind) = exactly::<4>(input)? else {
            return Ok(Piece::End);
        };
        let big = *big;
        let kind = number(kind, big);
        if kind == SECTION {
            return self.section(input);
        }
        let Some(length) = exactly::<4>(input)? else {
            return Ok(torn("it ends within a block"));
        };
        let length = number(length, big);
        // Type and length at the front, length again at the end.
        let Some(body) = length.checked_sub(12).filter(|_| length.is_multiple_of(4)) else {
            return Ok(torn("there is a block of no length"));
        };
        let is_of_use = [INTERFACE, PACKET, SIMPLE_PACKET, ENHANCED_PACKET].contains(&kind);
        if !is_of_use {
            return skip(input, body + 4);
        }
        // A packet, its head and options.
        if body > LONGEST * 2 {
            return Ok(torn(&format!("there is a packet of {body} bytes")));
        }
        let mut bytes = Vec::new();
        input.take(u64::from(body) + 4).read_to_end(&mut bytes)?;
        if bytes.len() < body as usize + 4 {
            return Ok(torn("it ends within a packet"));
        }
        bytes.truncate(body as usize);
        let words = |at: usize| {
            let word = bytes.get(at * 4..at * 4 + 4)?.try_into().ok()?;
            Some(number(word, big))
        };
        if kind == INTERFACE {
            let Some([a, b]) = bytes.first_chunk::<2>().copied() else {
                return Ok(torn("an interface is not described"));
            };
            let link = if big { [0, 0, a, b] } else { [0, 0, b, a] };
            if interfaces.len() == INTERFACES {
                return Ok(torn("there are more interfaces than any host has"));
            }
            interfaces.push(u32::from_be_bytes(link));
            return Ok(Piece::Other);
        }
        let found = match kind {
            ENHANCED_PACKET => (words(0), words(3), words(4), 20),
            // Interface and drops share a word.
            PACKET => {
                let interface = words(0).map(|word| if big { word >> 16 } else { word & 0xffff });
                (interface, words(3), words(4), 20)
            }
            _ => {
                let captured = words(0).map(|length| length.min(body - 4));
                (Some(0), captured, words(0), 4)
            }
        };
        let (Some(interface), Some(captured), Some(length), start) = found else {
            return Ok(torn("there is a packet without a head"));
        };
        let Some(link) = interfaces.get(interface as usize).copied() else {
            return Ok(torn("there is a packet of no interface"));
        };
        let end = start + captured as usize;
        match bytes.get(start..end) {
            None => Ok(torn("there is a packet longer than its block")),
            Some(bytes) => Ok(Piece::Packet(packet(link, bytes.to_vec(), length))),
        }
    }
}

fn pcap_packet(input: &mut impl Read, big: bool, link: u32) -> io::Result<Piece> {
    let mut head = [0; 16];
    match fill(input, &mut head)? {
        0 => return Ok(Piece::End),
        16 => {}
        _ => return Ok(torn("it ends within a packet's head")),
    }
    let [_, _, _, _, _, _, _, _, captured @ .., e, f, g, h] = head;
    let captured = number(captured, big);
    if captured > LONGEST {
        return Ok(torn(&format!("there is a packet of {captured} bytes")));
    }
    let mut bytes = vec![0; captured as usize];
    if fill(input, &mut bytes)? < bytes.len() {
        return Ok(torn("it ends within a packet"));
    }
    let length = number([e, f, g, h], big);
    Ok(Piece::Packet(packet(link, bytes, length)))
}

fn packet(link: u32, bytes: Vec<u8>, length: u32) -> Result<Packet, u32> {
    let Some(link) = Link::numbered(link) else {
        return Err(link);
    };
    Ok(Packet {
        link,
        length: (length.min(LONGEST) as usize).max(bytes.len()),
        bytes,
    })
}

fn torn(why: &str) -> Piece {
    Piece::Torn(why.to_owned())
}

fn number(bytes: [u8; 4], big: bool) -> u32 {
    if big {
        u32::from_be_bytes(bytes)
    } else {
        u32::from_le_bytes(bytes)
    }
}

fn skip(input: &mut impl Read, length: u32) -> io::Result<Piece> {
    if length > LONGEST_BLOCK {
        return Ok(torn(&format!("there is a block of {length} bytes")));
    }
    let skipped = io::copy(&mut input.take(u64::from(length)), &mut io::sink())?;
    if skipped < u64::from(length) {
        return Ok(torn("it ends within a block"));
    }
    Ok(Piece::Other)
}

/// So many bytes, if there are that many left.
fn exactly<const N: usize>(input: &mut impl Read) -> io::Result<Option<[u8; N]>> {
    let mut bytes = [0; N];
    Ok((fill(input, &mut bytes)? == N).then_some(bytes))
}

/// Reads until the buffer is full or the input ends, and says how much there was.
fn fill(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match input.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(length) => filled += length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
