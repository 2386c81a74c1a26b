//! Echo requests and their replies, both ways.

use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    os::fd::OwnedFd,
};

use anyhow::{Result, ensure};

use super::{
    super::{dial, sandbox::hosts},
    echo::{self, PATIENCE},
    regular::Probe,
};

/// Monitoring pings the server, in both families.
pub fn ping_server() -> Probe {
    Box::new(|number| {
        if number.is_multiple_of(2) {
            ping(hosts::CLIENT.v4.into(), hosts::SERVER.v4.into(), number)
        } else {
            ping(hosts::CLIENT.v6.into(), hosts::SERVER.v6.into(), number)
        }
    })
}

/// The server pings somebody outside, in both families.
pub fn ping_outside() -> Probe {
    Box::new(|number| {
        if number.is_multiple_of(2) {
            ping(hosts::SERVER.v4.into(), hosts::CLIENT.v4.into(), number)
        } else {
            ping(hosts::SERVER.v6.into(), hosts::CLIENT.v6.into(), number)
        }
    })
}

/// The kernel fills in identifier and checksum, and hands out replies to this socket alone.
fn ping(own: IpAddr, to: IpAddr, number: u32) -> Result<()> {
    let (request, reply) = if to.is_ipv4() { (8, 0) } else { (128, 129) };
    let socket: OwnedFd = dial::ping(own, SocketAddr::new(to, 0), PATIENCE)?;
    let [high, low] = (number as u16).to_be_bytes();
    let mut message = vec![request, 0, 0, 0, 0, 0, high, low];
    message.extend([0x5a; 48]);
    // Only reads and writes are done with it, which any socket can.
    let answer = echo::ask(&UdpSocket::from(socket), &message)?;
    ensure!(
        answer.first() == Some(&reply) && answer.get(6..8) == Some(&[high, low]),
        "a reply to another request"
    );
    Ok(())
}
