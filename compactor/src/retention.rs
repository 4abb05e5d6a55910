//! Retention: what is older than its limit goes (DESIGN §6).
//!
//! A part goes whole when its newest sample *and* its commit are older than the limit of every tenant in it, so that late and seeded
//! history is not eaten on arrival. Rules for some series cannot be kept by whole parts; they are handed to the planner of merges,
//! which rewrites the parts of old days without those rows. Nothing that a lock keeps is ever touched.

mod due;
mod metrics;
mod policy;
mod run;

#[cfg(test)]
mod tests;

pub use due::{DueRule, ExpiringPart, WaitsFor, due_rules, expirations};
pub use metrics::RetentionMetrics;
pub use policy::{Retention, SeriesRule};
pub use run::{Expired, RuleEstimate, estimate_rules, expire};
