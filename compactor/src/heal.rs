//! Healing: what a sender lost on the way is found and pulled from the Prometheus that still has it.
//!
//! Suspicion comes from three sides: holes in `up` as the archive holds it, the sender's own counters and restarts, and last the comparison
//! of everything the source still holds, window by window. The first two only decide what is compared first; what is missing is decided by
//! rows alone, so a wrong suspicion costs one read and writes nothing. Only times at which the archive holds nothing of a series are
//! written. What was left out on purpose (the sender's rules, masks, retention, a quota) stays out. It must never remove or change a row, and
//! never call a hole healed whose window was not compared to its end.

mod bounds;
mod error;
mod healer;
mod intended;
mod metrics;
mod ranges;
mod report;
mod rounds;
mod said;
mod state;
mod up_gaps;

pub use error::HealError;
pub use healer::{HealSettings, Healer, Scope};
pub use metrics::{HealMetrics, SourceMetrics};
pub use ranges::RangeSet;
pub use report::{HealReport, Hole, Span, Suspect, Why};
pub use rounds::{Rounds, spawn};
pub use state::HealState;

#[cfg(test)]
mod tests;
