//! Stores placeholder.
/// x
#[derive(Debug)]
pub struct DirectoryStore;
