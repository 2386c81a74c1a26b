//! What comes in with a request, judged: JSON bodies, queries, and that there is neither.

use axum::{
    body::Body,
    extract::{FromRequest, FromRequestParts, Path, Query as AxumQuery, Request},
    http::{StatusCode, request::Parts},
};
use http_body_util::{BodyExt, Limited};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use crate::{
    api::{error::ApiError, routes::Api, server::Bounds},
    core::refusal::Refusal,
};

/// A JSON body. Unknown fields are an error, as their types say.
pub struct JsonBody<T>(pub T);

impl<T: DeserializeOwned> FromRequest<Api> for JsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, api: &Api) -> Result<Self, ApiError> {
        let body = read(request.into_body(), &api.bounds).await?;
        // Otherwise values in the order of the fields would do.
        if body.trim_ascii_start().first() == Some(&b'[') {
            return Err(ApiError::invalid(
                "the body is not usable: it is an array, and has to be an object with named fields",
            ));
        }
        serde_json::from_slice(&body)
            .map(Self)
            .map_err(|error| ApiError::invalid(format!("the body is not usable: {error}")))
    }
}

/// The query, whose unknown fields are an error, as its type says.
pub struct Query<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<Api> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _api: &Api) -> Result<Self, ApiError> {
        AxumQuery::try_from_uri(&parts.uri)
            .map(|AxumQuery(query)| Self(query))
            .map_err(|error| ApiError::invalid(query_error(&error)))
    }
}

/// The `{name}` in a path, decoded.
pub struct Name(pub String);

impl FromRequestParts<Api> for Name {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, ApiError> {
        Path::from_request_parts(parts, api)
            .await
            .map(|Path(name)| Self(name))
            .map_err(|error| ApiError::invalid(format!("the path is not usable: {error}")))
    }
}

/// No query.
pub struct NoQuery;

impl FromRequestParts<Api> for NoQuery {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _api: &Api) -> Result<Self, ApiError> {
        match parts.uri.query() {
            None | Some("") => Ok(Self),
            Some(query) => Err(ApiError::invalid(format!(
                "{} takes no query, but got `{}`",
                parts.uri.path().escape_default(),
                query.escape_default()
            ))),
        }
    }
}

/// No body.
pub struct NoBody;

impl FromRequest<Api> for NoBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, api: &Api) -> Result<Self, ApiError> {
        let path = request.uri().path().to_owned();
        let body = read(request.into_body(), &api.bounds).await?;
        if body.is_empty() {
            Ok(Self)
        } else {
            let path = path.escape_default();
            Err(ApiError::invalid(format!(
                "this method of {path} takes no body, but got one"
            )))
        }
    }
}

/// A body of JSON that is there in time: that counts from its start, not between frames.
async fn read(body: Body, bounds: &Bounds) -> Result<Vec<u8>, ApiError> {
    let patience = bounds.body.min(bounds.whole);
    match timeout(patience, Limited::new(body, bounds.json).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes().to_vec()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            Err(too_large(bounds.json))
        }
        Ok(Err(error)) => Err(ApiError::invalid(format!(
            "the body did not arrive: {error}"
        ))),
        Err(_) => Err(too_slow(format!(
            "it took more than {} seconds",
            patience.as_secs()
        ))),
    }
}

/// The body has too many bytes.
pub fn too_large(limit: usize) -> ApiError {
    ApiError::with_status(
        StatusCode::PAYLOAD_TOO_LARGE,
        Refusal::invalid(format!(
            "the body has more than the {limit} bytes that are taken"
        )),
    )
}

/// The body does not come.
pub fn too_slow(why: String) -> ApiError {
    ApiError::with_status(
        StatusCode::REQUEST_TIMEOUT,
        Refusal::invalid(format!("the body did not arrive: {why}")),
    )
}

fn query_error(error: &impl std::error::Error) -> String {
    // axum's own sentence is about types; its cause names the field.
    let cause = error
        .source()
        .map_or_else(|| error.to_string(), ToString::to_string);
    format!("the query is not usable: {cause}")
}
