//! The nouns of Prometheus, pure: labels, samples, matchers, time, tenants and the total order.
//!
//! Every other crate speaks in these types. Nothing here does I/O, knows a wire or file format, or is async.

pub mod coverage;
pub mod excerpt;
mod exemplar;
mod fingerprint;
pub mod head;
pub mod histogram;
mod histogram_run;
mod labels;
mod matcher;
mod metadata;
pub mod order;
mod re2;
mod run;
mod sample;
mod selector;
mod series_runs;
mod tenant;
mod time;

pub use exemplar::{Exemplar, ExemplarRun};
pub use fingerprint::{fingerprint, series_id};
pub use histogram::{Counts, Histogram, HistogramFault, ResetHint, Span, canonical_is_stale};
pub use histogram_run::{HistogramRow, HistogramRun};
pub use labels::{Labels, LabelsBuilder, LabelsError, canonical_order, canonical_pairs, canonical_value_of};
pub use matcher::{MatchOp, Matcher, MatcherError, matches_all};
pub use metadata::{Metadata, MetadataEntry, MetricType, SeenMetadata};
pub use re2::{Re2, Re2Error, RegexSyntax};
pub use run::Run;
pub use sample::{STALE_MARKER_BITS, Sample, is_stale_marker};
pub use selector::{Selection, SelectorError, parse_selector};
pub use series_runs::SeriesRuns;
pub use tenant::{TenantError, TenantId};
pub use time::{MIN_TIMESTAMP, TimeRange, UNSET_START_TIMESTAMP, now_ms_from};
