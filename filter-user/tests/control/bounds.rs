//! What nobody can take too much of: connections, time, bytes, streams.

use std::{
    io::{BufRead, BufReader, Read, Write},
    time::{Duration, Instant},
};

use filter_user::{api::server::Bounds, clock};

use crate::lab::{As, Lab, answer, event};

const SHORT: Duration = Duration::from_millis(200);

/// Well beyond [`SHORT`], well below the defaults.
fn ends_soon(since: Instant) {
    let took = clock::monotonic().duration_since(since);
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn a_head_that_comes_too_slowly_is_not_waited_for() {
    let lab = Lab::within(
        As::Root,
        Bounds {
            header: SHORT,
            ..Bounds::default()
        },
    );
    let since = clock::monotonic();
    let mut stream = lab.connect();
    stream
        .write_all(b"GET /v1/status HTTP/1.1\r\nhost:")
        .unwrap();
    assert_ne!(answer(&mut stream).status, 200);
    ends_soon(since);
}

#[test]
fn an_idle_connection_is_closed() {
    let lab = Lab::within(
        As::Root,
        Bounds {
            header: SHORT,
            ..Bounds::default()
        },
    );
    let since = clock::monotonic();
    let mut silent = lab.connect();
    assert_eq!(answer(&mut silent).status, 0);
    let mut kept = lab.connect();
    kept.write_all(b"GET /v1/status HTTP/1.1\r\nhost: x\r\n\r\n")
        .unwrap();
    assert_eq!(answer(&mut kept).status, 200);
    ends_soon(since);
}

#[test]
fn a_head_that_is_too_large_is_refused() {
    let lab = Lab::new(As::Root);
    let mut stream = lab.connect();
    let head = format!(
        "GET /v1/status HTTP/1.1\r\nx: {}\r\n\r\n",
        "x".repeat(64 << 10)
    );
    // The server may close before it has read all of it.
    let _ = stream.write_all(head.as_bytes());
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    assert!(!bytes.starts_with(b"HTTP/1.1 200"));
}

#[test]
fn a_body_that_comes_too_slowly_is_not_waited_for() {
    let lab = Lab::within(
        As::Root,
        Bounds {
            body: SHORT,
            ..Bounds::default()
        },
    );
    let since = clock::monotonic();
    for target in ["PUT /v1/block/import?list=x", "PUT /v1/mode"] {
        let mut stream = lab.connect();
        let head = format!(
            "{target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 100\r\n\r\n::1\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        let answer = answer(&mut stream);
        assert_eq!(answer.status, 408, "{answer:?}");
        assert!(
            answer.error().message.contains("did not arrive"),
            "{answer:?}"
        );
    }
    ends_soon(since);
    assert!(lab.notes().is_empty());
}

/// The peer sends a byte again and again, each in time, and never comes to an end.
#[test]
fn a_body_that_trickles_in_holds_no_connection() {
    for (peers, target, status) in [
        (As::Reader, "PUT /v1/block/import?list=x", 403),
        (As::Reader, "POST /v1/block", 403),
        (As::Root, "PUT /v1/mode", 408),
        (As::Root, "PUT /v1/block/import?list=x&list=y", 400),
    ] {
        let lab = Lab::within(
            peers,
            Bounds {
                whole: SHORT * 3,
                ..Bounds::default()
            },
        );
        let since = clock::monotonic();
        let mut stream = lab.connect();
        let head = format!(
            "{target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 100000\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut trickle = stream.try_clone().unwrap();
        let writer = std::thread::spawn(move || {
            // Until the server has had enough.
            while trickle.write_all(b"#").is_ok() {
                ends_soon(since);
                std::thread::sleep(SHORT / 4);
            }
        });
        let mut head = [0; 12];
        stream.read_exact(&mut head).unwrap();
        assert_eq!(head, format!("HTTP/1.1 {status}").as_bytes(), "{target}");
        ends_soon(since);
        drop(stream);
        drop(lab);
        writer.join().unwrap();
    }
}

#[test]
fn not_much_is_read_of_a_body_that_may_not_come() {
    let lab = Lab::new(As::Reader);
    let mut stream = lab.connect();
    stream
        .write_all(
            b"PUT /v1/block/import?list=x HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999\r\n\r\n",
        )
        .unwrap();
    let chunk = [b'#'; 64 << 10];
    let sent = (0..1000)
        .take_while(|_| stream.write_all(&chunk).is_ok())
        .count();
    // What is on its way in buffers is not read.
    assert!((16..80).contains(&sent), "{sent}");
    assert!(lab.notes().is_empty());
}

#[test]
fn half_an_import_is_none() {
    let lab = Lab::new(As::Root);
    let mut stream = lab.connect();
    let head =
        "PUT /v1/block/import?list=x HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n::1\n";
    stream.write_all(head.as_bytes()).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    assert!(!bytes.starts_with(b"HTTP/1.1 200"));
    assert_eq!(lab.ask("GET", "/v1/status").status, 200);
    assert!(lab.notes().is_empty());
}

#[test]
fn bodies_that_are_too_large_are_refused() {
    let lab = Lab::within(
        As::Root,
        Bounds {
            import: 1000,
            ..Bounds::default()
        },
    );
    let json = format!(
        r#"{{"prefixes": ["::1"], "reason": "{}"}}"#,
        "x".repeat(64 << 10)
    );
    let answer = lab.send("POST", "/v1/block", &json);
    assert_eq!(answer.status, 413, "{answer:?}");
    assert!(answer.error().message.contains("65536"), "{answer:?}");
    let answer = lab.send("PUT", "/v1/block/import?list=x", &"# comment\n".repeat(101));
    assert_eq!(answer.status, 413, "{answer:?}");
    let line = "x".repeat(1025);
    let lab = Lab::new(As::Root);
    let answer = lab.send("PUT", "/v1/block/import?list=x", &format!("#\n#{line}"));
    assert_eq!(answer.status, 400, "{answer:?}");
    assert!(answer.error().message.contains("line 2"), "{answer:?}");
    assert!(lab.notes().is_empty());
}

/// What is nested is no value of any type, which ends the reading at the second level at the latest;
/// that no type takes whatever comes is shown by `no_body_has_a_field_of_any_type`.
#[test]
fn a_body_of_any_depth_is_refused() {
    let lab = Lab::new(As::Root);
    for piece in ["[", "{\"a\":", "{\"prefixes\":["] {
        let answer = lab.send("POST", "/v1/block", &piece.repeat((64 << 10) / piece.len()));
        assert_eq!(answer.status, 400, "{answer:?}");
    }
    assert!(lab.notes().is_empty());
}

#[test]
fn more_connections_than_there_is_room_for_wait() {
    let lab = Lab::within(
        As::Root,
        Bounds {
            connections: 2,
            ..Bounds::default()
        },
    );
    let held = [lab.connect(), lab.connect()];
    let mut third = lab.connect();
    third
        .write_all(b"GET /v1/status HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .unwrap();
    third.set_read_timeout(Some(SHORT)).unwrap();
    assert!(third.read(&mut [0]).is_err(), "it was answered");
    drop(held);
    third
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    assert_eq!(answer(&mut third).status, 200);
}

/// A stream of events, behind its head.
fn follow(lab: &Lab, query: &str) -> BufReader<std::os::unix::net::UnixStream> {
    let mut stream = lab.connect();
    let head = format!("GET /v1/events?follow=true{query} HTTP/1.1\r\nhost: x\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        assert_ne!(reader.read_line(&mut line).unwrap(), 0);
    }
    reader
}

/// The id of the next event in the stream.
fn next(reader: &mut impl BufRead) -> Option<i64> {
    loop {
        let mut line = String::new();
        match reader.read_line(&mut line) {
            Ok(0) | Err(_) => return None,
            Ok(_) if line.starts_with('{') => {
                let value: serde_json::Value = serde_json::from_str(&line).unwrap();
                return value["id"].as_i64();
            }
            // The lengths of chunks.
            Ok(_) => {}
        }
    }
}

#[test]
fn a_follower_sees_the_past_then_the_present_and_nothing_twice() {
    let lab = Lab::new(As::Reader);
    lab.book.lock().unwrap().events = (1..=5).map(event).collect();
    let mut reader = follow(&lab, "&after=2&limit=2");
    assert_eq!(
        [next(&mut reader), next(&mut reader), next(&mut reader)],
        [3, 4, 5].map(Some)
    );
    for id in 4..=7 {
        lab.handle.publish(event(id));
    }
    assert_eq!([next(&mut reader), next(&mut reader)], [6, 7].map(Some));
}

#[test]
fn followers_are_counted_and_give_their_place_back() {
    let lab = Lab::within(
        As::Reader,
        Bounds {
            followers: 1,
            ..Bounds::default()
        },
    );
    let first = follow(&lab, "");
    let answer = lab.ask("GET", "/v1/events?follow=true");
    assert_eq!(answer.status, 503, "{answer:?}");
    drop(first);
    let since = clock::monotonic();
    loop {
        // Only a refusal ends by itself.
        let mut stream = lab.connect();
        stream.set_read_timeout(Some(SHORT)).unwrap();
        stream
            .write_all(b"GET /v1/events?follow=true HTTP/1.1\r\nhost: x\r\n\r\n")
            .unwrap();
        let mut head = [0; 12];
        if stream.read_exact(&mut head).is_ok() && &head == b"HTTP/1.1 200" {
            break;
        }
        ends_soon(since);
    }
}

#[test]
fn followers_who_only_look_take_no_place_of_those_who_may_change() {
    let bounds = Bounds {
        followers: 3,
        looking_followers: 2,
        ..Bounds::default()
    };
    let lab = Lab::within(As::Reader, bounds);
    let _held = [follow(&lab, ""), follow(&lab, "")];
    let answer = lab.ask("GET", "/v1/events?follow=true");
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(
        answer.error().message.starts_with("2 others follow"),
        "{answer:?}"
    );
    let mut admin = lab.connect_as(As::Admin);
    admin
        .write_all(b"GET /v1/events?follow=true HTTP/1.1\r\nhost: x\r\n\r\n")
        .unwrap();
    let mut head = [0; 12];
    admin.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 200");
}

#[test]
fn a_follower_that_does_not_read_is_dropped() {
    let lab = Lab::within(
        As::Reader,
        Bounds {
            write: SHORT,
            ..Bounds::default()
        },
    );
    let mut reader = follow(&lab, "");
    let mut large = event(0);
    large.text = "x".repeat(10_000);
    for id in 1..=2000 {
        large.id = id;
        lab.handle.publish(large.clone());
    }
    std::thread::sleep(SHORT * 5);
    let mut seen = 0;
    while next(&mut reader).is_some() {
        seen += 1;
    }
    assert!(seen < 2000, "{seen}");
    assert_eq!(lab.ask("GET", "/v1/status").status, 200);
}

#[test]
fn those_who_only_look_take_no_place_of_those_who_may_change() {
    let bounds = Bounds {
        connections: 4,
        lookers: 2,
        ..Bounds::default()
    };
    let lab = Lab::within(As::Admin, bounds);
    // Beyond what is served, and beyond what is told that there is no room.
    let crowd: Vec<_> = (0..200).map(|_| lab.connect_as(As::Reader)).collect();
    let mut admin = lab.connect_as(As::Admin);
    admin
        .write_all(
            b"PUT /v1/mode HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
                     content-length: 18\r\n\r\n{\"mode\":\"monitor\"}",
        )
        .unwrap();
    assert_eq!(answer(&mut admin).status, 200);
    drop(crowd);
}

#[test]
fn who_looks_while_too_many_do_is_told() {
    let bounds = Bounds {
        lookers: 1,
        ..Bounds::default()
    };
    let lab = Lab::within(As::Reader, bounds);
    let held = lab.connect();
    // Taken before the next, in order.
    let answer = lab.ask("GET", "/v1/status");
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(
        answer.error().message.contains("look at the same time"),
        "{answer:?}"
    );
    drop(held);
    let since = clock::monotonic();
    while lab.ask("GET", "/v1/status").status != 200 {
        ends_soon(since);
    }
}
