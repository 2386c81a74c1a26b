//! Damaged files of the state folder.

use std::{fs, path::Path, sync::OnceLock};

use bolero::check;
use filter_user::{
    api::types::ListKind,
    config::text::is_hidden,
    core::{lists::Note, state::Change},
    store::{
        Store,
        archive::{Archive, Batch, seconds},
    },
};
use jiff::Timestamp;

fn now() -> Timestamp {
    "2026-01-02T03:04:05Z".parse().expect("a time")
}

/// What happens to a file: some bytes change, and its end may be missing or repeated.
fn damaged(file: &[u8], bytes: &[u8]) -> Vec<u8> {
    let mut file = file.to_vec();
    let (changes, end) = bytes.as_chunks::<4>();
    for [high, middle, low, change] in changes {
        let at = usize::from_be_bytes([0, 0, 0, 0, 0, *high, *middle, *low]) % file.len().max(1);
        if let Some(byte) = file.get_mut(at) {
            *byte ^= change;
        }
    }
    match end {
        [] => {}
        [byte] => file.extend(std::iter::repeat_n(*byte, 4096)),
        [first, second] => file.truncate(usize::from(u16::from_be_bytes([*first, *second])) * 2),
        _ => file.clear(),
    }
    file
}

/// Files, as a daemon leaves them that ended well.
fn files(make: fn(&Path)) -> Vec<(String, Vec<u8>)> {
    let folder = tempfile::tempdir().expect("a folder");
    make(folder.path());
    let files = fs::read_dir(folder.path()).expect("its files");
    files
        .filter_map(|file| {
            let path = file.expect("a file").path();
            let name = path.file_name()?.to_str()?.to_owned();
            Some((name, fs::read(path).ok()?))
        })
        .collect()
}

fn fill_state(folder: &Path) {
    let (mut store, _) = Store::open(folder, now()).expect("a new one");
    let changes: Vec<Change> = (0..64_u8)
        .map(|number| {
            let prefix = format!("192.0.2.{number}/32").parse().expect("a prefix");
            let note = Note {
                reason: format!("reason {number}"),
                by: "uid 0 (root)".to_owned(),
                since: now(),
                until: None,
            };
            Change::Manual(ListKind::Block, prefix, Some(note))
        })
        .collect();
    store.begin().expect("a change begins");
    store.write(&changes).expect("it is written");
    store.commit().expect("it is kept");
    store.reconciled().expect("it is told");
}

/// The state, whatever became of its file: it opens, with what is lost told, or says why not.
#[test]
fn state() {
    static FILES: OnceLock<Vec<(String, Vec<u8>)>> = OnceLock::new();
    let files = FILES.get_or_init(|| files(fill_state));
    check!()
        .with_iterations(64)
        .with_max_len(64)
        .for_each(|bytes: &[u8]| {
            let folder = tempfile::tempdir().expect("a folder");
            for (name, file) in files {
                let file = match name.as_str() {
                    "floodwall.db" => &damaged(file, bytes),
                    _ => file,
                };
                fs::write(folder.path().join(name), file).expect("it is written");
            }
            match Store::open(folder.path(), now()) {
                Ok((mut store, restored)) => {
                    for loss in &restored.losses {
                        assert_plain(loss);
                    }
                    // And it is whole again for whoever comes next.
                    store.reconciled().expect("it can be written");
                    drop(store);
                    let (_, again) = Store::open(folder.path(), now()).expect("it opens again");
                    assert_eq!(again.state, restored.state);
                }
                Err(error) => assert_plain(&error.to_string()),
            }
        });
}

fn fill_history(folder: &Path) {
    let (mut archive, loss) = Archive::open(folder, now()).expect("a new one");
    assert_eq!(loss, None);
    archive.write(&Batch::default()).expect("it is written");
}

/// The history likewise.
#[test]
fn history() {
    static FILES: OnceLock<Vec<(String, Vec<u8>)>> = OnceLock::new();
    let files = FILES.get_or_init(|| files(fill_history));
    check!()
        .with_iterations(64)
        .with_max_len(64)
        .for_each(|bytes: &[u8]| {
            let folder = tempfile::tempdir().expect("a folder");
            for (name, file) in files {
                fs::write(folder.path().join(name), damaged(file, bytes)).expect("it is written");
            }
            match Archive::open(folder.path(), now()) {
                Ok((archive, loss)) => {
                    assert_plain(&loss.unwrap_or_default());
                    for error in [
                        archive.incidents(None, 10).map(|_| ()),
                        archive.open_incidents().map(|_| ()),
                        archive.seconds(0, i64::MAX, 10).map(|_| ()),
                        archive.memory().map(|_| ()),
                    ]
                    .into_iter()
                    .filter_map(Result::err)
                    {
                        assert_plain(&error.to_string());
                    }
                }
                Err(error) => assert_plain(&error.to_string()),
            }
        });
}

/// Blocks of seconds: what is read is written as it was, and the rest is refused.
#[test]
fn block_of_seconds() {
    check!()
        .with_iterations(10_000)
        .with_max_len(1_024)
        .for_each(|bytes: &[u8]| {
            let read = seconds::decode(1_700_000_000, bytes).unwrap_or_default();
            if let Some(first) = read.first() {
                let written = seconds::encode(&read);
                assert_eq!(seconds::decode(first.at, &written), Some(read));
            }
        });
}

fn assert_plain(text: &str) {
    let hidden = text.chars().find(|it| is_hidden(*it) && *it != '\n');
    assert_eq!(hidden, None, "in {text:?}");
}
