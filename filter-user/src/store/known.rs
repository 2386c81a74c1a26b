//! Who is known good, as a file: the lines of the table that are not empty, with the key that they
//! are hashed with, under a checksum.

use std::{
    fs,
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

use filter_common::logic::{
    hash::HashKey,
    known::{LINES_LOG2, Line},
};

use super::StoreError;

/// The table, and what it takes to read it.
#[derive(Clone, Debug, PartialEq)]
pub struct Known {
    /// The day it was written on, counted from 1970.
    pub day: u32,
    /// The key of the map set.
    pub key: HashKey,
    /// The lines of the table, in order.
    pub lines: Vec<Line>,
}

const FILE: &str = "known.bin";
const MAGIC: &[u8; 8] = b"fw-known";
const VERSION: u32 = 1;
/// Magic, version, day, size of the table, number of lines, and the key.
const HEADER: usize = 8 + 4 * 4 + 4 * 8;
/// An index and a line.
const RECORD: usize = 4 + size_of::<Line>();
const CHECKSUM: usize = 4;
const LINES: usize = 1 << LINES_LOG2;

impl Known {
    /// Whether nobody is known.
    pub fn is_empty(&self) -> bool {
        self.lines.iter().flatten().all(|word| *word == 0)
    }

    /// As bytes.
    pub fn encode(&self) -> Vec<u8> {
        let used: Vec<(u32, &Line)> = (0..)
            .zip(&self.lines)
            .filter(|(_, line)| line.iter().any(|word| *word != 0))
            .collect();
        let mut bytes = Vec::with_capacity(HEADER + used.len() * RECORD + CHECKSUM);
        bytes.extend(MAGIC);
        let count = u32::try_from(used.len()).unwrap_or(u32::MAX);
        for number in [VERSION, self.day, LINES_LOG2, count] {
            bytes.extend(number.to_le_bytes());
        }
        for word in self.key.words() {
            bytes.extend(word.to_le_bytes());
        }
        for (index, line) in used {
            bytes.extend(index.to_le_bytes());
            for word in line {
                bytes.extend(word.to_le_bytes());
            }
        }
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        bytes
    }

    /// From bytes; or what is wrong with them.
    pub fn decode(bytes: &[u8]) -> Result<Self, &'static str> {
        let (body, checksum) = bytes.split_last_chunk().ok_or("it is cut short")?;
        if body.first_chunk() != Some(MAGIC) {
            return Err("it is none of floodwall's");
        }
        if crc32fast::hash(body) != u32::from_le_bytes(*checksum) {
            return Err("its checksum does not match");
        }
        let mut rest = Reader(body.get(MAGIC.len()..).unwrap_or_default());
        let [version, day, log2, count] = [
            rest.number()?,
            rest.number()?,
            rest.number()?,
            rest.number()?,
        ];
        if (version, log2) != (VERSION, LINES_LOG2) {
            return Err("another version of floodwall wrote it");
        }
        let key = [rest.word()?, rest.word()?, rest.word()?, rest.word()?];
        let mut lines = vec![Line::default(); LINES];
        for _ in 0..count {
            let index = rest.number()? as usize;
            let line = lines
                .get_mut(index)
                .ok_or("a line lies outside the table")?;
            for word in line {
                *word = rest.word()?;
            }
        }
        if !rest.0.is_empty() {
            return Err("something follows its last line");
        }
        Ok(Self {
            day,
            key: HashKey::from_random(key),
            lines,
        })
    }
}

/// What is left to be read.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn number(&mut self) -> Result<u32, &'static str> {
        self.take().map(u32::from_le_bytes)
    }

    fn word(&mut self) -> Result<u64, &'static str> {
        self.take().map(u64::from_le_bytes)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], &'static str> {
        let (head, rest) = self.0.split_first_chunk().ok_or("it is cut short")?;
        self.0 = rest;
        Ok(*head)
    }
}

/// Writes the table to the state folder, durably, in place of the one there. Only root can read it:
/// whoever knows the key can choose sources that share their places.
pub fn save(folder: &Path, known: &Known) -> Result<(), StoreError> {
    let path = path(folder);
    let write = || -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(&known.encode())?;
        file.as_file().sync_all()?;
        file.persist(&path).map_err(|error| error.error)?;
        fs::File::open(folder)?.sync_all()
    };
    write().map_err(|error| {
        StoreError(format!(
            "writing who is known good to {}: {error}",
            path.display()
        ))
    })
}

/// Reads it back; none if there is none. What cannot be read is set aside.
pub fn load(folder: &Path) -> Result<Option<Known>, StoreError> {
    /// All lines of the table.
    const MOST: usize = HEADER + LINES * RECORD + CHECKSUM;
    let path = path(folder);
    let read = || -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let bounded = fs::File::open(&path)?.take(MOST as u64 + 1);
        { bounded }.read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let damage = match read() {
        Ok(bytes) => match Known::decode(&bytes) {
            Ok(known) => return Ok(Some(known)),
            Err(damage) => damage.to_owned(),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => error.to_string(),
    };
    let aside = path.with_extension("bin.corrupt");
    // If it cannot be moved, it is replaced by the next one.
    let _ = fs::rename(&path, &aside);
    Err(StoreError(format!(
        "{} was damaged ({damage}) and is set aside as {}: nobody is known good until they come back \
         on two days",
        path.display(),
        aside.display()
    )))
}

fn path(folder: &Path) -> PathBuf {
    folder.join(FILE)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn some() -> Known {
        let mut lines = vec![Line::default(); LINES];
        lines[0][0] = 3;
        lines[77] = [1, 2, 3, 4, 5, 6, 7, u64::MAX];
        lines[LINES - 1][7] = 1 << 63;
        Known {
            day: 20_419,
            key: HashKey::from_random([1, 2, 3, 4]),
            lines,
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(load(folder.path()).expect("nothing is amiss"), None);
        save(folder.path(), &some()).expect("it is written");
        let read = load(folder.path()).expect("it is whole");
        assert_eq!(read.as_ref(), Some(&some()));
        let about = fs::metadata(path(folder.path())).expect("a file");
        assert_eq!(about.permissions().mode() & 0o077, 0, "it holds the key");
        assert_eq!(about.len() as usize, HEADER + 3 * RECORD + CHECKSUM);
    }

    #[test]
    fn any_damage_is_noticed() {
        let whole = some().encode();
        for end in 0..whole.len() {
            assert!(Known::decode(&whole[..end]).is_err(), "cut at {end}");
        }
        for at in 0..whole.len() {
            let mut bent = whole.clone();
            bent[at] ^= 0x10;
            assert!(Known::decode(&bent).is_err(), "bent at {at}");
        }
        assert!(Known::decode(&[whole, vec![0]].concat()).is_err());
    }

    /// A body that says something else, under a checksum that is right.
    fn forged(change: impl FnOnce(&mut Vec<u8>)) -> Result<Known, &'static str> {
        let mut bytes = some().encode();
        bytes.truncate(bytes.len() - CHECKSUM);
        change(&mut bytes);
        let checksum = crc32fast::hash(&bytes);
        Known::decode(&[bytes, checksum.to_le_bytes().to_vec()].concat())
    }

    #[test]
    fn what_no_floodwall_wrote_is_refused_whatever_its_checksum() {
        assert!(forged(|_| {}).is_ok());
        let set = |at: usize, to: u32| {
            move |bytes: &mut Vec<u8>| bytes[at..at + 4].copy_from_slice(&to.to_le_bytes())
        };
        assert!(forged(set(8, VERSION + 1)).is_err(), "another version");
        assert!(forged(set(16, LINES_LOG2 + 1)).is_err(), "another size");
        assert!(forged(set(20, 2)).is_err(), "fewer lines than there are");
        assert!(forged(set(20, u32::MAX)).is_err(), "more than there are");
        assert!(forged(set(HEADER, LINES as u32)).is_err(), "outside");
    }

    #[test]
    fn a_damaged_file_is_set_aside_once() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(path(folder.path()), "nonsense").expect("a file");
        let error = load(folder.path()).expect_err("it is damaged").to_string();
        assert!(error.contains("known.bin.corrupt"), "{error}");
        assert_eq!(load(folder.path()).expect("it is gone"), None);
    }
}
