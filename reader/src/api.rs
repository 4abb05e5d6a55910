//! The query API of Prometheus except PromQL: series, label names and values, metadata, exemplars, cardinality.
//!
//! Same parameters, same JSON, same error types, so that a client cannot tell the difference. Like Prometheus it names a series
//! when its span overlaps the time asked for. It must never load samples, and never answer with less than there is without
//! saying so.

mod cardinality;
mod coverage;
mod envelope;
mod escape;
mod exemplars;
mod expression;
mod go_numbers;
mod metadata;
mod params;

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use axum::routing::get;
use emberkeep_model::Labels;
use emberkeep_service::duration;
use tokio::time::{Instant, timeout_at};

pub(crate) use self::envelope::status_of;
use self::envelope::{BuildInfo, Found, LabelSet, answer};
use self::params::{Form, MatchRule, Params};
use crate::{Reader, ReaderError, ReplicaLabels, SeriesReader};

/// The routes of the query API.
pub(crate) fn routes() -> Router<Arc<Reader>> {
    Router::new()
        .route("/api/v1/series", get(series).post(series))
        .route("/api/v1/labels", get(label_names).post(label_names))
        .route("/api/v1/label/{name}/values", get(label_values))
        .route("/api/v1/metadata", get(metadata::handle).post(metadata::handle))
        .route(
            "/api/v1/query_exemplars",
            get(exemplars::handle).post(exemplars::handle),
        )
        .route(
            "/api/v1/status/cardinality",
            get(cardinality::handle).post(cardinality::handle),
        )
        .route("/api/v1/status/tsdb", get(cardinality::handle))
        .route("/api/v1/status/buildinfo", get(build_info))
        .route("/api/v1/coverage", get(coverage::handle).post(coverage::handle))
}

/// `GET|POST /api/v1/series`
async fn series(State(reader): State<Arc<Reader>>, request: Request) -> Response {
    let result = within_limits(&reader, request, async |form| {
        let params = Params::of(form, MatchRule::Required, &reader.settings().replica_labels)?;
        let mut found = Vec::new();
        let mut series = reader.read(&params.query, &params.replicas).await?;
        let truncated = each_series(&reader, &mut series, |labels| {
            let full = params.is_full(found.len());
            if !full {
                found.push(LabelSet(labels));
            }
            !full
        })
        .await?;
        let found = if truncated {
            Found::truncated(found)
        } else {
            Found::whole(found)
        };
        Ok(found.without(series.left_out()))
    });
    answer(reader.metrics(), "series", result.await)
}

/// `GET|POST /api/v1/labels`
async fn label_names(State(reader): State<Arc<Reader>>, request: Request) -> Response {
    let result = within_limits(&reader, request, async |form| {
        let params = Params::of(form, MatchRule::Optional, &reader.settings().replica_labels)?;
        distinct(&reader, &params, |labels, found| {
            for (name, _) in labels.iter().filter(|(name, _)| !params.replicas.has(name)) {
                insert(found, name);
            }
        })
        .await
    });
    answer(reader.metrics(), "labels", result.await)
}

/// `GET /api/v1/label/<name>/values`
async fn label_values(State(reader): State<Arc<Reader>>, Path(name): Path<String>, request: Request) -> Response {
    let result = within_limits(&reader, request, async |form| {
        let name = escape::label_name(name);
        if name.is_empty() {
            return Err(ReaderError::Bad("the label name is empty".to_owned()));
        }
        let params = Params::of(form, MatchRule::Optional, &reader.settings().replica_labels)?;
        distinct(&reader, &params, |labels, found| {
            let value = labels.value_of(&name);
            if !value.is_empty() && !params.replicas.has(&name) {
                insert(found, value);
            }
        })
        .await
    });
    answer(reader.metrics(), "label_values", result.await)
}

/// `GET /api/v1/status/buildinfo`
async fn build_info(State(reader): State<Arc<Reader>>) -> Response {
    answer(reader.metrics(), "buildinfo", Ok(Found::whole(BuildInfo::default())))
}

/// Answers a request in one of the places that remote reads have, too, since it opens parts as they do, and for as long.
async fn within_limits<T>(
    reader: &Reader,
    request: Request,
    work: impl AsyncFnOnce(Form) -> Result<T, ReaderError>,
) -> Result<T, ReaderError> {
    let timeout = reader.settings().timeout;
    let deadline = Instant::now() + timeout;
    let answered = timeout_at(deadline, async {
        // A client that is slow to ask takes no place.
        let form = Form::of(request).await?;
        let _place = reader.enter(deadline).await?;
        work(form).await
    });
    answered.await.map_err(|_| {
        ReaderError::Unavailable(format!(
            "the answer took longer than {} (--read.timeout): narrow match[], start and end",
            duration::format(timeout)
        ))
    })?
}

/// Collects texts of all series; the first ones in order when there are more than the limit.
async fn distinct(
    reader: &Reader,
    params: &Params,
    mut collect: impl FnMut(&Labels, &mut BTreeSet<String>),
) -> Result<Found<Vec<String>>, ReaderError> {
    let mut found = BTreeSet::new();
    // Names and values are sets, so replicas need no merging: their labels are only left out.
    let mut series = reader.read(&params.query, &ReplicaLabels::default()).await?;
    each_series(reader, &mut series, |labels| {
        collect(&labels, &mut found);
        true
    })
    .await?;
    let found = match params.limit {
        Some(limit) if found.len() > limit => Found::truncated(found.into_iter().take(limit).collect()),
        _ => Found::whole(found.into_iter().collect()),
    };
    Ok(found.without(series.left_out()))
}

/// Calls `visit` with each series until it says no; returns whether it did.
async fn each_series(
    reader: &Reader,
    series: &mut SeriesReader,
    mut visit: impl FnMut(Labels) -> bool,
) -> Result<bool, ReaderError> {
    let mut seen = SeriesSeen::new(reader);
    while let Some(labels) = series.next_labels().await? {
        seen.one_more()?;
        if !visit(labels) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Counts the series that a request looks at, against the limit.
#[derive(Debug)]
struct SeriesSeen {
    seen: usize,
    limit: usize,
}

impl SeriesSeen {
    fn new(reader: &Reader) -> Self {
        Self {
            seen: 0,
            limit: reader.settings().series_limit,
        }
    }

    fn one_more(&mut self) -> Result<(), ReaderError> {
        self.seen += 1;
        if self.seen <= self.limit {
            return Ok(());
        }
        let limit = self.limit;
        Err(ReaderError::TooMuch(format!(
            "the request looks at more than {limit} series (--read.series-limit): narrow the selectors, start and end"
        )))
    }
}

fn insert(found: &mut BTreeSet<String>, text: &str) {
    if !found.contains(text) {
        found.insert(text.to_owned());
    }
}
