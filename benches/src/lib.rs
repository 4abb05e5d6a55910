//! What benches and side-by-side runs share: one synthetic workload, its requests and parts, and servers
//! in process.
//!
//! The workload and its requests are made without product code, so that a mistake of the product cannot hide in its own
//! measurement. Nothing of the product may depend on this crate.

mod http;
mod no_sync;
pub mod parts;
mod random;
mod request;
mod server;
mod streamed;
pub mod workload;

pub use http::{Connection, Url};
pub use no_sync::NoSyncFs;
pub use parts::Parts;
pub use request::{Protocol, Requests};
pub use server::Server;
pub use streamed::Streamed;
pub use workload::{Values, Workload};
