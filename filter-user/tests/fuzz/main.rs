//! What people, files and peers supply: `cargo xtask fuzz rules`, and so on, guided by coverage.
//! As tests, these run what was found before, in `__fuzz__/`, and some random input.

mod damage;
mod text;
