//! `floodwall why`.

use std::net::IpAddr;

use clap::{Args, ValueEnum};

use super::{context::Context, exit::Failure};
use crate::{api::types, render};

/// Arguments.
#[derive(Debug, Args)]
pub struct Why {
    /// Where the packet comes from
    address: IpAddr,
    /// Its protocol
    #[arg(long, alias = "proto", value_enum, default_value_t = Protocol::Tcp)]
    protocol: Protocol,
    /// The port it goes to
    #[arg(long, value_name = "PORT")]
    dport: Option<u16>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Protocol {
    Tcp,
    Udp,
    Icmp,
}

impl Why {
    /// Does it.
    pub fn execute(self, context: &Context) -> Result<(), Failure> {
        let protocol = match self.protocol {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
            Protocol::Icmp => "icmp",
        };
        let query = [
            ("address", Some(self.address.to_string())),
            ("protocol", Some(protocol.to_owned())),
            ("port", self.dport.map(|port| port.to_string())),
        ];
        let why: types::Why = context.client()?.get("/v1/why", &query)?;
        context.show(&why, |out, style| render::why::render(out, &why, style))
    }
}
