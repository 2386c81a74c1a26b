//! What the network tests, the demo and the benchmarks share.
