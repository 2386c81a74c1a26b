//! Imported lists as files: text, with a checksum, replaced by rename.

use std::{
    fs,
    io::{self, Write as _},
    path::Path,
};

use ipnet::IpNet;

/// The folder of list files under the state folder.
pub const FOLDER: &str = "lists";

const MAGIC: &str = "# floodwall list, crc32 ";

/// Writes a list under a new name, durably, and gives the name.
pub fn write(folder: &Path, name: &str, prefixes: &[IpNet]) -> io::Result<String> {
    let mut body = String::with_capacity(prefixes.len() * 20);
    for prefix in prefixes {
        body.push_str(&prefix.to_string());
        body.push('\n');
    }
    let checksum = crc32fast::hash(body.as_bytes());
    let folder = folder.join(FOLDER);
    let mut file = tempfile::Builder::new()
        .prefix(&format!("{name}."))
        .suffix(".list")
        .rand_bytes(8)
        .tempfile_in(&folder)?;
    writeln!(file, "{MAGIC}{checksum:08x}")?;
    file.write_all(body.as_bytes())?;
    file.as_file().sync_all()?;
    let (_, path) = file.keep().map_err(|error| error.error)?;
    fs::File::open(&folder)?.sync_all()?;
    path.file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .ok_or_else(|| io::Error::other("a list file without a name"))
}

/// Reads a list back.
pub fn read(folder: &Path, name: &str) -> io::Result<Vec<IpNet>> {
    let text = fs::read_to_string(folder.join(FOLDER).join(name))?;
    let damaged = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let (head, body) = text
        .split_once('\n')
        .ok_or_else(|| damaged("it is empty"))?;
    let checksum = head
        .strip_prefix(MAGIC)
        .and_then(|digits| u32::from_str_radix(digits, 16).ok())
        .ok_or_else(|| damaged("its first line is none of floodwall's"))?;
    if crc32fast::hash(body.as_bytes()) != checksum {
        return Err(damaged("its checksum does not match"));
    }
    body.lines()
        .map(|line| line.parse().map_err(|_| damaged("a line is no prefix")))
        .collect()
}

/// Sets a list that cannot be read aside.
pub fn set_aside(folder: &Path, name: &str) {
    let path = folder.join(FOLDER).join(name);
    // It may not be there at all.
    let _ = fs::rename(&path, path.with_extension("list.corrupt"));
}

/// Removes list files that no row names: what a crash or a replacement left.
pub fn sweep(folder: &Path, named: &[String]) {
    let Ok(entries) = fs::read_dir(folder.join(FOLDER)) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(".list") && !named.contains(&name) {
            // What stays is tried again next time.
            let _ = fs::remove_file(entry.path());
        }
    }
}
