//! Requests made of the words of the API's own document, and noise: `cargo xtask fuzz api`.

use std::{
    io::{Read as _, Write as _},
    net::Shutdown,
    panic::AssertUnwindSafe,
};

use bolero::check;
use filter_user::{
    api::{openapi::Document, types::ErrorBody},
    config::text::is_hidden,
};
use serde_json::Value;
use utoipa::OpenApi;

use crate::lab::{As, Lab, answer};

const METHODS: [&str; 7] = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"];
/// What bodies and queries are made of, beside what the document names.
const WORDS: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "null",
    "true",
    "false",
    "-1",
    "0",
    "1e999",
    "18446744073709551616",
    "\\u0000",
    "\\ud800",
    "\"prefixes\"",
    "\"192.0.2.7\"",
    "\"2001:db8::/32\"",
    "\"0.0.0.0/0\"",
    "\"1h\"",
    "\"reason\"",
    "\"expression\"",
    "\"drop udp sport 123\"",
    "\"enforce\"",
    "\"reasons\"",
    "&",
    "=",
    "%",
    "%00",
    "%2e%2e",
    "/",
    "?",
    "#",
    "+",
    "dry_run",
    "force",
    "limit",
    "cursor",
    "after",
    "before",
    "follow=false",
    "2026-01-02T03:04:05Z",
    "\u{202e}",
    "\u{1b}[2J",
    "é",
];
/// How a server answers whatever is no request for an operation.
const ALWAYS: [&str; 10] = [
    "400", "403", "404", "405", "408", "411", "413", "414", "415", "431",
];

/// Path, method and statuses of every operation.
struct Operations(Vec<(String, String, Vec<String>)>);

impl Operations {
    fn described() -> Self {
        let document = serde_json::to_value(Document::openapi()).expect("a document");
        let mut operations = Vec::new();
        for (path, methods) in document["paths"].as_object().expect("paths") {
            for (method, operation) in methods.as_object().expect("methods") {
                let responses = operation["responses"].as_object().expect("responses");
                operations.push((
                    path.clone(),
                    method.to_uppercase(),
                    responses.keys().cloned().collect(),
                ));
            }
        }
        Self(operations)
    }
}

/// A request, and the statuses that may come back.
struct Request {
    method: String,
    target: String,
    body: Vec<u8>,
    statuses: Vec<String>,
}

/// ASCII is itself, everything else one of the words.
fn worded(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        match byte.is_ascii() {
            true => text.push(char::from(*byte)),
            false => text.push_str(WORDS[usize::from(byte - 128) % WORDS.len()]),
        }
        text
    })
}

/// The same as part of a request's target, in which some characters may not stand.
fn escaped(bytes: &[u8]) -> String {
    worded(bytes).bytes().fold(String::new(), |mut text, byte| {
        match byte {
            b'%' | b'/' | b'?' | b'&' | b'=' | b'-' | b'.' | b'_' | b':' | b'+' => {
                text.push(char::from(byte));
            }
            _ if byte.is_ascii_alphanumeric() => text.push(char::from(byte)),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
        text
    })
}

impl Request {
    /// The first bytes choose operation and method; then come name, query and body, with a line's end
    /// between.
    fn of(bytes: &[u8], operations: &Operations) -> Option<Self> {
        let [operation, other, rest @ ..] = bytes else {
            return None;
        };
        let at = usize::from(*operation) % operations.0.len();
        let (path, described, statuses) = &operations.0[at];
        // One in eight asks with a method that may not be.
        let method = match other % 8 {
            0 => METHODS[usize::from(other / 8) % METHODS.len()],
            _ => described,
        };
        let mut parts = rest.splitn(3, |byte| *byte == b'\n');
        let mut part = || parts.next().unwrap_or_default();
        let name = escaped(part());
        let query = escaped(part());
        let body = worded(part()).into_bytes();
        let path = path.replace("{name}", &name).replace("{id}", &name);
        let target = if query.is_empty() {
            path
        } else {
            format!("{path}?{query}")
        };
        // A stream of events would not end.
        let target = target.replace("follow=true", "follow=false");
        Some(Self {
            method: method.to_owned(),
            target,
            body,
            statuses: statuses.clone(),
        })
    }

    fn send(&self, lab: &Lab) {
        let mut stream = lab.connect();
        let head = format!(
            "{} {} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n",
            self.method,
            self.target,
            self.body.len()
        );
        // The server may have answered, and gone, before it was told all.
        let _ = stream.write_all(head.as_bytes());
        let _ = stream.write_all(&self.body);
        let answer = answer(&mut stream);
        let status = answer.status.to_string();
        let asked = format!(
            "{} {} {:?}",
            self.method,
            self.target,
            String::from_utf8_lossy(&self.body)
        );
        assert!(
            self.statuses.contains(&status) || ALWAYS.contains(&status.as_str()),
            "{asked}: {answer:?}"
        );
        if self.method != "HEAD" && answer.head.contains("application/json") {
            let said: Value = serde_json::from_str(&answer.body).expect("JSON");
            if !(200..300).contains(&answer.status) {
                let error: ErrorBody = serde_json::from_value(said).expect("an error");
                let hidden = error
                    .message
                    .chars()
                    .find(|it| is_hidden(*it) && *it != '\n');
                assert_eq!(hidden, None, "{asked}: {}", error.message);
            }
        }
    }
}

/// Whatever is asked is answered as the document says, and in words that can be shown.
#[test]
fn api() {
    let lab = AssertUnwindSafe(Lab::new(As::Root));
    let operations = Operations::described();
    check!()
        .with_iterations(2_000)
        .with_max_len(1_024)
        .for_each(|bytes: &[u8]| {
            if let Some(request) = Request::of(bytes, &operations) {
                request.send(&lab);
            }
        });
}

/// What is no HTTP ends, and the next request is answered.
#[test]
fn noise() {
    let lab = AssertUnwindSafe(Lab::new(As::Root));
    check!()
        .with_iterations(200)
        .with_max_len(4_096)
        .for_each(|bytes: &[u8]| {
            let mut stream = lab.connect();
            let _ = stream.write_all(bytes);
            let _ = stream.shutdown(Shutdown::Write);
            let mut said = Vec::new();
            let _ = stream.read_to_end(&mut said);
            assert_eq!(lab.ask("GET", "/v1/status").status, 200);
        });
}
