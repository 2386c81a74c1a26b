//! What a driver says of its interface. Only questions, nothing is set.

use std::{io, net::UdpSocket, os::fd::AsRawFd};

use rtnetlink::sys::protocols::NETLINK_GENERIC;

use super::netlink::{Connection, Raw, Wanted, attribute, attributes};

const GET_DRIVER: u32 = 0x03;
const GET_FLAGS: u32 = 0x25;
const GET_CHANNELS: u32 = 0x3c;
/// Bits of the answer to [`GET_FLAGS`].
const RX_VLAN: u32 = 1 << 8;
const LRO: u32 = 1 << 15;
const RX_HASH: u32 = 1 << 28;

/// Offloads that matter to XDP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offloads {
    /// The card takes VLAN tags off frames, so that XDP sees none.
    pub rx_vlan: bool,
    /// The card joins segments; native XDP does not go with it.
    pub lro: bool,
    /// The card spreads flows over queues by a hash.
    pub rx_hash: bool,
}

/// Queues.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Channels {
    /// Queues that receive.
    pub receiving: u32,
    /// How many could.
    pub most: u32,
}

#[repr(C)]
struct DriverInfo {
    command: u32,
    driver: [u8; 32],
    version: [u8; 32],
    firmware: [u8; 32],
    bus: [u8; 32],
    rom: [u8; 32],
    reserved: [u8; 12],
    counts: [u32; 5],
}

#[repr(C)]
struct Value {
    command: u32,
    data: u32,
}

#[repr(C)]
#[derive(Default)]
struct ChannelInfo {
    command: u32,
    max_rx: u32,
    max_tx: u32,
    max_other: u32,
    max_combined: u32,
    rx: u32,
    tx: u32,
    other: u32,
    combined: u32,
}

/// A structure that `SIOCETHTOOL` fills in.
///
/// # Safety
/// The type is `repr(C)` of integers alone, begins with the command, and is at least as large as
/// what the kernel writes for the command it is sent with.
unsafe trait Question {}

// SAFETY: as `struct ethtool_drvinfo` in linux/ethtool.h; sent with ETHTOOL_GDRVINFO only.
unsafe impl Question for DriverInfo {}
// SAFETY: as `struct ethtool_value` in linux/ethtool.h; sent with ETHTOOL_GFLAGS only.
unsafe impl Question for Value {}
// SAFETY: as `struct ethtool_channels` in linux/ethtool.h; sent with ETHTOOL_GCHANNELS only.
unsafe impl Question for ChannelInfo {}

const _: () = assert!(size_of::<DriverInfo>() == 196);
const _: () = assert!(size_of::<ChannelInfo>() == 36);

/// The name of an interface's driver.
pub fn driver(interface: &str) -> io::Result<String> {
    let mut info = DriverInfo {
        command: GET_DRIVER,
        driver: [0; 32],
        version: [0; 32],
        firmware: [0; 32],
        bus: [0; 32],
        rom: [0; 32],
        reserved: [0; 12],
        counts: [0; 5],
    };
    ask(interface, &mut info)?;
    let end = info
        .driver
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(info.driver.len());
    Ok(String::from_utf8_lossy(info.driver.get(..end).unwrap_or_default()).into_owned())
}

/// The offloads of an interface.
pub fn offloads(interface: &str) -> io::Result<Offloads> {
    let mut value = Value {
        command: GET_FLAGS,
        data: 0,
    };
    ask(interface, &mut value)?;
    Ok(Offloads {
        rx_vlan: value.data & RX_VLAN != 0,
        lro: value.data & LRO != 0,
        rx_hash: value.data & RX_HASH != 0,
    })
}

/// The queues of an interface.
pub fn channels(interface: &str) -> io::Result<Channels> {
    let mut info = ChannelInfo {
        command: GET_CHANNELS,
        ..ChannelInfo::default()
    };
    ask(interface, &mut info)?;
    Ok(Channels {
        receiving: info.rx.saturating_add(info.combined),
        most: info.max_rx.saturating_add(info.max_combined),
    })
}

fn ask(interface: &str, question: &mut impl Question) -> io::Result<()> {
    let mut name = [0; libc::IFNAMSIZ];
    if interface.len() >= name.len() {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    for (to, from) in name.iter_mut().zip(interface.bytes()) {
        *to = from.cast_signed();
    }
    let mut request = libc::ifreq {
        ifr_name: name,
        ifr_ifru: libc::__c_anonymous_ifr_ifru {
            ifru_data: (&raw mut *question).cast(),
        },
    };
    // Any socket of the namespace will do.
    let socket = UdpSocket::bind("0.0.0.0:0").or_else(|_| UdpSocket::bind("[::]:0"))?;
    // SAFETY: the request and the structure it points to live through the call and are not looked
    // at meanwhile; the kernel writes no more than `Question` promises.
    let result =
        unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL as _, &raw mut request) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// What an interface can do with XDP, as the driver itself says (kernel 6.3 and later; commit
/// d3d854fd6a1d).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XdpFeatures {
    /// Native mode: at least abort, drop, pass and transmit.
    pub native: bool,
    /// Frames that span buffers.
    pub fragments: bool,
}

const CONTROLLER: u16 = 0x10;
const GET_FAMILY: u8 = 3;
const FAMILY_ID: u16 = 1;
const FAMILY_NAME: u16 = 2;
const GET_DEVICE: u8 = 1;
const DEVICE_INDEX: u16 = 1;
const DEVICE_XDP_FEATURES: u16 = 3;
const XDP_BASIC: u64 = 1;
const XDP_FRAGMENTS: u64 = 1 << 5;
/// Bytes of the header of generic netlink.
const GENERIC_HEADER: usize = 4;

/// Asks the driver; `None` if the kernel has no such question.
pub fn xdp_features(index: u32) -> io::Result<Option<XdpFeatures>> {
    let mut connection = Connection::open(NETLINK_GENERIC)?;
    let name = attribute(FAMILY_NAME, b"netdev\0");
    let answers = match ask_generic(&mut connection, CONTROLLER, GET_FAMILY, &name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let family = value_of(&answers, FAMILY_ID)
        .and_then(|value| value.first_chunk().map(|bytes| u16::from_ne_bytes(*bytes)));
    let Some(family) = family else {
        return Ok(None);
    };
    let wanted = attribute(DEVICE_INDEX, &index.to_ne_bytes());
    let answers = ask_generic(&mut connection, family, GET_DEVICE, &wanted)?;
    let bits = value_of(&answers, DEVICE_XDP_FEATURES)
        .and_then(|value| value.first_chunk().map(|bytes| u64::from_ne_bytes(*bytes)));
    Ok(bits.map(|bits| XdpFeatures {
        native: bits & XDP_BASIC != 0,
        fragments: bits & XDP_FRAGMENTS != 0,
    }))
}

fn ask_generic(
    connection: &mut Connection,
    family: u16,
    command: u8,
    attributes: &[u8],
) -> io::Result<Vec<Raw>> {
    let body = [&[command, 1, 0, 0], attributes].concat();
    connection.ask(family, Wanted::One, &body)
}

fn value_of(answers: &[Raw], wanted: u16) -> Option<Vec<u8>> {
    answers
        .iter()
        .flat_map(|raw| attributes(raw.body.get(GENERIC_HEADER..).unwrap_or_default()))
        .find(|(kind, _)| *kind == wanted)
        .map(|(_, value)| value.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_has_no_native_mode() {
        if let Some(features) = xdp_features(1).unwrap() {
            assert_eq!(
                features,
                XdpFeatures {
                    native: false,
                    fragments: false
                }
            );
        }
        assert!(!offloads("lo").unwrap().rx_vlan);
    }

    #[test]
    fn what_is_not_there_is_an_error() {
        assert!(offloads("no such link").is_err());
        assert!(driver("a name much too long for a link").is_err());
        assert!(channels("no such link").is_err());
        assert!(!matches!(xdp_features(u32::MAX), Ok(Some(_))));
    }
}
