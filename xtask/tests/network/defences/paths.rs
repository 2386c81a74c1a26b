//! Paths that lose packets.

use std::thread::{self, ScopedJoinHandle};

use xtask::lab::sandbox::Ns;

use super::{FAMILIES, PORT, Server, ask, call, defended, nft};

/// Loses every second SYN, every third answer to one, and every third ACK without data, that which
/// ends a handshake among them.
const LOSSY: &str = "
table bridge lossy {
    chain forward {
        type filter hook forward priority 0
        tcp dport 8080 tcp flags & (syn|ack) == syn numgen inc mod 2 0 counter drop
        tcp sport 8080 tcp flags & (syn|ack) == syn|ack numgen inc mod 3 0 counter drop
        tcp dport 8080 tcp flags & (syn|ack|psh|fin) == ack numgen inc mod 3 0 counter drop
    }
}
";
/// Clients that call at the same time.
const CLIENTS: u32 = 8;

#[test]
fn clients_behind_a_path_that_loses_syns_and_acks_are_served() {
    let p = defended();
    let server = Server::start(&p, PORT);
    nft(&p, Ns::Wire, LOSSY);
    let before = p.count("cookie_answered");
    for (to, from) in FAMILIES {
        let client = p.sandbox.client();
        thread::scope(|scope| {
            let called = |number| {
                client.run(|| {
                    let stream = call((from, 0).into(), (to, PORT).into())?;
                    ask(&stream, 20_000 + number)
                })
            };
            let calls: Vec<ScopedJoinHandle<'_, _>> = (0..CLIENTS)
                .map(|number| scope.spawn(move || called(number)))
                .collect();
            for call in calls {
                call.join().unwrap().unwrap().unwrap();
            }
        });
    }
    let answered = p.count("cookie_answered") - before;
    assert!(answered >= u64::from(2 * CLIENTS), "{answered} answers");
    server.stop(&p);
}
