//! Tables that are built whole in userspace and only read by the kernel, for exact look-ups in
//! [`filter_common::logic`].

pub mod near;
pub mod set4;
pub mod set6;
#[cfg(test)]
mod tests;
pub mod tree;

use filter_common::logic::{lines::Line, set4::LISTS};
use ipnet::IpNet;

/// One of the lists that make a set.
#[derive(Clone, Copy, Debug)]
pub struct List<'a> {
    /// Its number, below [`LISTS`]. Where lists overlap, the lowest number owns.
    pub number: u8,
    /// Its members of both families, masked and in order.
    pub prefixes: &'a [IpNet],
}

/// The big sets of both families.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sets {
    /// IPv4.
    pub v4: set4::Set4,
    /// IPv6.
    pub v6: Vec<Line>,
}

/// A set that cannot be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetError {
    /// A number at or beyond [`LISTS`], or twice.
    #[error(
        "lists have numbers below {LISTS}, each its own, and there is a second {0} or none such"
    )]
    Number(u8),
    /// More stretches than a search of a /64 reaches.
    #[error(
        "{0:x}::/64 is cut into {1} stretches, more than the {max} that can be told apart: \
         shorten the lists there",
        max = 1_u32 << filter_common::logic::set6::MOST_PARTS_LOG2
    )]
    TooManyParts(u64, usize),
    /// More spans than a tree has room for.
    #[error("the IPv6 prefixes cannot be searched: {0}")]
    Tree(#[from] tree::TreeError),
    /// More lines than indices reach.
    #[error("the lists need a table longer than its indices reach: shorten them")]
    TooLarge,
}

/// Builds both sets, at the same time; at most `owner_lines` as in [`set4::build`].
pub fn build(lists: &[List<'_>], owner_lines: usize) -> Result<Sets, SetError> {
    std::thread::scope(|scope| {
        let v6 = scope.spawn(|| set6::build(lists));
        let v4 = set4::build(lists, owner_lines)?;
        let v6 = v6
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        Ok(Sets { v4, v6 })
    })
}

/// The prefixes of IPv4, and those of IPv6 that follow them.
fn split(sorted: &[IpNet]) -> (&[IpNet], &[IpNet]) {
    sorted.split_at(sorted.partition_point(|net| matches!(net, IpNet::V4(_))))
}

/// The lists by rising number.
fn by_precedence<'a>(lists: &[List<'a>]) -> Result<Vec<List<'a>>, SetError> {
    let mut sorted = lists.to_vec();
    sorted.sort_by_key(|list| list.number);
    let twice = sorted
        .windows(2)
        .find(|pair| matches!(pair, [one, other] if one.number == other.number))
        .and_then(<[_]>::first);
    let beyond = sorted.last().filter(|last| u32::from(last.number) >= LISTS);
    match twice.or(beyond) {
        Some(list) => Err(SetError::Number(list.number)),
        None => Ok(sorted),
    }
}
