//! `/v1/allow…`: what is never blocked, banned or limited as a source.

use super::entries::{entries, import};
use crate::api::types::ListKind;

entries!(ListKind::Allow, "/v1/allow", "/v1/allow/remove");
import!(ListKind::Allow, "/v1/allow/import");
