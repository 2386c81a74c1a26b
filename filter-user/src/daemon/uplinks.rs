//! Interfaces that nobody named: those that default routes go through.
//!
//! One that was found stays protected while it exists, for a route that goes for a moment must not
//! take the filter with it; and it is remembered, so that a boot protects it before there is a route.

use std::path::Path;

use super::state::Daemon;
use crate::{dataplane::Dataplane, host::links, store::uplinks};

/// What is on the disk, as far as this daemon knows.
#[derive(Debug)]
pub struct Remembered(Option<Vec<String>>);

impl Remembered {
    /// What an earlier daemon found.
    pub fn read(folder: &Path, losses: &mut Vec<String>) -> Self {
        Self(uplinks::read(folder).unwrap_or_else(|error| {
            losses.push(untold("read", &error));
            None
        }))
    }
}

impl<D: Dataplane> Daemon<D> {
    /// Brings the interfaces up to date with the default routes, if these say which they are.
    pub(super) fn follow_routes(&mut self) {
        if !self.config.default_route {
            return;
        }
        let Ok(links) = self.host.links() else {
            // The next look will do.
            return;
        };
        let before = if !self.config.interfaces.is_empty() {
            self.config.interfaces.clone()
        } else if let Remembered(Some(names)) = &self.remembered {
            names.clone()
        } else {
            // Without a memory, what an earlier daemon protected is the best guess.
            self.plane.pinned().unwrap_or_default()
        };
        let mut names = links::uplinks(&links, &self.facts.uplinks);
        // Until there is a route, drivers may be missing too.
        let stays = |name: &String| links.iter().any(|link| link.name == *name);
        let stays = |name: &String| names.is_empty() || stays(name);
        let mut kept: Vec<String> = before.into_iter().filter(stays).collect();
        names.append(&mut kept);
        names.sort_unstable();
        names.dedup();
        if self.remembered.0.as_ref() != Some(&names) && !names.is_empty() {
            match uplinks::write(self.store.folder(), &names) {
                Ok(()) => {
                    self.remembered = Remembered(Some(names.clone()));
                    self.troubles.remove("uplinks");
                }
                Err(error) => self.trouble("uplinks", untold("written", &error)),
            }
        }
        self.protection.retain(|name, _| names.contains(name));
        self.config.interfaces = names;
    }
}

fn untold(done: &str, error: &std::io::Error) -> String {
    format!(
        "the interfaces that default routes go through cannot be {done} ({error}): the next boot \
         protects them once there is a route, and not before"
    )
}
