//! What the network tests, the demo and the benchmarks share: a sandbox of network namespaces,
//! floods, a web server with visitors, and the real `floodwall` in the middle.

pub mod attack;
pub mod bench;
pub mod catalogue;
pub mod clock;
pub mod demo;
pub mod dial;
pub mod faults;
pub mod flood;
pub mod floodwall;
pub mod frame;
pub mod heard;
pub mod http;
pub mod interrupt;
pub mod openapi;
pub mod packet_socket;
pub mod people;
pub mod process;
pub mod programs;
pub mod random;
pub mod replay;
pub mod sandbox;
pub mod shape;
pub mod simulate;
pub mod solo;
pub mod thread;
pub mod units;
pub mod vm;
