//! The work that is counted: one receiver, whole, with its routes called directly; no socket, one thread for all but its log.
//!
//! Its phases end at [`phase_ends`], where callgrind writes out what it counted and begins anew. All requests are made before the
//! first phase that counts. It must do the same work in every run: no random choice, no clock but a manual one.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use emberkeep_archive::DirectoryStore;
use emberkeep_disk::RealFs;
use emberkeep_receiver::{Components, Pause, Receiver, Settings};
use emberkeep_service::clock::ManualClock;
use emberkeep_service::metrics::Metrics;
use tower::ServiceExt;

use crate::requests::{INTERVAL_MS, Protocol, SERIES, START_MS};

/// Scrapes of known series in each protocol.
pub(crate) const SCRAPES: u64 = 30;

/// The phases in their order; what comes after the last one is not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Requests are made, the receiver starts: counted, never looked at.
    Start,
    /// The first scrape in each protocol: series are registered.
    Register,
    /// Known series, remote write 1.0.
    KnownV1,
    /// Known series, remote write 2.0.
    KnownV2,
    /// Everything so far becomes a staged part.
    Flush,
}

impl Phase {
    /// In the order in which they run.
    pub(crate) const ALL: [Self; 5] = [Self::Start, Self::Register, Self::KnownV1, Self::KnownV2, Self::Flush];

    /// How many samples, or series when they are registered, go through it.
    pub(crate) fn units(self) -> u64 {
        match self {
            Self::Start => 1,
            Self::Register => SERIES,
            Self::KnownV1 | Self::KnownV2 => SCRAPES * SERIES,
            Self::Flush => 2 * (1 + SCRAPES) * SERIES,
        }
    }
}

/// The name by which callgrind knows where a phase ends.
pub(crate) const MARKER: &str = "*work::phase_ends*";

#[inline(never)]
fn phase_ends(phase: Phase) {
    std::hint::black_box(phase);
}

/// Runs all phases on an empty directory.
pub(crate) fn run(directory: &Path) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        // Every scrape has its own timestamps, whatever the protocol: no row is there twice.
        let scrapes = |protocol: Protocol, from: u64, count: u64| -> Result<Vec<Vec<u8>>> {
            (from..from + count).map(|scrape| protocol.scrape(scrape)).collect()
        };
        let (first_v1, first_v2) = (scrapes(Protocol::V1, 1, 1)?, scrapes(Protocol::V2, 2, 1)?);
        let known_v1 = scrapes(Protocol::V1, 3, SCRAPES)?;
        let known_v2 = scrapes(Protocol::V2, 3 + SCRAPES, SCRAPES)?;
        let receiver = start(directory).await?;
        let router = receiver.router();
        // One round that nobody counts: what is done once, such as claiming an epoch, is done behind it.
        send(&router, Protocol::V1, scrapes(Protocol::V1, 0, 1)?).await?;
        receiver.flush().await;
        let records = directory.join("archive/_archive/log");
        while std::fs::read_dir(&records).map_or(0, Iterator::count) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        phase_ends(Phase::Start);
        send(&router, Protocol::V1, first_v1).await?;
        send(&router, Protocol::V2, first_v2).await?;
        phase_ends(Phase::Register);
        send(&router, Protocol::V1, known_v1).await?;
        phase_ends(Phase::KnownV1);
        send(&router, Protocol::V2, known_v2).await?;
        phase_ends(Phase::KnownV2);
        receiver.flush().await;
        phase_ends(Phase::Flush);
        receiver.shutdown().await;
        Ok(())
    })
}

async fn start(directory: &Path) -> Result<Arc<Receiver>> {
    let mut settings = Settings::new(directory.to_owned());
    // It flushes when it is told to.
    settings.flush_interval = Duration::from_secs(24 * 3600);
    // No second segment in the middle of a phase.
    settings.segment_bytes = 64 << 20;
    let fs = Arc::new(RealFs);
    let components = Components {
        fs: fs.clone(),
        store: Arc::new(DirectoryStore::open(fs, directory.join("archive"))?),
        clock: Arc::new(ManualClock::new(START_MS + 1_000 * INTERVAL_MS)),
        on_fatal: Box::new(|_| std::process::exit(1)),
        pause: Pause::default(),
        stop: Arc::default(),
    };
    let mut metrics = Metrics::new("guard");
    Ok(Receiver::start(components, settings, metrics.registry()).await?)
}

async fn send(router: &Router, protocol: Protocol, bodies: Vec<Vec<u8>>) -> Result<()> {
    for body in bodies {
        let request = Request::post("/api/v1/write")
            .header("Content-Type", protocol.content_type())
            .header("Content-Encoding", "snappy")
            .header("Content-Length", body.len())
            .body(Body::from(body))
            .context("a request of fixed parts")?;
        let answer = router.clone().oneshot(request).await?;
        ensure!(
            answer.status() == StatusCode::NO_CONTENT,
            "the receiver answered {}",
            answer.status()
        );
    }
    Ok(())
}
