//! The host: what it is, and what it can do.
pub mod doctor;
pub mod links {
    //! stub
    /// x
    pub struct Xdp {
        /// x
        pub program_id: u32,
        /// x
        pub generic: bool,
    }
    /// x
    pub struct Link {
        /// x
        pub index: u32,
        /// x
        pub name: String,
        /// x
        pub xdp: Option<Xdp>,
    }
    /// x
    pub fn list() -> std::io::Result<Vec<Link>> {
        Ok(vec![])
    }
    /// x
    pub fn find(_n: &str) -> std::io::Result<Option<Link>> {
        Ok(None)
    }
}
pub mod addresses;
pub mod facts;
mod netlink;
pub mod resolvers;
pub mod sessions;
