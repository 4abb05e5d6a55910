//! Replay: the log of an earlier life becomes frozen generations, while writes are accepted already.
//!
//! A start only *surveys* the log: which segments there are and where it ended. New records go to segments above all of these, and a
//! thread replays the old ones behind. They are cut into generations at segment borders, and each is handed to the flush loop as soon as it
//! is full; the open generation is not flushed before the last of them, so parts keep the log's order. At most one replayed generation
//! waits for its staging while the next one grows, so a long log takes no more memory than the head that wrote it.
//!
//! Nothing is staged, and nothing is waited for, in the middle of a record: the log blames a death there on that record. A record that
//! cannot be replayed is set aside by the log, reported here, and never tried for ever.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use emberkeep_disk::is_out_of_space;
use emberkeep_proto::content::WriteProtocol;
use emberkeep_proto::{WireError, snappy};
use emberkeep_wal::{
    Damage, NextSegment, Position, Protocol, Purpose, RecordView, RecoveryOptions, Refusal, SegmentRange, Visit,
    WalError,
};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::clock_rule::ClockRule;
use crate::error::ReceiverError;
use crate::flush::Flush;
use crate::generations::{Frozen, Generation, Generations};
use crate::intake::{self, IntakeError};
use crate::log_keys::LogKeys;
use crate::metrics::Metrics;
use crate::plan::{Plan, report};
use crate::replay_state::ReplayState;
use crate::settings::Settings;

/// Replayed generations that are not staged: one that grows and one that waits for its flush.
pub(crate) const TURNS: u32 = 2;
/// How often a replay looks whether a full disk has space again.
const RETRY_EVERY: Duration = Duration::from_secs(1);
/// How often a waiting replay looks whether it should end.
const GLANCE: Duration = Duration::from_millis(50);

/// A replayed generation on its way to the flush loop; the next but one is not begun before its turn is given back.
#[derive(Debug)]
pub(crate) struct Replayed {
    pub(crate) frozen: Frozen,
    pub(crate) turn: OwnedSemaphorePermit,
}

/// The replay of one start.
#[derive(Debug)]
pub(crate) struct Replay {
    pub(crate) plan: Plan,
    pub(crate) flush: Arc<Flush>,
    pub(crate) settings: Settings,
    pub(crate) generations: Arc<Generations>,
    pub(crate) clock_rule: Arc<ClockRule>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) state: Arc<ReplayState>,
    /// Becomes true when it must end, done or not.
    pub(crate) stop: Arc<AtomicBool>,
    /// To the flush loop, in the order of the log; closed at the end.
    pub(crate) replayed: mpsc::Sender<Replayed>,
}

impl Replay {
    /// Replays everything. Blocking; ends early, with the state as it is, when told to stop or when the flush loop is gone.
    ///
    /// # Errors
    /// What keeps the log from being replayed. What was handed over until then is whole; the rest stays in the log.
    pub(crate) fn run(self) -> Result<(), ReceiverError> {
        let survey = &self.plan.survey;
        if survey.is_empty() {
            return Ok(());
        }
        let started = Instant::now();
        self.metrics.replay_running.set(1);
        self.metrics.replay_size_bytes.set(to_gauge(survey.bytes()));
        let mut visitor = Visitor {
            replay: &self,
            turns: Arc::new(Semaphore::new(TURNS as usize)),
            started,
            open: None,
            next_from: 0,
            bytes_before: 0,
            decoded: Vec::new(),
            failure: None,
        };
        let outcome = self.replay(&mut visitor);
        let Visitor { open, failure, .. } = visitor;
        if let Some(open) = open {
            // Not whole: it stays in the log.
            self.generations.forget(&open.generation);
        }
        self.metrics.replay_running.set(0);
        match (failure, outcome) {
            (Some(failure), _) | (None, Err(failure)) => Err(failure),
            (None, Ok(Ended::Early)) => Ok(()),
            (None, Ok(Ended::Whole)) => {
                self.advance(survey.bytes(), started);
                self.state.finish();
                let records = self.metrics.replayed_records.get();
                if records > 0 {
                    tracing::info!(
                        records,
                        bytes = survey.bytes(),
                        took = ?started.elapsed(),
                        "write-ahead log replayed"
                    );
                }
                Ok(())
            }
        }
    }

    /// Goes through the log, again from the generation that was open whenever the disk was too full to set something aside.
    fn replay(&self, visitor: &mut Visitor<'_>) -> Result<Ended, ReceiverError> {
        let flush = &self.flush;
        let wal_id = flush.identity.lock().wal_id();
        loop {
            // What was handed over before is not read again.
            let skip: Vec<_> = visitor
                .next_from
                .checked_sub(1)
                .map(|to| SegmentRange { from: 0, to })
                .into_iter()
                .collect();
            let keys = LogKeys(flush.keys.clone());
            let options = RecoveryOptions {
                sealing: Some(&keys),
                skip: &skip,
                stop: Some(&self.stop),
                purpose: Purpose::Replay,
            };
            let replayed =
                emberkeep_wal::replay(&*flush.fs, &flush.wal_path, wal_id, &self.plan.survey, options, visitor);
            match replayed {
                Ok(recovery) => {
                    if let Some(range) = recovery.segments {
                        visitor.hand_over(range.to);
                    }
                    return Ok(Ended::Whole);
                }
                Err(WalError::Stopped { .. }) => return Ok(Ended::Early),
                Err(WalError::Io { doing, path, source }) if is_out_of_space(&source) => {
                    tracing::warn!(doing, path = %path.display(), error = %source, "replay waits for space");
                    if let Some(open) = visitor.open.take() {
                        self.generations.forget(&open.generation);
                    }
                    let again = Instant::now() + RETRY_EVERY;
                    while Instant::now() < again {
                        if self.is_over() {
                            return Ok(Ended::Early);
                        }
                        std::thread::sleep(GLANCE);
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Whether nobody wants the result any more.
    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || self.replayed.is_closed()
    }

    fn advance(&self, bytes: u64, started: Instant) {
        self.state.advance(bytes);
        self.metrics.replay_done_bytes.set(to_gauge(bytes));
        self.metrics.replay_seconds.set(started.elapsed().as_secs_f64());
    }
}

/// How a replay that did not fail ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    Whole,
    Early,
}

/// A generation that is being replayed.
#[derive(Debug)]
struct OpenGeneration {
    from: u64,
    generation: Arc<Generation>,
    turn: OwnedSemaphorePermit,
}

/// Takes segments and records in.
struct Visitor<'a> {
    replay: &'a Replay,
    turns: Arc<Semaphore>,
    started: Instant,
    open: Option<OpenGeneration>,
    /// The first segment that was not handed over.
    next_from: u64,
    /// Bytes of the segments before the present one.
    bytes_before: u64,
    decoded: Vec<u8>,
    failure: Option<ReceiverError>,
}

impl Visit for Visitor<'_> {
    fn segment(&mut self, next: NextSegment) -> ControlFlow<()> {
        self.bytes_before = next.bytes_before;
        let flush_bytes = self.replay.settings.flush_bytes;
        let is_full = |open: &OpenGeneration| open.generation.table.bytes() >= flush_bytes;
        if self.open.as_ref().is_some_and(is_full) {
            self.hand_over(next.number - 1);
        }
        if self.open.is_none() {
            let turn = self.take_turn(next.is_careful);
            let generation = Arc::new(Generation::new());
            self.replay.generations.adopt_replayed(generation.clone());
            self.open = Some(OpenGeneration {
                from: next.number,
                generation,
                turn,
            });
        }
        if self.replay.is_over() {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    fn record(&mut self, position: Position, record: RecordView<'_>) -> Result<(), Refusal> {
        let validator = record.verdict.validator();
        if validator > intake::VALIDATOR_VERSION {
            // Nothing is wrong with the record: this program is too old for it.
            let error = IntakeError::NewerValidator(validator);
            self.failure = Some(ReceiverError::Failed(format!("log record at {position}: {error}")));
            return Err(Refusal::Stop);
        }
        let poison = |error: WireError| Refusal::Poison(error.to_string());
        // The limit of today does not bind what was acknowledged yesterday; the log bounds a record's size.
        let len = snappy::declared_len(record.body).map_err(poison)?;
        snappy::decompress_capped(record.body, len, &mut self.decoded).map_err(poison)?;
        let Some(OpenGeneration { generation, .. }) = &self.open else {
            return Err(Refusal::Stop);
        };
        let table = &generation.table;
        let request = intake::Request {
            tenant: &record.tenant,
            protocol: wire_protocol(record.protocol),
            body: &self.decoded,
            table,
        };
        let intake = intake::replay(request, &record.verdict).map_err(|error| Refusal::Poison(error.to_string()))?;
        generation.append(&record.tenant, &intake.batch, table, record.arrival);
        self.replay.clock_rule.record(record.arrival);
        self.replay.metrics.replayed_records.inc();
        self.replay.advance(self.bytes_before + position.offset, self.started);
        Ok(())
    }

    fn damage(&mut self, damage: &Damage) {
        report(damage, &self.replay.metrics);
    }
}

impl Visitor<'_> {
    /// Gives the open generation to the flush loop, with all segments up to `to`: empty and torn ones go with it.
    fn hand_over(&mut self, to: u64) {
        let Some(OpenGeneration { from, generation, turn }) = self.open.take() else {
            return;
        };
        self.next_from = to + 1;
        let segments = Some(SegmentRange { from, to });
        let frozen = Frozen { generation, segments };
        // There is room for all that have a turn. Without a flush loop it stays in the log.
        let _ = self.replay.replayed.blocking_send(Replayed { frozen, turn });
    }

    /// Waits until a new generation may grow: beside one that is being staged, but alone when the head is at its bound, and when records
    /// are noted, so that a death in the staging is blamed on none of them.
    fn take_turn(&self, is_careful: bool) -> OwnedSemaphorePermit {
        let (_, head_bytes) = self.replay.generations.head_bytes();
        let is_alone = is_careful || head_bytes >= self.replay.settings.head_bytes_max;
        let turns = self.turns.clone().acquire_many_owned(if is_alone { TURNS } else { 1 });
        // Whatever ends the flush loop drops the generations that wait in it, and their turns. Nobody closes the semaphore.
        let mut turn = Handle::current()
            .block_on(turns)
            .expect("a semaphore that is never closed");
        if !is_careful && is_alone {
            drop(turn.split(TURNS as usize - 1));
        }
        turn
    }
}

/// The wire protocol of a record.
pub(crate) fn wire_protocol(protocol: Protocol) -> WriteProtocol {
    match protocol {
        Protocol::V1 => WriteProtocol::V1,
        Protocol::V2 => WriteProtocol::V2,
    }
}

fn to_gauge(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
