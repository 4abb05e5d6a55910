//! One pass over one source: what is suspected is compared first, then the newest time, then a piece of everything else.
//!
//! What a pass does it remembers after each window, so that one that ends anywhere goes on there. A window counts as compared only when
//! the source's answer came to its end and what was missing is live.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use emberkeep_archive::{Catalog, CatalogView, CompiledMask, Mask};
use emberkeep_disk::{RealFs, remove_dir_all};
use emberkeep_model::{Matcher, TenantId, TimeRange};
use emberkeep_service::clock::Clock;
use emberkeep_source::Source;
use tracing::{info, warn};

use super::bounds::Bounds;
use super::intended::{Counts, Intended};
use super::report::Hole;
use super::said::Said;
use super::up_gaps::UpGaps;
use super::{HealError, HealReport, HealState, RangeSet, SourceMetrics, Span, Suspect, Why};
use crate::retention::Retention;
use crate::seed::{ExternalLabels, Fills, SeedError, SeedTarget, SourceSeed, first_slice, from_source};

/// Around a hole in `up` other series miss rows as well: those of other targets and of rules.
const AROUND_MS: i64 = 300_000;

/// What a pass of the loop compares of the newest time before it goes on with old time.
const NEWEST_MS: i64 = 21_600_000;

/// What a pass of the loop compares of old time.
const OLD_MS: i64 = 14_400_000;

/// Windows that may fail in a pass before it ends: then it is not they that are the trouble.
const MOST_TROUBLES: usize = 3;

/// How a source is healed from.
#[derive(Debug, Clone)]
pub struct HealSettings {
    /// Whose rows they become.
    pub tenant: TenantId,
    /// Which series.
    pub matchers: Arc<[Matcher]>,
    /// Name or URL of the source's `remote_write` that sends to this archive; none for the only one.
    pub sender: Option<String>,
    /// `write_relabel_configs` as text, in place of those that the source's configuration says.
    pub rules: Option<String>,
    /// Time that is asked for at once.
    pub slice: Duration,
    /// Bound on samples each second.
    pub samples_per_second: Option<u64>,
    /// Younger time is left to the sender and the next flush.
    pub settle: Duration,
    /// What the archive keeps, and for how long.
    pub retention: Retention,
    /// Most bytes of the archive: with it the oldest data goes, and must not come back.
    pub quota_bytes: Option<u64>,
    /// What is remembered of the source.
    pub state: PathBuf,
    /// Directory for files that are written before they are uploaded; emptied by each pass.
    pub scratch: PathBuf,
}

/// What one pass compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All of a range that the source still holds.
    Whole(TimeRange),
    /// Of a range, the time that is suspected.
    Suspects(TimeRange),
    /// Suspected time, the newest hours, and some of what was not compared for long.
    Round,
}

/// What is known when a pass begins.
struct Ground<'a> {
    scope: Scope,
    said: &'a Said,
    view: &'a CatalogView,
    intended: &'a Intended<'a>,
    bounds: &'a Bounds,
}

/// What heals one archive from one source.
#[derive(Debug)]
pub struct Healer {
    catalog: Catalog,
    source: Source,
    settings: HealSettings,
    clock: Arc<dyn Clock>,
}

impl Healer {
    /// It does nothing before [`Healer::pass`].
    #[must_use]
    pub fn new(catalog: Catalog, source: Source, settings: HealSettings, clock: Arc<dyn Clock>) -> Self {
        Self {
            catalog,
            source,
            settings,
            clock,
        }
    }

    /// The source's URL, without user and password.
    #[must_use]
    pub fn url(&self) -> &str {
        self.source.url()
    }

    /// Whose rows are healed.
    #[must_use]
    pub fn tenant(&self) -> &TenantId {
        &self.settings.tenant
    }

    /// What is remembered of the source.
    ///
    /// # Errors
    /// [`HealError::State`].
    pub fn state(&self) -> Result<HealState, HealError> {
        HealState::load(&self.settings.state, self.url())
    }

    /// Compares and fills. `tell` is called with the number of rows that were read since the last time.
    ///
    /// # Errors
    /// See [`HealError`]. What was filled by then stays and is remembered.
    pub async fn pass(
        &self,
        scope: Scope,
        metrics: &SourceMetrics,
        mut tell: impl FnMut(u64),
    ) -> Result<HealReport, HealError> {
        let now_ms = self.clock.now_ms();
        let mut state = self.state()?;
        let mut report = HealReport::new(self.url(), self.settings.tenant.as_str());
        let said = Said::ask(
            &self.source,
            self.settings.sender.as_deref(),
            self.settings.rules.as_deref(),
        )
        .await?;
        if let Some(rule) = said.rules.not_understood().first() {
            return Err(HealError::Input(format!(
                "a rule of the sender changes labels and is not understood, so rows would come under other labels than they were sent \
                 with: {rule}; give the rules that leave out series with `--dropped-by`, and `--match` for series that it does not touch"
            )));
        }
        report.notes.clone_from(&said.notes);
        let view = self.catalog.refresh().await?;
        if view.parts.is_empty() && view.committed.is_empty() {
            if scope == Scope::Round {
                return Ok(report);
            }
            return Err(HealError::Input(
                "nothing was ever committed to this archive: see --objstore.config-file and --storage.path; history comes into a new \
                 archive with `compactor seed`"
                    .to_owned(),
            ));
        }
        let masks = view.masks.iter().map(Mask::compile);
        let masks: Vec<CompiledMask> = masks.collect::<Result<_, _>>()?;
        let intended = Intended {
            tenant: &self.settings.tenant,
            rules: &said.rules,
            masks: &masks,
            retention: &self.settings.retention,
            now_ms,
            counts: Counts::default(),
        };
        let bounds = Bounds::new(scope, &self.settings, (&said, &view), now_ms)?;
        let ground = Ground {
            scope,
            said: &said,
            view: &view,
            intended: &intended,
            bounds: &bounds,
        };
        (report.from, report.to) = (bounds.held.start, bounds.held.end);
        self.suspect(&ground, &mut state, &mut report).await?;
        metrics.lost.inc_by(report.lost.len() as u64);
        state.save(&self.settings.state)?;
        metrics.know(&state);
        let _ = remove_dir_all(&RealFs, &self.settings.scratch);
        let mut troubles = Vec::new();
        for window in self.due(scope, &state, bounds.held) {
            match self.fill(window, &intended, (&mut report, metrics), &mut tell).await {
                Ok(()) => {}
                // A part that cannot be read must not keep other windows from being healed before their time is over.
                Err(HealError::Fill(error))
                    if !matches!(error, SeedError::Source(_)) && troubles.len() < MOST_TROUBLES =>
                {
                    warn!(source = self.url(), from = window.start, to = window.end, %error, "a window cannot be healed now");
                    troubles.push(error);
                    continue;
                }
                Err(error) => return Err(error),
            }
            state.waiting.remove(window);
            state.checked.insert(window);
            state.save(&self.settings.state)?;
            metrics.know(&state);
        }
        if let Some(error) = troubles.into_iter().next() {
            return Err(error.into());
        }
        state.passed(bounds.held, now_ms);
        state.save(&self.settings.state)?;
        metrics.know(&state);
        report.deadline = state.deadline();
        Ok(report)
    }

    /// Finds out which time is suspected, and which of it is lost.
    async fn suspect(
        &self,
        ground: &Ground<'_>,
        state: &mut HealState,
        report: &mut HealReport,
    ) -> Result<(), HealError> {
        let (bounds, held) = (ground.bounds, ground.bounds.held);
        let looked_from = match (ground.scope, bounds.has_beginning) {
            (Scope::Round, _) => state.covered_until.unwrap_or(held.start).max(held.start),
            // Also what the source does not hold any more was asked for.
            (_, true) => bounds.kept_from,
            (_, false) => held.start,
        };
        let quarantined = self.catalog.live().await?.quarantined();
        let up = UpGaps {
            catalog: &self.catalog,
            view: ground.view,
            quarantined: &quarantined,
            matchers: &self.settings.matchers,
            external: ground.said.labels_in_archive(),
            intended: ground.intended,
        };
        let looked = TimeRange {
            start: looked_from.min(held.end),
            end: held.end,
        };
        let mut gaps = RangeSet::default();
        for gap in up.find(looked).await?.iter() {
            let around = TimeRange {
                start: gap.start.saturating_sub(AROUND_MS),
                end: gap.end.saturating_add(AROUND_MS),
            };
            gaps.insert(around.intersect(looked));
        }
        if ground.scope == Scope::Round {
            gaps = gaps.without(&state.checked);
            state.covered_until = Some(held.end);
        }
        let why = Why::Coverage;
        let of_gaps = gaps.iter().map(Span::from);
        report.suspects.extend(of_gaps.map(|span| Suspect { span, why }));
        state.waiting.insert_all(&gaps);
        let mut told = state.learn(ground.said, ground.intended.now_ms);
        told.extend(state.learn_quarantined(&quarantined, ground.view, &self.settings.tenant));
        for mut suspect in told {
            suspect.span.from = suspect.span.from.max(bounds.oldest);
            let range = TimeRange {
                start: suspect.span.from,
                end: suspect.span.to,
            };
            if !range.is_empty() {
                report.suspects.push(suspect);
                // It may have been compared before.
                state.checked.remove(range);
                state.waiting.insert(range);
            }
        }
        let lost = state.waiting.within(TimeRange {
            start: bounds.kept_from,
            end: held.start,
        });
        report.lost = lost.iter().map(Span::from).collect();
        lost.iter().for_each(|range| state.waiting.remove(range));
        // What lies before a range that was asked for is not at stake now; all else that is older is gone.
        if !bounds.has_beginning {
            let passed = TimeRange {
                start: i64::MIN,
                end: held.start,
            };
            state.waiting.remove(passed);
            state.checked.remove(passed);
        }
        Ok(())
    }

    /// The windows of this pass, in the order in which they are compared.
    fn due(&self, scope: Scope, state: &HealState, held: TimeRange) -> Vec<TimeRange> {
        let waiting = state.waiting.within(held);
        let rest = RangeSet::of(held).without(&waiting);
        let mut due: Vec<TimeRange> = self.windows(&waiting).collect();
        match scope {
            Scope::Suspects(_) => {}
            Scope::Whole(_) => due.extend(self.windows(&rest)),
            Scope::Round => {
                let rest = rest.without(&state.checked);
                let newest = rest.within(TimeRange {
                    start: held.end.saturating_sub(NEWEST_MS),
                    end: held.end,
                });
                due.extend(self.windows(&newest));
                let mut budget = OLD_MS;
                for window in self.windows(&rest.without(&newest)) {
                    if budget <= 0 {
                        break;
                    }
                    budget = budget.saturating_sub(window.end - window.start);
                    due.push(window);
                }
            }
        }
        due
    }

    fn windows(&self, set: &RangeSet) -> impl Iterator<Item = TimeRange> {
        let slice = self.settings.slice;
        let ranges: Vec<TimeRange> = set.iter().collect();
        ranges.into_iter().flat_map(move |mut range| {
            std::iter::from_fn(move || {
                if range.is_empty() {
                    return None;
                }
                let window = first_slice(range, slice);
                range.start = window.end;
                Some(window)
            })
        })
    }

    /// Compares one window and fills what is missing.
    async fn fill(
        &self,
        window: TimeRange,
        intended: &Intended<'_>,
        (report, metrics): (&mut HealReport, &SourceMetrics),
        tell: &mut impl FnMut(u64),
    ) -> Result<(), HealError> {
        let seed = SourceSeed {
            source: &self.source,
            matchers: &self.settings.matchers,
            slice: self.settings.slice,
            samples_per_second: self.settings.samples_per_second,
            sieve: Some(intended),
        };
        let target = SeedTarget {
            catalog: &self.catalog,
            tenant: self.settings.tenant.clone(),
            // The source adds them itself.
            external: ExternalLabels::default(),
            range: window,
            fills: Fills::MissingTimes,
            scratch: self.settings.scratch.clone(),
        };
        let filled = from_source(&seed, &target, &mut *tell).await?;
        let [left_out, deleted, expired] = intended.counts.take();
        report.left_out_by_sender += left_out;
        report.deleted_in_archive += deleted;
        report.expired += expired;
        report.windows += 1;
        for part in &filled.windows {
            let rows = part.samples + part.histograms;
            report.rows += rows;
            metrics.compared.inc_by(rows);
            if part.written > 0 {
                report.healed += part.written;
                metrics.holes.inc();
                metrics.healed.inc_by(part.written);
                let range = TimeRange {
                    start: part.from,
                    end: part.to,
                };
                info!(
                    source = self.url(),
                    from = part.from,
                    to = part.to,
                    rows = part.written,
                    "a hole is healed"
                );
                report.holes.push(Hole {
                    span: range.into(),
                    rows: part.written,
                    held: part.held,
                    root: part.root,
                });
            }
        }
        Ok(())
    }
}
