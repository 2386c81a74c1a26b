//! In the machine: two listed sources and a clean one send through the card, steadily, and what arrives is
//! counted by the socket that it is for.

use std::{
    collections::BTreeSet,
    fs::File,
    net::{IpAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow};
use nix::{
    sched::{CloneFlags, setns},
    sys::socket::{setsockopt, sockopt::RcvBufForce},
};

use super::{CLEAN, LISTED, SERVER};

/// The network namespace of those who send.
pub const FAR: &str = "far";
const PORT: u16 = 9;
/// Between packets of a listed source.
const PACE: Duration = Duration::from_millis(1);
/// How many packets of listed sources go to one of the clean source.
const SHARE: u64 = 4;
/// How long packets may be on their way.
const ON_THE_WAY: Duration = Duration::from_secs(2);

/// A flood that goes on until it is ended.
pub struct Flood {
    stop: Arc<AtomicBool>,
    sender: JoinHandle<Result<Sent>>,
    receiver: JoinHandle<Result<Got>>,
}

#[derive(Default)]
struct Sent {
    listed: u64,
    clean: u64,
}

#[derive(Default)]
struct Got {
    listed: u64,
    clean: BTreeSet<u64>,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tally {
    /// Packets of listed sources.
    pub listed: u64,
    /// Those of them that arrived.
    pub leaked: u64,
    /// Packets of the clean source.
    pub clean: u64,
    /// Those of them that did not arrive.
    pub lost: u64,
}

impl Flood {
    /// Begins it.
    pub fn start() -> Result<Self> {
        let socket = UdpSocket::bind((SERVER, PORT))
            .with_context(|| format!("nothing can listen at {SERVER}"))?;
        setsockopt(&socket, RcvBufForce, &(16 << 20)).context("the buffer cannot be enlarged")?;
        socket.set_read_timeout(Some(ON_THE_WAY))?;
        let stop = Arc::new(AtomicBool::new(false));
        let receiver = {
            let stop = Arc::clone(&stop);
            thread::spawn(move || receive(&socket, &stop))
        };
        let sender = {
            let stop = Arc::clone(&stop);
            thread::spawn(move || send(&stop))
        };
        Ok(Self {
            stop,
            sender,
            receiver,
        })
    }

    /// Ends it, and waits for what is on its way.
    pub fn end(self) -> Result<Tally> {
        self.stop.store(true, Ordering::Relaxed);
        let ended = |_| anyhow!("a thread of the flood panicked");
        let sent = self.sender.join().map_err(ended)??;
        let got = self.receiver.join().map_err(ended)??;
        Ok(Tally {
            listed: sent.listed,
            leaked: got.listed,
            clean: sent.clean,
            lost: sent.clean.saturating_sub(got.clean.len() as u64),
        })
    }
}

/// Sends until told to stop, from the other namespace; what the sender's own card has no room for was never
/// sent.
fn send(stop: &AtomicBool) -> Result<Sent> {
    let far = File::open(format!("/run/netns/{FAR}")).context("there is no namespace")?;
    setns(far, CloneFlags::CLONE_NEWNET).context("the namespace cannot be entered")?;
    let socket = |address: &str| -> Result<UdpSocket> {
        let socket = UdpSocket::bind((address, 0))
            .with_context(|| format!("nothing can be sent from {address}"))?;
        socket.connect((SERVER, PORT))?;
        Ok(socket)
    };
    let [by_hand, imported] = LISTED.map(socket);
    let listed = [by_hand?, imported?];
    let clean = socket(CLEAN)?;
    let mut sent = Sent::default();
    let mut round = 0_u64;
    while !stop.load(Ordering::Relaxed) {
        let turn = listed.get(usize::from(round % 2 == 1));
        if let Some(socket) = turn {
            sent.listed += u64::from(socket.send(&[0; 64]).is_ok());
        }
        if round.is_multiple_of(SHARE) && clean.send(&sent.clean.to_be_bytes()).is_ok() {
            sent.clean += 1;
        }
        round += 1;
        thread::sleep(PACE);
    }
    Ok(sent)
}

/// Receives until nothing has come for a while after the end.
fn receive(socket: &UdpSocket, stop: &AtomicBool) -> Result<Got> {
    let clean: IpAddr = CLEAN.parse()?;
    let mut got = Got::default();
    let mut bytes = [0; 64];
    loop {
        let is_over = stop.load(Ordering::Relaxed);
        match socket.recv_from(&mut bytes) {
            Ok((8, from)) if from.ip() == clean => {
                let (number, _) = bytes.split_first_chunk().context("a number has 8 bytes")?;
                got.clean.insert(u64::from_be_bytes(*number));
            }
            Ok((_, from)) if from.ip() != clean => got.listed += 1,
            Ok(_) => {}
            // Silence: a fault may be the reason.
            Err(_) if !is_over => {}
            Err(_) => return Ok(got),
        }
    }
}
