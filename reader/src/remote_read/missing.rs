//! Which heads are missing in an answer, as a header of it.
//!
//! Remote read has no place for a warning in its body. The header is sent with the first bytes, so it tells of what was known by
//! then, which is all of it for the usual request with one query; the counter and the log tell of the rest.

use std::sync::{Arc, Mutex, PoisonError};

use axum::http::{HeaderName, HeaderValue};

use crate::SeriesReader;

/// Names the heads that an answer was made without.
const PARTIAL: HeaderName = HeaderName::from_static("x-emberkeep-partial");

/// Heads that are missing so far; clones note together.
#[derive(Debug, Clone, Default)]
pub(super) struct Missing(Arc<Mutex<Vec<String>>>);

impl Missing {
    /// Notes what a query was answered without.
    pub(super) fn note(&self, series: &SeriesReader) {
        let mut missing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for head in series.left_out() {
            if !missing.contains(head) {
                missing.push(head.clone());
            }
        }
    }

    /// The header; none when nothing is missing.
    pub(super) fn header(&self) -> Option<(HeaderName, HeaderValue)> {
        let missing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if missing.is_empty() {
            return None;
        }
        // A name that no header can carry is still a missing head.
        let value = HeaderValue::try_from(missing.join(", "));
        Some((PARTIAL, value.unwrap_or(HeaderValue::from_static("heads are missing"))))
    }
}
