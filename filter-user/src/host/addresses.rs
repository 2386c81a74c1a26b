//! Which addresses this host has, and by which gateways it reaches the world.

use std::{collections::BTreeSet, io, net::IpAddr};

use rtnetlink::packet_route::{
    AddressFamily, RouteNetlinkMessage,
    address::{AddressAttribute, AddressMessage},
    route::{RouteAddress, RouteAttribute, RouteMessage, RouteVia},
};

use super::netlink;

/// Addresses of all interfaces of this network namespace.
pub fn addresses() -> io::Result<Vec<IpAddr>> {
    let messages = netlink::dump(&RouteNetlinkMessage::GetAddress(AddressMessage::default()))?;
    Ok(own(&messages))
}

/// Gateways of default routes, of all routing tables of this network namespace.
pub fn gateways() -> io::Result<Vec<IpAddr>> {
    let mut messages = Vec::new();
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        let mut request = RouteMessage::default();
        request.header.address_family = family;
        messages.extend(netlink::dump(&RouteNetlinkMessage::GetRoute(request))?);
    }
    Ok(default_gateways(&messages))
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

/// The gateways of default routes in a dump of routes.
pub fn default_gateways(messages: &[RouteNetlinkMessage]) -> Vec<IpAddr> {
    let mut found = BTreeSet::new();
    for message in messages {
        let RouteNetlinkMessage::NewRoute(route) = message else {
            continue;
        };
        if route.header.destination_prefix_length == 0 {
            collect_gateways(&route.attributes, &mut found);
        }
    }
    found.into_iter().collect()
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
    fn gateways_of_default_routes_only_of_every_kind() {
        let gateway = |last| RouteAttribute::Gateway(RouteAddress::Inet([192, 0, 2, last].into()));
        let six: Ipv6Addr = "fe80::1".parse().unwrap();
        let mut hop = RouteNextHop::default();
        hop.attributes = vec![gateway(3)];
        let messages = [
            route(0, vec![gateway(1)]),
            route(8, vec![gateway(2)]),
            route(0, vec![RouteAttribute::MultiPath(vec![hop])]),
            route(0, vec![RouteAttribute::Via(RouteVia::Inet6(six))]),
            route(0, vec![]),
        ];
        let found = default_gateways(&messages);
        let expected: Vec<IpAddr> = ["192.0.2.1", "192.0.2.3", "fe80::1"]
            .map(|text| text.parse().unwrap())
            .into();
        assert_eq!(found, expected);
    }

    #[test]
    fn this_host_can_be_asked() {
        let found = addresses().unwrap();
        let loopback_up = found.contains(&Ipv4Addr::LOCALHOST.into());
        assert!(loopback_up || found.iter().all(|address| !address.is_loopback()));
        gateways().unwrap();
    }
}
