//! `floodwall why`.

use std::net::IpAddr;

use clap::Args;

use super::{context::Context, exit::Failure};
use crate::{api::types, config::protocols::any_protocol, render};

/// Arguments.
#[derive(Debug, Args)]
pub struct Why {
    /// Where the packet comes from
    address: IpAddr,
    /// Its protocol: tcp, udp, icmp, another name as gre, or a number
    #[arg(long, alias = "proto", value_parser = protocol, default_value = "tcp")]
    protocol: String,
    /// The port it goes to
    #[arg(long, value_name = "PORT")]
    dport: Option<u16>,
}

impl Why {
    /// Does it.
    pub fn execute(self, context: &Context) -> Result<(), Failure> {
        let query = [
            ("address", Some(self.address.to_string())),
            ("protocol", Some(self.protocol)),
            ("port", self.dport.map(|port| port.to_string())),
        ];
        let why: types::Why = context.client()?.get("/v1/why", &query)?;
        context.show(&why, |out, style| render::why::render(out, &why, style))
    }
}

fn protocol(text: &str) -> Result<String, String> {
    any_protocol(text).map(|_| text.to_owned())
}
