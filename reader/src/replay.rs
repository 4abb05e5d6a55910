//! `reader replay`: a time range of the archive sent to any remote-write endpoint, in the order of time.
//!
//! In slices: of each slice all series are sent, those of one shard one after the other, and no slice begins before the last one was
//! taken whole. So a receiver that takes samples only near its newest one takes them all, and what is remembered is one time. It must
//! never skip what was not taken.

mod batch;
mod endpoint;
mod progress;

use std::io::Write;
use std::path::PathBuf;

use emberkeep_model::head::HeadKinds;
use emberkeep_model::{SeriesRuns, TimeRange};
use emberkeep_service::time_expr::format_rfc3339;
use emberkeep_tsdb::windows;
use indicatif::ProgressBar;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use xxhash_rust::xxh3::xxh3_64;

use self::batch::{Batch, Request};
use self::endpoint::Endpoint;
use self::progress::Progress;
use crate::export::census::windows_with_data;
use crate::export::throttle::Throttle;
use crate::replicas::{Doubles, MergedScan};
use crate::scan::{Ground, Opened};
use crate::sources::Look;
use crate::{Query, ReaderError, ReplicaLabels, SeriesReader, Sources};

/// Requests that wait for a shard's connection.
const WAITING: usize = 2;

/// What is sent, and where to.
#[derive(Debug, Clone)]
pub struct Replay {
    /// Which samples.
    pub query: Query,
    /// The endpoint.
    pub to: String,
    /// Its tenant, when it has some.
    pub tenant: Option<String>,
    /// Labels that are taken off.
    pub stripped: ReplicaLabels,
    /// The arguments as they were given, by which an interrupted replay is recognised.
    pub arguments: Vec<String>,
    /// Where it is remembered how far it came.
    pub state: PathBuf,
    /// Samples in a second at most.
    pub rate: Option<u64>,
    /// Connections.
    pub shards: usize,
    /// Length of a slice, milliseconds.
    pub slice_ms: i64,
}

impl Replay {
    /// Sends everything; returns how many samples, those of interrupted runs included.
    ///
    /// # Errors
    /// When the archive cannot be read, or the endpoint refuses samples or takes none for too long.
    pub async fn run(
        self,
        sources: &Sources,
        err: &mut (dyn Write + Send),
        bar: &ProgressBar,
    ) -> Result<u64, ReaderError> {
        let endpoint = Endpoint::new(&self.to, self.tenant.clone())?;
        let begun = Progress::load(&self.state, &self.arguments)?;
        let mut progress = begun.unwrap_or_else(|| Progress::new(self.arguments.clone(), self.query.range));
        progress.save(&self.state)?;
        let query = Query {
            range: progress.rest(),
            ..self.query.clone()
        };
        let who = format!("replay to `{}`", self.to);
        let pinned = sources.pinned_look(&query, HeadKinds::Samples, &who).await?;
        let sent = self
            .send_all(sources, pinned.look.clone(), query, &endpoint, &mut progress, bar)
            .await;
        pinned.release().await;
        sent?;
        Progress::remove(&self.state)?;
        bar.finish_and_clear();
        writeln!(
            err,
            "{} samples sent to {} and taken; exemplars, metadata and start timestamps are not sent",
            progress.samples, self.to
        )
        .map_err(ReaderError::file("standard error"))?;
        Ok(progress.samples)
    }

    async fn send_all(
        &self,
        sources: &Sources,
        look: Look,
        query: Query,
        endpoint: &Endpoint,
        progress: &mut Progress,
        bar: &ProgressBar,
    ) -> Result<(), ReaderError> {
        let with_data = windows_with_data(sources.store(), &look, &query, HeadKinds::Samples).await?;
        bar.set_length(with_data.len() as u64);
        let throttle = Throttle::new(self.rate);
        for window in with_data {
            bar.set_message(format_rfc3339(window.start));
            for slice in windows(window.intersect(query.range), self.slice_ms) {
                let range = slice.intersect(window).intersect(query.range);
                progress.samples += self
                    .send_slice(sources, &look, &query, range, endpoint, &throttle)
                    .await?;
                progress.done_ms = range.end;
                progress.save(&self.state)?;
            }
            bar.inc(1);
        }
        Ok(())
    }

    /// Sends one slice; returns when all of it is taken.
    async fn send_slice(
        &self,
        sources: &Sources,
        look: &Look,
        query: &Query,
        range: TimeRange,
        endpoint: &Endpoint,
        throttle: &Throttle,
    ) -> Result<u64, ReaderError> {
        let query = Query { range, ..query.clone() };
        let opened = Opened::open(
            Ground::of(sources.store(), look),
            &query,
            HeadKinds::Samples,
            usize::MAX,
        )
        .await?;
        let mut rows = if self.stripped.is_empty() {
            SeriesReader::archived(opened.scan().await?, Vec::new())
        } else {
            let merged = MergedScan::without(&opened, &self.stripped, Doubles::Refused).await?;
            SeriesReader::merged(merged, Vec::new())
        };
        let mut shards = Shards::start(self.shards, endpoint);
        let (mut piece, mut full, mut samples) = (SeriesRuns::default(), Vec::new(), 0);
        while let Some(labels) = rows.next_series().await? {
            let shard = (xxh3_64(labels.as_bytes()) % self.shards as u64) as usize;
            while rows.next_piece(&mut piece).await? {
                shards.batches[shard].add(&labels, &piece, &mut full);
                for request in full.drain(..) {
                    samples += request.samples;
                    throttle.take(request.samples).await;
                    shards.send(shard, request).await?;
                }
            }
        }
        for shard in 0..self.shards {
            if let Some(request) = shards.batches[shard].finish() {
                samples += request.samples;
                throttle.take(request.samples).await;
                shards.send(shard, request).await?;
            }
        }
        shards.finish().await?;
        Ok(samples)
    }
}

/// The connections of one slice.
struct Shards {
    batches: Vec<Batch>,
    senders: Vec<mpsc::Sender<Request>>,
    tasks: JoinSet<Result<(), ReaderError>>,
}

impl Shards {
    fn start(count: usize, endpoint: &Endpoint) -> Self {
        let (mut senders, mut tasks) = (Vec::new(), JoinSet::new());
        for _ in 0..count {
            let (sender, mut requests) = mpsc::channel::<Request>(WAITING);
            let endpoint = endpoint.clone();
            tasks.spawn(async move {
                while let Some(request) = requests.recv().await {
                    endpoint.send(request).await?;
                }
                Ok(())
            });
            senders.push(sender);
        }
        Self {
            batches: (0..count).map(|_| Batch::default()).collect(),
            senders,
            tasks,
        }
    }

    async fn send(&mut self, shard: usize, request: Request) -> Result<(), ReaderError> {
        if self.senders[shard].send(request).await.is_err() {
            // The connection gave up, and its task says why.
            return self.joined().await.and(Err(ReaderError::Gone));
        }
        Ok(())
    }

    async fn finish(mut self) -> Result<(), ReaderError> {
        self.senders.clear();
        self.joined().await
    }

    /// Waits for the tasks that end; the first error ends the others.
    async fn joined(&mut self) -> Result<(), ReaderError> {
        while let Some(done) = self.tasks.join_next().await {
            match done {
                Ok(done) => done?,
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                Err(_) => return Err(ReaderError::Gone),
            }
        }
        Ok(())
    }
}
