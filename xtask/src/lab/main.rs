/// Nothing yet.
fn main() {}
