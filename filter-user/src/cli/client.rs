//! The way to the daemon: HTTP/1.1 over its Unix socket.

use std::{
    io::{self, Read},
    path::{Path, PathBuf},
    time::Duration,
};

use futures_util::stream;
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Frame, Incoming},
    client::conn::http1,
    header::{CONNECTION, CONTENT_TYPE, HOST},
};
use hyper_util::rt::TokioIo;
use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    net::UnixStream,
    runtime::{Builder, Runtime},
    sync::mpsc,
    time::timeout,
};

use super::exit::{Code, Failure};
use crate::{
    api::types::{ErrorBody, Outcome},
    config::Access,
};

/// How long the daemon may take to answer.
const ANSWER: Duration = Duration::from_secs(15);
/// How long it may take to carry out a change; a reload builds tables.
const CHANGE: Duration = Duration::from_secs(60);
/// How long it may take where the command can do without it.
const URGENT: Duration = Duration::from_secs(5);
/// How long an import may take, slow feeds on stdin included.
const IMPORT: Duration = Duration::from_secs(3600);
/// Bytes of an answer: a page of 10,000 entries with long reasons is below.
const LARGEST_ANSWER: usize = 64 << 20;
/// Bytes of a list that are read at once.
const PIECE: usize = 64 << 10;

type Body = UnsyncBoxBody<Bytes, io::Error>;

/// Talks to one socket.
#[derive(Debug)]
pub struct Client {
    runtime: Runtime,
    socket: PathBuf,
    read_group: String,
    answer: Duration,
    change: Duration,
}

impl Client {
    /// For a socket; nothing is connected yet.
    pub fn new(socket: &Path, access: &Access) -> Result<Self, Failure> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::failed(format!("cannot start: {error}")))?;
        Ok(Self {
            runtime,
            socket: socket.to_owned(),
            read_group: access.read_group.clone(),
            answer: ANSWER,
            change: CHANGE,
        })
    }

    /// The same for a command that does not wait long for a daemon that hangs.
    pub fn urgent(self) -> Self {
        Self {
            answer: URGENT,
            change: URGENT,
            ..self
        }
    }

    /// Looks.
    pub fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, Option<String>)],
    ) -> Result<T, Failure> {
        let target = format!("{path}{}", query_string(query));
        self.ask(Method::GET, &target, Body::default(), self.answer)
    }

    /// Changes, with a body.
    pub fn send(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<Outcome, Failure> {
        self.post(method, path, body)
    }

    /// Asks with a body.
    pub fn post<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        let body = serde_json::to_vec(body)?;
        let body = Full::from(body)
            .map_err(|never| match never {})
            .boxed_unsync();
        self.ask(method, path, body, self.change)
    }

    /// Changes, without a body.
    pub fn command(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, Option<String>)],
    ) -> Result<Outcome, Failure> {
        let target = format!("{path}{}", query_string(query));
        self.ask(method, &target, Body::default(), self.change)
    }

    /// Changes, with a body that is read while it is sent.
    pub fn upload(
        &self,
        path: &str,
        query: &[(&str, Option<String>)],
        source: impl Read + Send + 'static,
    ) -> Result<Outcome, Failure> {
        let target = format!("{path}{}", query_string(query));
        let answer = self.ask(Method::PUT, &target, streamed(source), IMPORT);
        answer.map_err(|failure| {
            if failure.code != Code::NoDaemon {
                return failure;
            }
            // The daemon reads little from one who may not change anything, and then hangs up. A
            // trial with nothing in it tells whether it was that.
            let trial = format!("{path}?list=trial&dry_run=true");
            match self.ask::<Outcome>(Method::PUT, &trial, Body::default(), self.change) {
                Err(why) if why.code == Code::NotPermitted => why,
                Ok(_) | Err(_) => failure,
            }
        })
    }

    /// Hands each line of an endless answer to `each`, until one side ends it.
    pub fn follow(
        &self,
        path: &str,
        query: &[(&str, Option<String>)],
        mut each: impl FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let target = format!("{path}{}", query_string(query));
        self.runtime.block_on(async {
            let answer = self.request(Method::GET, &target, Body::default());
            let answer = timeout(ANSWER, answer)
                .await
                .map_err(|_| self.silent(ANSWER))??;
            if answer.status() != StatusCode::OK {
                return Err(self.refusal(answer).await);
            }
            let mut body = answer.into_body();
            let mut rest = Vec::new();
            while let Some(frame) = body.frame().await {
                let frame = frame.map_err(|error| self.broken(&error))?;
                let Ok(piece) = frame.into_data() else {
                    continue;
                };
                rest.extend_from_slice(&piece);
                while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = rest.drain(..=end).collect();
                    each(line.trim_ascii_end())?;
                }
                if rest.len() > LARGEST_ANSWER {
                    return Err(Failure::failed("the daemon sends a line without an end"));
                }
            }
            Err(Failure::no_daemon(format!(
                "the daemon at {} ended the stream; follow again with `floodwall events --follow`",
                self.socket.display()
            )))
        })
    }

    fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        target: &str,
        body: Body,
        patience: Duration,
    ) -> Result<T, Failure> {
        self.runtime.block_on(async {
            let answer = async {
                let answer = self.request(method, target, body).await?;
                if answer.status() != StatusCode::OK {
                    return Err(self.refusal(answer).await);
                }
                let body = self.collect(answer).await?;
                serde_json::from_slice(&body).map_err(|error| {
                    Failure::failed(format!(
                        "cannot read the daemon's answer ({error}); `floodwall status` shows \
                         whether it is of another version than this command, {}",
                        env!("CARGO_PKG_VERSION")
                    ))
                })
            };
            timeout(patience, answer)
                .await
                .map_err(|_| self.silent(patience))?
        })
    }

    async fn request(
        &self,
        method: Method,
        target: &str,
        body: Body,
    ) -> Result<Response<Incoming>, Failure> {
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|error| self.unreachable(&error))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| self.broken(&error))?;
        // Its end is told to whoever waits for the answer.
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(target)
            .header(HOST, "floodwall")
            .header(CONTENT_TYPE, "application/json")
            .header(CONNECTION, "close")
            .body(body)
            .map_err(|error| Failure::usage(format!("cannot ask for {target}: {error}")))?;
        sender
            .send_request(request)
            .await
            .map_err(|error| self.broken(&error))
    }

    async fn collect(&self, answer: Response<Incoming>) -> Result<Bytes, Failure> {
        http_body_util::Limited::new(answer.into_body(), LARGEST_ANSWER)
            .collect()
            .await
            .map(|body| body.to_bytes())
            .map_err(|error| Failure::failed(format!("cannot read the daemon's answer: {error}")))
    }

    async fn refusal(&self, answer: Response<Incoming>) -> Failure {
        let status = answer.status();
        match self.collect(answer).await {
            Ok(body) => match serde_json::from_slice::<ErrorBody>(&body) {
                Ok(body) => body.into(),
                Err(_) => Failure::failed(format!(
                    "{} answered {status}, and not as floodwall does; name the right socket with \
                     --socket",
                    self.socket.display()
                )),
            },
            Err(failure) => failure,
        }
    }

    fn unreachable(&self, error: &io::Error) -> Failure {
        let socket = self.socket.display();
        if error.kind() == io::ErrorKind::PermissionDenied {
            let group = &self.read_group;
            return Failure::not_permitted(format!(
                "you may not reach {socket}: it takes root or the group `{group}`; add the user \
                 with `usermod -aG {group} USER` and log in again"
            ));
        }
        let absent = matches!(
            error.kind(),
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
        );
        let cause = if absent {
            String::new()
        } else {
            format!(" ({error})")
        };
        Failure::no_daemon(format!(
            "no daemon listens on {socket}{cause}: start it with `floodwall run --config FILE` or \
             name its socket with --socket"
        ))
    }

    fn silent(&self, patience: Duration) -> Failure {
        Failure::no_daemon(format!(
            "the daemon at {} has not answered within {} seconds; its log says why, and `floodwall \
             status` and `floodwall mode monitor` work without it",
            self.socket.display(),
            patience.as_secs()
        ))
    }

    fn broken(&self, error: &hyper::Error) -> Failure {
        let mut cause: &dyn std::error::Error = error;
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        if error.is_user() {
            // From the body that was to be sent.
            return Failure::failed(cause.to_string());
        }
        Failure::no_daemon(format!(
            "the daemon at {} ended the connection ({cause}); it may have stopped: see `floodwall \
             status`",
            self.socket.display()
        ))
    }
}

/// A body that a thread reads while it is sent, a few pieces ahead.
fn streamed(mut source: impl Read + Send + 'static) -> Body {
    let (pieces, waiting) = mpsc::channel::<io::Result<Frame<Bytes>>>(4);
    std::thread::spawn(move || {
        loop {
            let mut piece = vec![0; PIECE];
            let piece = match source.read(&mut piece) {
                Ok(0) => return,
                Ok(read) => {
                    piece.truncate(read);
                    Ok(Frame::data(Bytes::from(piece)))
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Err(error),
            };
            let ends = piece.is_err();
            if pieces.blocking_send(piece).is_err() || ends {
                return;
            }
        }
    });
    let stream = stream::unfold(waiting, async |mut waiting| {
        waiting.recv().await.map(|piece| (piece, waiting))
    });
    StreamBody::new(stream).boxed_unsync()
}

/// `?a=b&c=d` of what is given.
fn query_string(query: &[(&str, Option<String>)]) -> String {
    let mut text = String::new();
    for (name, value) in query {
        let Some(value) = value else { continue };
        text.push(if text.is_empty() { '?' } else { '&' });
        text.push_str(name);
        text.push('=');
        text.push_str(&encode(value));
    }
    text
}

/// Text as a part of a path or a query (RFC 3986, section 2.1).
pub fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_plain_is_encoded() {
        assert_eq!(encode("a/b c&d=é~"), "a%2Fb%20c%26d%3D%C3%A9~");
        let query = [
            ("list", Some("x y".to_owned())),
            ("cursor", None),
            ("n", Some("1".to_owned())),
        ];
        assert_eq!(query_string(&query), "?list=x%20y&n=1");
        assert_eq!(query_string(&[("a", None)]), "");
    }
}
