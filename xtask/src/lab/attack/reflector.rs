//! What servers send that attackers make answer to a forged address.

/// A protocol that answers with more than it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reflector {
    /// Quote of the day (RFC 865).
    Qotd,
    /// Character generator (RFC 864).
    Chargen,
    /// DNS, an answer to ANY.
    Dns,
    /// NTP's monlist.
    Ntp,
    /// SNMP version 2, GetBulk.
    Snmp,
    /// LDAP over UDP, as domain controllers speak it.
    Cldap,
    /// SSDP, of routers and televisions.
    Ssdp,
    /// Web Services Dynamic Discovery, of cameras.
    WsDiscovery,
    /// CoAP (RFC 7252).
    Coap,
    /// memcached over UDP.
    Memcached,
    /// Games' servers, which say who plays (A2S). Players' own packets come from this port, too, so
    /// that it is in no table of reflectors.
    Steam,
}

impl Reflector {
    /// The port that it answers from.
    pub const fn port(self) -> u16 {
        match self {
            Self::Qotd => 17,
            Self::Chargen => 19,
            Self::Dns => 53,
            Self::Ntp => 123,
            Self::Snmp => 161,
            Self::Cldap => 389,
            Self::Ssdp => 1900,
            Self::WsDiscovery => 3702,
            Self::Coap => 5683,
            Self::Memcached => 11_211,
            Self::Steam => 27_015,
        }
    }

    /// An answer, as long as they tend to be.
    pub fn answer(self) -> Vec<u8> {
        match self {
            Self::Qotd => text(b"\"We have nothing to fear but fear itself.\" ", 200),
            Self::Chargen => text(
                b"!\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ\r\n",
                1022,
            ),
            Self::Dns => dns_answer(1232),
            // Response, version 2, mode 7; implementation 3, request 42; six items of 72 bytes.
            Self::Ntp => filled(&[0xd7, 0, 3, 42, 0, 6, 0, 72], 440),
            // SEQUENCE { version 1, "public", GetResponse … }
            Self::Snmp => filled(b"\x30\x82\x04\xac\x02\x01\x01\x04\x06public\xa2\x82\x04\x9d", 1200),
            // SEQUENCE { message 7, SearchResultEntry … }
            Self::Cldap => filled(b"\x30\x84\x00\x00\x05\x6d\x02\x01\x07\x64\x84\x00\x00\x05\x64", 1400),
            Self::Ssdp => text(
                b"HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age=1800\r\nEXT:\r\nST: upnp:rootdevice\r\n",
                320,
            ),
            Self::WsDiscovery => text(
                b"<?xml version=\"1.0\"?><e:Envelope><e:Body><d:ProbeMatches>",
                900,
            ),
            // Acknowledgement, 2.05 Content, message id, payload marker.
            Self::Coap => filled(&[0x60, 0x45, 0x12, 0x34, 0xff], 600),
            // Request id, sequence, datagrams, reserved; then the value.
            Self::Memcached => filled(b"\0\0\0\0\0\x01\0\0VALUE a 0 1048576\r\n", 1400),
            // In one packet; an answer to A2S_RULES.
            Self::Steam => filled(b"\xff\xff\xff\xffE", 1200),
        }
    }
}

/// A DNS message of this length that answers a question of type ANY with text records.
fn dns_answer(length: usize) -> Vec<u8> {
    let mut message = b"\x12\x34\x81\x80\x00\x01\x00\x05\x00\x00\x00\x00".to_vec();
    message.extend(b"\x07example\x03org\x00\x00\xff\x00\x01");
    // A pointer to the name; TXT, IN, one hour.
    let record = b"\xc0\x0c\x00\x10\x00\x01\x00\x00\x0e\x10\x00\xe0\xdf";
    while message.len() < length {
        message.extend(record);
        message.extend([b'v'; 223]);
    }
    message.truncate(length);
    message
}

fn text(line: &[u8], length: usize) -> Vec<u8> {
    line.iter().copied().cycle().take(length).collect()
}

fn filled(start: &[u8], length: usize) -> Vec<u8> {
    let mut bytes = start.to_vec();
    bytes.resize(length.max(start.len()), 0);
    bytes
}
