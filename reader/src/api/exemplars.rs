//! `/api/v1/query_exemplars`: the exemplars of the series that an expression names.
//!
//! The answer is written as it is read, one series after the other, because numbers have to look as Go writes them and because
//! nothing but the text must be held. A limit that is passed fails the request: an answer is whole or there is none.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use emberkeep_model::{Exemplar, Labels, SeriesRuns, TimeRange};

use super::envelope::{LabelSet, answer_written, missing_head};
use super::expression::{SelectorText, selector_texts};
use super::go_numbers::{push_timestamp, push_value};
use super::params::Form;
use super::{SeriesSeen, within_limits};
use crate::scan::Query;
use crate::{Reader, ReaderError, ReplicaLabels, Selection, SelectorError, parse_selector};

/// Most selectors of one expression; each is a question to every head.
const SELECTORS_MAX: usize = 1_000;
/// Most exemplars of an answer; ten times what a whole Prometheus keeps by default.
const EXEMPLARS_MAX: usize = 1_000_000;
/// Most bytes of an answer, which is in memory whole.
const ANSWER_BYTES_MAX: usize = 256 << 20;

/// `GET|POST /api/v1/query_exemplars`
pub(super) async fn handle(State(reader): State<Arc<Reader>>, request: Request) -> Response {
    let result = within_limits(&reader, request, async |form| {
        let replicas = form.replicas(&reader.settings().replica_labels)?;
        match query_of(form)? {
            Some(query) => read(&reader, &query, &replicas).await.map(Some),
            None => Ok(None),
        }
    });
    answer_written(reader.metrics(), "query_exemplars", result.await)
}

/// What is asked for; nothing when the expression names no series, which is no error and no answer in Prometheus.
fn query_of(form: Form) -> Result<Option<Query>, ReaderError> {
    let (start, end) = (form.time("start")?, form.time("end")?);
    let (start, end) = (start.unwrap_or(i64::MIN), end.unwrap_or(i64::MAX));
    if end < start {
        return Err(ReaderError::Bad(
            "end timestamp must not be before start timestamp".to_owned(),
        ));
    }
    let bad = |error: String| ReaderError::Bad(format!("invalid parameter `query`: {error}"));
    let texts = selector_texts(form.first("query")).map_err(|error| bad(error.to_string()))?;
    let texts: BTreeSet<SelectorText<'_>> = texts.into_iter().collect();
    if texts.len() > SELECTORS_MAX {
        return Err(ReaderError::TooMuch(format!(
            "the expression has more than {SELECTORS_MAX} different selectors"
        )));
    }
    let selects_nothing = |found: &SelectorText<'_>| {
        found.is_of_info && matches!(parse_selector(found.text), Err(SelectorError::MatchesEmpty { .. }))
    };
    let texts: Vec<&str> = texts
        .iter()
        .filter(|found| !selects_nothing(found))
        .map(|found| found.text)
        .collect();
    if texts.is_empty() {
        return Ok(None);
    }
    let selection = Selection::parse(&texts).map_err(|error| bad(error.to_string()))?;
    Ok(Some(Query {
        range: TimeRange::from_inclusive(start, end),
        selection,
        tenant: form.tenant,
    }))
}

async fn read(reader: &Reader, query: &Query, replicas: &ReplicaLabels) -> Result<Vec<u8>, ReaderError> {
    let mut scan = reader.read_exemplars(query, replicas).await?;
    let (mut seen, mut out, mut piece) = (SeriesSeen::new(reader), AnswerText::new(), SeriesRuns::default());
    while let Some(labels) = scan.next_series().await? {
        seen.one_more()?;
        out.begin_series(&labels);
        while scan.next_piece(&mut piece).await? {
            for exemplar in piece.exemplars.as_slice() {
                out.exemplar(exemplar)?;
            }
        }
        out.end_series();
    }
    Ok(out.finish(scan.left_out()))
}

/// The envelope with its data, growing.
#[derive(Debug)]
struct AnswerText {
    text: String,
    has_series: bool,
    has_exemplar: bool,
    exemplars: usize,
}

impl AnswerText {
    fn new() -> Self {
        Self {
            text: r#"{"status":"success","data":["#.to_owned(),
            has_series: false,
            has_exemplar: false,
            exemplars: 0,
        }
    }

    fn begin_series(&mut self, labels: &Labels) {
        if self.has_series {
            self.text.push(',');
        }
        (self.has_series, self.has_exemplar) = (true, false);
        self.text.push_str(r#"{"seriesLabels":"#);
        push_labels(labels, &mut self.text);
        self.text.push_str(r#","exemplars":["#);
    }

    fn exemplar(&mut self, exemplar: &Exemplar) -> Result<(), ReaderError> {
        self.exemplars += 1;
        if self.exemplars > EXEMPLARS_MAX || self.text.len() > ANSWER_BYTES_MAX {
            return Err(ReaderError::TooMuch(format!(
                "the request selects more than {EXEMPLARS_MAX} exemplars or {ANSWER_BYTES_MAX} bytes of them: narrow query, start and end"
            )));
        }
        if self.has_exemplar {
            self.text.push(',');
        }
        self.has_exemplar = true;
        self.text.push_str(r#"{"labels":"#);
        push_labels(&exemplar.labels, &mut self.text);
        self.text.push_str(r#","value":""#);
        push_value(exemplar.value, &mut self.text);
        self.text.push_str(r#"","timestamp":"#);
        push_timestamp(exemplar.timestamp, &mut self.text);
        self.text.push('}');
        Ok(())
    }

    fn end_series(&mut self) {
        self.text.push_str("]}");
    }

    fn finish(mut self, left_out: &[String]) -> Vec<u8> {
        self.text.push(']');
        if !left_out.is_empty() {
            let warnings: Vec<String> = left_out.iter().map(|head| missing_head(head)).collect();
            self.text.push_str(r#","warnings":"#);
            self.text
                .push_str(&serde_json::to_string(&warnings).expect("a list of texts becomes JSON"));
        }
        self.text.push('}');
        self.text.into_bytes()
    }
}

fn push_labels(labels: &Labels, out: &mut String) {
    out.push_str(&serde_json::to_string(&LabelSet(labels)).expect("a map of texts becomes JSON"));
}
