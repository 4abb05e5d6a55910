//! The metadata API of Prometheus: series, label names, label values, build information.
//!
//! Same parameters, same JSON, same error types, so that a client cannot tell the difference. Like Prometheus it names a series
//! when its span overlaps the time asked for. It must never load samples.

mod envelope;
mod escape;
mod params;

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::response::Response;
use emberkeep_model::Labels;

pub(crate) use self::envelope::status_of;
use self::envelope::{BuildInfo, LabelSet, answer};
use self::params::{MatchRule, Params};
use crate::{Reader, ReaderError};

/// `GET|POST /api/v1/series`
pub(crate) async fn series(State(reader): State<Arc<Reader>>, request: Request) -> Response {
    let result = async {
        let params = Params::of(request, MatchRule::Required).await?;
        let mut found = Vec::new();
        let truncated = each_series(&reader, &params, |labels| {
            let full = params.is_full(found.len());
            if !full {
                found.push(labels);
            }
            !full
        })
        .await?;
        Ok((found, truncated))
    };
    let result: Result<(Vec<Labels>, bool), ReaderError> = result.await;
    let shown = result
        .as_ref()
        .map(|(found, truncated)| (found.iter().map(LabelSet).collect::<Vec<_>>(), *truncated));
    answer(reader.metrics(), "series", shown)
}

/// `GET|POST /api/v1/labels`
pub(crate) async fn label_names(State(reader): State<Arc<Reader>>, request: Request) -> Response {
    let result = async {
        let params = Params::of(request, MatchRule::Optional).await?;
        distinct(&reader, &params, |labels, found| {
            for (name, _) in labels.iter() {
                insert(found, name);
            }
        })
        .await
    };
    answer(
        reader.metrics(),
        "labels",
        result.await.as_ref().map(|(found, truncated)| (found, *truncated)),
    )
}

/// `GET /api/v1/label/<name>/values`
pub(crate) async fn label_values(
    State(reader): State<Arc<Reader>>,
    Path(name): Path<String>,
    request: Request,
) -> Response {
    let result = async {
        let name = escape::label_name(name);
        if name.is_empty() {
            return Err(ReaderError::Bad("the label name is empty".to_owned()));
        }
        let params = Params::of(request, MatchRule::Optional).await?;
        distinct(&reader, &params, |labels, found| {
            let value = labels.value_of(&name);
            if !value.is_empty() {
                insert(found, value);
            }
        })
        .await
    };
    answer(
        reader.metrics(),
        "label_values",
        result.await.as_ref().map(|(found, truncated)| (found, *truncated)),
    )
}

/// `GET /api/v1/status/buildinfo`
pub(crate) async fn build_info(State(reader): State<Arc<Reader>>) -> Response {
    answer(reader.metrics(), "buildinfo", Ok((BuildInfo::default(), false)))
}

/// Collects texts of all series; the first ones in order when there are more than the limit.
async fn distinct(
    reader: &Reader,
    params: &Params,
    mut collect: impl FnMut(&Labels, &mut BTreeSet<String>),
) -> Result<(Vec<String>, bool), ReaderError> {
    let mut found = BTreeSet::new();
    each_series(reader, params, |labels| {
        collect(&labels, &mut found);
        true
    })
    .await?;
    let truncated = params.limit.is_some_and(|limit| found.len() > limit);
    let kept = found.into_iter().take(params.limit.unwrap_or(usize::MAX)).collect();
    Ok((kept, truncated))
}

/// Calls `visit` with each series until it says no; returns whether it did.
async fn each_series(
    reader: &Reader,
    params: &Params,
    mut visit: impl FnMut(Labels) -> bool,
) -> Result<bool, ReaderError> {
    let mut scan = reader.scan(&params.query).await?;
    let (mut seen, limit) = (0, reader.settings().series_limit);
    while let Some(labels) = scan.next_labels().await? {
        seen += 1;
        if seen > limit {
            return Err(ReaderError::TooMuch(format!(
                "the request looks at more than {limit} series: narrow match[], start and end"
            )));
        }
        if !visit(labels) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn insert(found: &mut BTreeSet<String>, text: &str) {
    if !found.contains(text) {
        found.insert(text.to_owned());
    }
}
