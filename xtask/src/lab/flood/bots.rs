//! Machines with real addresses that complete the handshake and hang up, again and again.

use std::{
    collections::VecDeque,
    net::{Ipv4Addr, SocketAddrV4},
    os::fd::{AsRawFd as _, OwnedFd},
    sync::atomic::Ordering,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use nix::{
    errno::Errno,
    sys::socket::{
        AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, setsockopt, socket, sockopt,
    },
};

use super::{
    super::{
        attack::HTTP,
        clock,
        sandbox::{Namespace, Ns, Sandbox, hosts},
    },
    Pace, Run,
};

/// How many machines there are; each calls as often as the others.
const BOTS: u32 = 16;
/// How long an unanswered call is waited for.
const PATIENCE: Duration = Duration::from_secs(1);
/// Calls at the same time.
const OPEN: usize = 2048;
/// How often calls are made and looked after.
const TICK: Duration = Duration::from_millis(5);

/// The machines, in the attacker's namespace.
pub struct Bots {
    namespace: Namespace,
    calls: VecDeque<Call>,
    next: u32,
}

struct Call {
    socket: OwnedFd,
    begun: Instant,
}

impl Bots {
    /// Machines with the addresses of [`hosts::BOTS`].
    pub fn new(sandbox: &Sandbox) -> Result<Self> {
        Ok(Self {
            namespace: sandbox.namespace(Ns::Attacker).clone(),
            calls: VecDeque::new(),
            next: 0,
        })
    }

    /// Calls until the flood is over.
    pub fn run(mut self, run: &Run) -> Result<()> {
        self.namespace.enter()?;
        let rate = match run.options.pace {
            Pace::Full => f64::MAX,
            Pace::PerSecond(rate) => rate as f64,
        };
        let (begun, mut made) = (clock::now(), 0_u64);
        while !run.is_over() {
            let due = (begun.elapsed().as_secs_f64() * rate) as u64;
            // What is late by more than a second is not caught up with.
            made = made.max(due.saturating_sub(rate as u64));
            while made < due && self.calls.len() < OPEN && !run.is_over() {
                self.call()?;
                made += 1;
                run.sent.fetch_add(1, Ordering::Relaxed);
                if made.is_multiple_of(64) {
                    self.hang_up()?;
                }
            }
            self.hang_up()?;
            thread::sleep(TICK);
        }
        Ok(())
    }

    /// Begins one call, from the next machine.
    fn call(&mut self) -> Result<()> {
        let own = Ipv4Addr::from(u32::from(hosts::BOTS) + 1 + self.next % BOTS);
        self.next = self.next.wrapping_add(1);
        let socket = socket(
            AddressFamily::Inet,
            SockType::Stream,
            SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
            None,
        )
        .context("a bot has no socket")?;
        // Hanging up is a reset, so that no port stays taken.
        let linger = libc::linger {
            l_onoff: 1,
            l_linger: 0,
        };
        setsockopt(&socket, sockopt::Linger, &linger)?;
        setsockopt(&socket, sockopt::IpBindAddressNoPort, &true)?;
        bind(
            socket.as_raw_fd(),
            &SockaddrIn::from(SocketAddrV4::new(own, 0)),
        )
        .with_context(|| format!("{own} is no address of the bots"))?;
        let server = SockaddrIn::from(SocketAddrV4::new(hosts::SERVER.v4, HTTP));
        match connect(socket.as_raw_fd(), &server) {
            // Out of ports is out of calls for the moment.
            Ok(()) | Err(Errno::EINPROGRESS | Errno::EADDRNOTAVAIL | Errno::EADDRINUSE) => {}
            Err(error) => return Err(error).context("a bot cannot call the server"),
        }
        let begun = clock::now();
        self.calls.push_back(Call { socket, begun });
        Ok(())
    }

    /// Drops calls that were answered, and those that never will be.
    fn hang_up(&mut self) -> Result<()> {
        let mut polls: Vec<libc::pollfd> = self
            .calls
            .iter()
            .map(|call| libc::pollfd {
                fd: call.socket.as_raw_fd(),
                events: libc::POLLOUT,
                revents: 0,
            })
            .collect();
        // SAFETY: the pointer and the length describe `polls`.
        let ready = unsafe { libc::poll(polls.as_mut_ptr(), polls.len() as libc::nfds_t, 0) };
        Errno::result(ready).context("cannot look after the bots' calls")?;
        let now = clock::now();
        let mut polls = polls.iter();
        self.calls.retain(|call| {
            let answered = polls.next().is_some_and(|poll| poll.revents != 0);
            !answered && now - call.begun < PATIENCE
        });
        Ok(())
    }
}
