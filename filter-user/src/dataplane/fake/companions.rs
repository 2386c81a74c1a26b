//! The programs beside the filter, in memory.

use std::{
    collections::{BTreeSet, HashSet},
    path::{Path, PathBuf},
};

use filter_common::logic::{address::Address, known};

use super::Fake;
use crate::dataplane::{Companions, DataplaneError, EgressAttachment, EgressHook};

/// The programs beside the filter, in memory.
#[derive(Debug, Default)]
pub struct FakeCompanions {
    /// Interfaces at whose egress it is.
    pub egress: BTreeSet<String>,
    /// Interfaces whose egress cannot be attached to.
    pub refusing: BTreeSet<String>,
    /// The control group at whose sockets it is.
    pub sockets: Option<PathBuf>,
    /// The share of bits for what was asked for.
    pub fill: f64,
    /// Sources that completed a handshake.
    pub proven: HashSet<Address>,
    /// Who is known good; all zero where it is shorter than the table.
    pub known: Vec<known::Line>,
    /// Columns that were cleared, in order.
    pub cleared: Vec<u64>,
}

const TCX: EgressAttachment = EgressAttachment {
    hook: EgressHook::Tcx,
    program_id: 2,
};

impl Companions for Fake {
    fn attach_egress(&mut self, interface: &str) -> Result<EgressAttachment, DataplaneError> {
        self.write()?;
        if self.companions.refusing.contains(interface) {
            return Err(DataplaneError(format!("{interface} refuses")));
        }
        self.companions.egress.insert(interface.to_owned());
        Ok(TCX)
    }

    fn detach_egress(&mut self, interface: &str) -> Result<(), DataplaneError> {
        self.companions.egress.remove(interface);
        Ok(())
    }

    fn egress_attachment(
        &mut self,
        interface: &str,
    ) -> Result<Option<EgressAttachment>, DataplaneError> {
        Ok(self.companions.egress.contains(interface).then_some(TCX))
    }

    fn egress_pinned(&mut self) -> Result<Vec<String>, DataplaneError> {
        Ok(self.companions.egress.iter().cloned().collect())
    }

    fn attach_sockets(&mut self, group: &Path) -> Result<u32, DataplaneError> {
        self.write()?;
        self.companions.sockets = Some(group.to_owned());
        Ok(3)
    }

    fn detach_sockets(&mut self) -> Result<(), DataplaneError> {
        self.companions.sockets = None;
        Ok(())
    }

    fn sockets_attachment(&mut self, group: &Path) -> Result<Option<u32>, DataplaneError> {
        Ok((self.companions.sockets.as_deref() == Some(group)).then_some(3))
    }

    fn solicited_fill(&mut self) -> Result<f64, DataplaneError> {
        Ok(self.companions.fill)
    }

    fn is_proven(&mut self, source: &Address) -> Result<bool, DataplaneError> {
        Ok(self.companions.proven.contains(source))
    }

    fn is_known_good(&mut self, source: &Address) -> Result<bool, DataplaneError> {
        let places = known::Places::of(source, &self.settings.key);
        let line = self.companions.known.get(places.line as usize);
        Ok(line.is_some_and(|line| known::is_good(places.days(line))))
    }

    fn known(&mut self) -> Result<Vec<known::Line>, DataplaneError> {
        Ok(self.companions.known.clone())
    }

    fn set_known(&mut self, lines: &[known::Line]) -> Result<(), DataplaneError> {
        self.write()?;
        self.companions.known = lines.to_vec();
        Ok(())
    }

    fn clear_known(&mut self, columns: u64) -> Result<(), DataplaneError> {
        self.companions.cleared.push(columns);
        for word in self.companions.known.iter_mut().flatten() {
            *word &= !columns;
        }
        Ok(())
    }
}
