//! Questions to the kernel over netlink, one after the other, without a runtime.

use std::{io, time::Duration};

use nix::sys::{
    socket::{setsockopt, sockopt::ReceiveTimeout},
    time::TimeVal,
};
use rtnetlink::{
    packet_core::{NetlinkDeserializable, NetlinkHeader, NetlinkSerializable},
    packet_route::RouteNetlinkMessage,
    sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE},
};

/// How long the kernel may take for an answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often a dump is asked for again when the tables changed under it.
const TRIES: usize = 5;
const HEADER: usize = 16;
const NOOP: u16 = 1;
const ERROR: u16 = 2;
const DONE: u16 = 3;
const F_REQUEST: u16 = 0x1;
const F_ACK: u16 = 0x4;
const F_DUMP_INTERRUPTED: u16 = 0x10;
const F_DUMP: u16 = 0x300;

/// One message, without its header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Raw {
    /// The type.
    pub kind: u16,
    flags: u16,
    sequence: u32,
    /// What follows the header.
    pub body: Vec<u8>,
}

/// What is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Everything there is.
    All,
    /// The one thing that the message names.
    One,
}

/// A socket to the kernel, in the network namespace of the thread that opened it.
pub(super) struct Connection {
    socket: Socket,
    sequence: u32,
}

impl Connection {
    /// Opens a socket of a netlink protocol.
    pub fn open(protocol: isize) -> io::Result<Self> {
        let mut socket = Socket::new(protocol)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        set_patience(&socket, PATIENCE)?;
        Ok(Self {
            socket,
            sequence: 0,
        })
    }

    /// Asks, and gives the answers.
    pub fn ask(&mut self, kind: u16, wanted: Wanted, body: &[u8]) -> io::Result<Vec<Raw>> {
        for _ in 0..TRIES {
            if let Some(answers) = self.try_ask(kind, wanted, body)? {
                return Ok(answers);
            }
        }
        Err(io::Error::other(
            "the kernel's tables change faster than they can be read",
        ))
    }

    /// Everything of one kind that routing netlink knows; for sockets of that protocol.
    pub fn dump(&mut self, request: &RouteNetlinkMessage) -> io::Result<Vec<RouteNetlinkMessage>> {
        let mut body = vec![0; request.buffer_len()];
        request.serialize(&mut body);
        let answers = self.ask(request.message_type(), Wanted::All, &body)?;
        Ok(answers.iter().filter_map(understand).collect())
    }

    /// `None` if the tables changed meanwhile.
    fn try_ask(&mut self, kind: u16, wanted: Wanted, body: &[u8]) -> io::Result<Option<Vec<Raw>>> {
        self.sequence = self.sequence.wrapping_add(1);
        let flags = match wanted {
            Wanted::All => F_REQUEST | F_DUMP,
            Wanted::One => F_REQUEST | F_ACK,
        };
        self.socket
            .send(&message(kind, flags, self.sequence, body)?, 0)?;
        let mut answers = Vec::new();
        let mut torn = false;
        loop {
            let (data, _) = self.socket.recv_from_full()?;
            for raw in split(&data) {
                if raw.sequence != self.sequence {
                    continue;
                }
                torn |= raw.flags & F_DUMP_INTERRUPTED != 0;
                match raw.kind {
                    NOOP => {}
                    ERROR | DONE => {
                        let code = raw
                            .body
                            .first_chunk()
                            .map_or(0, |code| i32::from_ne_bytes(*code));
                        if code < 0 {
                            return Err(io::Error::from_raw_os_error(code.saturating_neg()));
                        }
                        return Ok((!torn).then_some(answers));
                    }
                    _ => answers.push(raw),
                }
            }
        }
    }
}

/// Sets how long a receiver waits.
pub(super) fn set_patience(socket: &Socket, patience: Duration) -> io::Result<()> {
    let seconds = i64::try_from(patience.as_secs()).unwrap_or(i64::MAX);
    let time = TimeVal::new(seconds, i64::from(patience.subsec_micros()));
    Ok(setsockopt(socket, ReceiveTimeout, &time)?)
}

/// Everything of one kind that routing netlink knows in this thread's network namespace.
pub(super) fn dump(request: &RouteNetlinkMessage) -> io::Result<Vec<RouteNetlinkMessage>> {
    Connection::open(NETLINK_ROUTE)?.dump(request)
}

/// A message of routing netlink; `None`, and a word in the log, if it makes no sense to us.
pub(super) fn understand(raw: &Raw) -> Option<RouteNetlinkMessage> {
    let mut header = NetlinkHeader::default();
    header.message_type = raw.kind;
    match RouteNetlinkMessage::deserialize(&header, &raw.body) {
        Ok(message) => Some(message),
        Err(error) => {
            tracing::warn!(kind = raw.kind, %error, "a netlink message was not understood");
            None
        }
    }
}

fn message(kind: u16, flags: u16, sequence: u32, body: &[u8]) -> io::Result<Vec<u8>> {
    let length = u32::try_from(HEADER.saturating_add(body.len()))
        .map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let mut message = Vec::with_capacity(HEADER.saturating_add(body.len()));
    message.extend(length.to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    message.extend(sequence.to_ne_bytes());
    message.extend([0; 4]);
    message.extend(body);
    Ok(message)
}

/// The messages in what was received at once.
pub(super) fn split(mut data: &[u8]) -> Vec<Raw> {
    let mut messages = Vec::new();
    while let Some(header) = data.first_chunk::<HEADER>() {
        let [a, b, c, d, kind, dnik, flag, galf, s, t, u, v, ..] = *header;
        let length = u32::from_ne_bytes([a, b, c, d]) as usize;
        let Some(body) = data.get(HEADER..length) else {
            break;
        };
        messages.push(Raw {
            kind: u16::from_ne_bytes([kind, dnik]),
            flags: u16::from_ne_bytes([flag, galf]),
            sequence: u32::from_ne_bytes([s, t, u, v]),
            body: body.to_vec(),
        });
        data = data.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    messages
}

/// The attributes in the body of a message: type without its flags, and value.
pub(super) fn attributes(mut data: &[u8]) -> Vec<(u16, &[u8])> {
    let mut found = Vec::new();
    while let Some(&[l, h, kind, dnik]) = data.first_chunk::<4>() {
        let length = usize::from(u16::from_ne_bytes([l, h]));
        let Some(value) = data.get(4..length) else {
            break;
        };
        found.push((u16::from_ne_bytes([kind, dnik]) & 0x3fff, value));
        data = data.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    found
}

/// An attribute with its padding.
pub(super) fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len().saturating_add(4)).unwrap_or(u16::MAX);
    let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn messages_and_attributes_read_back() {
        let body = [attribute(3, b"abc"), attribute(4, b"")].concat();
        let data = [
            message(16, 1, 7, &body).unwrap(),
            message(17, 0, 8, &[]).unwrap(),
        ]
        .concat();
        let messages = split(&data);
        assert_eq!(messages.len(), 2);
        assert_eq!((messages[0].kind, messages[0].sequence), (16, 7));
        assert_eq!(
            attributes(&messages[0].body),
            [(3, &b"abc"[..]), (4, &b""[..])]
        );
        assert_eq!((messages[1].kind, messages[1].body.len()), (17, 0));
    }

    #[test]
    fn the_kernel_refuses_what_it_does_not_know() {
        let error = Connection::open(NETLINK_ROUTE)
            .unwrap()
            .ask(0xfff0, Wanted::One, &[0; 16]);
        assert!(error.unwrap_err().raw_os_error().is_some());
    }

    proptest! {
        #[test]
        fn nothing_panics_or_hangs(data in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = split(&data);
            let _ = attributes(&data);
        }
    }
}
