//! (module of floodwall)
