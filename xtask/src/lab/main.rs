//! The sandbox, the flood generator, the demo and the benchmarks.

fn main() {}
