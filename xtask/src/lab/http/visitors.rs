//! Who visits, from where, and how eagerly.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::super::{
    attack::album::{PARTNER_V4, PARTNER_V6},
    sandbox::hosts,
};

/// Connections at the same time, as one browser makes them.
const PARALLEL: usize = 6;
/// Addresses that visitors have; together they are a crowd, none of them a flood.
const USUAL: u32 = 200;
/// How many times the usual visitors a crowd is.
const CROWD: u32 = 50;

/// Pages a second that somebody behind a narrow path fetches.
const FAR_RATE: u32 = 20;

/// Some visitors.
#[derive(Clone, Copy, Debug)]
pub struct Visitors {
    who: Who,
    v6: bool,
    /// Connections at the same time.
    pub parallel: usize,
    /// Requests a second of all together; without it, each request follows the last.
    pub rate: Option<u32>,
}

#[derive(Clone, Copy, Debug)]
enum Who {
    Usual,
    Crowd,
    Partner,
    Far,
}

impl Visitors {
    /// The usual ones, 200 over IPv4.
    pub fn usual() -> Self {
        Self {
            who: Who::Usual,
            v6: false,
            parallel: PARALLEL,
            rate: None,
        }
    }

    /// Fifty times as many.
    pub fn crowd() -> Self {
        Self {
            who: Who::Crowd,
            parallel: 8 * PARALLEL,
            ..Self::usual()
        }
    }

    /// The one partner whose address is well known.
    pub fn partner() -> Self {
        Self {
            who: Who::Partner,
            parallel: 1,
            ..Self::usual()
        }
    }

    /// People behind a narrow path, from another address each time, so that the path has to be
    /// learned anew; in the namespace of the far end.
    pub fn far() -> Self {
        Self {
            who: Who::Far,
            parallel: 1,
            rate: Some(FAR_RATE),
            ..Self::usual()
        }
    }

    /// The same over IPv6, each from a /64 of their own.
    pub fn over_v6(self) -> Self {
        Self { v6: true, ..self }
    }

    /// The address of the one whose turn it is.
    pub(super) fn address(self, turn: u32) -> IpAddr {
        match (self.who, self.v6) {
            (Who::Usual, false) => v4(hosts::CLIENT.v4, turn % USUAL).into(),
            (Who::Crowd, false) => v4(hosts::CROWD, 1 + turn % (CROWD * USUAL)).into(),
            (Who::Partner, false) => PARTNER_V4.into(),
            (Who::Far, false) => v4(hosts::FAR_V4, 1 + turn % 250).into(),
            (Who::Far, true) => {
                let [a, b, c, d, ..] = hosts::FAR_V6.segments();
                Ipv6Addr::new(a, b, c, d, 0, 0, 1, turn as u16).into()
            }
            (Who::Usual, true) => v6((1 + turn % USUAL) as u16).into(),
            (Who::Crowd, true) => v6((0x1000 + turn % (CROWD * USUAL)) as u16).into(),
            (Who::Partner, true) => PARTNER_V6.into(),
        }
    }

    /// The server's address in the same family.
    pub(super) fn server(self) -> IpAddr {
        if self.v6 {
            hosts::SERVER.v6.into()
        } else {
            hosts::SERVER.v4.into()
        }
    }
}

fn v4(first: Ipv4Addr, number: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(first).wrapping_add(number))
}

/// An address in a /64 of its own behind the client.
fn v6(net: u16) -> Ipv6Addr {
    let [a, b, c, ..] = hosts::CLIENT.v6.segments();
    Ipv6Addr::new(a, b, c, net, 0, 0, 0, 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_partner_is_no_usual_visitor() {
        for turn in 0..300 {
            for visitors in [Visitors::usual(), Visitors::usual().over_v6()] {
                let address = visitors.address(turn);
                assert_ne!(address, IpAddr::from(PARTNER_V4));
                assert_ne!(address, IpAddr::from(PARTNER_V6));
            }
        }
        assert_eq!(Visitors::partner().address(7), IpAddr::from(PARTNER_V4));
    }
}
