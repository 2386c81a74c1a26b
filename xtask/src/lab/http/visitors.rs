//! Who visits, from where, and how eagerly.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::super::{
    attack::{PARTNER_V4, PARTNER_V6},
    sandbox::hosts,
};

/// Connections at the same time, as one browser makes them.
const PARALLEL: usize = 6;
/// Addresses that visitors have, each in a network of its own; none of them is a flood, however
/// fast the server.
const USUAL: u32 = 2000;
/// How many times the usual visitors a crowd is.
const CROWD: u32 = 50;

/// Pages a second of one who visits alone: the partner, or somebody behind a narrow path.
const ALONE: u32 = 20;

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
    /// The usual ones, over IPv4.
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
            rate: Some(ALONE),
            ..Self::usual()
        }
    }

    /// People behind a narrow path, from another address each time, so that the path has to be
    /// learned anew; in the namespace of the far end.
    pub fn far() -> Self {
        Self {
            who: Who::Far,
            parallel: 1,
            rate: Some(ALONE),
            ..Self::usual()
        }
    }

    /// The same over IPv6, each from a /48 of their own.
    pub fn over_v6(self) -> Self {
        Self { v6: true, ..self }
    }

    /// The address of the one whose turn it is.
    pub(super) fn address(self, turn: u32) -> IpAddr {
        match (self.who, self.v6) {
            (Who::Usual, false) => v4(hosts::CROWD, (turn % USUAL) * 256 + 10).into(),
            (Who::Crowd, false) => {
                v4(hosts::CROWD, USUAL * 256 + (turn % (CROWD * USUAL)) * 5).into()
            }
            (Who::Partner, false) => PARTNER_V4.into(),
            (Who::Far, false) => v4(hosts::FAR_V4, 1 + turn % 250).into(),
            (Who::Far, true) => {
                let [a, b, c, d, ..] = hosts::FAR_V6.segments();
                Ipv6Addr::new(a, b, c, d, 0, 0, 1, turn as u16).into()
            }
            // There are not so many networks; a crowd comes over IPv4.
            (Who::Usual | Who::Crowd, true) => {
                let [a, b, c, ..] = hosts::CROWD_V6.segments();
                Ipv6Addr::new(a, b, c + (turn % USUAL) as u16, 0, 0, 0, 0, 1).into()
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_partner_is_no_usual_visitor() {
        for turn in 0..USUAL * CROWD {
            for visitors in [
                Visitors::usual(),
                Visitors::usual().over_v6(),
                Visitors::crowd(),
            ] {
                let address = visitors.address(turn);
                assert_ne!(address, IpAddr::from(PARTNER_V4));
                assert_ne!(address, IpAddr::from(PARTNER_V6));
                if let IpAddr::V4(v4) = address {
                    let offset = u32::from(v4) - u32::from(hosts::CROWD);
                    assert!(offset < 1 << 20, "{v4} is no address of the crowd's");
                }
            }
        }
        assert_eq!(Visitors::partner().address(7), IpAddr::from(PARTNER_V4));
    }
}
