//! What happens to the interface, and who else wants it.

use anyhow::{Context as _, Result, ensure};

use super::{
    super::{
        programs::{Lab, Tables},
        sandbox::{Ns, UPLINK, hosts},
    },
    Course, Site,
};

/// Up and down.
pub fn down(site: &mut Site, course: Course) -> Result<Vec<String>> {
    let program = site.program()?;
    for _ in 0..course.rounds {
        site.traffic()?.cut()?;
        site.ip(Ns::Server, "link set srv0 down")?;
        site.ip(Ns::Server, "link set srv0 up")?;
        readdress(site)?;
        carries(site)?;
        site.traffic()?.mend()?;
    }
    ensure!(site.program()? == program, "the program is another");
    Ok(vec![
        "clean sources are silent while the wire is cut".to_owned(),
    ])
}

/// Another name, and the old one.
pub fn renamed(site: &mut Site, course: Course) -> Result<Vec<String>> {
    for _ in 0..course.rounds {
        // A name can be changed while the interface is up (Linux 6.2); older kernels refuse.
        rename(site, "srv0", "other0")?;
        site.hears("NOT PROTECTED: srv0")?;
        rename(site, "other0", "srv0")?;
        site.hears_no_more("NOT PROTECTED")?;
    }
    Ok(vec![
        "the link stays on the interface under its new name; `status` says that none has the old one"
            .to_owned(),
    ])
}

fn rename(site: &Site, from: &str, to: &str) -> Result<()> {
    site.ip(Ns::Server, &format!("link set {from} name {to}"))?;
    Ok(())
}

/// Gone, and made anew: nothing is attached to it until the daemon has seen it.
pub fn recreated(site: &mut Site, course: Course) -> Result<Vec<String>> {
    for _ in 0..course.rounds {
        site.traffic()?.cut()?;
        site.traffic()?.open();
        site.ip(Ns::Server, "link del srv0")?;
        site.hears("NOT PROTECTED: srv0")?;
        make(site)?;
        site.hears_no_more("NOT PROTECTED")?;
        site.traffic()?.close();
        carries(site)?;
        site.traffic()?.mend()?;
    }
    let passed = site.traffic()?.passed();
    Ok(vec![format!(
        "an interface that comes up has no program until the daemon has seen it: {:.0} packets of \
         listed sources passed each time",
        passed as f64 / f64::from(course.rounds)
    )])
}

fn make(site: &Site) -> Result<()> {
    let server = site.sandbox.server().name();
    let mac = hosts::SERVER
        .mac
        .map(|byte| format!("{byte:02x}"))
        .join(":");
    site.ip(
        Ns::Wire,
        &format!("link add {UPLINK} type veth peer name srv0 address {mac} netns {server}"),
    )?;
    site.ip(Ns::Wire, &format!("link set {UPLINK} master br0 up"))?;
    site.ip(Ns::Server, "link set srv0 up")?;
    readdress(site)
}

/// The addresses that packets are for; IPv6 ones go with an interface that goes down.
fn readdress(site: &Site) -> Result<()> {
    let host = hosts::SERVER;
    site.ip(Ns::Server, &format!("addr replace {}/24 dev srv0", host.v4))?;
    site.ip(
        Ns::Server,
        &format!("addr replace {}/64 dev srv0 nodad", host.v6),
    )?;
    Ok(())
}

fn carries(site: &Site) -> Result<()> {
    site.until("the wire carries packets", || {
        Ok(site
            .ip(Ns::Wire, &format!("link show dev {UPLINK}"))?
            .contains("state UP"))
    })
}

/// Somebody else's program.
pub fn foreign(site: &mut Site, course: Course) -> Result<Vec<String>> {
    for _ in 0..course.rounds {
        // While ours is there, the kernel gives the interface to nobody else.
        let ours = site.program()?;
        let late = other(site);
        ensure!(late.is_err(), "another program took the place of ours");
        ensure!(site.program()? == ours, "the program is another");
        site.stop()?;
        site.traffic()?.open();
        let config = site.floodwall.config();
        site.say_offline(&["detach", "--once"], &config)?;
        let first = other(site).context("another program is there first")?;
        let theirs = site.program()?;
        let text = std::fs::read_to_string(&config)?;
        site.is_turned_away(&text, "srv0 already has an XDP program: pass")?;
        ensure!(site.program()? == theirs, "the other program was touched");
        drop(first);
        site.start()?;
        site.traffic()?.close();
    }
    Ok(vec![
        "where another is first, the daemon names it, refuses to start and touches nothing: what is not \
         attached stops nobody; while ours is there, the kernel refuses every other"
            .to_owned(),
    ])
}

fn other(site: &Site) -> Result<aya::programs::links::FdLink> {
    Lab::load(Tables::Tiny)?.attach("pass", site.sandbox.server(), hosts::SERVER.interface)
}
