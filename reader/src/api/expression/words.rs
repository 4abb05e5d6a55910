//! What the words of PromQL may be where a value is expected.
//!
//! Only some words are reserved: most keywords name a metric as well. The lists are those of the grammar of Prometheus 3.14; a
//! new function needs no change here, a new keyword does.

/// Words that begin an aggregation.
const AGGREGATIONS: [&str; 14] = [
    "avg",
    "bottomk",
    "count",
    "count_values",
    "group",
    "limit_ratio",
    "limitk",
    "max",
    "min",
    "quantile",
    "stddev",
    "stdvar",
    "sum",
    "topk",
];
/// Words that name neither a metric nor a function.
const RESERVED: [&str; 6] = ["atan2", "bool", "group_left", "group_right", "ignoring", "on"];
/// Words that name a metric and no function, beside those with colons.
const METRICS: [&str; 11] = [
    "anchored",
    "and",
    "by",
    "fill",
    "fill_left",
    "fill_right",
    "offset",
    "or",
    "smoothed",
    "unless",
    "without",
];
/// Operators that are words.
pub(super) const OPERATORS: [&str; 4] = ["and", "atan2", "or", "unless"];
/// Words that say by which labels an aggregation groups.
pub(super) const GROUPINGS: [&str; 2] = ["by", "without"];

/// What a word is where a value is expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    /// Infinity or not a number.
    Number,
    /// None of all: it has another place.
    Reserved,
    /// An aggregation when arguments or a grouping follow, a metric otherwise.
    Aggregation,
    /// The function `info` when arguments follow, a metric otherwise.
    Info,
    /// A function when arguments follow, a metric otherwise.
    Function,
    /// A metric, whatever follows.
    Metric,
}

impl Word {
    pub(super) fn of(text: &str) -> Self {
        let lower = text.to_ascii_lowercase();
        let is_one_of = |words: &[&str]| words.contains(&lower.as_str());
        if is_one_of(&["inf", "nan"]) {
            Self::Number
        } else if is_one_of(&RESERVED) {
            Self::Reserved
        } else if is_one_of(&AGGREGATIONS) {
            Self::Aggregation
        } else if is_one_of(&METRICS) || text.contains(':') {
            Self::Metric
        } else if text == "info" {
            Self::Info
        } else {
            Self::Function
        }
    }
}
