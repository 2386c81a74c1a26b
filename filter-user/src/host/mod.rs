//! Facts about this host. Everything here only looks, but for `net.ipv4.tcp_syncookies`.

pub mod addresses;
pub mod cgroup;
pub mod classifiers;
pub mod doctor;
pub mod ethtool;
pub mod facts;
pub mod links;
pub mod listeners;
mod netlink;
pub mod network;
pub mod resolvers;
pub mod sessions;
pub mod sockets;
pub mod stack;
pub mod surroundings;
pub mod translation;

/// CPUs that may ever run; many, if the kernel does not say.
#[doc(alias = "_SC_NPROCESSORS_CONF")]
pub fn cpus() -> u64 {
    // SAFETY: the call takes a number and gives a number.
    let cpus = unsafe { libc::sysconf(libc::_SC_NPROCESSORS_CONF) };
    u64::try_from(cpus)
        .ok()
        .filter(|cpus| *cpus > 0)
        .unwrap_or(256)
}
