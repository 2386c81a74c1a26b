//! Summaries of streams that are too long to be kept: bounded memory, known error, and the same for
//! the same input and seed.

mod distinct;
mod random;
mod reservoir;
mod top;

pub use self::{
    distinct::{Distinct, address_number},
    random::{Random, mix},
    reservoir::Reservoir,
    top::{Counted, TopK},
};
