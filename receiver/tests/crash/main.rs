//! What is acknowledged survives: the receiver, its log, its staging and the directory store on a file system that forgets.
//!
//! `everywhere` crashes at every step, `syncs` takes out each sync and wants to see the loss, the others are single stories. All of them
//! judge by `verdict`: what a new start finds against what the sender was told. Nothing here may look inside of the receiver.
#![expect(clippy::unwrap_used, reason = "tests")]

mod adopt;
mod call_site;
mod disk_trouble;
mod epochs;
mod everywhere;
mod found;
mod gate;
mod hold;
mod killed;
mod ledger;
mod life;
mod pause;
mod poison;
mod record;
mod replaying;
mod request;
mod store_trouble;
mod story;
mod syncs;
mod verdict;
