//! DNS: a server that knows every name, and those who ask.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

use anyhow::{Result, ensure};

use super::{
    super::{
        dial,
        sandbox::{Namespace, hosts},
    },
    echo::{self, PATIENCE},
    regular::Probe,
};

/// Where DNS servers listen.
const PORT: u16 = 53;
/// Bytes of a message's head (RFC 1035, 4.1.1).
const HEAD: usize = 12;

/// A DNS server; it ends when dropped.
#[derive(Debug)]
pub struct Server(#[expect(dead_code, reason = "it runs until dropped")] echo::Server);

impl Server {
    /// On every address of the namespace.
    pub fn start(namespace: &Namespace, cpu: Option<usize>) -> Result<Self> {
        echo::Server::answering(namespace, PORT, cpu, answer).map(Self)
    }
}

/// One address for whatever name is asked for.
fn answer(query: &[u8]) -> Option<Vec<u8>> {
    let question = query.get(HEAD..)?;
    let name = question.iter().position(|byte| *byte == 0)?;
    // The name, its type and its class.
    let question = question.get(..name + 5)?;
    let mut message = query.get(..2)?.to_vec();
    // Response, recursion available; one question, one answer.
    message.extend([0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
    message.extend(question);
    // A pointer to the name; A, IN, one minute, four bytes.
    message.extend([0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
    message.extend(Ipv4Addr::new(192, 0, 2, 80).octets());
    Some(message)
}

fn query(id: u16) -> Vec<u8> {
    let mut message = id.to_be_bytes().to_vec();
    message.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    message.extend(
        format!("\x06www{id:03}")
            .as_bytes()
            .get(..7)
            .unwrap_or(b"\x03www"),
    );
    message.extend(b"\x07example\x03org\x00\x00\x01\x00\x01");
    message
}

/// People outside ask the server for names, in both families.
pub fn ask_server() -> Probe {
    Box::new(|number| {
        let (own, server): (IpAddr, IpAddr) = if number.is_multiple_of(2) {
            let own = Ipv4Addr::from(u32::from(hosts::CLIENT.v4) + number % 100);
            (own.into(), hosts::SERVER.v4.into())
        } else {
            (hosts::CLIENT.v6.into(), hosts::SERVER.v6.into())
        };
        ask(own, server, number)
    })
}

/// The server asks its resolver, each time from another port.
pub fn ask_outside() -> Probe {
    Box::new(|number| {
        if number.is_multiple_of(2) {
            ask(hosts::SERVER.v4.into(), hosts::CLIENT.v4.into(), number)
        } else {
            ask(hosts::SERVER.v6.into(), hosts::CLIENT.v6.into(), number)
        }
    })
}

fn ask(own: IpAddr, server: IpAddr, number: u32) -> Result<()> {
    let socket = dial::udp(own, SocketAddr::new(server, PORT), PATIENCE)?;
    let query = query(number as u16);
    let message = echo::ask(&UdpSocket::from(socket), &query)?;
    ensure!(
        message.get(..2) == query.get(..2) && message.get(7) == Some(&1),
        "an answer to another question"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_answered_and_a_torso_is_not() {
        let query = query(513);
        let answer = answer(&query).expect("an answer");
        assert_eq!(answer[..2], [2, 1]);
        assert_eq!(answer[HEAD..query.len()], query[HEAD..]);
        assert_eq!(answer.len(), query.len() + 16);
        for length in 0..query.len() {
            assert_eq!(super::answer(&query[..length]), None, "{length}");
        }
    }
}
