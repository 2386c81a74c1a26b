//! Errors as they cross the socket: a status, and an [`ErrorBody`].

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};

use crate::{
    api::types::{ErrorBody, ErrorKind, SCHEMA},
    config::text::safe,
    core::refusal::Refusal,
};

/// What a handler returns when it cannot.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    refusal: Refusal,
}

impl ApiError {
    /// An error whose status says more than its kind.
    pub fn with_status(status: StatusCode, refusal: Refusal) -> Self {
        Self { status, refusal }
    }

    /// The request makes no sense.
    pub fn invalid(message: impl Into<String>) -> Self {
        Refusal::invalid(message).into()
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        Self {
            status: status(refusal.kind),
            refusal,
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = ErrorBody {
            schema: SCHEMA,
            error: self.refusal.kind,
            message: lines(&self.refusal.message),
        };
        (self.status, Json(body)).into_response()
    }
}

/// What is said, in which a request may be quoted, as a terminal may have it; lines stay lines.
fn lines(message: &str) -> String {
    message.lines().map(safe).collect::<Vec<_>>().join("\n")
}

/// The HTTP status of a kind.
pub const fn status(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::Failed => StatusCode::INTERNAL_SERVER_ERROR,
        ErrorKind::Invalid => StatusCode::BAD_REQUEST,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::NotPermitted => StatusCode::FORBIDDEN,
        ErrorKind::Refused => StatusCode::CONFLICT,
    }
}
