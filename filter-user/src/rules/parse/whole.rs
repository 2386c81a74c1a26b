//! What the clauses make together; refuses what no packet can fulfil.

use filter_common::logic::{address::Family, packet::protocol};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::clause::{Draft, Placed};
use crate::rules::{
    error::SyntaxError,
    range::Span,
    rule::{Addresses, Flags, Matches, Pieces, Ports, Protocol},
};

impl Draft {
    /// The conditions; `text` is for errors.
    pub fn whole(self, text: &str) -> Result<Matches, SyntaxError> {
        let addresses = self.addresses(text)?;
        self.check_icmp(text, addresses)?;
        let protocol = self.protocol(text)?;
        self.check_payload(text)?;
        self.check_fragment(text)?;
        Ok(Matches {
            addresses,
            protocol,
            length: value(&self.length).unwrap_or_else(Span::all),
            ttl: value(&self.ttl).unwrap_or_else(Span::all),
            fragment: value(&self.fragment).unwrap_or(Pieces::All),
            payload: self.payload.map(|payload| payload.value),
        })
    }

    fn addresses(&self, text: &str) -> Result<Addresses, SyntaxError> {
        let sides = [&self.from, &self.to].map(Option::as_ref);
        let mut family = self.family.as_ref().map(|family| family.value);
        for side in sides.into_iter().flatten() {
            let of_side = match side.value {
                IpNet::V4(_) => Family::V4,
                IpNet::V6(_) => Family::V6,
            };
            if *family.get_or_insert(of_side) != of_side {
                let message = "IPv4 and IPv6 in one rule, which no packet is: write two rules";
                return Err(wrong(text, side, message));
            }
        }
        let [from, to] = sides.map(|side| side.map(|side| side.value));
        Ok(match family {
            None => Addresses::Any,
            Some(Family::V4) => Addresses::V4 {
                from: v4(from),
                to: v4(to),
            },
            Some(Family::V6) => Addresses::V6 {
                from: v6(from),
                to: v6(to),
            },
        })
    }

    fn check_icmp(&self, text: &str, addresses: Addresses) -> Result<(), SyntaxError> {
        let Some(carried) = &self.protocol else {
            return Ok(());
        };
        match (carried.value, addresses) {
            (protocol::ICMP, Addresses::V6 { .. }) => {
                Err(wrong(text, carried, "ICMP of IPv6 is written `icmp6`"))
            }
            (protocol::ICMPV6, Addresses::V4 { .. }) => {
                Err(wrong(text, carried, "ICMP of IPv4 is written `icmp`"))
            }
            _ => Ok(()),
        }
    }

    fn protocol(&self, text: &str) -> Result<Protocol, SyntaxError> {
        let carried = value(&self.protocol);
        if let Some(flags) = &self.flags
            && carried != Some(protocol::TCP)
        {
            let message = "only TCP has flags: write `tcp` too";
            return Err(wrong(text, flags, message));
        }
        if let Some(ports) = self.sport.as_ref().or(self.dport.as_ref())
            && !matches!(carried, Some(protocol::TCP | protocol::UDP))
        {
            let message = "only TCP and UDP have ports: write `tcp` or `udp` too";
            return Err(wrong(text, ports, message));
        }
        let ports = Ports {
            source: value(&self.sport).unwrap_or_else(Span::all),
            destination: value(&self.dport).unwrap_or_else(Span::all),
        };
        let flags: Flags = value(&self.flags).unwrap_or_default();
        Ok(match carried {
            None => Protocol::Any,
            Some(protocol::TCP) => Protocol::Tcp(ports, flags),
            Some(protocol::UDP) => Protocol::Udp(ports),
            Some(number) => Protocol::Other(number),
        })
    }

    fn check_payload(&self, text: &str) -> Result<(), SyntaxError> {
        let has_payload = |number: u8| {
            matches!(
                number,
                protocol::TCP | protocol::UDP | protocol::ICMP | protocol::ICMPV6
            )
        };
        match &self.payload {
            Some(payload) if !value(&self.protocol).is_none_or(has_payload) => {
                let message = "payload is looked for behind TCP, UDP and ICMP headers, which this \
                               protocol has not: leave one of them out";
                Err(wrong(text, payload, message))
            }
            _ => Ok(()),
        }
    }

    fn check_fragment(&self, text: &str) -> Result<(), SyntaxError> {
        let Some(fragment) = &self.fragment else {
            return Ok(());
        };
        let ports = [&self.sport, &self.dport];
        let has_ports = ports
            .into_iter()
            .any(|ports| value(ports).is_some_and(|ports| !ports.is_all()));
        if fragment.value == Pieces::Later
            && (has_ports || self.flags.is_some() || self.payload.is_some())
        {
            let message = "later pieces of a packet have neither ports, flags nor payload behind a \
                           header: leave one of them out";
            return Err(wrong(text, fragment, message));
        }
        Ok(())
    }
}

fn wrong<T>(text: &str, placed: &Placed<T>, message: &str) -> SyntaxError {
    SyntaxError::new(text, placed.place.clone(), message)
}

fn value<T: Copy>(slot: &Option<Placed<T>>) -> Option<T> {
    slot.as_ref().map(|placed| placed.value)
}

fn v4(side: Option<IpNet>) -> Ipv4Net {
    match side {
        Some(IpNet::V4(prefix)) => prefix,
        Some(IpNet::V6(_)) | None => Ipv4Net::default(),
    }
}

fn v6(side: Option<IpNet>) -> Ipv6Net {
    match side {
        Some(IpNet::V6(prefix)) => prefix,
        Some(IpNet::V4(_)) | None => Ipv6Net::default(),
    }
}
