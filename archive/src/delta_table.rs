//! Parts of level 1 and above as Delta tables, one for each kind of file (`docs/formats/tables.md`).
//!
//! The tables are an image of the catalog for other engines and nothing of ours reads them: what is in them is worked out anew from a root
//! each time, so a publication that stopped anywhere, lost a race or lost its tables is put right by the next one. The files are the
//! catalog's. Nothing here may delete or move one, or name one that no root names; what is deleted are old versions of a table's log.
//!
//! The tables are five, and no commit spans them. What comes is in `series` before it is in the others and what goes leaves `series` last, so
//! whoever joins rows with their series finds each row once at any moment, whichever step was the last.

mod actions;
mod cleaning;
mod columns;
mod plan;
mod publisher;
mod table;

#[cfg(test)]
mod tests;

pub use plan::publishable;
pub use publisher::{Publication, Publisher};
