//! The program at the egress of interfaces: by a link of tcx (Linux 6.6), or else by netlink as a
//! classifier of clsact.

use std::{
    fs, io,
    os::fd::{AsFd as _, BorrowedFd},
    path::Path,
};

use aya::programs::{
    LinkOrder, ProgramError, SchedClassifier, TcAttachType,
    links::FdLink,
    tc::{self, NlOptions, SchedClassifierLink, TcAttachOptions, TcError, TcHandle},
};
use nix::{errno::Errno, net::if_::if_nametoindex};

use super::{
    Kernel,
    companions::EGRESS,
    link::{link_error, unknown_interface},
    raw::{self, Link},
};
use crate::{
    dataplane::{DataplaneError, EgressAttachment, EgressHook},
    host::classifiers,
};

/// Where the classifier stands among those of clsact: first, for one before it may decide.
const PRIORITY: u16 = 1;
/// Likewise, within the priority; a number that nobody else is likely to take.
const HANDLE: TcHandle = TcHandle::new(0x666c, 0x6f6f);

impl Kernel {
    /// Attaches to the egress of an interface, or brings an attachment of ours up to date.
    pub(super) fn egress_to(
        &mut self,
        interface: &str,
        hooks: &[EgressHook],
    ) -> Result<EgressAttachment, DataplaneError> {
        let index = index(interface)?.ok_or_else(|| unknown_interface(interface))?;
        let path = self.folder.egress(interface);
        let program = self.companions()?.egress()?;
        if let Some(link) = open(&path)? {
            if info(&path, &link)?.target == u64::from(index) {
                link.update(fd(program)?).map_err(|error| {
                    let tried = format!("replacing the program at the egress of {interface}");
                    DataplaneError::new(tried, error)
                })?;
                return attached(&path, interface);
            }
            // The device went, and another of its name came.
            fs::remove_file(&path).map_err(|error| {
                DataplaneError::new(format!("removing the stale {}", path.display()), error)
            })?;
        }
        let mut refused = Vec::new();
        for hook in hooks {
            let result = match hook {
                EgressHook::Tcx => by_link(program, interface, &path),
                EgressHook::Clsact => by_netlink(program, interface),
            };
            match result {
                Ok(()) => return attached(&path, interface),
                Err(error) => refused.push(
                    DataplaneError::new(
                        format!("attaching to the egress of {interface} by {hook}"),
                        error,
                    )
                    .0,
                ),
            }
        }
        Err(DataplaneError(format!(
            "{}; what this host asks for there cannot be noted",
            refused.join("; ")
        )))
    }
}

/// Takes the program off an interface's egress; nothing happens if it is not there.
pub fn remove(path: &Path, interface: &str) -> Result<(), DataplaneError> {
    raw::remove(path)?;
    if classifier(interface)?.is_none() {
        return Ok(());
    }
    tc::qdisc_detach_program(interface, TcAttachType::Egress, EGRESS).map_err(|error| {
        let remedy = format!("`tc filter del dev {interface} egress prio {PRIORITY}` does it, too");
        DataplaneError::new(
            format!("detaching from the egress of {interface} ({remedy})"),
            error,
        )
    })
}

/// How the program sits at an interface's egress, if it does.
pub fn attachment(
    path: &Path,
    interface: &str,
) -> Result<Option<EgressAttachment>, DataplaneError> {
    let Some(index) = index(interface)? else {
        return Ok(None);
    };
    if let Some(link) = open(path)? {
        let info = info(path, &link)?;
        if info.target == u64::from(index) {
            return Ok(Some(EgressAttachment {
                hook: EgressHook::Tcx,
                program_id: info.program_id,
            }));
        }
    }
    let by_netlink = classifier(interface)?;
    Ok(by_netlink.map(|program_id| EgressAttachment {
        hook: EgressHook::Clsact,
        program_id,
    }))
}

/// The id of our program among the classifiers of an interface's egress.
fn classifier(interface: &str) -> Result<Option<u32>, DataplaneError> {
    let Some(index) = index(interface)? else {
        return Ok(None);
    };
    let all = classifiers::at_egress(index).map_err(|error| {
        DataplaneError::new(format!("asking for the classifiers of {interface}"), error)
    })?;
    let ours = all.into_iter().find(|it| it.name == EGRESS);
    Ok(ours.map(|it| it.program_id))
}

/// The index of an interface; `None` if there is none. The daemon asks every second, and a list of
/// all is long where there are many.
fn index(interface: &str) -> Result<Option<u32>, DataplaneError> {
    match if_nametoindex(interface) {
        Ok(index) => Ok(Some(index)),
        Err(Errno::ENODEV) => Ok(None),
        Err(error) => Err(link_error(interface, error)),
    }
}

fn by_link(
    program: &mut SchedClassifier,
    interface: &str,
    path: &Path,
) -> Result<(), ProgramError> {
    let options = TcAttachOptions::TcxOrder(LinkOrder::first());
    let id = program.attach_with_options(interface, TcAttachType::Egress, options)?;
    let link = program.take_link(id)?;
    let link = FdLink::try_from(link).map_err(|_| ProgramError::NotAttached)?;
    link.pin(path)
        .map_err(|error| ProgramError::IOError(io::Error::other(error)))?;
    Ok(())
}

fn by_netlink(program: &mut SchedClassifier, interface: &str) -> Result<(), ProgramError> {
    match tc::qdisc_add_clsact(interface) {
        Ok(()) | Err(TcError::AlreadyAttached) => {}
        // It is there: netlink says so with EEXIST.
        Err(error) if exists(&error) => {}
        Err(error) => return Err(error.into()),
    }
    let egress = TcAttachType::Egress;
    let there = SchedClassifierLink::attached(interface, egress, PRIORITY, HANDLE, None)
        .map_err(TcError::IoError)?;
    let id = match program.attach_to_link(there) {
        Ok(id) => id,
        Err(_) => program.attach_with_options(
            interface,
            egress,
            TcAttachOptions::Netlink(NlOptions {
                priority: PRIORITY,
                handle: HANDLE,
                classid: None,
            }),
        )?,
    };
    // Dropping it would detach it, and the daemon's end is no end of the filter.
    std::mem::forget(program.take_link(id)?);
    Ok(())
}

fn exists(error: &TcError) -> bool {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>()
            && error.raw_os_error() == Some(libc::EEXIST)
        {
            return true;
        }
        cause = error.source();
    }
    false
}

fn attached(path: &Path, interface: &str) -> Result<EgressAttachment, DataplaneError> {
    attachment(path, interface)?.ok_or_else(|| {
        DataplaneError(format!(
            "the program was attached to the egress of {interface} and is gone again: somebody \
             else changes programs there; look with `bpftool net show dev {interface}`"
        ))
    })
}

fn fd(program: &SchedClassifier) -> Result<BorrowedFd<'_>, DataplaneError> {
    let fd = program.fd();
    Ok(fd
        .map_err(|error| DataplaneError::new(EGRESS, error))?
        .as_fd())
}

fn open(path: &Path) -> Result<Option<Link>, DataplaneError> {
    Link::open(path)
        .map_err(|error| DataplaneError::new(format!("opening {}", path.display()), error))
}

fn info(path: &Path, link: &Link) -> Result<raw::Info, DataplaneError> {
    link.info().map_err(|error| {
        DataplaneError::new(format!("asking the kernel about {}", path.display()), error)
    })
}

/// The ways to attach, in the order that they are tried in.
pub(super) const HOOKS: [EgressHook; 2] = [EgressHook::Tcx, EgressHook::Clsact];
