//! `/v1/allow…`, `/v1/block…` and `/v1/ban…`: what the lists have in common.

/// The handlers of single entries under a path.
macro_rules! entries {
    ($kind:expr, $path:literal, $remove:literal) => {
        /// A page of the list.
        #[utoipa::path(
                                                    get,
                                                    path = $path,
                                                    tag = "look",
                                                    params(crate::api::types::EntriesQuery),
                                                    responses(
                                                        (
                                                            status = 200,
                                                            description = "A page of entries",
                                                            body = crate::api::types::EntryPage
                                                        ),
                                                        crate::api::openapi::Errors
                                                    )
                                                )]
        pub async fn list(
            axum::extract::State(api): axum::extract::State<super::Api>,
            crate::api::extract::Query(query): crate::api::extract::Query<
                crate::api::types::EntriesQuery,
            >,
        ) -> Result<axum::Json<crate::api::types::EntryPage>, crate::api::error::ApiError> {
            super::lists::page(&api, $kind, query).await
        }

        /// Puts addresses and prefixes on the list.
        #[utoipa::path(
                                                    post,
                                                    path = $path,
                                                    tag = "change",
                                                    request_body = crate::api::types::AddEntries,
                                                    responses(
                                                        (
                                                            status = 200,
                                                            description = "Done, or tried",
                                                            body = crate::api::types::Outcome
                                                        ),
                                                        crate::api::openapi::Errors
                                                    )
                                                )]
        pub async fn add(
            axum::extract::State(api): axum::extract::State<super::Api>,
            axum::Extension(actor): axum::Extension<crate::core::actor::Actor>,
            _: crate::api::extract::NoQuery,
            crate::api::extract::JsonBody(body): crate::api::extract::JsonBody<
                crate::api::types::AddEntries,
            >,
        ) -> Result<axum::Json<crate::api::types::Outcome>, crate::api::error::ApiError> {
            let dry_run = body.dry_run;
            api.execute(actor, crate::api::wish::add($kind, body)?, dry_run)
                .await
        }

        /// Takes addresses and prefixes off the list.
        #[utoipa::path(
                                                    post,
                                                    path = $remove,
                                                    tag = "change",
                                                    request_body = crate::api::types::RemoveEntries,
                                                    responses(
                                                        (
                                                            status = 200,
                                                            description = "Done, or tried",
                                                            body = crate::api::types::Outcome
                                                        ),
                                                        crate::api::openapi::Errors
                                                    )
                                                )]
        pub async fn remove(
            axum::extract::State(api): axum::extract::State<super::Api>,
            axum::Extension(actor): axum::Extension<crate::core::actor::Actor>,
            _: crate::api::extract::NoQuery,
            crate::api::extract::JsonBody(body): crate::api::extract::JsonBody<
                crate::api::types::RemoveEntries,
            >,
        ) -> Result<axum::Json<crate::api::types::Outcome>, crate::api::error::ApiError> {
            let wish = crate::api::wish::remove($kind, &body.prefixes)?;
            let wish = crate::api::wish::on_trial(wish, body.confirm.as_deref())?;
            api.execute(actor, wish, body.dry_run).await
        }
    };
}

/// The handler that replaces a named list.
macro_rules! import {
    ($kind:expr, $path:literal) => {
        /// Replaces a named list by the text of the body, all or nothing.
        ///
        /// One address or prefix a line, IPv4 and IPv6 mixed; blank lines and what follows `#` or
        /// `;` are skipped.
        #[utoipa::path(
                                    put,
                                    path = $path,
                                    tag = "change",
                                    params(crate::api::types::ImportQuery),
                                    request_body(content = String, content_type = "text/plain"),
                                    responses(
                                        (
                                            status = 200,
                                            description = "Done, or tried",
                                            body = crate::api::types::Outcome
                                        ),
                                        crate::api::openapi::Errors
                                    )
                                )]
        pub async fn import(
            axum::extract::State(api): axum::extract::State<super::Api>,
            axum::Extension(actor): axum::Extension<crate::core::actor::Actor>,
            crate::api::extract::Query(query): crate::api::extract::Query<
                crate::api::types::ImportQuery,
            >,
            body: axum::body::Body,
        ) -> Result<axum::Json<crate::api::types::Outcome>, crate::api::error::ApiError> {
            super::lists::import(&api, actor, $kind, query, body).await
        }
    };
}

/// The handler that empties a list.
macro_rules! flush {
    ($kind:expr, $path:literal) => {
        /// Empties the list, imported lists included.
        #[utoipa::path(
                    delete,
                    path = $path,
                    tag = "change",
                    params(crate::api::types::ChangeQuery),
                    responses(
                        (status = 200, description = "Done", body = crate::api::types::Outcome),
                        crate::api::openapi::Errors
                    )
                )]
        pub async fn flush(
            axum::extract::State(api): axum::extract::State<super::Api>,
            axum::Extension(actor): axum::Extension<crate::core::actor::Actor>,
            crate::api::extract::Query(query): crate::api::extract::Query<
                crate::api::types::ChangeQuery,
            >,
            _: crate::api::extract::NoBody,
        ) -> Result<axum::Json<crate::api::types::Outcome>, crate::api::error::ApiError> {
            let wish = crate::core::command::Command::Flush { list: $kind };
            let wish = crate::api::wish::on_trial(wish, query.confirm.as_deref())?;
            api.execute(actor, wish, false).await
        }
    };
}

pub(super) use {entries, flush, import};
