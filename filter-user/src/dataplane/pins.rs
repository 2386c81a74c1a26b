//! What matters at 3 a.m. and works without a daemon: from the pins alone.

use std::{collections::BTreeMap, path::Path};

use anyhow::Context as _;

use super::{
    bpffs::{self, PinFolder},
    kernel::{egress, link, pinned::Pinned, sockets},
};
use crate::{
    api::types::{Interface, Mode, SCHEMA, Status},
    clock,
    config::Paths,
    core::{
        actor::Actor,
        state::{Change, Set},
    },
    daemon::meter,
    host::{self, network},
    store::{
        Store,
        syncookies::{self, PutBack},
    },
    version,
};

/// The state of things, as far as the pins tell it. `absence` says why no daemon does.
pub fn status(paths: &Paths, absence: &str) -> anyhow::Result<Status> {
    let pinned = Pinned::open(&bpffs::maps(&paths.bpf))?;
    let settings = pinned.settings()?;
    let counters = pinned.counters()?;
    let mut interfaces = Vec::new();
    for name in bpffs::links(&paths.bpf)? {
        let attachment = link::attachment(&bpffs::link(&paths.bpf, &name), &name)?;
        let problem = "the link is there, but the program is on no such interface";
        interfaces.push(Interface {
            name,
            attach: attachment.map(|it| it.mode),
            program_id: attachment.map(|it| it.program_id),
            problem: attachment.is_none().then(|| problem.to_owned()),
        });
    }
    let mut warnings = vec![unwatched(absence)];
    if settings.emergency > 0 {
        warnings.push("monitor mode was set while no daemon answered".to_owned());
    }
    if settings.is_on_trial() {
        warnings.push(
            "a change waits for confirmation, or was not confirmed in time: then the kernel has \
             gone back to what was before it, and the mode shown may be that of the change"
                .to_owned(),
        );
    }
    Ok(Status {
        schema: SCHEMA,
        version: version::RELEASE.to_owned(),
        object: version::OBJECT.to_owned(),
        daemon: false,
        since: None,
        mode: if settings.enforced == 0 {
            Mode::Monitor
        } else {
            Mode::Enforce
        },
        interfaces,
        incident: None,
        hit: Vec::new(),
        totals: meter::totals(&counters),
        reasons: meter::reasons(&counters, settings.enforced),
        overrides: Vec::new(),
        held: Vec::new(),
        pending: None,
        tables: BTreeMap::new(),
        services: Vec::new(),
        defences: Vec::new(),
        lists: Vec::new(),
        program: None,
        map_memory: 0,
        maps: Vec::new(),
        warnings,
    })
}

fn unwatched(absence: &str) -> String {
    format!(
        "{absence}. Meanwhile entries still end and limits still hold, but nothing is watched over"
    )
}

/// What was detached.
#[derive(Debug)]
pub struct Detached {
    /// From which interfaces.
    pub names: Vec<String>,
    /// What was put back with them, or could not be: a sentence each.
    pub mended: Vec<String>,
    /// What was found lost on the way: a sentence each.
    pub losses: Vec<String>,
}

/// Takes the program off one interface, or off all; with the last, the programs beside it go. That is
/// remembered until `floodwall attach`.
pub fn detach(paths: &Paths, interface: Option<&str>) -> anyhow::Result<Detached> {
    let (names, mended) = unlink(paths, interface)?;
    let losses = remember(&paths.state, &names).with_context(|| {
        format!(
            "{} is detached, but that could not be noted: the daemon would attach again when it \
             starts",
            names.join(", ")
        )
    })?;
    Ok(Detached {
        names,
        mended,
        losses,
    })
}

/// Takes the program off one interface, or off all, until a daemon starts. One that runs would attach
/// again at once, so that it is refused.
pub fn detach_once(paths: &Paths, interface: Option<&str>) -> anyhow::Result<Detached> {
    let _alone = PinFolder::open(&paths.bpf)?;
    let (names, mended) = unlink(paths, interface)?;
    Ok(Detached {
        names,
        mended,
        losses: Vec::new(),
    })
}

/// Removes the links; gives whose, and what was put back with the last.
fn unlink(paths: &Paths, interface: Option<&str>) -> anyhow::Result<(Vec<String>, Vec<String>)> {
    let pinned = bpffs::links(&paths.bpf)?;
    let names: Vec<String> = match interface {
        Some(name) if pinned.iter().any(|pinned| pinned == name) => vec![name.to_owned()],
        Some(name) => anyhow::bail!(
            "floodwall is not attached to {name}; it is attached to: {}",
            if pinned.is_empty() {
                "nothing".to_owned()
            } else {
                pinned.join(", ")
            }
        ),
        None => pinned,
    };
    for name in &names {
        link::remove(&bpffs::link(&paths.bpf, name))?;
    }
    let mended = if bpffs::links(&paths.bpf)?.is_empty() {
        clear(paths)
    } else {
        Vec::new()
    };
    Ok((names, mended))
}

/// Takes the programs beside the filter off, and puts back what was changed in the kernel. What does
/// not succeed is told, and hinders nothing else.
fn clear(paths: &Paths) -> Vec<String> {
    let mut told = Vec::new();
    let links = host::links::list().unwrap_or_default();
    let links = links.into_iter().filter(|link| link.ethernet);
    let pinned = bpffs::egresses(&paths.bpf).unwrap_or_default();
    for name in links.map(|link| link.name).chain(pinned) {
        if let Err(error) = egress::remove(&bpffs::egress(&paths.bpf, &name), &name) {
            told.push(error.to_string());
        }
    }
    if let Err(error) = sockets::remove(&bpffs::sockets(&paths.bpf)) {
        told.push(error.to_string());
    }
    let netns = network::look().netns;
    told.extend(put_back(&paths.state, netns, network::set_syncookies));
    told
}

/// Puts `net.ipv4.tcp_syncookies` back; gives a sentence if there was anything to do.
fn put_back(
    state: &Path,
    netns: u64,
    set: impl FnOnce(u32) -> std::io::Result<()>,
) -> Option<String> {
    match syncookies::put_back(state, netns, set) {
        Ok(PutBack::Nothing) => None,
        Ok(PutBack::Done(value)) => Some(format!(
            "net.ipv4.tcp_syncookies is {value} again, as before SYNs were answered"
        )),
        Ok(PutBack::Elsewhere(value)) => Some(format!(
            "net.ipv4.tcp_syncookies was changed in another network namespace, the daemon's: there, \
             sysctl -w net.ipv4.tcp_syncookies={value}"
        )),
        Err(error) => Some(format!(
            "what net.ipv4.tcp_syncookies was before SYNs were answered could not be put back \
             ({error}): sysctl -w net.ipv4.tcp_syncookies=1, which is usual"
        )),
    }
}

/// Keeps that, and gives what was lost of what was kept before. The daemon will find and tell it
/// again, for only it can take over what the kernel still has.
pub(crate) fn remember(state: &Path, names: &[String]) -> anyhow::Result<Vec<String>> {
    let now = clock::now();
    let (mut store, restored) = Store::open(state, now)?;
    let mut losses = restored.losses;
    if restored.is_unreconciled && losses.is_empty() {
        losses.push(format!(
            "{} held nothing: what the kernel still has is taken over when the daemon starts",
            state.display()
        ));
    }
    let by = "`floodwall detach` without a daemon";
    let set = Set {
        value: (),
        by: by.to_owned(),
        since: now,
        until: None,
    };
    let changes: Vec<Change> = names
        .iter()
        .map(|name| Change::Detached(name.clone(), Some(set.clone())))
        .collect();
    store.begin()?;
    store.write(&changes)?;
    let text = format!("{} was detached while no daemon ran", names.join(", "));
    store.journal(now, &Actor::Daemon, "interface.detach", &text)?;
    store.commit()?;
    Ok(losses)
}

/// Goes to monitor mode: nothing is dropped or answered any more. Gives a sentence if a setting of the
/// kernel was to be put back.
pub fn monitor(paths: &Paths) -> anyhow::Result<Option<String>> {
    let mut pinned = Pinned::open(&bpffs::maps(&paths.bpf))?;
    let mut settings = pinned.settings()?;
    settings.enforced = 0;
    settings.held_until = 0;
    settings.confirm_by = 0;
    settings.emergency = u64::try_from(clock::now().as_second()).unwrap_or(1).max(1);
    pinned.set_settings(&settings)?;
    let netns = network::look().netns;
    Ok(put_back(&paths.state, netns, network::set_syncookies))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_setting_of_cookies_comes_back_without_a_daemon() {
        let folder = tempfile::tempdir().expect("a folder");
        let put = |netns, works: bool| {
            put_back(folder.path(), netns, |_| {
                works.then_some(()).ok_or(std::io::Error::other("no luck"))
            })
        };
        assert_eq!(put(7, true), None);
        let kept = syncookies::Kept::new(0, 7);
        syncookies::write(folder.path(), &kept).expect("kept");
        for (netns, works, says) in [
            (8, true, "another network namespace"),
            (7, false, "no luck"),
            (7, true, "tcp_syncookies is 0 again"),
        ] {
            let told = put(netns, works).expect("a sentence");
            assert!(told.contains(says), "{told}");
        }
        assert_eq!(put(7, true), None);
    }

    #[test]
    fn a_daemon_that_hangs_is_not_said_to_be_absent() {
        let warning = unwatched("the daemon at /run/x has not answered within 2 seconds");
        assert!(warning.starts_with("the daemon at /run/x has not answered"));
        assert!(!warning.contains("start it"), "{warning}");
    }
}
