//! Classifiers of clsact that are BPF programs.

use std::{ffi::CStr, io};

use rtnetlink::sys::protocols::NETLINK_ROUTE;

use super::netlink::{Connection, Wanted};

/// A classifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Classifier {
    /// The name it was attached under.
    pub name: String,
    /// The kernel's id of the program.
    pub program_id: u32,
}

#[doc(alias = "RTM_GETTFILTER")]
const GET: u16 = 46;
/// `TC_H_CLSACT` with `TC_H_MIN_EGRESS`.
const EGRESS: u32 = 0xffff_fff3;
/// `struct tcmsg`.
const HEADER: usize = 20;
/// `TCA_OPTIONS`, `TCA_BPF_NAME`, `TCA_BPF_ID`.
const OPTIONS: u16 = 2;
const NAME: u16 = 7;
const ID: u16 = 11;
/// Without the flags of an attribute's type.
const KIND: u16 = 0x3fff;

/// Those at the egress of an interface.
pub fn at_egress(index: u32) -> io::Result<Vec<Classifier>> {
    let mut body = [0_u8; HEADER];
    // Family and padding; index, handle, parent, info.
    let words = [0, index, 0, EGRESS, 0];
    for (to, from) in body
        .iter_mut()
        .zip(words.into_iter().flat_map(u32::to_ne_bytes))
    {
        *to = from;
    }
    let answers = Connection::open(NETLINK_ROUTE)?.ask(GET, Wanted::All, &body)?;
    Ok(answers.iter().filter_map(|raw| read(&raw.body)).collect())
}

fn read(body: &[u8]) -> Option<Classifier> {
    let options = attribute(body.get(HEADER..)?, OPTIONS)?;
    let name = CStr::from_bytes_until_nul(attribute(options, NAME)?).ok()?;
    let id = attribute(options, ID)?.first_chunk()?;
    Some(Classifier {
        name: name.to_string_lossy().into_owned(),
        program_id: u32::from_ne_bytes(*id),
    })
}

/// The first attribute of a type.
fn attribute(mut bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let [a, b, c, d] = *bytes.first_chunk()?;
        let length = usize::from(u16::from_ne_bytes([a, b]));
        let value = bytes.get(4..length)?;
        if u16::from_ne_bytes([c, d]) & KIND == wanted {
            return Some(value);
        }
        bytes = bytes.get(length.next_multiple_of(4)..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut bytes = (value.len() as u16 + 4).to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn a_classifier_is_read_and_what_is_none_is_passed_over() {
        let options = [
            packed(NAME, b"floodwall\0"),
            packed(ID, &7_u32.to_ne_bytes()),
        ]
        .concat();
        let body = [
            vec![0; HEADER],
            packed(1, b"bpf\0"),
            packed(OPTIONS, &options),
        ]
        .concat();
        let expected = Classifier {
            name: "floodwall".to_owned(),
            program_id: 7,
        };
        assert_eq!(read(&body), Some(expected));
        for end in 0..body.len() {
            assert_eq!(read(&body[..end]), None, "cut at {end}");
        }
        assert_eq!(attribute(&[0; 8], 3), None, "an attribute without a length");
    }
}
