//! `/v1/ban…`: what is dropped for a time.

use super::entries::{entries, flush};
use crate::api::types::ListKind;

entries!(ListKind::Ban, "/v1/ban", "/v1/ban/remove");
flush!(ListKind::Ban, "/v1/ban");
