//! The interfaces that default routes were found to go through, for the next boot.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

fn file(folder: &Path) -> PathBuf {
    folder.join("uplinks.json")
}

/// What is kept in the state folder, if anything is.
pub fn read(folder: &Path) -> io::Result<Option<Vec<String>>> {
    match fs::read(file(folder)) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(io::Error::from),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Keeps them: after this they are on the disk.
pub fn write(folder: &Path, names: &[String]) -> io::Result<()> {
    let mut new = tempfile::NamedTempFile::new_in(folder)?;
    new.write_all(&serde_json::to_vec(names)?)?;
    new.as_file().sync_all()?;
    new.persist(file(folder)).map_err(|error| error.error)?;
    File::open(folder)?.sync_all()
}
