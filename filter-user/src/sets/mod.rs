//! Tables that are built whole in userspace and only read by the kernel, for exact look-ups in
//! [`filter_common::logic`].

pub mod tree;
