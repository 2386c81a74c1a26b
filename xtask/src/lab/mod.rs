//! What the network tests, the demo and the benchmarks share: a sandbox of network namespaces,
//! floods, a web server with visitors, and the real `floodwall` in the middle.

pub mod attack;
pub mod bench;
pub mod clock;
pub mod demo;
pub mod flood;
pub mod floodwall;
pub mod http;
pub mod interrupt;
pub mod packet_socket;
pub mod process;
pub mod programs;
pub mod sandbox;
pub mod shape;
pub mod thread;
