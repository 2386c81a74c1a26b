//! The package's scripts, with everything that they call replaced by what notes the call.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::process::{Command, Output};

use crate::toolchain;

/// What the scripts call beside the shell's own and `rm`.
const CALLED: [&str; 5] = [
    "systemd-sysusers",
    "deb-systemd-helper",
    "deb-systemd-invoke",
    "systemctl",
    "floodwall",
];

/// A system in a folder, on which systemd runs.
struct System {
    folder: PathBuf,
}

impl System {
    fn new(name: &str) -> Self {
        let folder = toolchain::target_dir().join("tmp/scripts").join(name);
        let _ = fs::remove_dir_all(&folder);
        let system = Self { folder };
        for path in [
            "stubs",
            "root/run/systemd/system",
            "root/sys/fs/bpf/floodwall/maps",
            "root/sys/fs/bpf/other",
            "root/var/lib/floodwall",
            "root/var/lib/other",
        ] {
            fs::create_dir_all(system.folder.join(path)).unwrap();
        }
        let stub = system.folder.join("stub");
        let note = "#!/bin/sh\necho \"${0##*/} $*\" >>\"$CALLS\"\n[ \"${0##*/}\" != \"$FAILS\" ]\n";
        fs::write(&stub, note).unwrap();
        fs::set_permissions(&stub, fs::Permissions::from_mode(0o755)).unwrap();
        for name in CALLED {
            symlink(&stub, system.folder.join("stubs").join(name)).unwrap();
        }
        system
    }

    /// Runs a script as dpkg does, where one of the commands fails.
    fn try_run(&self, line: &str, fails: &str) -> Output {
        let mut words = line.split(' ');
        let script = words.next().unwrap();
        let path = format!("{}/stubs:/usr/bin:/bin", self.folder.display());
        Command::new("sh")
            .arg(toolchain::workspace().join("packaging/deb").join(script))
            .args(words)
            .env("PATH", path)
            .env("DPKG_ROOT", self.folder.join("root"))
            .env("CALLS", self.folder.join("calls"))
            .env("FAILS", fails)
            .output()
            .unwrap()
    }

    /// Runs a script, and gives what it called.
    fn run(&self, line: &str) -> Vec<String> {
        self.run_where(line, "")
    }

    /// The same where one of the commands fails, and the script does not.
    fn run_where(&self, line: &str, fails: &str) -> Vec<String> {
        let _ = fs::remove_file(self.folder.join("calls"));
        let output = self.try_run(line, fails);
        assert!(output.status.success(), "{line}: {output:?}");
        let calls = fs::read_to_string(self.folder.join("calls")).unwrap_or_default();
        calls.lines().map(str::to_owned).collect()
    }

    fn has(&self, path: &str) -> bool {
        self.folder.join("root").join(path).exists()
    }
}

fn of<'a>(calls: &'a [String], command: &str) -> Vec<&'a str> {
    let calls = calls.iter().map(String::as_str);
    calls.filter(|call| call.starts_with(command)).collect()
}

#[test]
fn an_installation_makes_the_user_and_starts_the_daemon() {
    let system = System::new("install");
    let calls = system.run("postinst configure");
    assert!(
        calls[0].starts_with("systemd-sysusers") && calls[0].ends_with(" floodwall.conf"),
        "{calls:?}"
    );
    // Who waits for protection waits for nothing else.
    assert_eq!(
        calls[1..],
        [
            "deb-systemd-helper enable floodwall.service",
            "deb-systemd-invoke start floodwall.service",
            "systemctl --system daemon-reload",
        ]
    );
}

#[test]
fn an_upgrade_starts_anew_and_detaches_nothing() {
    let system = System::new("upgrade");
    assert!(system.run("prerm upgrade 0.2.0-1").is_empty());
    assert!(system.run("postrm upgrade 0.2.0-1").is_empty());
    let calls = system.run("postinst configure 0.1.0-1");
    assert_eq!(
        calls[1..],
        [
            "deb-systemd-helper --quiet was-enabled floodwall.service",
            "deb-systemd-helper enable floodwall.service",
            "systemctl --system daemon-reload",
            "deb-systemd-invoke restart floodwall.service",
        ]
    );
    assert!(of(&calls, "floodwall").is_empty());
    assert!(system.has("sys/fs/bpf/floodwall/maps"));
}

#[test]
fn a_removal_stops_the_daemon_then_takes_the_filter_off_and_keeps_the_state() {
    let system = System::new("remove");
    let calls = system.run("prerm remove");
    assert_eq!(
        calls,
        [
            "deb-systemd-invoke stop floodwall.service",
            "floodwall detach --once"
        ]
    );
    system.run("postrm remove");
    assert!(!system.has("sys/fs/bpf/floodwall") && system.has("sys/fs/bpf/other"));
    assert!(system.has("var/lib/floodwall"));
}

#[test]
fn a_filter_that_cannot_be_taken_off_goes_with_its_pins() {
    let system = System::new("stuck");
    let output = system.try_run("prerm remove", "floodwall");
    assert!(output.status.success(), "{output:?}");
    assert!(!system.has("sys/fs/bpf/floodwall"));
}

#[test]
fn a_removal_that_failed_leaves_a_disabled_service_disabled() {
    let system = System::new("unremoved");
    // Without the version that was configured, as dpkg calls it. What fails is `was-enabled`.
    for (fails, then) in [
        ("", "deb-systemd-helper enable floodwall.service"),
        (
            "deb-systemd-helper",
            "deb-systemd-helper update-state floodwall.service",
        ),
    ] {
        let calls = system.run_where("postinst abort-remove", fails);
        assert_eq!(
            calls[1..],
            [
                "deb-systemd-helper --quiet was-enabled floodwall.service",
                then,
                "systemctl --system daemon-reload",
                // A disabled one it leaves as it is.
                "deb-systemd-invoke restart floodwall.service",
            ]
        );
    }
}

#[test]
fn a_purge_removes_what_was_kept_and_nothing_else() {
    let system = System::new("purge");
    let calls = system.run("postrm purge");
    assert_eq!(calls, ["deb-systemd-helper purge floodwall.service"]);
    for path in ["sys/fs/bpf", "var/lib"] {
        assert!(!system.has(&format!("{path}/floodwall")));
        assert!(system.has(&format!("{path}/other")));
    }
}

#[test]
fn a_daemon_that_does_not_start_does_not_fail_the_installation() {
    let system = System::new("failing");
    let output = system.try_run("postinst configure", "deb-systemd-invoke");
    assert!(output.status.success(), "{output:?}");
    let output = system.try_run("postinst configure", "systemd-sysusers");
    assert!(!output.status.success(), "without its user it cannot run");
}

#[test]
fn where_no_systemd_runs_nothing_is_started() {
    let system = System::new("chroot");
    fs::remove_dir_all(system.folder.join("root/run")).unwrap();
    let calls = system.run("postinst configure");
    for command in ["deb-systemd-invoke", "systemctl"] {
        assert!(of(&calls, command).is_empty(), "{calls:?}");
    }
    assert!(calls.contains(&"deb-systemd-helper enable floodwall.service".to_owned()));
}
