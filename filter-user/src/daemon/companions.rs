//! The programs beside the filter: where they sit, and that they stay there.

use std::{
    collections::BTreeMap,
    path::Path,
    time::{Duration, Instant},
};

use filter_common::abi::defence::Defence;

use super::{state::Daemon, terrain::Terrain};
use crate::{
    core::{actor::Actor, cookies::Life, defences},
    dataplane::{Dataplane, DataplaneError},
    host::links::Link,
};

/// How long `status` warns of a program that was lost: about as long as it takes until what this host
/// asks for counts again.
const MEMORY: Duration = Duration::from_secs(60);
/// The trouble of that.
const LOST: &str = "companions";

impl<D: Dataplane> Daemon<D> {
    /// Attaches the programs that see what leaves and which handshakes complete, where somebody needs
    /// them and they are not, and takes them off where nobody does.
    pub(super) fn attach_all(&mut self, now: Instant, links: &[Link]) {
        if self.protection.is_empty() && !self.config.interfaces.is_empty() {
            // Not known yet what is protected: what an earlier daemon left stays.
            return;
        }
        if self.terrain.loss.is_some_and(|loss| now >= loss + MEMORY) {
            self.terrain.loss = None;
            self.troubles.remove(LOST);
        }
        let is_wanted = |defence| {
            self.is_protecting() && defences::is_possible(&self.config, &self.state, defence)
        };
        // Answers tell the windows that the kernel's own do, which are seen on their way out.
        let wants_egress = is_wanted(Defence::Solicited)
            || is_wanted(Defence::ClosedPorts)
            || is_wanted(Defence::Cookies);
        let wants_sockets = is_wanted(Defence::Connections)
            || is_wanted(Defence::Cookies)
            || self.terrain.switch.is_in_use();
        let result = if wants_egress {
            self.attach_egress(now, links)
        } else {
            self.detach_egress(links)
        };
        if let Err(error) = result {
            self.trouble("egress", error.to_string());
        } else {
            self.troubles.remove("egress");
        }
        match self.host.cgroup() {
            Some(cgroup) if wants_sockets => self.attach_sockets(now, &cgroup),
            Some(_) | None => self.detach_sockets(),
        }
    }

    fn attach_sockets(&mut self, now: Instant, cgroup: &Path) {
        if self.terrain.sees_handshakes {
            let there = self.plane.sockets_attachment(cgroup);
            if there.is_ok_and(|there| there.is_some()) {
                return;
            }
            // Of what was accepted meanwhile, no connection was seen.
            self.terrain.life = Life::default();
            let text = format!(
                "the program that sees handshakes complete was taken off {} by somebody else: it is \
                 attached again",
                cgroup.display()
            );
            self.lost(now, text);
        }
        let terrain = &mut self.terrain;
        terrain.is_bare = false;
        let attached = self.plane.attach_sockets(cgroup);
        terrain.sees_handshakes = attached.is_ok();
        let is_all = self.host.has_all_processes(cgroup);
        terrain.partial = (!is_all).then(|| cgroup.to_owned());
        if let Err(error) = attached {
            let hindrances = &mut terrain.hindrances;
            hindrances.insert(Defence::Connections, error.to_string());
        }
    }

    fn detach_sockets(&mut self) {
        if !self.terrain.sees_handshakes && self.terrain.is_bare {
            return;
        }
        self.terrain.sees_handshakes = false;
        if let Err(error) = self.plane.detach_sockets() {
            // It costs a little, and nothing else.
            tracing::warn!("{error}");
        }
        self.terrain.is_bare = true;
    }

    /// Tells of a program that was taken off; once, where somebody does so again and again.
    fn lost(&mut self, now: Instant, text: String) {
        self.terrain.loss = Some(now);
        if self.troubles.get(LOST) != Some(&text) {
            self.tell(&Actor::Daemon, "program.lost", &text);
            self.trouble(LOST, text);
        }
    }

    fn attach_egress(&mut self, now: Instant, links: &[Link]) -> Result<(), DataplaneError> {
        let outward = outward(links);
        self.terrain.is_egress_bare = false;
        self.find_lost(now, &outward);
        let terrain = &mut self.terrain;
        let is_first = terrain.egress.is_empty();
        let mut refused = Vec::new();
        for (index, name) in &outward {
            if terrain.egress.contains_key(index) {
                continue;
            }
            // Where an earlier daemon had all of them looked at, what was noted still counts.
            if is_first && !matches!(self.plane.egress_attachment(name), Ok(Some(_))) {
                terrain.ground.solicited_since = u64::MAX;
            }
            match self.plane.attach_egress(name) {
                Ok(_) => {
                    terrain.egress.insert(*index, name.clone());
                }
                Err(error) => refused.push((*index, name, error)),
            }
        }
        if !refused.is_empty()
            && let Ok(links) = self.host.links()
        {
            // Containers come and go: by what went meanwhile, nothing leaves.
            let is_there = |index: u32, name: &str| {
                let mut links = links.iter();
                links.any(|link| link.index == index && link.name == name)
            };
            refused.retain(|(index, name, _)| is_there(*index, name));
        }
        let mut problem = refused.first().map(|(_, name, error)| {
            format!(
                "what leaves by {name} is not seen ({error}), so that nobody can tell what this host \
                 asked for"
            )
        });
        let since = &mut terrain.ground.solicited_since;
        match problem {
            // An interface that comes while the others are looked at has asked for nothing yet.
            None if *since == u64::MAX => match self.plane.tick() {
                Ok(tick) => *since = tick,
                Err(error) => problem = Some(error.to_string()),
            },
            None => {}
            Some(_) => *since = u64::MAX,
        }
        if let Some(problem) = problem {
            terrain.hindrances.insert(Defence::Solicited, problem);
        }
        // Pins of interfaces that went.
        for name in self.plane.egress_pinned()? {
            if !outward.values().any(|there| *there == name) {
                self.plane.detach_egress(&name)?;
            }
        }
        Ok(())
    }

    /// Forgets the ways out that went, or have another name, and those that the program was taken off:
    /// anybody may do that. What left there meanwhile was not noted.
    fn find_lost(&mut self, now: Instant, outward: &BTreeMap<u32, String>) {
        let Terrain { egress, .. } = &mut self.terrain;
        egress.retain(|index, name| outward.get(index) == Some(name));
        let plane = &mut self.plane;
        let lost: BTreeMap<u32, String> = egress
            .extract_if(.., |_, name| {
                let there = plane.egress_attachment(name);
                !there.is_ok_and(|there| there.is_some())
            })
            .collect();
        if lost.is_empty() {
            return;
        }
        self.terrain.ground.solicited_since = u64::MAX;
        let names: Vec<String> = lost.into_values().collect();
        let text = format!(
            "the program at the egress of {} was taken off by somebody else: it is attached again, and \
             what this host asks for counts once it was noted for a whole minute",
            names.join(", ")
        );
        self.lost(now, text);
    }

    fn detach_egress(&mut self, links: &[Link]) -> Result<(), DataplaneError> {
        self.terrain.ground.solicited_since = u64::MAX;
        if self.terrain.is_egress_bare {
            return Ok(());
        }
        let names = self.plane.egress_pinned()?;
        for name in outward(links).into_values().chain(names) {
            self.plane.detach_egress(&name)?;
        }
        self.terrain.egress.clear();
        self.terrain.is_egress_bare = true;
        Ok(())
    }
}

/// The Ethernet interfaces to other hosts: what leaves by others comes back by these, wrapped up.
fn outward(links: &[Link]) -> BTreeMap<u32, String> {
    let outward = links.iter().filter(|link| link.ethernet);
    outward.map(|it| (it.index, it.name.clone())).collect()
}
