//! Links: how the program sits on interfaces.

use std::{fs, path::Path};

use aya::programs::{
    ProgramError, Xdp, XdpMode,
    links::{FdLink, PinnedLink},
    xdp::XdpLink,
};

use super::Kernel;
use crate::{
    api::types::AttachMode,
    config::AttachPreference,
    dataplane::{Attachment, DataplaneError},
    host::links,
};

impl Kernel {
    /// Attaches to an interface, or brings an attachment of ours up to date.
    pub(super) fn link_to(&mut self, interface: &str) -> Result<Attachment, DataplaneError> {
        let found = links::find(interface)
            .map_err(|error| link_error(interface, error))?
            .ok_or_else(|| unknown_interface(interface))?;
        if !self.update_link(interface)? {
            if let Some(xdp) = found.xdp.first() {
                return Err(occupied(interface, xdp.id));
            }
            let result = match self.preference {
                AttachPreference::Native => {
                    self.create_link(interface, found.index, XdpMode::Driver)
                }
                AttachPreference::Generic => self.create_link(interface, found.index, XdpMode::Skb),
                AttachPreference::Auto => self
                    .create_link(interface, found.index, XdpMode::Driver)
                    .or_else(|error| {
                        let tried = format!("{interface} cannot do native mode");
                        tracing::warn!("{}", DataplaneError::new(tried, error));
                        self.create_link(interface, found.index, XdpMode::Skb)
                    }),
            };
            result.map_err(|error| attach_error(interface, self.preference, error))?;
        }
        attachment(&self.folder.link(interface), interface)?.ok_or_else(|| {
            DataplaneError(format!(
                "the program was attached to {interface} and is gone again: somebody else \
                 changes programs there; look with `ip link show {interface}`"
            ))
        })
    }

    /// Brings the program of a pinned link up to date, if the link still sits on the interface.
    pub(super) fn update_link(&mut self, interface: &str) -> Result<bool, DataplaneError> {
        let path = self.folder.link(interface);
        if !path.exists() {
            return Ok(false);
        }
        let link: FdLink = PinnedLink::from_pin(&path)
            .map_err(|error| DataplaneError::new(format!("opening {}", path.display()), error))?
            .into();
        let info = link.info().map_err(|error| {
            DataplaneError::new(format!("asking the kernel about {}", path.display()), error)
        })?;
        let found = links::find(interface).map_err(|error| link_error(interface, error))?;
        let id = info.program_id();
        if !found.is_some_and(|link| link.xdp.iter().any(|xdp| xdp.id == id)) {
            // The device went, and another of its name may have come.
            fs::remove_file(&path).map_err(|error| {
                DataplaneError::new(format!("removing the stale {}", path.display()), error)
            })?;
            return Ok(false);
        }
        let link = XdpLink::try_from(link).map_err(|error| {
            DataplaneError::new(
                format!("{} is no link of an XDP program", path.display()),
                error,
            )
        })?;
        let program = self.program()?;
        if program.info().is_ok_and(|info| info.id() == id) {
            return Ok(true);
        }
        let id = program.attach_to_link(link).map_err(|error| {
            DataplaneError::new(format!("replacing the program on {interface}"), error)
        })?;
        // The pin keeps the link; this lets go of our descriptor only.
        let link = program.take_link(id);
        drop(link);
        Ok(true)
    }

    /// Attaches by a new link, and pins it.
    fn create_link(
        &mut self,
        interface: &str,
        index: u32,
        mode: XdpMode,
    ) -> Result<(), ProgramError> {
        let path = self.folder.link(interface);
        let program = match self.loaded.ebpf.program_mut("floodwall") {
            Some(program) => <&mut Xdp>::try_from(program)?,
            None => return Err(ProgramError::NotLoaded),
        };
        let id = program.attach_to_if_index(index, mode)?;
        let link = program.take_link(id)?;
        // An attachment by netlink would be replaced by anyone without a word; dropping it
        // detaches it.
        let link = FdLink::try_from(link).map_err(|_| ProgramError::NotAttached)?;
        link.pin(&path)
            .map_err(|error| ProgramError::IOError(std::io::Error::other(error)))?;
        Ok(())
    }
}

/// How the program of a pinned link sits on an interface, if it does.
pub fn attachment(path: &Path, interface: &str) -> Result<Option<Attachment>, DataplaneError> {
    if !path.exists() {
        return Ok(None);
    }
    let wrap = |error| DataplaneError::new(format!("opening {}", path.display()), error);
    let link: FdLink = PinnedLink::from_pin(path).map_err(wrap)?.into();
    let program_id = link.info().map_err(wrap)?.program_id();
    let found = links::find(interface).map_err(|error| link_error(interface, error))?;
    let programs = found.map(|link| link.xdp).unwrap_or_default();
    Ok(programs
        .into_iter()
        .find(|xdp| xdp.id == program_id)
        .map(|xdp| Attachment {
            mode: match xdp.mode {
                links::XdpMode::Generic => AttachMode::Generic,
                links::XdpMode::Native | links::XdpMode::Hardware => AttachMode::Native,
            },
            program_id,
        }))
}

/// Removes a pinned link, and with it the attachment.
pub fn remove(path: &Path) -> Result<(), DataplaneError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(DataplaneError::new(
            format!("removing {}", path.display()),
            error,
        )),
        _ => Ok(()),
    }
}

pub(super) fn link_error(interface: &str, error: impl std::error::Error) -> DataplaneError {
    DataplaneError::new(format!("asking the kernel about {interface}"), error)
}

pub(super) fn unknown_interface(interface: &str) -> DataplaneError {
    let names = links::list()
        .map(|links| {
            links
                .into_iter()
                .map(|link| link.name)
                .collect::<Vec<_>>()
                .join(", ")
        })
        .unwrap_or_default();
    DataplaneError(format!(
        "there is no interface {interface}; there are: {names}"
    ))
}

fn occupied(interface: &str, program_id: u32) -> DataplaneError {
    let name = aya::programs::loaded_programs()
        .flatten()
        .find(|info| info.id() == program_id)
        .and_then(|info| info.name_as_str().map(str::to_owned))
        .unwrap_or_else(|| "without a name".to_owned());
    DataplaneError(format!(
        "{interface} already has an XDP program: {name}, id {program_id}. It is not floodwall's \
         and stays; look at it with `bpftool prog show id {program_id}`, and detach it with the \
         tool that attached it, or with `ip link set dev {interface} xdp off`"
    ))
}

fn attach_error(
    interface: &str,
    preference: AttachPreference,
    error: ProgramError,
) -> DataplaneError {
    let remedy = match preference {
        AttachPreference::Native => {
            "its driver may not do native XDP at this MTU; `floodwall doctor` tells more, and \
             attach = \"auto\" falls back to generic mode"
        }
        AttachPreference::Auto | AttachPreference::Generic => "`floodwall doctor` tells more",
    };
    DataplaneError::new(format!("attaching to {interface} failed ({remedy})"), error)
}
