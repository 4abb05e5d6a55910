//! Ingest: one remote-write body in, one durable acknowledgement out.
//!
//! admission -> snappy, capped -> borrowed decode, verdict -> ticket and log append -> the group's fdatasync -> head append -> answer
//!
//! The head is appended to only after the sync: nothing is readable that a crash could still take, and a request for which there was
//! no space leaves no trace. Never here: the object store, Parquet, a lock held across an await.

use std::sync::Arc;

use bytes::Bytes;
use emberkeep_model::TenantId;
use emberkeep_proto::content::WriteProtocol;
use emberkeep_proto::snappy;
use emberkeep_service::clock::Clock;
use emberkeep_wal::{AppendError, Protocol, Record};
use tokio::sync::OwnedSemaphorePermit;

use crate::admission::Admission;
use crate::batch::Counts;
use crate::buffers::Buffers;
use crate::clock_rule::ClockRule;
use crate::generations::{Generation, Generations, Ticket};
use crate::intake::{self, Intake, Rules};
use crate::metrics::Metrics;
use crate::settings::Settings;
use crate::sources::Sources;
use crate::status::Status;

/// What a request takes while it is worked on, in sizes of its decoded body: the body, and where its entries, labels and samples are.
const EXPANSION: usize = 4;

/// Everything the write path needs.
#[derive(Debug)]
pub(crate) struct Ingest {
    pub(crate) settings: Settings,
    pub(crate) admission: Admission,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) clock_rule: Arc<ClockRule>,
    pub(crate) generations: Arc<Generations>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) status: Arc<Status>,
    pub(crate) sources: Sources,
    pub(crate) buffers: Buffers,
    /// Where a test holds a request between log append and head append.
    pub(crate) pause: Pause,
}

/// A request body with its share of the budget.
#[derive(Debug)]
pub(crate) struct Body {
    pub(crate) bytes: Bytes,
    pub(crate) permit: OwnedSemaphorePermit,
}

/// Who sends a request, and how.
#[derive(Debug, Clone)]
pub(crate) struct Sender {
    pub(crate) tenant: TenantId,
    pub(crate) protocol: WriteProtocol,
    /// The program, as it names itself.
    pub(crate) agent: String,
}

/// What was kept of a request.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) counts: Counts,
    /// What was refused, as a text for the sender.
    pub(crate) refused: Option<String>,
}

/// Why nothing of a request was kept, by what the sender must do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IngestError {
    /// The request can never be accepted: 400.
    #[error("{0}")]
    Malformed(String),
    /// Trouble of ours; the sender must come again: 503.
    #[error("{0}")]
    Later(String),
}

impl Ingest {
    /// Makes one request durable. Must run to its end: a future dropped in between would leave a record without its head append.
    pub(crate) async fn ingest(&self, sender: Sender, body: Body) -> Result<Kept, IngestError> {
        // In this order: a drain first refuses, then waits until nothing holds a permit.
        let Body {
            bytes: body,
            permit: _permit,
        } = body;
        self.status.ready().map_err(IngestError::Later)?;
        self.check_bounds()?;
        let declared = snappy::declared_len(&body).map_err(|e| IngestError::Malformed(e.to_string()))?;
        let _permit_to_decode = self.admit(declared.min(self.settings.decoded_bytes_max).saturating_mul(EXPANSION))?;

        let mut decoded = self.buffers.take();
        snappy::decompress_capped(&body, self.settings.decoded_bytes_max, &mut decoded)
            .map_err(|e| IngestError::Malformed(e.to_string()))?;
        let arrival = self.clock.now_ms();
        let rules = Rules {
            limits: &self.settings.limits,
            now: arrival,
            batch_bytes_max: self.settings.decoded_bytes_max,
        };
        let open = self.generations.open();
        let request = intake::Request {
            tenant: &sender.tenant,
            protocol: sender.protocol,
            body: &decoded,
            table: &open.table,
        };
        let intake = intake::judge(request, &rules);
        let intake = intake.map_err(|e| IngestError::Malformed(e.to_string()))?;
        self.check_clock(&intake, arrival)?;
        self.sources.saw(&sender, intake.sent, arrival, &self.metrics);
        if intake.batch.counts().total() > 0 {
            self.make_durable(&sender, arrival, body, &intake, &open).await?;
        }
        Ok(self.account(&intake))
    }

    /// Takes bytes from the budget of what may be in flight.
    pub(crate) fn admit(&self, bytes: usize) -> Result<OwnedSemaphorePermit, IngestError> {
        let refused = || IngestError::Later("too many request bytes in flight".to_owned());
        self.admission.admit(bytes).ok_or_else(refused)
    }

    async fn make_durable(
        &self,
        sender: &Sender,
        arrival: i64,
        body: Bytes,
        intake: &Intake<'_>,
        recognised_by: &Generation,
    ) -> Result<(), IngestError> {
        let protocol = match sender.protocol {
            WriteProtocol::V1 => Protocol::V1,
            WriteProtocol::V2 => Protocol::V2,
        };
        let record = Record {
            tenant: sender.tenant.clone(),
            protocol,
            arrival,
            verdict: intake.verdict.clone(),
            body,
        };
        let (ticket, pending): (Ticket, _) = self.generations.log(record);
        pending.await.map_err(|error| self.append_failed(&error))?;
        self.clock_rule.record(arrival);
        self.pause.wait().await;
        ticket.append(&sender.tenant, &intake.batch, recognised_by, arrival);
        self.metrics.keep(intake.batch.counts());
        self.metrics.newest_acked_arrival.set(arrival as f64 / 1000.0);
        Ok(())
    }

    fn append_failed(&self, error: &AppendError) -> IngestError {
        IngestError::Later(match error {
            AppendError::Full => format!("{error}: free space under `{}`", self.settings.storage_path.display()),
            _ => error.to_string(),
        })
    }

    /// Memory and local disk have bounds; beyond them the answer is "later", because senders drop what gets a 4xx.
    fn check_bounds(&self) -> Result<(), IngestError> {
        let (_, head) = self.generations.head_bytes();
        if head > self.settings.head_bytes_max {
            return Err(IngestError::Later(format!(
                "the head holds {head} bytes and waits for its flush"
            )));
        }
        let (staged, parts) = self.generations.staged_size();
        if staged > self.settings.staging_bytes_max {
            return Err(IngestError::Later(format!(
                "{parts} staged parts of {staged} bytes wait for the object store"
            )));
        }
        Ok(())
    }

    fn check_clock(&self, intake: &Intake<'_>, now: i64) -> Result<(), IngestError> {
        let judged = match intake.n_ahead {
            0 => Ok(()),
            ahead => {
                let Counts {
                    samples,
                    histograms,
                    exemplars,
                    ..
                } = intake.sent;
                self.clock_rule.judge(now, ahead, samples + histograms + exemplars)
            }
        };
        self.metrics.clock_suspect.set(i64::from(judged.is_err()));
        judged.map_err(|suspect| {
            tracing::warn!(%suspect, "a request was put off");
            IngestError::Later(suspect.to_string())
        })
    }

    fn account(&self, intake: &Intake<'_>) -> Kept {
        self.metrics.refuse("ahead", intake.n_ahead as u64);
        self.metrics.refuse("invalid", intake.n_refused as u64);
        let refused = (intake.n_refusals() > 0).then(|| {
            let first = intake.first_refusal.as_deref().unwrap_or("no reason recorded");
            let items = intake.n_ahead + intake.n_refused;
            let others = match intake.n_bad_series {
                0 => String::new(),
                n => format!(" and {n} series without any"),
            };
            let total = intake.sent.total();
            format!(
                "{items} of {total} samples, histograms, exemplars and metadata{others} refused, the first: {first}"
            )
        });
        Kept {
            counts: intake.batch.counts(),
            refused,
        }
    }
}

/// A gate that is open in production; crash tests close it to hold a request where a rotation may overtake it.
#[derive(Debug, Clone, Default)]
pub struct Pause(Option<tokio::sync::watch::Receiver<bool>>);

impl Pause {
    /// A gate that is closed while the watched value is true.
    #[must_use]
    pub fn while_true(watched: tokio::sync::watch::Receiver<bool>) -> Self {
        Self(Some(watched))
    }

    async fn wait(&self) {
        if let Some(mut watched) = self.0.clone() {
            // A dropped sender is an open gate.
            let _ = watched.wait_for(|closed| !closed).await;
        }
    }
}
