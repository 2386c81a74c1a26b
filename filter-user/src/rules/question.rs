//! Whether a rule matches a packet of which only some things are known.

use std::net::IpAddr;

use filter_common::logic::packet::Fragment;

use super::{
    range::Span,
    rule::{Addresses, Flags, Matches, Pieces, Protocol},
};

/// What is known of a whole packet with a whole header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Source address.
    pub source: IpAddr,
    /// IP protocol number.
    pub protocol: u8,
    /// Source port.
    pub source_port: Option<u16>,
    /// Destination port.
    pub destination_port: Option<u16>,
}

/// Whether a rule matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It does, whatever else the packet is.
    Yes,
    /// It does not.
    No,
    /// It does if these conditions hold too, in the words of the rule.
    If(String),
}

impl Matches {
    /// Whether the conditions hold for a packet.
    pub fn ask(&self, known: Known) -> Answer {
        // What is decided is taken out; what is left is open.
        let mut open = self.clone();
        if !take_source(&mut open.addresses, known.source) {
            return Answer::No;
        }
        if self
            .protocol
            .number()
            .is_some_and(|number| number != known.protocol)
        {
            return Answer::No;
        }
        let mut ports = self.protocol.ports();
        for (wanted, is) in [
            (&mut ports.source, known.source_port),
            (&mut ports.destination, known.destination_port),
        ] {
            match is {
                Some(port) if !wanted.contains(port) => return Answer::No,
                Some(_) => *wanted = Span::all(),
                None => {}
            }
        }
        if !self.fragment.contains(Fragment::Whole) {
            return Answer::No;
        }
        open.fragment = Pieces::All;
        open.protocol = open.protocol.with_ports(ports);
        let without_protocol = Matches {
            protocol: Protocol::Any,
            ..open.clone()
        };
        let is_open = !open.protocol.ports().is_all()
            || open.protocol.flags() != Flags::default()
            || without_protocol != Matches::everything();
        if is_open {
            Answer::If(open.to_string())
        } else {
            Answer::Yes
        }
    }

    /// Whether every packet of the other conditions fulfils these too. `false` may mean that it is
    /// hard to tell.
    pub fn covers(&self, other: &Self) -> bool {
        let protocol = match self.protocol.number() {
            None => true,
            Some(number) => other.protocol.number() == Some(number),
        };
        let (ports, inner) = (self.protocol.ports(), other.protocol.ports());
        let (flags, inner_flags) = (self.protocol.flags(), other.protocol.flags());
        let fragments = [Fragment::Whole, Fragment::First, Fragment::Later];
        protocol
            && addresses_cover(self.addresses, other.addresses)
            && ports.source.covers(inner.source)
            && ports.destination.covers(inner.destination)
            && inner_flags.mask() & flags.mask() == flags.mask()
            && inner_flags.value() & flags.mask() == flags.value()
            && self.length.covers(other.length)
            && self.ttl.covers(other.ttl)
            && fragments
                .into_iter()
                .all(|kind| self.fragment.contains(kind) || !other.fragment.contains(kind))
            && (self.payload.is_none() || self.payload == other.payload)
    }
}

/// Takes the source out of the conditions; `false` if it does not fulfil them.
fn take_source(addresses: &mut Addresses, source: IpAddr) -> bool {
    match (addresses, source) {
        (Addresses::Any, _) => true,
        (wanted @ Addresses::V4 { .. }, IpAddr::V4(source)) => {
            let Addresses::V4 { from, to } = *wanted else {
                return false;
            };
            *wanted = match to.prefix_len() {
                0 => Addresses::Any,
                _ => Addresses::V4 {
                    from: ipnet::Ipv4Net::default(),
                    to,
                },
            };
            from.contains(&source)
        }
        (wanted @ Addresses::V6 { .. }, IpAddr::V6(source)) => {
            let Addresses::V6 { from, to } = *wanted else {
                return false;
            };
            *wanted = match to.prefix_len() {
                0 => Addresses::Any,
                _ => Addresses::V6 {
                    from: ipnet::Ipv6Net::default(),
                    to,
                },
            };
            from.contains(&source)
        }
        (Addresses::V4 { .. }, IpAddr::V6(_)) | (Addresses::V6 { .. }, IpAddr::V4(_)) => false,
    }
}

fn addresses_cover(outer: Addresses, inner: Addresses) -> bool {
    match (outer, inner) {
        (Addresses::Any, _) => true,
        (Addresses::V4 { from, to }, Addresses::V4 { from: f, to: t }) => {
            from.contains(&f) && to.contains(&t)
        }
        (Addresses::V6 { from, to }, Addresses::V6 { from: f, to: t }) => {
            from.contains(&f) && to.contains(&t)
        }
        (Addresses::V4 { .. } | Addresses::V6 { .. }, _) => false,
    }
}

#[cfg(test)]
mod tests {
    use filter_common::logic::packet::{Packet, Transport, protocol};
    use proptest::prelude::*;

    use super::*;
    use crate::rules::{Rule, matches::matches, strategy};

    fn ask(rule: &str, port: Option<u16>) -> Answer {
        let rule: Rule = rule.parse().expect("a rule");
        rule.matches.ask(Known {
            source: "192.0.2.1".parse().expect("an address"),
            protocol: protocol::UDP,
            source_port: None,
            destination_port: port,
        })
    }

    #[test]
    fn what_is_not_known_is_named() {
        let left = |text: &str| Answer::If(text.to_owned());
        assert_eq!(ask("drop udp dport 53", Some(53)), Answer::Yes);
        assert_eq!(ask("drop udp dport 53", Some(54)), Answer::No);
        assert_eq!(ask("drop udp dport 53", None), left("udp dport 53"));
        assert_eq!(ask("drop any", None), Answer::Yes);
        assert_eq!(ask("drop tcp", None), Answer::No);
        assert_eq!(ask("drop ip", None), Answer::Yes);
        assert_eq!(ask("drop ip6", None), Answer::No);
        assert_eq!(
            ask("drop from 192.0.2.0/24 to 192.0.2.9", None),
            left("to 192.0.2.9")
        );
        assert_eq!(
            ask(
                "drop udp from 192.0.2.0/24 sport 123 dport 53 length > 400",
                Some(53)
            ),
            left("udp sport 123 length > 400")
        );
        assert_eq!(ask("drop udp fragment whole", None), Answer::Yes);
        assert_eq!(ask("drop udp fragment any", None), Answer::No);
    }

    fn known(packet: &Packet) -> Option<Known> {
        let (source_port, destination_port) = match packet.transport() {
            Transport::Tcp {
                source_port,
                destination_port,
                ..
            }
            | Transport::Udp {
                source_port,
                destination_port,
            } => (Some(source_port), Some(destination_port)),
            Transport::Icmp { .. } => (None, None),
            Transport::Opaque => return None,
        };
        (packet.fragment == Fragment::Whole).then(|| Known {
            source: packet.source.into(),
            protocol: packet.protocol,
            source_port,
            destination_port,
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        #[test]
        fn an_answer_is_never_wrong(rule in strategy::rule(), packet in strategy::packet()) {
            if let Some(known) = known(&packet) {
                match rule.matches.ask(known) {
                    Answer::Yes => prop_assert!(matches(&rule, &packet, &[])),
                    Answer::No => prop_assert!(!matches(&rule, &packet, &[])),
                    Answer::If(_) => {}
                }
            }
        }

        #[test]
        fn what_is_covered_matches_no_packet_that_the_cover_does_not(
            outer in strategy::rule(), inner in strategy::rule(), packet in strategy::packet(),
        ) {
            prop_assert!(inner.matches.covers(&inner.matches));
            if outer.matches.covers(&inner.matches) && matches(&inner, &packet, &[]) {
                prop_assert!(matches(&outer, &packet, &[]));
            }
        }
    }
}
