//! Which addresses this host has, and by which gateways it reaches the world.

use std::{collections::BTreeSet, io, net::IpAddr};

use rtnetlink::packet_route::{
    AddressFamily, RouteNetlinkMessage,
    address::{AddressAttribute, AddressMessage},
    route::{RouteAddress, RouteAttribute, RouteMessage, RouteType, RouteVia},
};

use super::netlink;

/// Addresses of all interfaces of this network namespace.
pub fn addresses() -> io::Result<Vec<IpAddr>> {
    let messages = netlink::dump(&RouteNetlinkMessage::GetAddress(AddressMessage::default()))?;
    Ok(own(&messages))
}

/// How this host reaches the world.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ways {
    /// Gateways of default routes.
    pub gateways: Vec<IpAddr>,
    /// Indices of the interfaces that default routes go through.
    pub interfaces: BTreeSet<u32>,
}

/// The default routes of all routing tables of this network namespace.
pub fn ways() -> io::Result<Ways> {
    let mut messages = Vec::new();
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        let mut request = RouteMessage::default();
        request.header.address_family = family;
        messages.extend(netlink::dump(&RouteNetlinkMessage::GetRoute(request))?);
    }
    Ok(default_ways(&messages))
}

/// The addresses in a dump of addresses.
#[allow(
    clippy::wildcard_enum_match_arm,
    reason = "the kernel has many attributes, few matter here"
)]
pub fn own(messages: &[RouteNetlinkMessage]) -> Vec<IpAddr> {
    let mut found = BTreeSet::new();
    for message in messages {
        let RouteNetlinkMessage::NewAddress(message) = message else {
            continue;
        };
        // On a point-to-point link `Address` is the other end's.
        let local = message
            .attributes
            .iter()
            .find_map(|attribute| match attribute {
                AddressAttribute::Local(address) => Some(*address),
                _ => None,
            });
        let only = message
            .attributes
            .iter()
            .find_map(|attribute| match attribute {
                AddressAttribute::Address(address) => Some(*address),
                _ => None,
            });
        found.extend(local.or(only));
    }
    found.into_iter().collect()
}

/// The default routes in a dump of routes.
pub fn default_ways(messages: &[RouteNetlinkMessage]) -> Ways {
    let mut gateways = BTreeSet::new();
    let mut interfaces = BTreeSet::new();
    for message in messages {
        let RouteNetlinkMessage::NewRoute(route) = message else {
            continue;
        };
        // Unreachable ones go through the loopback interface.
        if route.header.destination_prefix_length == 0 && route.header.kind == RouteType::Unicast {
            collect_gateways(&route.attributes, &mut gateways);
            collect_interfaces(&route.attributes, &mut interfaces);
        }
    }
    Ways {
        gateways: gateways.into_iter().collect(),
        interfaces,
    }
}

#[allow(
    clippy::wildcard_enum_match_arm,
    reason = "the kernel has many attributes, few matter here"
)]
fn collect_interfaces(attributes: &[RouteAttribute], found: &mut BTreeSet<u32>) {
    for attribute in attributes {
        match attribute {
            RouteAttribute::Oif(index) => {
                found.insert(*index);
            }
            RouteAttribute::MultiPath(hops) => {
                found.extend(hops.iter().map(|hop| hop.interface_index));
            }
            _ => {}
        }
    }
}

#[allow(
    clippy::wildcard_enum_match_arm,
    reason = "the kernel has many attributes, few matter here"
)]
fn collect_gateways(attributes: &[RouteAttribute], found: &mut BTreeSet<IpAddr>) {
    for attribute in attributes {
        match attribute {
            RouteAttribute::Gateway(RouteAddress::Inet(address)) => {
                found.insert(IpAddr::V4(*address));
            }
            RouteAttribute::Gateway(RouteAddress::Inet6(address)) => {
                found.insert(IpAddr::V6(*address));
            }
            RouteAttribute::Via(RouteVia::Inet(address)) => {
                found.insert(IpAddr::V4(*address));
            }
            RouteAttribute::Via(RouteVia::Inet6(address)) => {
                found.insert(IpAddr::V6(*address));
            }
            RouteAttribute::MultiPath(hops) => {
                for hop in hops {
                    collect_gateways(&hop.attributes, found);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use rtnetlink::packet_route::route::RouteNextHop;

    use super::*;

    fn address(attributes: Vec<AddressAttribute>) -> RouteNetlinkMessage {
        let mut message = AddressMessage::default();
        message.attributes = attributes;
        RouteNetlinkMessage::NewAddress(message)
    }

    fn route(length: u8, attributes: Vec<RouteAttribute>) -> RouteNetlinkMessage {
        let mut message = RouteMessage::default();
        message.header.destination_prefix_length = length;
        message.header.kind = RouteType::Unicast;
        message.attributes = attributes;
        RouteNetlinkMessage::NewRoute(message)
    }

    #[test]
    fn the_local_end_of_a_link_is_the_own_address() {
        let (here, there) = (Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2));
        let six: Ipv6Addr = "2001:db8::1".parse().unwrap();
        let messages = [
            address(vec![
                AddressAttribute::Address(there.into()),
                AddressAttribute::Local(here.into()),
            ]),
            address(vec![AddressAttribute::Address(six.into())]),
            address(vec![AddressAttribute::Address(six.into())]),
            address(vec![]),
        ];
        assert_eq!(own(&messages), [IpAddr::from(here), IpAddr::from(six)]);
    }

    #[test]
    fn default_routes_only_count_of_every_kind() {
        let gateway = |last| RouteAttribute::Gateway(RouteAddress::Inet([192, 0, 2, last].into()));
        let six: Ipv6Addr = "fe80::1".parse().unwrap();
        let mut hop = RouteNextHop::default();
        hop.attributes = vec![gateway(3)];
        hop.interface_index = 7;
        let mut unreachable = RouteMessage::default();
        unreachable.header.kind = RouteType::Unreachable;
        unreachable.attributes = vec![gateway(4), RouteAttribute::Oif(1)];
        let messages = [
            route(0, vec![gateway(1), RouteAttribute::Oif(5)]),
            route(8, vec![gateway(2), RouteAttribute::Oif(6)]),
            route(0, vec![RouteAttribute::MultiPath(vec![hop])]),
            route(0, vec![RouteAttribute::Via(RouteVia::Inet6(six))]),
            route(0, vec![]),
            RouteNetlinkMessage::NewRoute(unreachable),
        ];
        let found = default_ways(&messages);
        let expected: Vec<IpAddr> = ["192.0.2.1", "192.0.2.3", "fe80::1"]
            .map(|text| text.parse().unwrap())
            .into();
        assert_eq!(found.gateways, expected);
        assert_eq!(found.interfaces, BTreeSet::from([5, 7]));
    }

    #[test]
    fn this_host_can_be_asked() {
        let found = addresses().unwrap();
        let loopback_up = found.contains(&Ipv4Addr::LOCALHOST.into());
        assert!(loopback_up || found.iter().all(|address| !address.is_loopback()));
        ways().unwrap();
    }
}
