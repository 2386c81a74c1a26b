//! Metrics, as Prometheus reads them.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    thread,
    time::Duration,
};

use filter_user::{core::refusal::Refusal, metrics::server};

use crate::lab::{As, Lab};

/// Serves metrics of a lab, until the test ends.
fn serve(lab: &Lab) -> SocketAddr {
    let listener = server::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let handle = lab.handle.clone();
    thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(server::serve(listener, handle)).unwrap();
    });
    address
}

fn ask(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    write!(stream, "{request}\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn prometheus_reads_metrics_and_nothing_else() {
    let lab = Lab::new(As::Stranger);
    let address = serve(&lab);
    let answer = ask(address, "GET /metrics HTTP/1.1");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains("text/plain; version=0.0.4"), "{answer}");
    assert!(
        answer.contains("\nfloodwall_incident_open 1.0\n"),
        "{answer}"
    );
    let accept = "GET /metrics HTTP/1.1\r\naccept: application/openmetrics-text;version=1.0.0";
    let answer = ask(address, accept);
    assert!(
        answer.contains("application/openmetrics-text; version=1.0.0"),
        "{answer}"
    );
    assert!(answer.ends_with("# EOF\n"), "{answer}");
    for (request, status) in [
        ("GET / HTTP/1.1", "404"),
        ("GET /v1/status HTTP/1.1", "404"),
        ("POST /metrics HTTP/1.1\r\ncontent-length: 0", "405"),
    ] {
        let answer = ask(address, request);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
    }
    lab.book.lock().unwrap().refuse = Some(Refusal::failed("not now"));
    let answer = ask(address, "GET /metrics HTTP/1.1");
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.contains("not now"), "{answer}");
}

#[test]
fn who_says_nothing_keeps_nobody_out_for_long() {
    let lab = Lab::new(As::Stranger);
    let address = serve(&lab);
    // All places are taken by those who wait for better times.
    let silent: Vec<TcpStream> = (0..8)
        .map(|_| TcpStream::connect(address).unwrap())
        .collect();
    let answer = ask(address, "GET /metrics HTTP/1.1");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    drop(silent);
}
