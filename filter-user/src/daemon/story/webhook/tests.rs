use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

use super::*;

/// What arrived.
#[derive(Debug)]
struct Request {
    head: String,
    body: Vec<u8>,
}

impl Request {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }
}

/// A server that gives these answers in turn, and 200 behind them; "" is none at all.
fn server(answers: &'static [&'static str]) -> (String, mpsc::Receiver<Request>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let (requests, arrived) = mpsc::channel();
    thread::spawn(move || {
        let mut silent = Vec::new();
        for number in 0.. {
            let Ok((stream, _)) = listener.accept() else {
                return;
            };
            let answer = answers.get(number).copied().unwrap_or("200 OK");
            if answer.is_empty() {
                silent.push(stream);
                continue;
            }
            if requests.send(serve(&stream, answer)).is_err() {
                return;
            }
        }
    });
    (format!("http://{address}/hook/TOKEN"), arrived)
}

fn serve(stream: &TcpStream, answer: &str) -> Request {
    let mut reader = BufReader::new(stream);
    let mut request = Request {
        head: String::new(),
        body: Vec::new(),
    };
    while !request.head.ends_with("\r\n\r\n") {
        assert!(reader.read_line(&mut request.head).expect("a line") > 0);
    }
    let length = request.header("content-length").expect("a length");
    request.body = vec![0; length.parse().expect("a number")];
    reader.read_exact(&mut request.body).expect("a body");
    let mut stream = stream;
    let answer = format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    stream.write_all(answer.as_bytes()).expect("it is sent");
    request
}

fn patience() -> Patience {
    Patience {
        attempt: Duration::from_secs(5),
        first: Duration::from_millis(5),
        longest: Duration::from_millis(20),
        whole: Duration::from_secs(60),
        room: 4,
    }
}

fn config(url: &str) -> Config {
    Config {
        url: Some(Endpoint::parse(url).expect("an address")),
        secret: None,
    }
}

fn report(id: u64) -> Report {
    Report {
        id,
        ..Report::default()
    }
}

fn arrives(arrived: &mpsc::Receiver<Request>) -> Request {
    arrived
        .recv_timeout(Duration::from_secs(30))
        .expect("it arrives")
}

/// Waits for what the thread does.
fn until(what: impl Fn() -> bool) {
    for _ in 0..3_000 {
        if what() {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("it has not come about");
}

#[test]
fn an_incident_is_told_as_json() {
    let (url, arrived) = server(&[]);
    let webhook = Webhook::new(config(&url), patience());
    webhook.tell("incident.open", &report(7));
    webhook.tell("incident.close", &report(7));
    let first = arrives(&arrived);
    assert!(first.head.starts_with("POST /hook/TOKEN HTTP/1.1\r\n"));
    assert_eq!(first.header("content-type"), Some("application/json"));
    assert_eq!(
        first.header("x-floodwall-delivery"),
        Some("7-incident.open")
    );
    assert_eq!(first.header("x-floodwall-signature"), None);
    let body = first.json();
    assert_eq!(
        (&body["schema"], &body["event"]),
        (&1.into(), &"incident.open".into())
    );
    assert_eq!(body["incident"]["id"], 7);
    assert_eq!(arrives(&arrived).json()["event"], "incident.close");
    until(|| webhook.deliveries().delivered == 2);
    assert_eq!((webhook.trouble(), webhook.losses()), (None, vec![]));
}

#[test]
fn what_fails_is_tried_again_in_order() {
    let (url, arrived) = server(&["500 Oops", "429 Later", "503 Busy"]);
    let webhook = Webhook::new(config(&url), patience());
    webhook.tell("incident.open", &report(1));
    webhook.tell("incident.close", &report(1));
    let told: Vec<String> = (0..5)
        .map(|_| arrives(&arrived).json()["event"].to_string())
        .collect();
    let (open, close) = ("\"incident.open\"", "\"incident.close\"");
    assert_eq!(told, [open, open, open, open, close]);
    until(|| webhook.deliveries().delivered == 2);
    let counts = webhook.deliveries();
    assert_eq!((counts.failed, counts.lost, counts.waiting), (3, 0, 0));
    assert_eq!((webhook.trouble(), webhook.losses()), (None, vec![]));
}

#[test]
fn who_never_answers_is_given_up_and_the_rest_is_bounded() {
    let (url, _arrived) = server(&["", "", "", "", "", "", "", "", "", "", "", "", "", "", ""]);
    let impatient = Patience {
        attempt: Duration::from_millis(200),
        first: Duration::from_secs(600),
        longest: Duration::from_secs(600),
        ..patience()
    };
    let webhook = Webhook::new(config(&url), impatient);
    for id in 0..20 {
        webhook.tell("incident.open", &report(id));
    }
    until(|| webhook.trouble().is_some());
    let trouble = webhook.trouble().expect("it is told");
    assert!(trouble.contains("tried again"), "{trouble}");
    assert!(!trouble.contains("TOKEN"), "{trouble}");
    until(|| webhook.deliveries().waiting <= 4);
    let losses = webhook.losses();
    assert!(losses.len() >= 15, "{losses:?}");
    assert!(losses[0].contains("others wait already"), "{losses:?}");
    assert_eq!(webhook.deliveries().lost, losses.len() as u64);
    assert!(webhook.losses().is_empty(), "each is told once");
    // Another address is tried at once, with what waits.
    let (url, arrived) = server(&[]);
    webhook.configure(config(&url));
    assert_eq!(arrives(&arrived).json()["event"], "incident.open");
    until(|| webhook.trouble().is_none());
}

#[test]
fn what_cannot_succeed_is_told_and_not_repeated() {
    for (answer, says) in [
        ("404 Not Found", "HTTP 404"),
        (
            "302 Found\r\nlocation: http://127.0.0.1:1/elsewhere",
            "not followed",
        ),
    ] {
        let answers: &'static [&'static str] = Box::leak(Box::new([answer]));
        let (url, arrived) = server(answers);
        let webhook = Webhook::new(config(&url), patience());
        webhook.tell("incident.open", &report(3));
        arrives(&arrived);
        until(|| webhook.deliveries().lost == 1);
        let losses = webhook.losses();
        assert!(
            losses[0].contains("incident.open of incident 3"),
            "{losses:?}"
        );
        assert!(losses[0].contains(says), "{losses:?}");
        webhook.tell("incident.close", &report(3));
        assert_eq!(arrives(&arrived).json()["event"], "incident.close");
        until(|| webhook.trouble().is_none());
    }
}

#[test]
fn what_is_too_old_is_given_up() {
    // Nobody listens there.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let brief = Patience {
        whole: Duration::ZERO,
        ..patience()
    };
    let webhook = Webhook::new(config(&format!("http://{address}/")), brief);
    webhook.tell("incident.open", &report(1));
    until(|| webhook.deliveries().lost == 1);
    assert_eq!(webhook.deliveries().waiting, 0);
}

#[test]
fn nobody_is_told_without_an_address() {
    let webhook = Webhook::new(Config::default(), patience());
    webhook.tell("incident.open", &report(1));
    assert_eq!(webhook.deliveries(), Deliveries::default());
    assert!(!webhook.shared.desk().is_running, "no thread for nothing");
}

#[test]
fn what_is_sent_is_signed_with_a_secret_that_others_cannot_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("secret");
    let mode = |mode| {
        let permissions = fs::Permissions::from_mode(mode);
        fs::set_permissions(&path, permissions).expect("a mode");
    };
    fs::write(&path, "Jefe but a longer one\n").expect("a secret");
    mode(0o644);
    let error = sign(&path, b"x").expect_err("others may read it");
    assert!(error.contains("chmod 600"), "{error}");
    mode(0o600);
    let (url, arrived) = server(&[]);
    let signed = Config {
        secret: Some(path.clone()),
        ..config(&url)
    };
    let webhook = Webhook::new(signed, patience());
    webhook.tell("incident.open", &report(1));
    let request = arrives(&arrived);
    let signature = request.header("x-floodwall-signature").map(str::to_owned);
    assert_eq!(signature, sign(&path, &request.body).ok());
    fs::write(&path, "short").expect("a secret");
    let error = sign(&path, b"x").expect_err("it can be guessed");
    assert!(error.contains("fewer than 16 bytes"), "{error}");
    let error = sign(&folder.path().join("no"), b"x").expect_err("there is none");
    assert!(error.contains("/no"), "{error}");
}

/// RFC 4231, test case 6: a key longer than a block.
#[test]
fn the_signature_is_that_of_the_standard() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("secret");
    fs::write(&path, [0xaa; 131]).expect("a secret");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("a mode");
    let signature = sign(
        &path,
        b"Test Using Larger Than Block-Size Key - Hash Key First",
    );
    let expected = "sha256=60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54";
    assert_eq!(signature.as_deref(), Ok(expected));
}
