//! `/api/v1/metadata`: what metrics are, in words.
//!
//! Prometheus tells what its targets say now. An archive knows all that was ever said, so of each metric every variant is given,
//! the one seen last first, whether it was sent for the family (remote write 1.0) or for a series (2.0). It must never drop a
//! variant unasked.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use emberkeep_model::Metadata;
use serde::Serialize;

use super::envelope::{Found, answer};
use super::params::Form;
use super::within_limits;
use crate::scan::{FamilyFilter, Query};
use crate::{Families, Reader, ReaderError, Seen, Selection};

/// One variant; the order of the fields is Prometheus'.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Variant {
    #[serde(rename = "type")]
    metric_type: &'static str,
    unit: String,
    help: String,
}

/// `GET|POST /api/v1/metadata`
pub(super) async fn handle(State(reader): State<Arc<Reader>>, request: Request) -> Response {
    let result = within_limits(&reader, request, async |form| {
        let limits = Limits::of(&form)?;
        let metric = form.first("metric").to_owned();
        let query = Query {
            range: form.range()?,
            selection: Selection::all(),
            tenant: form.tenant,
        };
        let filter = match metric.as_str() {
            "" => FamilyFilter::Accepted(&|_| true),
            metric => FamilyFilter::Named(metric),
        };
        let (families, left_out) = reader.metadata_of(&query, filter).await?;
        Ok(Found::whole(limits.shown(families)).without(&left_out))
    });
    answer(reader.metrics(), "metadata", result.await)
}

/// How much is shown.
#[derive(Debug)]
struct Limits {
    metrics: usize,
    variants: usize,
}

impl Limits {
    /// As in Prometheus: no metric at all for a limit of 0, but every variant.
    fn of(form: &Form) -> Result<Self, ReaderError> {
        let number = |name: &str| match form.first(name) {
            "" => Ok(-1),
            text => text
                .parse::<i64>()
                .map_err(|_| ReaderError::Bad(format!("{name} must be a number"))),
        };
        let most = |limit: i64| usize::try_from(limit).unwrap_or(usize::MAX);
        Ok(Self {
            metrics: most(number("limit")?),
            variants: Some(number("limit_per_metric")?)
                .filter(|&limit| limit > 0)
                .map_or(usize::MAX, most),
        })
    }

    fn shown(&self, families: Families) -> BTreeMap<String, Vec<Variant>> {
        let shown = families.into_iter().map(|(family, variants)| {
            let mut said: Vec<(Metadata, Seen)> = variants.into_iter().collect();
            said.sort_by(|(a, seen_a), (b, seen_b)| {
                // Most clients look at the first one only, so it should say something.
                let rank = |said: &Metadata, seen: &Seen| (said.is_empty(), Reverse((seen.last, seen.first)));
                rank(a, seen_a).cmp(&rank(b, seen_b)).then_with(|| a.cmp(b))
            });
            let variants = said.into_iter().take(self.variants);
            (family, variants.map(|(said, _)| Variant::of(said)).collect())
        });
        shown.take(self.metrics).collect()
    }
}

impl Variant {
    fn of(said: Metadata) -> Self {
        Self {
            metric_type: said.metric_type.as_str(),
            unit: said.unit,
            help: said.help,
        }
    }
}
