//! The reader against archives that are really written, and a naive model of what it must answer.

#![expect(clippy::unwrap_used, reason = "tests")]

mod api;
mod export;
mod heads;
mod remote_read;
mod scan;
mod support;
