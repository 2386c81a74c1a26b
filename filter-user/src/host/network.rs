//! How TCP is set up in this network namespace, as far as answering in its name depends on it.

use std::{
    fs::{self, OpenOptions},
    io,
    os::{fd::AsRawFd as _, unix::net::UnixDatagram},
    path::{Path, PathBuf},
};

/// `net.ipv4.tcp_syncookies` of the network namespace of the process.
const SYNCOOKIES: &str = "/proc/sys/net/ipv4/tcp_syncookies";
/// What Linux has without a word of an administrator.
const RECEIVE_BUFFER: u32 = 6 << 20;
/// Without it the kernel answers with no scale beyond this (`TCP_MAX_WSCALE`).
const MOST_SCALE: u32 = 14;

/// How TCP is set up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Network {
    /// Identifies the network namespace; 0 on a kernel before 5.14.
    #[doc(alias = "SO_NETNS_COOKIE")]
    pub netns: u64,
    /// `net.ipv4.tcp_timestamps`: 0 off, 1 with a secret offset, 2 without.
    pub timestamps: Option<u32>,
    /// Why `net.ipv4.tcp_syncookies` cannot be written, if it cannot.
    pub fixed_syncookies: Option<String>,
    /// The window scale of the kernel's own answers.
    pub window_scale: u32,
    /// Whether connection tracking takes up no connection that it did not see begin
    /// (`nf_conntrack_tcp_loose` is 0).
    pub strict_conntrack: bool,
    /// CPUs that run.
    pub online: u64,
}

/// Looks.
pub fn look() -> Network {
    Network {
        netns: netns().unwrap_or(0),
        timestamps: number("net/ipv4/tcp_timestamps"),
        fixed_syncookies: fixed(Path::new(SYNCOOKIES)),
        window_scale: window_scale(
            third("net/ipv4/tcp_rmem").unwrap_or(RECEIVE_BUFFER),
            number("net/core/rmem_max").unwrap_or(0),
        ),
        strict_conntrack: number("net/netfilter/nf_conntrack_tcp_loose") == Some(0),
        online: online(),
    }
}

/// `net.ipv4.tcp_syncookies`.
pub fn syncookies() -> io::Result<u32> {
    let text = fs::read_to_string(SYNCOOKIES)?;
    text.trim()
        .parse()
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is no number"))
}

/// Sets `net.ipv4.tcp_syncookies`.
pub fn set_syncookies(value: u32) -> io::Result<()> {
    fs::write(SYNCOOKIES, format!("{value}\n"))
}

/// The scale that `tcp_select_initial_window` computes, where neither a route nor the program that
/// listens bounds the window: from `tcp_rmem[2]` and `rmem_max`.
fn window_scale(receive_buffer: u32, receive_most: u32) -> u32 {
    let space = receive_buffer.max(receive_most).max(1);
    space.ilog2().saturating_sub(15).min(MOST_SCALE)
}

/// The sentence for a setting that cannot be written.
fn fixed(path: &Path) -> Option<String> {
    let error = OpenOptions::new().write(true).open(path).err()?;
    let remedy = match error.raw_os_error() {
        Some(libc::EROFS) => {
            "/proc/sys is read-only: set ProtectKernelTunables=no in the unit, or mount it writable in \
             the container"
        }
        Some(libc::EACCES | libc::EPERM) => "run as root",
        Some(libc::ENOENT) => "use a kernel with CONFIG_SYN_COOKIES=y",
        _ => "`sysctl -w net.ipv4.tcp_syncookies=2` must work where floodwall runs",
    };
    Some(format!(
        "net.ipv4.tcp_syncookies has to be 2 meanwhile, and cannot be written ({error}); {remedy}"
    ))
}

fn setting(name: &str) -> Option<String> {
    fs::read_to_string(PathBuf::from("/proc/sys").join(name)).ok()
}

fn number(name: &str) -> Option<u32> {
    setting(name)?.trim().parse().ok()
}

fn third(name: &str) -> Option<u32> {
    setting(name)?.split_whitespace().nth(2)?.parse().ok()
}

/// The cookie of the network namespace.
fn netns() -> io::Result<u64> {
    const NETNS_COOKIE: libc::c_int = 71;
    let socket = UnixDatagram::unbound()?;
    let mut cookie = 0_u64;
    let mut length = size_of::<u64>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes to a number of that size.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut length,
        )
    };
    if result == 0 {
        Ok(cookie)
    } else {
        Err(io::Error::last_os_error())
    }
}

#[doc(alias = "_SC_NPROCESSORS_ONLN")]
fn online() -> u64 {
    // SAFETY: the call takes a number and gives a number.
    let cpus = unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) };
    u64::try_from(cpus).unwrap_or(1).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn window_scales_are_those_of_the_kernel() {
        // The defaults of Linux before 6.18 and since, with `rmem_max` below and above.
        assert_eq!(window_scale(6_291_456, 212_992), 7);
        assert_eq!(window_scale(33_554_432, 212_992), 10);
        assert_eq!(window_scale(6_291_456, 16_777_216), 9);
        assert_eq!(window_scale(65_535, 0), 0);
        assert_eq!(window_scale(u32::MAX, 0), 14);
    }

    #[test]
    fn this_host_has_a_network() {
        let network = look();
        assert_ne!(network.netns, 0);
        assert!(network.online > 0 && network.window_scale <= MOST_SCALE);
        assert!(syncookies().is_ok());
    }

    #[test]
    fn what_cannot_be_written_says_what_mends_it() {
        let why = fixed(Path::new("/proc/sys/net/ipv4/no_such_setting"));
        assert!(why.is_some_and(|why| why.contains("CONFIG_SYN_COOKIES")));
        let file = tempfile::NamedTempFile::new().expect("a file");
        assert_eq!(fixed(file.path()), None);
    }
}
