//! Network namespaces of our own in which floods may run: attacker, client and server on one
//! segment, and nothing that existed before.
//!
//! ```text
//!   attacker  atk0 ───┐
//!                     ├── bridge in "wire" ── uplink ══ srv0  server
//!   client    cli0 ───┤                        ▲
//!                     │             floods enter here
//!   far ── router rtr0 ┘
//! ```
//!
//! The server has one interface, `srv0`, and everything reaches it through `uplink`. A flood is
//! redirected straight into `uplink`, as if it came from further up the wire. Everything is
//! removed when the [`Sandbox`] is dropped; what a killed run left goes at the next start.

mod far;
mod names;
mod namespace;
mod segment;

use std::{
    fs,
    net::UdpSocket,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result};
use aya::programs::links::FdLink;
use nix::{
    mount::{MsFlags, mount},
    sys::socket::{setsockopt, sockopt},
};

pub use far::TO_SEGMENT;
pub use namespace::Namespace;
pub use segment::{Host, UPLINK, hosts};

use super::{
    packet_socket::PacketSocket,
    programs::{self, Lab},
};

/// The namespaces of a sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ns {
    /// Has an address and an interface of its own, for tagged and crafted frames.
    Attacker,
    /// The people who want to be served; any address of [`hosts::CLIENT`]'s /24 is theirs.
    Client,
    /// What is to be protected, on `srv0`.
    Server,
    /// The bridge between them, which is also the gateway.
    Wire,
    /// A router to the far end, if the sandbox has one.
    Router,
    /// People behind a path of 1,280 bytes, who do not know that.
    Far,
}

const ALL: [Ns; 6] = [
    Ns::Attacker,
    Ns::Client,
    Ns::Server,
    Ns::Wire,
    Ns::Router,
    Ns::Far,
];

impl Ns {
    fn name(self) -> &'static str {
        match self {
            Self::Attacker => "attacker",
            Self::Client => "client",
            Self::Server => "server",
            Self::Wire => "wire",
            Self::Router => "router",
            Self::Far => "far",
        }
    }
}

/// What a sandbox consists of, beyond the default.
#[derive(Clone, Debug)]
pub struct Options {
    /// The MTU of every interface.
    pub mtu: u32,
    /// Whether what the server sends to forged addresses ends at the far end of its wire, as it
    /// would be gone behind a card; else it costs this host a packet in the gateway's stack.
    pub swallow: bool,
    /// Whether there is a far end behind a router.
    pub far: bool,
    /// Whether the server has every address of [`hosts::ROUTED_V4`] and [`hosts::ROUTED_V6`].
    pub routed: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            mtu: 1500,
            swallow: false,
            far: false,
            routed: false,
        }
    }
}

/// The namespaces, their links and a folder with a BPF file system; gone when dropped.
#[derive(Debug)]
pub struct Sandbox {
    stem: String,
    // Named as built, so that a failure half-way removes what is there.
    namespaces: Vec<Namespace>,
    _uplink: Option<FdLink>,
}

impl Sandbox {
    /// Builds a sandbox; needs root.
    pub fn new(options: &Options) -> Result<Self> {
        names::sweep();
        let mut sandbox = Self {
            stem: names::fresh(),
            namespaces: Vec::new(),
            _uplink: None,
        };
        for ns in ALL {
            if matches!(ns, Ns::Router | Ns::Far) && !options.far {
                continue;
            }
            let name = format!("{}-{}", sandbox.stem, ns.name());
            sandbox.namespaces.push(Namespace::create(&name)?);
        }
        segment::build(&sandbox, options)?;

        let bpf = sandbox.bpf();
        fs::create_dir_all(&bpf).with_context(|| format!("cannot make {}", bpf.display()))?;
        mount(
            Some("bpf"),
            &bpf,
            Some("bpf"),
            MsFlags::empty(),
            None::<&str>,
        )
        .with_context(|| format!("cannot mount a BPF file system on {}", bpf.display()))?;

        // Frames that XDP sends back over srv0 arrive only if this end runs a program too.
        let lab = Lab::load(programs::Tables::Tiny)?;
        let program = if options.swallow { "far_end" } else { "pass" };
        sandbox._uplink = Some(lab.attach(program, sandbox.namespace(Ns::Wire), UPLINK)?);
        Ok(sandbox)
    }

    /// One of the namespaces; the far end's are there only if they were asked for.
    pub fn namespace(&self, ns: Ns) -> &Namespace {
        &self.namespaces[ns as usize]
    }

    /// The server's namespace.
    pub fn server(&self) -> &Namespace {
        self.namespace(Ns::Server)
    }

    /// The client's namespace.
    pub fn client(&self) -> &Namespace {
        self.namespace(Ns::Client)
    }

    /// A socket for datagrams on all addresses of the server, with room for bytes that wait; it gives up
    /// waiting after 50 ms. Takes root.
    pub fn listen(&self, port: u16, room: usize) -> Result<UdpSocket> {
        let socket = self
            .server()
            .run(|| UdpSocket::bind(("::", port)))?
            .context("the server cannot listen")?;
        setsockopt(&socket, sockopt::RcvBufForce, &room)
            .context("cannot enlarge the server's buffer; run as root")?;
        socket.set_read_timeout(Some(Duration::from_millis(50)))?;
        Ok(socket)
    }

    /// Runs `work` on a thread inside a namespace.
    pub fn in_ns<R: Send>(&self, ns: Ns, work: impl FnOnce() -> R + Send) -> Result<R> {
        self.namespace(ns).run(work)
    }

    /// A command that will run inside a namespace.
    pub fn command(&self, ns: Ns, program: impl AsRef<Path>) -> Command {
        self.namespace(ns).command(program.as_ref())
    }

    /// A folder for sockets, state and configuration.
    pub fn folder(&self) -> PathBuf {
        names::folder(&self.stem)
    }

    /// A BPF file system of the sandbox's own.
    pub fn bpf(&self) -> PathBuf {
        self.folder().join("bpf")
    }

    /// A socket that puts frames on the wire as they are, VLAN tags included, so that they arrive
    /// at the server's interface, and that sees what the server sends.
    pub fn wire_socket(&self) -> Result<PacketSocket> {
        PacketSocket::open(self.namespace(Ns::Wire), UPLINK)
    }

    /// A socket on any interface of the sandbox, for whole frames.
    pub fn packet_socket(&self, ns: Ns, interface: &str) -> Result<PacketSocket> {
        PacketSocket::open(self.namespace(ns), interface)
    }

    /// Sends one frame to the server's interface.
    pub fn send_to_server(&self, frame: &[u8]) -> Result<()> {
        self.wire_socket()?.send(frame)
    }

    /// What an interface has received and sent.
    pub fn traffic(&self, ns: Ns, interface: &str) -> Result<segment::Traffic> {
        self.in_ns(ns, || segment::traffic(interface))?
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        for namespace in &self.namespaces {
            namespace.kill_processes();
        }
        // The pins go before the interface, as they would on a real machine.
        names::remove_folder(&self.folder());
        for namespace in &self.namespaces {
            namespace.remove();
        }
    }
}
