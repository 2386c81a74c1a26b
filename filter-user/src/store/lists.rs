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
    let mut body = Vec::with_capacity(prefixes.len() * 20);
    for prefix in prefixes {
        append(&mut body, prefix);
        body.push(b'\n');
    }
    let checksum = crc32fast::hash(&body);
    let folder = folder.join(FOLDER);
    let mut file = tempfile::Builder::new()
        .prefix(&format!("{name}."))
        .suffix(".list")
        .rand_bytes(8)
        .tempfile_in(&folder)?;
    writeln!(file, "{MAGIC}{checksum:08x}")?;
    file.write_all(&body)?;
    file.as_file().sync_all()?;
    let (_, path) = file.keep().map_err(|error| error.error)?;
    fs::File::open(&folder)?.sync_all()?;
    path.file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .ok_or_else(|| io::Error::other("a list file without a name"))
}

/// Appends a prefix as text; those of IPv4, of which there are a million, digit by digit.
fn append(body: &mut Vec<u8>, prefix: &IpNet) {
    let IpNet::V4(net) = prefix else {
        body.extend_from_slice(prefix.to_string().as_bytes());
        return;
    };
    let [a, b, c, d] = net.addr().octets();
    for (number, behind) in [(a, b'.'), (b, b'.'), (c, b'.'), (d, b'/')] {
        append_number(body, number);
        body.push(behind);
    }
    append_number(body, net.prefix_len());
}

fn append_number(body: &mut Vec<u8>, number: u8) {
    if number >= 100 {
        body.push(b'0' + number / 100);
    }
    if number >= 10 {
        body.push(b'0' + number / 10 % 10);
    }
    body.push(b'0' + number % 10);
}

/// Reads a list back.
pub fn read(folder: &Path, name: &str) -> io::Result<Vec<IpNet>> {
    read_file(&folder.join(FOLDER).join(name))
}

fn read_file(path: &Path) -> io::Result<Vec<IpNet>> {
    let text = fs::read_to_string(path)?;
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

/// The whole ones among list files whose names [`write`] made with this kind of prefix, with what
/// follows it.
pub fn whole(folder: &Path, kind: &str) -> Vec<(String, Vec<IpNet>)> {
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    let lists = files.filter_map(|entry| {
        let file = entry.file_name().to_string_lossy().into_owned();
        let (name, _random) = file.strip_suffix(".list")?.rsplit_once('.')?;
        let name = name.strip_prefix(kind)?.to_owned();
        Some((name, read_file(&entry.path()).ok()?))
    });
    lists.collect()
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

#[cfg(test)]
mod properties {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_prefix_is_written_as_it_is_shown(address: std::net::IpAddr, length in 0..=128_u8) {
            let width = if address.is_ipv4() { 32 } else { 128 };
            let net = IpNet::new(address, length % (width + 1)).expect("a length that fits");
            let mut body = Vec::new();
            append(&mut body, &net);
            prop_assert_eq!(body, net.to_string().into_bytes());
        }
    }
}
