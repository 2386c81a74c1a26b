//! The programs beside the filter: at the egress of interfaces, and at the sockets of processes. They
//! are loaded once over a set of maps, however often the filter itself is replaced.

use std::{collections::BTreeMap, path::Path};

use aya::{
    Ebpf,
    programs::{ProgramError, SchedClassifier, SockOps, TestRun as _, TestRunOptions},
};
use filter_common::logic::{address::Address, known};

use super::{
    Kernel, egress,
    place::SETS,
    set::{self, load_error},
    sockets,
};
use crate::dataplane::{self, Dataplane as _, DataplaneError, EgressAttachment, EgressHook};

/// The program at the egress of interfaces.
pub(super) const EGRESS: &str = "floodwall_egress";
/// The program at the sockets of processes.
pub(super) const SOCKETS: &str = "floodwall_sockets";

/// Both, loaded; each only if this kernel takes it.
pub(super) struct Companions {
    ebpf: Ebpf,
    /// Why there is no program at sockets.
    refused: Option<String>,
}

impl Companions {
    /// Loads them over the maps that are pinned under `path`, where a program with these features is
    /// in force.
    pub(super) fn load(
        path: &Path,
        sizes: &BTreeMap<&'static str, u32>,
        features: u64,
    ) -> Result<Self, DataplaneError> {
        let mut sizes = sizes.clone();
        // They read no sets.
        sizes.extend(SETS.map(|name| (name, 1)));
        let mut ebpf = set::load_object(path, &sizes, features, &[])?;
        at_egress(&mut ebpf)?
            .load()
            .map_err(|error| load_error(EGRESS, error))?;
        let refused = at_sockets(&mut ebpf)?.load().err();
        // The programs hold the maps that they use. The others may be replaced, and are not to stay.
        let names: Vec<String> = ebpf.maps().map(|(name, _)| name.to_owned()).collect();
        for name in names {
            drop(ebpf.take_map(&name));
        }
        Ok(Self {
            ebpf,
            refused: refused.map(|error| load_error(SOCKETS, error).0),
        })
    }

    pub(super) fn egress(&mut self) -> Result<&mut SchedClassifier, DataplaneError> {
        at_egress(&mut self.ebpf)
    }

    pub(super) fn sockets(&mut self) -> Result<&mut SockOps, DataplaneError> {
        match &self.refused {
            Some(refused) => Err(DataplaneError(format!(
                "handshakes cannot be watched, which takes Linux 5.15: {refused}"
            ))),
            None => at_sockets(&mut self.ebpf),
        }
    }
}

impl Kernel {
    /// The programs beside the filter; loads them if they are not.
    pub(super) fn companions(&mut self) -> Result<&mut Companions, DataplaneError> {
        let path = self.maps_path();
        let features = self.loaded.features;
        match &mut self.companions {
            Some(companions) => Ok(companions),
            none => Ok(none.insert(Companions::load(&path, &self.sizes, features)?)),
        }
    }

    /// Attaches to the egress of an interface by the first of these hooks that does.
    pub fn attach_egress_by(
        &mut self,
        interface: &str,
        hooks: &[EgressHook],
    ) -> Result<EgressAttachment, DataplaneError> {
        self.egress_to(interface, hooks)
    }

    /// Runs the program at the egress on a frame, without any traffic.
    pub fn run_egress(&mut self, frame: &[u8]) -> Result<(), DataplaneError> {
        let mut options = TestRunOptions::new();
        options.data_in = Some(frame);
        self.companions()?
            .egress()?
            .test_run(options)
            .map(drop)
            .map_err(|error| DataplaneError::new("running the program at the egress", error))
    }
}

impl dataplane::Companions for Kernel {
    fn attach_egress(&mut self, interface: &str) -> Result<EgressAttachment, DataplaneError> {
        self.egress_to(interface, &egress::HOOKS)
    }

    fn detach_egress(&mut self, interface: &str) -> Result<(), DataplaneError> {
        egress::remove(&self.folder.egress(interface), interface)
    }

    fn egress_attachment(
        &mut self,
        interface: &str,
    ) -> Result<Option<EgressAttachment>, DataplaneError> {
        egress::attachment(&self.folder.egress(interface), interface)
    }

    fn egress_pinned(&mut self) -> Result<Vec<String>, DataplaneError> {
        self.folder.egresses()
    }

    fn attach_sockets(&mut self, group: &Path) -> Result<u32, DataplaneError> {
        self.sockets_to(group)
    }

    fn detach_sockets(&mut self) -> Result<(), DataplaneError> {
        sockets::remove(&self.folder.sockets())
    }

    fn sockets_attachment(&mut self, group: &Path) -> Result<Option<u32>, DataplaneError> {
        sockets::attachment(&self.folder.sockets(), group)
    }

    fn solicited_fill(&mut self) -> Result<f64, DataplaneError> {
        let (settings, tick) = (self.settings()?, self.tick()?);
        Ok(self.maps.others.solicited_fill(&settings, tick))
    }

    fn is_proven(&mut self, source: &Address) -> Result<bool, DataplaneError> {
        let settings = self.settings()?;
        self.maps.others.is_proven(source, &settings)
    }

    fn is_known_good(&mut self, source: &Address) -> Result<bool, DataplaneError> {
        let settings = self.settings()?;
        Ok(self.maps.others.is_known_good(source, &settings))
    }

    fn known(&mut self) -> Result<Vec<known::Line>, DataplaneError> {
        Ok(self.maps.others.known())
    }

    fn set_known(&mut self, lines: &[known::Line]) -> Result<(), DataplaneError> {
        self.maps.others.set_known(lines);
        Ok(())
    }

    fn clear_known(&mut self, columns: u64) -> Result<(), DataplaneError> {
        self.maps.others.clear_known(columns);
        Ok(())
    }
}

pub(super) fn at_egress(ebpf: &mut Ebpf) -> Result<&mut SchedClassifier, DataplaneError> {
    ebpf.program_mut(EGRESS)
        .ok_or_else(|| none(EGRESS))?
        .try_into()
        .map_err(|error| DataplaneError::new(EGRESS, error as ProgramError))
}

fn at_sockets(ebpf: &mut Ebpf) -> Result<&mut SockOps, DataplaneError> {
    ebpf.program_mut(SOCKETS)
        .ok_or_else(|| none(SOCKETS))?
        .try_into()
        .map_err(|error| DataplaneError::new(SOCKETS, error as ProgramError))
}

fn none(name: &str) -> DataplaneError {
    DataplaneError(format!("the embedded object has no program {name}"))
}
