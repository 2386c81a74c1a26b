//! Who may read metrics: whoever is on this host.

use std::{
    io,
    net::{SocketAddr, TcpListener as StdListener},
    sync::Arc,
    time::Duration,
};

use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{ACCEPT, CONTENT_TYPE},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::TcpListener,
    sync::Semaphore,
    time::{sleep, timeout},
};

use super::{Format, expose};
use crate::{api::patience::Patient, daemon::handle::Handle};

/// Connections at once; further ones wait in the kernel's queue.
const CONNECTIONS: usize = 8;
/// How long a request may take to arrive, and an answer to be read.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a connection may last.
const WHOLE: Duration = Duration::from_secs(600);

/// Where metrics will be served.
pub fn bind(address: SocketAddr) -> io::Result<StdListener> {
    let listener = StdListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Serves for ever.
pub async fn serve(listener: StdListener, handle: Handle) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else {
            return Ok(());
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "cannot take a connection for metrics");
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let handle = handle.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(request, handle.clone()));
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(PATIENCE)
                .max_buf_size(16 << 10)
                .serve_connection(TokioIo::new(Patient::new(stream, PATIENCE)), service);
            // Whoever reads comes again.
            let _ = timeout(WHOLE, connection).await;
            drop(place);
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    handle: Handle,
) -> Result<Response<Full<Bytes>>, hyper::http::Error> {
    let plain = |status, text: String| {
        Response::builder()
            .status(status)
            .header(CONTENT_TYPE, "text/plain; charset=utf-8")
            .body(Full::from(text))
    };
    if request.uri().path() != "/metrics" {
        return plain(StatusCode::NOT_FOUND, "see /metrics\n".to_owned());
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return plain(
            StatusCode::METHOD_NOT_ALLOWED,
            "metrics are read\n".to_owned(),
        );
    }
    let accept = request.headers().get(ACCEPT);
    let format = Format::accepted(accept.and_then(|it| it.to_str().ok()).unwrap_or_default());
    let metrics = match handle.call(|service| service.metrics()).await {
        Ok(metrics) => metrics,
        Err(refusal) => return plain(StatusCode::SERVICE_UNAVAILABLE, format!("{refusal}\n")),
    };
    match expose(metrics, format) {
        Ok(text) => Response::builder()
            .header(CONTENT_TYPE, format.content_type())
            .body(Full::from(text)),
        Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}
