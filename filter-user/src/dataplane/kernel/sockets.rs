//! The program at the sockets of processes: by a pinned link to a control group.

use std::{
    fs,
    os::{fd::AsFd as _, unix::fs::MetadataExt as _},
    path::Path,
};

use aya::programs::{CgroupAttachMode, ProgramError, SockOps, links::FdLink};

use super::{
    Kernel,
    companions::SOCKETS,
    raw::{self, Link},
};
use crate::dataplane::DataplaneError;

impl Kernel {
    /// Attaches to a control group (cgroup2), or brings an attachment of ours up to date; gives
    /// the program's id.
    pub(super) fn sockets_to(&mut self, group: &Path) -> Result<u32, DataplaneError> {
        let id = identity(group)?;
        let path = self.folder.sockets();
        let program = self.companions()?.sockets()?;
        let there = open(&path)?;
        let target = there.as_ref().map(|link| info(&path, link)).transpose()?;
        match (there, target) {
            (Some(link), Some((_, target))) if target == id => {
                let fd = program
                    .fd()
                    .map_err(|error| DataplaneError::new(SOCKETS, error))?;
                link.update(fd.as_fd()).map_err(|error| {
                    let tried = format!("replacing the program at {}", group.display());
                    DataplaneError::new(tried, error)
                })?;
            }
            (_, stale) => {
                if stale.is_some() {
                    remove(&path)?;
                }
                create(program, group, &path).map_err(|error| {
                    DataplaneError::new(
                        format!(
                            "attaching to {} (it has to be a folder of cgroup2, and takes root or \
                             CAP_NET_ADMIN and CAP_BPF)",
                            group.display()
                        ),
                        error,
                    )
                })?;
            }
        }
        attachment(&path, group)?.ok_or_else(|| {
            DataplaneError(format!(
                "the program was attached to {} and is gone again: somebody else changes programs \
                 there; look with `bpftool cgroup show {}`",
                group.display(),
                group.display()
            ))
        })
    }
}

/// Takes the program off its control group; nothing happens if it is not there.
pub fn remove(path: &Path) -> Result<(), DataplaneError> {
    raw::remove(path)
}

/// The id of the program of a pinned link to a control group, if it sits there.
pub(super) fn attachment(path: &Path, group: &Path) -> Result<Option<u32>, DataplaneError> {
    let Some(link) = open(path)? else {
        return Ok(None);
    };
    let (program, target) = info(path, &link)?;
    Ok((target == identity(group)?).then_some(program))
}

fn create(program: &mut SockOps, group: &Path, path: &Path) -> Result<(), ProgramError> {
    let group = fs::File::open(group)?;
    // The mode's flag is not for links, which always stand beside others (`cgroup_bpf_link_attach`).
    let id = program.attach(group, CgroupAttachMode::Single)?;
    let link = program.take_link(id)?;
    let link = FdLink::try_from(link).map_err(|_| ProgramError::NotAttached)?;
    link.pin(path)
        .map_err(|error| ProgramError::IOError(std::io::Error::other(error)))?;
    Ok(())
}

/// The id of a control group: the inode of its folder.
fn identity(group: &Path) -> Result<u64, DataplaneError> {
    let about = fs::metadata(group).map_err(|error| {
        DataplaneError::new(
            format!(
                "looking at the control group {} (cgroup2 is often mounted at /sys/fs/cgroup)",
                group.display()
            ),
            error,
        )
    })?;
    Ok(about.ino())
}

fn open(path: &Path) -> Result<Option<Link>, DataplaneError> {
    Link::open(path)
        .map_err(|error| DataplaneError::new(format!("opening {}", path.display()), error))
}

/// The program of a link, and its control group.
fn info(path: &Path, link: &Link) -> Result<(u32, u64), DataplaneError> {
    let info = link.info().map_err(|error| {
        DataplaneError::new(format!("asking the kernel about {}", path.display()), error)
    })?;
    Ok((info.program_id, info.target))
}
