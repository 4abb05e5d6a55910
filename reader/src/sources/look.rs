//! One look at heads and catalog.

use std::sync::Arc;

use emberkeep_archive::CatalogView;
use emberkeep_model::head::{HeadAnswer, HeadKinds, HeadPosition, HeadQuery};
use emberkeep_model::{Matcher, TimeRange};
use emberkeep_service::clock::{Clock, SystemClock};
use emberkeep_service::time_expr;
use futures::future::{join_all, try_join_all};

use super::{MissingHeads, Sources};
use crate::ReaderError;
use crate::roster::ListedHead;
use crate::scan::Query;

/// Everything that a query may be answered from, as of one moment.
#[derive(Debug, Clone)]
pub struct Look {
    /// The answers of the heads, at least one for each head that was asked.
    pub heads: Vec<Arc<HeadAnswer>>,
    /// A view that covers the position of each head.
    pub view: Arc<CatalogView>,
    /// Heads that could not be asked, and whose rows are missing.
    pub left_out: Vec<String>,
}

impl Sources {
    /// Reads what the heads hold of these kinds, then the catalog. Of metadata all is asked for: which families belong to the
    /// selected series is the caller's to know.
    ///
    /// # Errors
    /// When a head or the catalog cannot be read.
    pub async fn look(&self, query: &Query, kinds: HeadKinds) -> Result<Look, ReaderError> {
        if let Some(moment) = &self.moment {
            return moment.look(self).await;
        }
        let everything = [Arc::from([])];
        let selectors = match kinds {
            HeadKinds::Samples | HeadKinds::Exemplars => query.selection.selectors(),
            HeadKinds::Metadata => &everything,
        };
        let listed = self.heads.listed().await?;
        let answers = join_all(listed.iter().map(|head| ask(head, query, selectors, kinds))).await;
        let (mut heads, mut left_out) = (Vec::new(), Vec::new());
        for (head, answer) in listed.into_iter().zip(answers) {
            match answer {
                Ok(answers) => heads.extend(answers.into_iter().map(Arc::new)),
                Err(error) => left_out.extend(self.missing(head, error, query.range, kinds)?),
            }
        }
        let mut view = self.view().await?;
        for answer in &heads {
            if !covers(&view, &answer.position) {
                let position = &answer.position;
                view = self.catalog.covering(&position.receiver, position.committed).await?;
            }
        }
        match heads.iter().find(|answer| !covers(&view, &answer.position)) {
            Some(missed) => Err(ReaderError::Unavailable(format!(
                "the catalog does not show commit {} of receiver `{}` yet; does it write to this archive?",
                missed.position.committed, missed.position.receiver
            ))),
            None => Ok(Look { heads, view, left_out }),
        }
    }

    /// What a head that cannot be asked means: nothing when it holds nothing of the range, a partial answer when that is
    /// allowed, and an error otherwise. Returns the name of the head whose rows are missing.
    fn missing(
        &self,
        head: ListedHead,
        error: ReaderError,
        range: TimeRange,
        kinds: HeadKinds,
    ) -> Result<Option<String>, ReaderError> {
        if !matches!(error, ReaderError::Unavailable(_)) {
            return Err(error);
        }
        self.metrics.head_failed();
        if kinds != HeadKinds::Metadata && is_outside(&head, range) {
            return Ok(None);
        }
        match self.settings.missing_heads {
            MissingHeads::Fail => Err(error),
            MissingHeads::LeaveOut => {
                self.metrics.partial();
                if self.told.is_time() {
                    tracing::warn!(
                        head = head.name,
                        error = error.told(),
                        "an answer is partial: a head is left out"
                    );
                }
                Ok(Some(head.name))
            }
        }
    }
}

/// Asks a head once for each selector.
async fn ask(
    head: &ListedHead,
    query: &Query,
    selectors: &[Arc<[Matcher]>],
    kinds: HeadKinds,
) -> Result<Vec<HeadAnswer>, ReaderError> {
    let questions = selectors.iter().map(|matchers| {
        head.source.read(HeadQuery {
            tenant: query.tenant.clone(),
            range: query.range,
            matchers: Arc::clone(matchers),
            kinds,
        })
    });
    try_join_all(questions).await
}

/// Whether all that the head holds is newer than the range, by the word of the list.
fn is_outside(head: &ListedHead, range: TimeRange) -> bool {
    let now_ms = SystemClock.now_ms();
    let holds_from = head
        .holds_from
        .as_deref()
        .and_then(|text| time_expr::parse(text, now_ms).ok());
    holds_from.is_some_and(|from| range.end <= from)
}

/// Whether a view shows everything that a head had committed when it was read.
fn covers(view: &CatalogView, position: &HeadPosition) -> bool {
    view.covers(&position.receiver, position.committed)
}
