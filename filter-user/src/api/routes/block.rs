//! `/v1/block…`: what is dropped. Imported lists of it are the big sets.

use super::entries::{entries, flush, import};
use crate::api::types::ListKind;

entries!(ListKind::Block, "/v1/block", "/v1/block/remove");
import!(ListKind::Block, "/v1/block/import");
flush!(ListKind::Block, "/v1/block");
