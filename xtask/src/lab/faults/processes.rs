//! What happens to the daemon's process.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::{
    super::{interrupt, random::Random},
    Course, Site,
};

/// Nothing.
pub fn nothing(site: &mut Site, course: Course) -> Result<Vec<String>> {
    for _ in 0..course.rounds {
        interrupt::sleep(Duration::from_secs(1))?;
        site.status()?;
    }
    Ok(Vec::new())
}

/// Killed and started.
pub fn kill(site: &mut Site, course: Course) -> Result<Vec<String>> {
    let mut random = Random::new(course.seed);
    let mut moment = |most| Duration::from_millis(u64::from(random.below(most)));
    for round in 1..=course.rounds {
        site.kill()?;
        if round % 5 == 0 {
            site.begin_to_start()?;
            interrupt::sleep(moment(300))?;
            site.kill()?;
        }
        site.start()?;
        interrupt::sleep(moment(50))?;
    }
    ensure!(site.program()?.is_some(), "nothing is attached");
    Ok(Vec::new())
}

/// Stopped and started.
pub fn restart(site: &mut Site, course: Course) -> Result<Vec<String>> {
    for _ in 0..course.rounds {
        site.stop()?;
        site.start()?;
    }
    site.reads("the filter stays attached to srv0")?;
    Ok(Vec::new())
}

/// Another one.
pub fn second(site: &mut Site, course: Course) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(site.floodwall.config())?;
    let at = |path: std::path::PathBuf| path.to_string_lossy().into_owned();
    let folder = site.sandbox.folder();
    let socket = text.replace(&at(site.floodwall.socket()), &at(folder.join("other.sock")));
    let state = socket.replace(&at(site.floodwall.state()), &at(folder.join("other")));
    let bpf = site.sandbox.bpf();
    let pins = |text: &str| text.replace(&at(bpf.join("floodwall")), &at(bpf.join("other")));
    let program = site.program()?;
    for _ in 0..course.rounds {
        site.is_turned_away(&text, "is in use by a running floodwall")?;
        site.is_turned_away(&socket, "another floodwall holds")?;
        site.is_turned_away(&state, "another floodwall holds")?;
        site.is_turned_away(&pins(&socket), "another floodwall holds")?;
        let why = "srv0 already has an XDP program: floodwall";
        site.is_turned_away(&pins(&state), why)?;
        ensure!(site.program()? == program, "the program is another");
    }
    Ok(vec![
        "the second says who holds what, by path or by interface, and ends".to_owned(),
    ])
}
