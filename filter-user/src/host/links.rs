//! Which interfaces there are, and when that changes.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use rtnetlink::{
    packet_route::{
        AddressFamily, RouteNetlinkMessage,
        link::{
            LinkAttribute, LinkExtentMask, LinkFlags, LinkInfo, LinkLayerType, LinkMessage, LinkXdp,
        },
    },
    sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE},
};

use super::{ethtool, netlink};

/// How soon a watcher notices that nobody wants it any more.
const ATTENTION: Duration = Duration::from_secs(1);
/// The multicast group of links, as a bit.
#[doc(alias = "RTMGRP_LINK")]
const LINKS: u32 = 1;

/// One interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// The kernel's index.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// What kind of virtual device it is: `veth`, `bridge`, `vlan`; `None` for a card.
    pub kind: Option<String>,
    /// Whether it is set up.
    pub up: bool,
    /// Whether there is a carrier.
    pub running: bool,
    /// The largest packet in bytes, without the Ethernet header.
    pub mtu: u32,
    /// Receive queues that were allocated.
    pub rx_queues: u32,
    /// Transmit queues that were allocated.
    pub tx_queues: u32,
    /// The index of the interface below it, as of a VLAN's.
    pub below: Option<u32>,
    /// Whether it carries Ethernet frames to others.
    pub ethernet: bool,
    /// XDP programs on it.
    pub xdp: Vec<XdpProgram>,
}

/// An XDP program on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XdpProgram {
    /// The kernel's id of the program.
    pub id: u32,
    /// Where it sits.
    pub mode: XdpMode,
}

/// Where an XDP program sits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XdpMode {
    /// In the driver.
    Native,
    /// In the stack.
    Generic,
    /// On the card.
    Hardware,
}

impl Link {
    /// The driver, as ethtool names it, or else the kind of virtual device.
    pub fn driver(&self) -> Option<String> {
        ethtool::driver(&self.name)
            .ok()
            .filter(|name| !name.is_empty())
            .or(self.kind.clone())
    }
}

/// The links of this thread's network namespace, by index.
pub fn list() -> io::Result<Vec<Link>> {
    let mut request = LinkMessage::default();
    request.attributes = vec![LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats])];
    let messages = netlink::dump(&RouteNetlinkMessage::GetLink(request))?;
    let mut links: Vec<_> = messages
        .iter()
        .filter_map(news)
        .filter_map(News::link)
        .collect();
    links.sort_by_key(|link| link.index);
    Ok(links)
}

/// The link of this name; `None` if there is none.
pub fn find(name: &str) -> io::Result<Option<Link>> {
    Ok(list()?.into_iter().find(|link| link.name == name))
}

/// Names of the Ethernet interfaces among these indices, in the order of the links.
pub fn uplinks(links: &[Link], indices: &BTreeSet<u32>) -> Vec<String> {
    links
        .iter()
        .filter(|link| link.ethernet && indices.contains(&link.index))
        .map(|link| link.name.clone())
        .collect()
}

/// What a message says of a link.
enum News {
    There(Link),
    Gone(u32),
}

impl News {
    fn link(self) -> Option<Link> {
        match self {
            Self::There(link) => Some(link),
            Self::Gone(_) => None,
        }
    }
}

/// Reads a message; `None` if it is not about a link as such. Bridges announce their ports with
/// the same messages, and "gone" then means gone from the bridge.
fn news(message: &RouteNetlinkMessage) -> Option<News> {
    let of_link = |link: &LinkMessage| link.header.interface_family == AddressFamily::Unspec;
    if let RouteNetlinkMessage::NewLink(link) = message {
        of_link(link).then(|| News::There(read(link)))
    } else if let RouteNetlinkMessage::DelLink(link) = message {
        of_link(link).then_some(News::Gone(link.header.index))
    } else {
        None
    }
}

#[allow(
    clippy::wildcard_enum_match_arm,
    reason = "the kernel has many attributes, few matter here"
)]
fn read(message: &LinkMessage) -> Link {
    let mut link = Link {
        index: message.header.index,
        up: message.header.flags.contains(LinkFlags::Up),
        ethernet: message.header.link_layer_type == LinkLayerType::Ether,
        running: message.header.flags.contains(LinkFlags::LowerUp),
        ..Link::default()
    };
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
            LinkAttribute::Link(below) => link.below = Some(*below),
            LinkAttribute::NumRxQueues(queues) => link.rx_queues = *queues,
            LinkAttribute::NumTxQueues(queues) => link.tx_queues = *queues,
            LinkAttribute::LinkInfo(infos) => link.kind = infos.iter().find_map(kind),
            LinkAttribute::Xdp(attributes) => {
                link.xdp = attributes.iter().filter_map(xdp).collect()
            }
            _ => {}
        }
    }
    link
}

fn kind(info: &LinkInfo) -> Option<String> {
    if let LinkInfo::Kind(kind) = info {
        Some(kind.to_string())
    } else {
        None
    }
}

/// The kernel names each program by its mode, and a lone one once more without.
#[allow(
    clippy::wildcard_enum_match_arm,
    reason = "the kernel has many attributes, few matter here"
)]
fn xdp(attribute: &LinkXdp) -> Option<XdpProgram> {
    let (id, mode) = match attribute {
        LinkXdp::DrvProgId(id) => (*id, XdpMode::Native),
        LinkXdp::SkbProgId(id) => (*id, XdpMode::Generic),
        LinkXdp::HwProgId(id) => (*id, XdpMode::Hardware),
        _ => return None,
    };
    Some(XdpProgram { id, mode })
}

/// Something that happened to a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkEvent {
    /// The kernel's index.
    pub index: u32,
    /// Its name; of a link that vanished, the last.
    pub name: String,
    /// What.
    pub change: LinkChange,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkChange {
    /// It is there.
    Appeared,
    /// It has another name.
    Renamed {
        /// The name before.
        from: String,
    },
    /// It is gone.
    Vanished,
}

/// The links that are known, to tell what a message changes.
#[derive(Debug, Default)]
struct Known(BTreeMap<u32, String>);

impl Known {
    fn there(&mut self, index: u32, name: &str) -> Option<LinkEvent> {
        let change = match self.0.insert(index, name.to_owned()) {
            None => LinkChange::Appeared,
            Some(from) if from != name => LinkChange::Renamed { from },
            Some(_) => return None,
        };
        Some(LinkEvent {
            index,
            name: name.to_owned(),
            change,
        })
    }

    fn gone(&mut self, index: u32) -> Option<LinkEvent> {
        let name = self.0.remove(&index)?;
        Some(LinkEvent {
            index,
            name,
            change: LinkChange::Vanished,
        })
    }

    /// Takes over a full list; those that vanished come first, for their names may be in use again.
    fn replace(&mut self, links: &[Link]) -> Vec<LinkEvent> {
        let there = |index: &u32| links.iter().any(|link| link.index == *index);
        let gone: Vec<u32> = self
            .0
            .keys()
            .copied()
            .filter(|index| !there(index))
            .collect();
        let mut events: Vec<_> = gone
            .into_iter()
            .filter_map(|index| self.gone(index))
            .collect();
        events.extend(
            links
                .iter()
                .filter_map(|link| self.there(link.index, &link.name)),
        );
        events
    }
}

/// Watches links until it is dropped.
#[derive(Debug)]
pub struct Watcher {
    unwanted: Arc<AtomicBool>,
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.unwanted.store(true, Ordering::Relaxed);
    }
}

/// Watches the links of the calling thread's network namespace, from a thread that calls `tell`.
/// Those that are there at the start are told as appeared, so that none falls between a list and
/// the watch.
pub fn watch(mut tell: impl FnMut(LinkEvent) + Send + 'static) -> io::Result<Watcher> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind(&SocketAddr::new(0, LINKS))?;
    netlink::set_patience(&socket, ATTENTION)?;
    let mut connection = netlink::Connection::open(NETLINK_ROUTE)?;
    let mut known = Known::default();
    known
        .replace(&list_over(&mut connection)?)
        .into_iter()
        .for_each(&mut tell);
    let unwanted = Arc::new(AtomicBool::new(false));
    let stop = Arc::clone(&unwanted);
    thread::Builder::new()
        .name("links".to_owned())
        .spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                match receive(&socket, &mut connection, &mut known) {
                    Ok(events) => events.into_iter().for_each(&mut tell),
                    Err(error) => {
                        tracing::error!(%error, "links cannot be watched; trying again");
                        thread::sleep(ATTENTION);
                    }
                }
            }
        })?;
    Ok(Watcher { unwanted })
}

/// What happened, or nothing for a while. A receiver that was too slow lists anew.
fn receive(
    socket: &Socket,
    connection: &mut netlink::Connection,
    known: &mut Known,
) -> io::Result<Vec<LinkEvent>> {
    let data = match socket.recv_from_full() {
        Ok((data, _)) => data,
        Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
            return Ok(known.replace(&list_over(connection)?));
        }
        Err(error) if is_idle(&error) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let messages: Vec<_> = netlink::split(&data)
        .iter()
        .filter_map(netlink::understand)
        .collect();
    let events = messages
        .iter()
        .filter_map(news)
        .filter_map(|news| match news {
            News::There(link) => known.there(link.index, &link.name),
            News::Gone(index) => known.gone(index),
        });
    Ok(events.collect())
}

fn is_idle(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock || error.kind() == io::ErrorKind::Interrupted
}

/// A list by a socket opened earlier, whose namespace holds whatever the thread does since.
fn list_over(connection: &mut netlink::Connection) -> io::Result<Vec<Link>> {
    let answers = connection.dump(&RouteNetlinkMessage::GetLink(LinkMessage::default()))?;
    Ok(answers
        .iter()
        .filter_map(news)
        .filter_map(News::link)
        .collect())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use rtnetlink::packet_route::link::{InfoKind, XdpAttached};

    use super::*;

    fn link(index: u32, name: &str) -> Link {
        Link {
            index,
            name: name.to_owned(),
            ..Link::default()
        }
    }

    fn event(index: u32, name: &str, change: LinkChange) -> LinkEvent {
        LinkEvent {
            index,
            name: name.to_owned(),
            change,
        }
    }

    fn message(index: u32, attributes: Vec<LinkAttribute>) -> LinkMessage {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.header.flags = LinkFlags::Up;
        message.attributes = attributes;
        message
    }

    #[test]
    fn a_link_as_the_kernel_describes_it() {
        let message = message(
            7,
            vec![
                LinkAttribute::IfName("eth7".into()),
                LinkAttribute::Mtu(9000),
                LinkAttribute::Link(6),
                LinkAttribute::NumRxQueues(4),
                LinkAttribute::NumTxQueues(8),
                LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Veth)]),
                LinkAttribute::Xdp(vec![
                    LinkXdp::Attached(XdpAttached::Multiple),
                    LinkXdp::DrvProgId(11),
                    LinkXdp::SkbProgId(12),
                ]),
            ],
        );
        assert_eq!(
            read(&message),
            Link {
                index: 7,
                name: "eth7".into(),
                kind: Some("veth".into()),
                up: true,
                running: false,
                mtu: 9000,
                rx_queues: 4,
                tx_queues: 8,
                below: Some(6),
                ethernet: false,
                xdp: vec![
                    XdpProgram {
                        id: 11,
                        mode: XdpMode::Native
                    },
                    XdpProgram {
                        id: 12,
                        mode: XdpMode::Generic
                    }
                ],
            }
        );
    }

    #[test]
    fn a_port_that_leaves_its_bridge_is_not_gone() {
        let mut port = message(7, vec![]);
        assert!(matches!(
            news(&RouteNetlinkMessage::DelLink(port.clone())),
            Some(News::Gone(7))
        ));
        port.header.interface_family = AddressFamily::Bridge;
        assert!(news(&RouteNetlinkMessage::DelLink(port.clone())).is_none());
        assert!(news(&RouteNetlinkMessage::NewLink(port)).is_none());
    }

    #[test]
    fn only_what_changes_is_told() {
        let mut known = Known::default();
        assert_eq!(
            known.there(2, "eth0"),
            Some(event(2, "eth0", LinkChange::Appeared))
        );
        assert_eq!(known.there(2, "eth0"), None);
        let renamed = LinkChange::Renamed {
            from: "eth0".into(),
        };
        assert_eq!(known.there(2, "wan"), Some(event(2, "wan", renamed)));
        assert_eq!(known.gone(2), Some(event(2, "wan", LinkChange::Vanished)));
        assert_eq!(known.gone(2), None);
    }

    #[test]
    fn after_missed_messages_a_list_tells_what_changed() {
        let mut known = Known::default();
        known.replace(&[link(1, "lo"), link(2, "eth0"), link(3, "eth1")]);
        assert_eq!(
            known.replace(&[link(1, "lo"), link(3, "eth2"), link(4, "eth0")]),
            [
                event(2, "eth0", LinkChange::Vanished),
                event(
                    3,
                    "eth2",
                    LinkChange::Renamed {
                        from: "eth1".into()
                    }
                ),
                event(4, "eth0", LinkChange::Appeared),
            ]
        );
    }

    #[test]
    fn this_host_can_be_asked_and_watched() {
        let loopback = find("lo").unwrap().unwrap();
        assert_eq!(loopback.index, 1);
        assert_eq!(find("no such link").unwrap(), None);
        let (sender, receiver) = mpsc::channel();
        let watcher = watch(move |event| sender.send(event).unwrap_or(())).unwrap();
        let first = receiver.recv_timeout(Duration::from_secs(5)).unwrap();
        assert_eq!(first, event(1, "lo", LinkChange::Appeared));
        drop(watcher);
    }
}
