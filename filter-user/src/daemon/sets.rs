//! The big sets: built from the imported lists of the blocklist, and put in place.

use std::sync::Arc;

use ipnet::IpNet;

use super::state::{Daemon, failed};
use crate::{
    api::types::{Count, ListKind, ListStatus},
    core::{
        refusal::Refusal,
        state::{Change, State},
    },
    dataplane::{Dataplane, Image},
    sets::{self, List, Sets, near::Near},
};

/// Lists by number, as sets are built of them.
#[derive(Clone, Debug, Default)]
pub struct Members(Vec<(u8, Arc<[IpNet]>)>);

/// The same lists: cheap, for members are shared and not copied.
impl PartialEq for Members {
    fn eq(&self, other: &Self) -> bool {
        let same = |one: &(u8, Arc<[IpNet]>), other: &(u8, Arc<[IpNet]>)| {
            one.0 == other.0 && Arc::ptr_eq(&one.1, &other.1)
        };
        self.0.len() == other.0.len() && self.0.iter().zip(&other.0).all(|(a, b)| same(a, b))
    }
}

impl Members {
    /// Those that a state asks for.
    pub fn of(state: &State) -> Self {
        let lists = state.list(ListKind::Block).sets();
        Self(
            lists
                .map(|(_, number, list)| (number, Arc::clone(&list.prefixes)))
                .collect(),
        )
    }
}

/// Sets that are not in place yet.
#[derive(Debug)]
pub struct Built {
    members: Members,
    sets: Sets,
    near: Arc<Near>,
}

impl Built {
    /// What the gate must be open for.
    pub fn near(&self) -> Arc<Near> {
        Arc::clone(&self.near)
    }
}

impl<D: Dataplane> Daemon<D> {
    /// What builds the sets that the state asks for; `None` if they are in place. It needs nothing
    /// of the daemon, so that the disk can be written meanwhile.
    pub(super) fn builder(
        &self,
    ) -> Option<impl FnOnce() -> Result<Built, Refusal> + Send + use<D>> {
        let members = Members::of(&self.state);
        let owner_lines = self.config.tables.owner_lines() as usize;
        let key = self.fixed.key;
        (members != self.placed).then_some(move || {
            let lists: Vec<List<'_>> = members
                .0
                .iter()
                .map(|(number, prefixes)| List {
                    number: *number,
                    prefixes,
                })
                .collect();
            let refused = |error: sets::SetError| Refusal::refused(error.to_string());
            let sets = sets::build(&lists, owner_lines).map_err(refused)?;
            let near = Arc::new(Near::of(&sets, &lists, &key));
            drop(lists);
            Ok(Built {
                members,
                sets,
                near,
            })
        })
    }

    /// Puts sets in place. Until the old ones are gone, the gate is open for both.
    pub(super) fn place(&mut self, built: Built) -> Result<(), Refusal> {
        let old = self.tables.gate_of_sets().to_vec();
        let both = old
            .iter()
            .cloned()
            .chain([Arc::clone(&built.near)])
            .collect();
        let placed = self.open_gate(both).and_then(|()| {
            let features = self.features_with_old();
            let image = Image {
                features,
                sets: Some(&built.sets),
            };
            self.put_image(image)?;
            self.features = features;
            Ok(())
        });
        if let Err(refusal) = placed {
            if let Err(refusal) = self.open_gate(old) {
                tracing::error!("taking the gate of new sets back: {refusal}");
            }
            return Err(refusal);
        }
        self.placed = built.members;
        self.approximate_owners = built.sets.v4.approximate_owners;
        if let Err(refusal) = self.open_gate(vec![built.near]) {
            // Bits too many cost time, nothing else.
            tracing::warn!("closing the gate of old sets: {refusal}");
        }
        Ok(())
    }

    fn open_gate(&mut self, sets: Vec<Arc<Near>>) -> Result<(), Refusal> {
        self.tables
            .set_gate_of_sets(&mut self.plane, sets)
            .map_err(failed)?;
        if self.settings.open_gate_v6 == u32::from(self.tables.is_gate_open_v6()) {
            return Ok(());
        }
        self.put_settings()
    }

    /// Puts the sets in place that the state asks for.
    pub(super) fn put_sets(&mut self) -> Result<(), Refusal> {
        match self.builder() {
            Some(build) => self.place(build()?),
            None => Ok(()),
        }
    }

    /// Sets the counters of lists that are new to zero: others may have had their numbers.
    pub(super) fn clear_new_lists(
        &mut self,
        changes: &[Change],
        inverse: &[Change],
    ) -> Result<(), Refusal> {
        for change in changes {
            let Change::Import(kind, name, Some(list)) = change else {
                continue;
            };
            let is_new = inverse.iter().any(|inverse| {
                matches!(inverse, Change::Import(of, it, None) if of == kind && it == name)
            });
            if let Some(number) = list.number.filter(|_| is_new) {
                self.plane.clear_list_hits(number).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// The imported lists of a list, and what their members met; only one if a name is given.
    pub(super) fn list_status(
        &mut self,
        kind: ListKind,
        name: Option<&str>,
    ) -> Result<Vec<ListStatus>, Refusal> {
        let hits = self.plane.list_hits().map_err(failed)?;
        let imports = &self.state.list(kind).imports;
        let wanted = imports
            .iter()
            .filter(|(it, _)| name.is_none_or(|name| *it == name));
        let status = wanted.map(|(name, list)| {
            let counter = list.number.and_then(|number| hits.get(usize::from(number)));
            ListStatus {
                name: name.clone(),
                members: list.prefixes.len() as u64,
                hits: counter.map(|counter| Count {
                    packets: counter.packets,
                    bytes: counter.bytes,
                }),
                reason: list.note.reason.clone(),
                by: list.note.by.clone(),
                since: list.note.since,
                until: list.note.until,
            }
        });
        Ok(status.collect())
    }
}
