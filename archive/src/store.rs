//! Stores placeholder.
/// x
#[derive(Debug)]
pub struct StoreConfig;
/// x
#[derive(Debug)]
pub struct StoreKind;
