//! What somebody asks for: bodies and queries.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::*;

/// Query of `GET /v1/block`, `GET /v1/allow`, `GET /v1/ban`.
#[derive(
    Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema, utoipa::IntoParams,
)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct EntriesQuery {
    /// Only of this list: `manual`, or the name it was imported under.
    #[serde(default)]
    pub list: Option<String>,
    /// `next` of the page before.
    #[serde(default)]
    pub cursor: Option<String>,
    /// At most so many, 1 to 10,000; 1,000 if not given.
    #[serde(default)]
    #[param(minimum = 1, maximum = 10000)]
    pub limit: Option<usize>,
}

/// `POST /v1/block`, `POST /v1/allow`, `POST /v1/ban`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddEntries {
    /// Addresses or prefixes, as typed.
    #[schema(min_items = 1)]
    pub prefixes: Vec<String>,
    /// How long, as `90s`, `1h`, `7d`; none for ever.
    #[serde(default, rename = "for")]
    pub duration: Option<String>,
    /// Why, at most 200 bytes.
    #[serde(default)]
    pub reason: String,
    /// Say what would be done, and do nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// Do it even where it would cut off this host or its operators.
    #[serde(default)]
    pub force: bool,
    /// Take it back unless it is confirmed within this time, like `120s`: 1 second to 1 hour.
    #[serde(default)]
    pub confirm: Option<String>,
}

/// `POST /v1/block/remove`, `POST /v1/allow/remove`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RemoveEntries {
    /// Addresses or prefixes, as typed.
    #[schema(min_items = 1)]
    pub prefixes: Vec<String>,
    /// Say what would be done, and do nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// Take it back unless it is confirmed within this time, like `120s`: 1 second to 1 hour.
    #[serde(default)]
    pub confirm: Option<String>,
}

/// Query of `PUT /v1/block/import`, `PUT /v1/allow/import`; the body is the list as text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ImportQuery {
    /// Name of the list, which is replaced as a whole.
    pub list: String,
    /// How long, as `90s`, `1h`, `7d`; none for ever.
    #[serde(default, rename = "for")]
    pub duration: Option<String>,
    /// Why, at most 200 bytes.
    #[serde(default)]
    pub reason: String,
    /// Say what would be done, and do nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// Do it even where it would cut off this host or its operators.
    #[serde(default)]
    pub force: bool,
    /// Take it back unless it is confirmed within this time, like `120s`: 1 second to 1 hour.
    #[serde(default)]
    pub confirm: Option<String>,
}

/// `POST /v1/rules`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddRule {
    /// The rule, as `drop udp sport 123 length > 400`.
    pub expression: String,
    /// How long, as `90s`, `1h`, `7d`; none for ever.
    #[serde(default, rename = "for")]
    pub duration: Option<String>,
    /// Why, at most 200 bytes.
    #[serde(default)]
    pub reason: String,
    /// Id of the rule before which it is to stand; behind all others if not given.
    #[serde(default)]
    pub before: Option<String>,
    /// Say what would be done, and do nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// Do it even where it would cut off this host or its operators.
    #[serde(default)]
    pub force: bool,
    /// Take it back unless it is confirmed within this time, like `120s`: 1 second to 1 hour.
    #[serde(default)]
    pub confirm: Option<String>,
}

/// `POST /v1/rules/remove`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RemoveRules {
    /// Their ids.
    pub ids: Vec<String>,
    /// Say what would be done, and do nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// Take it back unless it is confirmed within this time, like `120s`: 1 second to 1 hour.
    #[serde(default)]
    pub confirm: Option<String>,
}

/// `PUT /v1/mode`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetMode {
    /// The mode.
    pub mode: Mode,
    /// With `enforce`: only these reasons; all if empty.
    #[serde(default)]
    pub reasons: Vec<String>,
    /// How long; none for ever.
    #[serde(default, rename = "for")]
    pub duration: Option<String>,
    /// Take it back unless it is confirmed within this time, like `120s`: 1 second to 1 hour.
    #[serde(default)]
    pub confirm: Option<String>,
}

/// `PUT /v1/limits/NAME`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetLimit {
    /// As `200/s`, `20k/s burst 400`, `off`; of a limit in bytes, `100MB/s`, `1Gbit/s`.
    pub rate: String,
    /// How long; none for ever.
    #[serde(default, rename = "for")]
    pub duration: Option<String>,
    /// Take it back unless it is confirmed within this time, like `120s`: 1 second to 1 hour.
    #[serde(default)]
    pub confirm: Option<String>,
}

/// `PUT /v1/defences/NAME`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetDefence {
    /// `off`, `pressure`, `on`; of cookies, `off`, `auto` or `on`.
    pub mode: String,
    /// Of cookies: only at these TCP ports; all if neither ports nor services are named.
    #[serde(default)]
    pub ports: Vec<u16>,
    /// Of cookies: only at the TCP ports of these services.
    #[serde(default)]
    pub services: Vec<String>,
    /// How long; none for ever.
    #[serde(default, rename = "for")]
    pub duration: Option<String>,
    /// Why, at most 200 bytes; kept in the journal.
    #[serde(default)]
    pub reason: String,
    /// Take it back unless it is confirmed within this time, like `120s`: 1 second to 1 hour.
    #[serde(default)]
    pub confirm: Option<String>,
}

/// Query of `GET /v1/why`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct WhyQuery {
    /// The source.
    #[param(value_type = String)]
    #[schema(value_type = String)]
    pub address: IpAddr,
    /// `tcp`, `udp`, `icmp`, another name as `gre`, or a number; `tcp` if not given.
    #[serde(default)]
    pub protocol: Option<String>,
    /// Destination port; none if not given.
    #[serde(default)]
    pub port: Option<u16>,
}

/// Query of `GET /v1/events`.
#[derive(
    Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema, utoipa::IntoParams,
)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct EventsQuery {
    /// Only events with an id above this; the newest if not given.
    #[serde(default)]
    pub after: Option<i64>,
    /// At most so many, 1 to 10,000; 100 if not given. With `follow`, of those that happened before.
    #[serde(default)]
    #[param(minimum = 1, maximum = 10000)]
    pub limit: Option<usize>,
    /// Go on with what happens, an [`Event`] a line (`application/x-ndjson`), until one side ends it.
    #[serde(default)]
    pub follow: bool,
}

/// `POST /v1/config/diff`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DiffConfig {
    /// The text of a configuration; what the daemon's file says if none is given.
    #[serde(default)]
    pub text: Option<String>,
}

/// Query of a change that has no body.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ChangeQuery {
    /// Take it back unless it is confirmed within this time, like `120s`: 1 second to 1 hour.
    #[serde(default)]
    pub confirm: Option<String>,
}

/// Query of `POST /v1/undo`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct UndoQuery {
    /// Say what would be taken back, and do nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// Take it back unless it is confirmed within this time, like `120s`: 1 second to 1 hour.
    #[serde(default)]
    pub confirm: Option<String>,
}

/// Query of `POST /v1/detach`, `POST /v1/interfaces/NAME/detach`.
#[derive(
    Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema, utoipa::IntoParams,
)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct DetachQuery {
    /// How long, as `90s`, `1h`, `7d`; until it is attached again if not given.
    #[serde(default, rename = "for")]
    pub duration: Option<String>,
    /// Take it back unless it is confirmed within this time, like `120s`: 1 second to 1 hour.
    #[serde(default)]
    pub confirm: Option<String>,
}

/// Query of `GET /v1/samples`.
#[derive(
    Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema, utoipa::IntoParams,
)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct SampleQuery {
    /// Only of this reason.
    #[serde(default)]
    pub reason: Option<String>,
    /// At most so many, the newest.
    #[serde(default)]
    pub limit: Option<usize>,
}
