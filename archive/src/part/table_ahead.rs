//! Windows of the series table, fetched one by one, or before the one at work is passed, so that a store far away is waited for once.
//!
//! A search looks at all of them whatever it finds, so nothing is fetched in vain but by who leaves off.

use std::collections::VecDeque;
use std::ops::Range;

use tokio::runtime::Handle;

use super::begun::Begun;
use super::part_file::{GroupRows, Pages, PartFile};
use super::read_ahead::UNDER_WAY;
use super::scan::ScanKinds;
use super::series_slice::{Digesting, NUMBERS, SeriesLeaves};
use super::{raw_pages, schema};
use crate::ArchiveError;

/// Windows that are held and under way together: one at work, and the one behind it.
pub(super) const WINDOWS: u64 = 2;

/// A window, how its pages are read, and they.
pub(super) type Fetched = (GroupRows, Option<SeriesLeaves>, Pages);

/// Windows that are under way.
#[derive(Debug, Default)]
pub(super) struct TableAhead {
    under_way: VecDeque<Begun<Result<Fetched, ArchiveError>>>,
}

impl TableAhead {
    /// Whether nothing is under way.
    pub(super) fn is_empty(&self) -> bool {
        self.under_way.is_empty()
    }

    /// Fetches the next window, and begins with those behind it; none when there is none.
    pub(super) async fn next(
        &mut self,
        file: &PartFile,
        windows: &mut VecDeque<GroupRows>,
        kinds: ScanKinds,
    ) -> Result<Option<Fetched>, ArchiveError> {
        let Ok(runtime) = Handle::try_current() else {
            return fetch_next(file, windows, kinds).await;
        };
        while (self.under_way.len() as u64) < WINDOWS
            && let Some(window) = windows.pop_front()
        {
            let file = file.of_many_requests();
            let begun = Begun::new(&runtime, async move {
                // It is never closed.
                let _permit = UNDER_WAY.acquire().await.ok();
                fetch_window(&file, window, kinds).await
            });
            self.under_way.push_back(begun);
        }
        let Some(mut next) = self.under_way.pop_front() else {
            return Ok(None);
        };
        match next.end().await {
            Some(fetched) => fetched.map(Some),
            None => Err(file.corrupt("its pages were lost on the way")),
        }
    }
}

/// Fetches the next window alone; none when there is none.
pub(super) async fn fetch_next(
    file: &PartFile,
    windows: &mut VecDeque<GroupRows>,
    kinds: ScanKinds,
) -> Result<Option<Fetched>, ArchiveError> {
    match windows.pop_front() {
        Some(window) => fetch_window(file, window, kinds).await.map(Some),
        None => Ok(None),
    }
}

/// The columns that are read; those that version 1 did not have are left out there.
pub(super) fn columns(file: &PartFile, kinds: ScanKinds) -> Vec<&'static str> {
    let mut columns = file.known(&[schema::TENANT, schema::LABELS]);
    columns.extend(file.known(&NUMBERS));
    if kinds == ScanKinds::AllWithDigests {
        columns.extend(file.known(&schema::DIGESTS));
    }
    columns
}

/// Fetches the pages of a window, which are whole ones.
async fn fetch_window(file: &PartFile, window: GroupRows, kinds: ScanKinds) -> Result<Fetched, ArchiveError> {
    let digests = match kinds {
        ScanKinds::AllWithDigests => Digesting::Asked,
        ScanKinds::Samples | ScanKinds::Exemplars | ScanKinds::All => Digesting::Unasked,
    };
    if let Some(leaves) = SeriesLeaves::new(file, digests)
        && let Some(pages) = raw_pages::fetch(file, window.row_group, &together(&window.rows), &leaves.all()).await?
    {
        return Ok((window, Some(leaves), pages));
    }
    let projection = file.projection(&columns(file, kinds));
    let pages = file.fetch_pages(&window, &projection).await?;
    Ok((window, None, pages))
}

/// Stretches of pages that lie one behind the other.
fn together(pages: &[Range<usize>]) -> Vec<Range<usize>> {
    let stretches = pages.chunk_by(|page, next| page.end == next.start);
    let ends = stretches.filter_map(|stretch| Some(stretch.first()?.start..stretch.last()?.end));
    ends.collect()
}
