//! Who is at the other end of the socket, and what they may do.
//!
//! Told by the credentials that the kernel kept when the peer connected (unix(7), `SO_PEERCRED`
//! and `SO_PEERGROUPS`), so that no process id has to be looked up, and reused, later.

use std::{
    io,
    os::fd::{AsFd, AsRawFd},
};

use nix::{
    sys::socket::{getsockopt, sockopt::PeerCredentials},
    unistd::Group,
};

use crate::config::Access;

/// User and groups of a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// Effective user id.
    pub uid: u32,
    /// Effective group id, and the supplementary groups.
    pub groups: Vec<u32>,
}

/// What a peer may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Nothing.
    Nobody,
    /// Look.
    Read,
    /// Look and change.
    Change,
}

/// The group ids that roles go by. A group that does not exist lets nobody in but root.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Groups {
    /// May read.
    pub read: Option<u32>,
    /// May read and change.
    pub change: Option<u32>,
}

impl Groups {
    /// Looks the groups of the configuration up.
    pub fn look_up(access: &Access) -> io::Result<Self> {
        let id = |name: &str| -> io::Result<Option<u32>> {
            Ok(Group::from_name(name)?.map(|group| group.gid.as_raw()))
        };
        Ok(Self {
            read: id(&access.read_group)?,
            change: id(&access.admin_group)?,
        })
    }

    /// What somebody may do.
    pub fn role(&self, peer: &Credentials) -> Role {
        let member = |group: Option<u32>| group.is_some_and(|id| peer.groups.contains(&id));
        if peer.uid == 0 || member(self.change) {
            Role::Change
        } else if member(self.read) {
            Role::Read
        } else {
            Role::Nobody
        }
    }
}

/// The credentials of a connected socket's peer, as they were when it connected.
pub fn credentials<S: AsFd>(socket: &S) -> io::Result<Credentials> {
    let peer = getsockopt(socket, PeerCredentials)?;
    let mut groups = supplementary_groups(socket)?;
    groups.push(peer.gid());
    Ok(Credentials {
        uid: peer.uid(),
        groups,
    })
}

/// `SO_PEERGROUPS`; Linux 4.13 and later.
fn supplementary_groups(socket: &impl AsFd) -> io::Result<Vec<u32>> {
    let mut groups: Vec<libc::gid_t> = vec![0; 64];
    loop {
        let size = groups.len().saturating_mul(size_of::<libc::gid_t>());
        let mut length = libc::socklen_t::try_from(size).map_err(io::Error::other)?;
        // SAFETY: `groups` has `length` bytes to write to, and both outlive the call.
        let result = unsafe {
            libc::getsockopt(
                socket.as_fd().as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERGROUPS,
                groups.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        let needed = usize::try_from(length).map_err(io::Error::other)? / size_of::<libc::gid_t>();
        if result == 0 {
            groups.truncate(needed);
            return Ok(groups);
        }
        let error = io::Error::last_os_error();
        // The kernel says how many there are (at most NGROUPS_MAX, 65,536).
        if error.raw_os_error() != Some(libc::ERANGE) || needed <= groups.len() {
            return Err(error);
        }
        groups.resize(needed, 0);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    const GROUPS: Groups = Groups {
        read: Some(900),
        change: Some(901),
    };

    fn peer(uid: u32, groups: &[u32]) -> Credentials {
        Credentials {
            uid,
            groups: groups.to_vec(),
        }
    }

    #[test]
    fn root_may_change_without_any_group() {
        assert_eq!(Groups::default().role(&peer(0, &[])), Role::Change);
    }

    #[test]
    fn roles_go_by_primary_and_supplementary_groups() {
        assert_eq!(GROUPS.role(&peer(1000, &[1000, 900])), Role::Read);
        assert_eq!(GROUPS.role(&peer(1000, &[1000, 901])), Role::Change);
        assert_eq!(GROUPS.role(&peer(1000, &[1000])), Role::Nobody);
    }

    #[test]
    fn a_group_that_does_not_exist_lets_nobody_in() {
        assert_eq!(
            Groups::default().role(&peer(1000, &[900, 901])),
            Role::Nobody
        );
        let access = Access {
            read_group: "floodwall-none-such".to_owned(),
            admin_group: "floodwall-none-such".to_owned(),
        };
        assert_eq!(Groups::look_up(&access).unwrap(), Groups::default());
    }

    #[test]
    fn the_kernel_tells_who_connected() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let peer = credentials(&ours).unwrap();
        assert_eq!(peer.uid, nix::unistd::geteuid().as_raw());
        assert!(peer.groups.contains(&nix::unistd::getegid().as_raw()));
        for group in nix::unistd::getgroups().unwrap() {
            assert!(peer.groups.contains(&group.as_raw()));
        }
    }
}
