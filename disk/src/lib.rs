//! The file system as Emberkeep uses it: a small trait, the real one, and one that forgets.
//!
//! The log, the staging directory and the archive's directory store promise that what they acknowledge survives the loss of
//! power. That promise rests on the order of writes and syncs, and an order can be tested only on a file system that
//! really loses what was not synced. So all three go through [`FileSystem`], and tests put `ForgetfulFs` under them.
//!
//! Nothing here decides policy: no retries, no temporary-name schemes beyond [`replace_durable`], no caching. It must never
//! make a call durable that did not ask for it, because then a missing sync in the code above would go unnoticed.

mod cached;
mod direct;
mod durable;
mod file_system;
#[cfg(any(test, feature = "forgetful"))]
mod forgetful;
mod real;
mod sequential;

pub use cached::CachedRead;
pub use direct::{DIRECT_BLOCK_BYTES, DirectBuffer};
pub use durable::{create_dir_all_durable, read_to_vec, remove_dir_all, replace_durable, write_new_durable};
pub use file_system::{Entry, EntryKind, File, FileSystem, is_out_of_space};
#[cfg(any(test, feature = "forgetful"))]
pub use forgetful::{CrashMode, ForgetfulFs, SyncKind};
pub use real::RealFs;
pub use sequential::Sequential;
