//! Services: whole, within what the kernel holds, and apart from each other.

use super::*;

/// A service to an address, with some more keys.
fn service(name: &str, to: &str, rest: &str) -> String {
    format!("[[service]]\nname = {name:?}\nto = [{to:?}]\nprotocol = \"tcp\"\n{rest}\n")
}

#[test]
fn a_service_that_is_not_whole_says_what_is_missing() {
    for (text, says) in [
        ("service = 1".to_owned(), &["[[service]]"][..]),
        ("[[service]]".to_owned(), &["f.toml:1:1:", "name = "]),
        ("[[service]]\nname = \"a\"".to_owned(), &["to = ["]),
        (
            "[[service]]\nname = \"a\"\nto = [\"::1\"]".to_owned(),
            &["protocol = \"tcp\""],
        ),
        (
            service("a.b", "::1", ""),
            &["f.toml:2:8:", "no name for a service"],
        ),
        (service("a", "x", ""), &["\"x\" is no address"]),
        (service("a", "::1", "port = 0"), &["from 1 to 65535"]),
        (
            service("a", "::1", "packets = \"1Gbit/s\""),
            &["`service.packets`", "counts bytes"],
        ),
        (
            service("a", "::1", "bytes = \"200k/s\""),
            &["`service.bytes`", "counts packets"],
        ),
        (
            service("a", "::1", "").replace("\"tcp\"", "\"sctp\""),
            &["\"tcp\", \"udp\"", "number up to 255"],
        ),
        (
            service("a", "::1", "port = 7").replace("\"tcp\"", "132"),
            &["leave `port` out"],
        ),
        (
            service("a", "::1", "").replace("\"::1\"", ""),
            &["`service.to`", "names no address"],
        ),
    ] {
        refused(&text, &[says]);
    }
}

#[test]
fn services_fit_the_kernel() {
    let scattered = "\"2001:db8:1::10\", \"2001:db8:2::10\", \"2001:db8:3::11\"";
    let text =
        service("a", "192.0.2.1", "") + &service("b", "::1", "").replace("\"::1\"", scattered);
    refused(
        &text,
        &[&["f.toml:6:1: `service`", "service 2", "several /64s"]],
    );
    // Each fits, and so do the rules; all of them together do not.
    let prefixes = |service: u32| -> String {
        let nets = (0..4000).map(|net| {
            let number = (service * 4000 + net) * 3;
            format!(
                "\"10.{}.{}.{}\"",
                number >> 16,
                number >> 8 & 255,
                number & 255
            )
        });
        nets.collect::<Vec<_>>().join(", ")
    };
    let text: String = (0..SERVICES_THAT_FILL)
        .map(|number| {
            let text = service(&format!("s{number}"), "::1", "");
            text.replace("\"::1\"", &prefixes(number))
        })
        .collect();
    refused(
        &text,
        &[&["f.toml:1:1: `service`", "more different conditions"]],
    );
}

/// So many services of 4000 addresses that lie apart are more than the table holds.
const SERVICES_THAT_FILL: u32 = 60;

#[test]
fn services_have_names_of_their_own_and_packets_of_their_own() {
    let a = service("a", "203.0.113.0/24", "");
    refused(
        &(a.clone() + &service("a", "192.0.2.1", "")),
        &[&["f.toml:6:1:", "two services are named \"a\""]],
    );
    refused(
        &(a.clone() + &service("b", "203.0.113.10", "port = 443")),
        &[&["f.toml:6:1:", "\"b\"", "\"a\" above takes them all"]],
    );
    let narrow_first = service("b", "203.0.113.10", "port = 443") + &a;
    assert_eq!(parse(&narrow_first).unwrap().services.len(), 2);
    let many: String = (0..65)
        .map(|last| service(&format!("s{last}"), &format!("192.0.2.{last}"), ""))
        .collect();
    refused(&many, &[&["f.toml:321:1:", "more than 64 services"]]);
}
