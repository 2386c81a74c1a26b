//! Whole frames in and out of an interface, past the host's own stack.

use std::{
    io::Error,
    mem,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
    time::Duration,
};

use anyhow::{Context as _, Result};
use nix::net::if_::if_nametoindex;

use super::{clock, sandbox::Namespace};

/// An `AF_PACKET` socket on one interface. Frames begin with the Ethernet header.
#[derive(Debug)]
pub struct PacketSocket {
    file: OwnedFd,
    interface: String,
}

impl PacketSocket {
    /// Opens the socket inside a namespace; it may be used from anywhere.
    pub fn open(namespace: &Namespace, interface: &str) -> Result<Self> {
        namespace.run(|| Self::open_here(interface))?
    }

    fn open_here(interface: &str) -> Result<Self> {
        let index = if_nametoindex(interface)
            .with_context(|| format!("there is no interface {interface} in the namespace"))?;
        let every_protocol = (libc::ETH_P_ALL as u16).to_be();
        // SAFETY: three numbers; the result is checked before it is owned.
        let file = unsafe {
            libc::socket(
                libc::AF_PACKET,
                libc::SOCK_RAW | libc::SOCK_CLOEXEC,
                i32::from(every_protocol),
            )
        };
        if file < 0 {
            return Err(Error::last_os_error()).context("cannot open a packet socket; run as root");
        }
        // SAFETY: the descriptor was just made and belongs to nobody else.
        let file = unsafe { OwnedFd::from_raw_fd(file) };
        // SAFETY: all-zero is a valid address of this plain C structure.
        let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = every_protocol;
        address.sll_ifindex = index as i32;
        // SAFETY: the pointer and the length describe `address`, which outlives the call.
        let bound = unsafe {
            libc::bind(
                file.as_raw_fd(),
                (&raw const address).cast(),
                size_of::<libc::sockaddr_ll>() as libc::socklen_t,
            )
        };
        if bound != 0 {
            return Err(Error::last_os_error())
                .with_context(|| format!("cannot bind a packet socket to {interface}"));
        }
        Ok(Self {
            file,
            interface: interface.to_owned(),
        })
    }

    /// Sends a frame as it is.
    pub fn send(&self, frame: &[u8]) -> Result<()> {
        // SAFETY: the pointer and the length describe `frame`.
        let sent =
            unsafe { libc::send(self.file.as_raw_fd(), frame.as_ptr().cast(), frame.len(), 0) };
        if sent < 0 {
            return Err(Error::last_os_error())
                .with_context(|| format!("cannot send a frame over {}", self.interface));
        }
        Ok(())
    }

    /// The next frame that came in over the interface; `None` if none comes in time.
    /// Frames that this host sends over it are not shown.
    pub fn receive(&self, patience: Duration) -> Result<Option<Vec<u8>>> {
        let end = clock::now() + patience;
        loop {
            let left = end.saturating_duration_since(clock::now());
            let mut poll = libc::pollfd {
                fd: self.file.as_raw_fd(),
                events: libc::POLLIN,
                revents: 0,
            };
            // SAFETY: one structure, valid during the call.
            let ready = unsafe { libc::poll(&raw mut poll, 1, left.as_millis() as i32) };
            if ready <= 0 {
                return Ok(None);
            }
            let mut frame = vec![0; 65_536];
            // SAFETY: all-zero is a valid address of this plain C structure.
            let mut from: libc::sockaddr_ll = unsafe { mem::zeroed() };
            let mut length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
            // SAFETY: the pointers and lengths describe `frame` and `from`.
            let got = unsafe {
                libc::recvfrom(
                    self.file.as_raw_fd(),
                    frame.as_mut_ptr().cast(),
                    frame.len(),
                    0,
                    (&raw mut from).cast(),
                    &raw mut length,
                )
            };
            let Ok(got) = usize::try_from(got) else {
                return Err(Error::last_os_error())
                    .with_context(|| format!("cannot receive from {}", self.interface));
            };
            if from.sll_pkttype != libc::PACKET_OUTGOING {
                frame.truncate(got);
                return Ok(Some(frame));
            }
        }
    }
}
