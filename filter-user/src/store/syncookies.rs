//! The kernel's setting that is changed while SYNs are answered, kept so that it comes back whatever
//! happens to the daemon.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::mpsc,
    thread,
    time::Duration,
};

use serde::{Deserialize, Serialize};

/// What `net.ipv4.tcp_syncookies` was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The value.
    pub value: u32,
    /// The network namespace that it is of, by its cookie.
    pub netns: u64,
    /// The boot after which it was read; another has forgotten the change by itself.
    pub boot: String,
}

impl Kept {
    /// Of this boot.
    pub fn new(value: u32, netns: u64) -> Self {
        Self {
            value,
            netns,
            boot: boot(),
        }
    }

    /// Whether what was changed is still so in this network namespace.
    pub fn is_of(&self, netns: u64) -> bool {
        self.netns == netns && self.boot == boot()
    }
}

fn boot() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id");
    id.unwrap_or_default().trim().to_owned()
}

fn file(folder: &Path) -> PathBuf {
    folder.join("tcp_syncookies.json")
}

/// What is kept in the state folder, if anything is.
pub fn read(folder: &Path) -> io::Result<Option<Kept>> {
    match fs::read(file(folder)) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(io::Error::from),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Keeps it: after this it is on the disk.
pub fn write(folder: &Path, kept: &Kept) -> io::Result<()> {
    // Without the name that was made up, so that the same trouble has the same words.
    let plain = |error: io::Error| io::Error::from(error.kind());
    let mut new = tempfile::NamedTempFile::new_in(folder).map_err(plain)?;
    new.write_all(&serde_json::to_vec(kept)?).map_err(plain)?;
    new.as_file().sync_all()?;
    new.persist(file(folder)).map_err(|error| error.error)?;
    File::open(folder)?.sync_all()
}

/// A write under way on a thread of its own: a disk that hangs holds up nobody who defends this host.
#[derive(Debug)]
pub struct Writing {
    kept: Kept,
    result: mpsc::Receiver<io::Result<()>>,
}

impl Writing {
    /// Begins to keep it.
    pub fn begin(folder: &Path, kept: &Kept) -> io::Result<Self> {
        let (done, result) = mpsc::channel();
        let (folder, written) = (folder.to_owned(), kept.clone());
        thread::Builder::new()
            .name("syncookies".to_owned())
            .spawn(move || {
                // Nobody waits for it at the end of a daemon.
                let _ = done.send(write(&folder, &written));
            })?;
        Ok(Self {
            kept: kept.clone(),
            result,
        })
    }

    /// One of which nothing comes until it is said what.
    #[cfg(test)]
    pub fn hanging(kept: Kept) -> (Self, mpsc::Sender<io::Result<()>>) {
        let (done, result) = mpsc::channel();
        (Self { kept, result }, done)
    }

    /// What is written.
    pub const fn kept(&self) -> &Kept {
        &self.kept
    }

    /// What came of it; `None` if it is not done in this time.
    pub fn wait(&self, patience: Duration) -> Option<io::Result<()>> {
        match self.result.recv_timeout(patience) {
            Ok(result) => Some(result),
            Err(mpsc::RecvTimeoutError::Timeout) => None,
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                Some(Err(io::Error::other("the thread that writes panicked")))
            }
        }
    }
}

/// What was found when the setting was to be put back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutBack {
    /// Nothing was changed.
    Nothing,
    /// It has this value again.
    Done(u32),
    /// It is another network namespace's, and has to have this value there.
    Elsewhere(u32),
}

/// Puts the setting back by `set`, and forgets it. `netns` is the network namespace that `set` reaches.
pub fn put_back(
    folder: &Path,
    netns: u64,
    set: impl FnOnce(u32) -> io::Result<()>,
) -> io::Result<PutBack> {
    let Some(kept) = read(folder)? else {
        return Ok(PutBack::Nothing);
    };
    if kept.boot != boot() {
        // A boot forgets the change by itself.
        remove(folder)?;
        return Ok(PutBack::Nothing);
    }
    if !kept.is_of(netns) {
        return Ok(PutBack::Elsewhere(kept.value));
    }
    set(kept.value)?;
    remove(folder)?;
    Ok(PutBack::Done(kept.value))
}

/// Forgets it.
pub fn remove(folder: &Path) -> io::Result<()> {
    // Where nothing can be written, it is not even said that nothing is there.
    if !fs::exists(file(folder))? {
        return Ok(());
    }
    match fs::remove_file(file(folder)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_reads_back_until_it_is_forgotten() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(read(folder.path()).expect("nothing"), None);
        let kept = Kept::new(1, 7);
        write(folder.path(), &kept).expect("kept");
        write(folder.path(), &kept).expect("kept again");
        assert_eq!(read(folder.path()).expect("read"), Some(kept.clone()));
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1);
        assert!(kept.is_of(7) && !kept.is_of(8));
        let before = Kept {
            boot: "another".to_owned(),
            ..kept
        };
        assert!(!before.is_of(7));
        let aside = Writing::begin(folder.path(), &Kept::new(0, 7)).expect("a thread");
        let done = aside.wait(Duration::from_secs(60)).expect("done");
        done.expect("kept by another thread");
        let value = read(folder.path()).expect("read").map(|kept| kept.value);
        assert_eq!(value, Some(0));
        remove(folder.path()).expect("forgotten");
        remove(folder.path()).expect("there is nothing to forget");
        assert_eq!(read(folder.path()).expect("nothing"), None);
    }

    #[test]
    fn what_is_put_back_is_this_namespaces_and_this_boots() {
        let folder = tempfile::tempdir().expect("a folder");
        let put_back = |netns| {
            let mut set = None;
            let result = super::put_back(folder.path(), netns, |value| {
                set = Some(value);
                Ok(())
            });
            (result.expect("read"), set)
        };
        assert_eq!(put_back(7), (PutBack::Nothing, None));
        let kept = Kept::new(1, 7);
        write(folder.path(), &kept).expect("kept");
        assert_eq!(put_back(8), (PutBack::Elsewhere(1), None));
        assert_eq!(put_back(7), (PutBack::Done(1), Some(1)));
        assert_eq!(put_back(7), (PutBack::Nothing, None));
        let before = Kept {
            boot: "another".to_owned(),
            ..kept.clone()
        };
        write(folder.path(), &before).expect("kept");
        assert_eq!(put_back(7), (PutBack::Nothing, None));
        write(folder.path(), &kept).expect("kept");
        let refused = super::put_back(folder.path(), 7, |_| Err(io::Error::other("no luck")));
        assert!(refused.is_err());
        assert_eq!(
            read(folder.path()).expect("read"),
            Some(kept),
            "to be tried again"
        );
    }

    #[test]
    fn what_is_damaged_is_an_error() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(file(folder.path()), "{").expect("a file");
        assert!(read(folder.path()).is_err());
    }
}
