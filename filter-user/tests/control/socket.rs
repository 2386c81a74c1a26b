//! The socket file: who may have it, and what happens to one that is there.

use std::{
    fs,
    os::unix::{
        fs::{FileTypeExt, MetadataExt, PermissionsExt},
        net::{UnixListener, UnixStream},
    },
};

use filter_user::api::server::bind;

use crate::lab::{As, Lab, config};

#[test]
fn it_is_open_to_the_group_that_reads_and_to_nobody_else() {
    let lab = Lab::new(As::Root);
    let file = fs::symlink_metadata(&lab.socket).unwrap();
    assert!(file.file_type().is_socket());
    assert_eq!(file.permissions().mode() & 0o7777, 0o660);
    let name = config(lab.socket.clone()).access.read_group;
    let group = nix::unistd::Group::from_name(&name).unwrap().unwrap();
    assert_eq!(file.gid(), group.gid.as_raw());
    let folder = fs::metadata(lab.socket.parent().unwrap()).unwrap();
    assert_eq!(folder.permissions().mode() & 0o7777, 0o755);
}

/// The mask is the process's, and other tests make files at the same time: as a process of its own.
#[test]
fn every_folder_made_on_the_way_is_open() {
    const CHILD: &str = "FLOODWALL_TEST_SOCKET_BELOW";
    if let Some(folder) = std::env::var_os(CHILD) {
        nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
        let path = std::path::Path::new(&folder).join("made/first/then/control.sock");
        bind(&path, &config(path.clone()).access).unwrap();
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let made = folder.path().join("made");
    let was_there = fs::metadata(folder.path()).unwrap().permissions();
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "socket::every_folder_made_on_the_way_is_open"])
        .env(CHILD, folder.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    for folder in [made.clone(), made.join("first"), made.join("first/then")] {
        let mode = fs::metadata(&folder).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o755, "{}", folder.display());
    }
    let is_there = fs::metadata(folder.path()).unwrap().permissions();
    assert_eq!(is_there, was_there);
}

#[test]
fn a_second_daemon_is_refused() {
    let lab = Lab::new(As::Root);
    let config = config(lab.socket.clone());
    let error = bind(&lab.socket, &config.access).unwrap_err();
    assert!(
        error.to_string().contains("in use by a running floodwall"),
        "{error}"
    );
    assert_eq!(lab.ask("GET", "/v1/status").status, 200);
}

#[test]
fn one_that_a_dead_daemon_left_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control.sock");
    drop(UnixListener::bind(&path).unwrap());
    assert!(UnixStream::connect(&path).is_err());
    let socket = bind(&path, &config(path.clone()).access).unwrap();
    assert!(UnixStream::connect(&path).is_ok());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    drop(socket);
    assert!(!path.exists());
}

#[test]
fn what_is_no_socket_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control.sock");
    fs::write(&path, "precious").unwrap();
    let error = bind(&path, &config(path.clone()).access).unwrap_err();
    assert!(error.to_string().contains("no socket"), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file/control.sock");
    fs::write(folder.path().join("file"), "").unwrap();
    let error = bind(&path, &config(path.clone()).access).unwrap_err();
    assert!(error.to_string().contains("file"), "{error:#}");
}

#[test]
fn a_path_that_is_too_long_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x".repeat(120));
    let error = bind(&path, &config(path.clone()).access).unwrap_err();
    assert!(error.to_string().contains("paths.socket"), "{error:#}");
}

#[test]
fn it_goes_when_the_daemon_stops_but_not_if_it_is_another_s() {
    let mut lab = Lab::new(As::Root);
    lab.stop();
    assert!(!lab.socket.exists());
    let mut lab = Lab::new(As::Root);
    fs::remove_file(&lab.socket).unwrap();
    let _other = UnixListener::bind(&lab.socket).unwrap();
    lab.stop();
    assert!(lab.socket.exists());
}
