//! What a request may hold. An honest sender meets none of these at their defaults.
//!
//! A request beyond a bound of its own is refused whole; a series or an item beyond one is left out, and the rest is kept. What was
//! refused is in the record's verdict, so a change of these settings never changes what a replay keeps.

/// Bounds of one request and of what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Series entries in a request.
    pub series_per_request: usize,
    /// Float samples, histograms and exemplars in a request.
    pub samples_per_request: usize,
    /// Labels of a series.
    pub labels_per_series: usize,
    /// Bytes of a label name.
    pub label_name_bytes: usize,
    /// Bytes of a label value; all labels of a series together have 2 MiB at most, whatever is set here.
    pub label_value_bytes: usize,
    /// Characters of all label names and values of an exemplar together; Prometheus keeps none with more than 128.
    pub exemplar_chars: usize,
    /// Buckets of a native histogram, both sides together.
    pub histogram_buckets: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            series_per_request: 1_000_000,
            samples_per_request: 10_000_000,
            labels_per_series: 1_000,
            label_name_bytes: 16 << 10,
            label_value_bytes: 1 << 20,
            exemplar_chars: 128,
            histogram_buckets: 65_536,
        }
    }
}
