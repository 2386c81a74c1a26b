//! Servers that send back what they get, and those who ask them: a game, and a time server.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    os::fd::AsRawFd as _,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};

use super::{
    super::{
        attack,
        dial::{self, wait_for_input},
        sandbox::{Namespace, hosts},
    },
    regular::{Probe, Regular},
};

/// Where the game listens.
pub const GAME: u16 = attack::GAME;
/// Where time servers listen, and ask from.
pub const TIME: u16 = 123;
/// Players; each keeps address and port.
const PLAYERS: u32 = 8;
/// How long an answer is waited for.
pub const PATIENCE: Duration = Duration::from_secs(1);

/// What a server makes of a question; nothing means that it does not answer.
pub type Answer = fn(&[u8]) -> Option<Vec<u8>>;

/// A UDP server on both families.
#[derive(Debug)]
pub struct Server(#[expect(dead_code, reason = "it runs until dropped")] Regular);

impl Server {
    /// Sends back what it gets.
    pub fn start(namespace: &Namespace, port: u16, cpu: Option<usize>) -> Result<Self> {
        Self::answering(namespace, port, cpu, |question| Some(question.to_vec()))
    }

    /// Answers as told.
    pub fn answering(
        namespace: &Namespace,
        port: u16,
        cpu: Option<usize>,
        answer: Answer,
    ) -> Result<Self> {
        let addresses: [IpAddr; 2] = [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
        let mut sockets = Vec::new();
        for address in addresses {
            let address = SocketAddr::new(address, port);
            let socket = namespace
                .run(|| dial::udp_listener(address))?
                .with_context(|| format!("a server cannot listen on {address}"))?;
            sockets.push(socket);
        }
        let server = Regular::spawn("udp server", namespace, cpu, move |stop, _| {
            let polled: Vec<_> = sockets.iter().map(|socket| socket.as_raw_fd()).collect();
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                if wait_for_input(&polled, Duration::from_millis(100)) {
                    sockets.iter().for_each(|socket| serve(socket, answer));
                }
            }
            Ok(())
        })?;
        Ok(Self(server))
    }
}

/// Answers what has come, up to a number.
fn serve(socket: &UdpSocket, answer: Answer) {
    let mut question = [0; 2048];
    for _ in 0..64 {
        // Nothing left, or an error about an answer that nobody wanted.
        let Ok((length, from)) = socket.recv_from(&mut question) else {
            return;
        };
        if let Some(answer) = answer(&question[..length]) {
            // Whoever cannot be answered is no concern of the others.
            let _ = socket.send_to(&answer, from);
        }
    }
}

/// Asks once and returns the answer.
pub fn ask(socket: &UdpSocket, question: &[u8]) -> Result<Vec<u8>> {
    socket.send(question)?;
    let mut answer = vec![0; 2048];
    let length = socket.recv(&mut answer)?;
    answer.truncate(length);
    Ok(answer)
}

/// Players at the server's game, from outside, in both families.
pub fn play() -> Probe {
    let mut players: Vec<UdpSocket> = Vec::new();
    Box::new(move |number| {
        let seat = (number % PLAYERS) as usize;
        if players.len() <= seat {
            let (own, server) = if seat.is_multiple_of(2) {
                let own = u32::from(hosts::CLIENT.v4) + 100 + seat as u32;
                (Ipv4Addr::from(own).into(), hosts::SERVER.v4.into())
            } else {
                (hosts::CLIENT.v6.into(), hosts::SERVER.v6.into())
            };
            let server = SocketAddr::new(server, GAME);
            players.push(dial::udp(own, server, PATIENCE)?.into());
        }
        echoed(&players[seat], number)
    })
}

/// The server's time daemon, from port 123 to port 123.
pub fn ask_time() -> Probe {
    let mut daemon: Option<UdpSocket> = None;
    Box::new(move |number| {
        let socket = match daemon.take() {
            Some(socket) => socket,
            None => {
                let own = SocketAddr::new(hosts::SERVER.v4.into(), TIME);
                let socket = UdpSocket::bind(own)?;
                socket.set_read_timeout(Some(PATIENCE))?;
                socket.connect((hosts::CLIENT.v4, TIME))?;
                socket
            }
        };
        echoed(daemon.insert(socket), number)
    })
}

fn echoed(socket: &UdpSocket, number: u32) -> Result<()> {
    let question = number.to_be_bytes().repeat(12);
    let answer = ask(socket, &question)?;
    ensure!(answer == question, "an answer to another question");
    Ok(())
}
