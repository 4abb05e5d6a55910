//! Ten times more than it is allowed to hold, for a bounded time, while what is flushed is merged: memory stays inside its bounds, what is
//! refused is told to come again, and nothing acknowledged is lost.

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::corpus::drain;
use crate::gauges::{Gauges, resident};
use crate::load::{Ledger, Template, send};
use crate::process::{Emberkeep, eventually};
use crate::wire;

const SENDERS: usize = 40;
const SERIES: usize = 4_000;
const IN_FLIGHT_LIMIT: u64 = 2 << 20;
const HEAD_LIMIT: u64 = 24 << 20;
/// How long the load lasts once it has begun to be refused; `EMBERKEEP_OVERLOAD_SECONDS` makes it longer, for a run by hand.
const LOAD: Duration = Duration::from_secs(8);

const MERGE_LIMIT: u64 = 98 << 20;
/// What the process may hold beside what the limits count: programs and tables, decoded requests beside their bytes, a part
/// being written, and what the allocator keeps of all that.
const BESIDE: u64 = 96 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_times_too_much_stays_in_its_bounds_and_loses_nothing_acknowledged() -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let arguments = [
        "--write.in-flight-limit=2MB",
        "--head.size-limit=24MB",
        "--flush.size=12MB",
        "--flush.interval=1h",
        "--fold.interval=1s",
        "--compact.interval=1s",
        "--compact.settle=1s",
        "--compact.max-memory=98MB",
    ];
    let server = Emberkeep::start(scratch.path(), &arguments)?;
    let client = wire::client();
    let limits = Gauges::scrape(&client, &server).await?;
    ensure!(limits.of("receiver_in_flight_limit_bytes")? == IN_FLIGHT_LIMIT as f64);
    ensure!(limits.of("receiver_head_limit_bytes")? == HEAD_LIMIT as f64);
    ensure!(limits.of("compactor_merge_memory_limit_bytes")? == MERGE_LIMIT as f64);
    let before = resident(&server)?;

    let ledger = Arc::new(Ledger::default());
    let mut offered = 0;
    let senders: Vec<_> = (0..SENDERS)
        .map(|sender| {
            let template = Template::new(sender, SERIES);
            offered += template.bytes() as u64;
            tokio::spawn(send(server.url("/api/v1/write"), template, ledger.clone()))
        })
        .collect();
    ensure!(
        offered >= 10 * IN_FLIGHT_LIMIT,
        "only {offered} bytes at a time are too little"
    );

    let refused = &ledger;
    eventually(|| async move {
        ensure!(refused.n_refused() > 100, "only {} are refused", refused.n_refused());
        Ok(())
    })
    .await?;
    let longer = std::env::var("EMBERKEEP_OVERLOAD_SECONDS").map(|seconds| seconds.parse());
    let load = longer.map_or(Ok(LOAD), |seconds| seconds.map(Duration::from_secs))?;
    let (until, mut most_resident, mut most_head) = (Instant::now() + load, 0, 0.0_f64);
    while Instant::now() < until {
        let now = Gauges::scrape(&client, &server).await?;
        let (in_flight, head) = (now.of("receiver_in_flight_bytes")?, now.of("receiver_head_bytes")?);
        ensure!(in_flight <= IN_FLIGHT_LIMIT as f64, "{in_flight} bytes in flight");
        // Requests that were let in while the head was within its limit may still arrive in it.
        let head_most = HEAD_LIMIT + 8 * IN_FLIGHT_LIMIT;
        ensure!(head <= head_most as f64, "{head} bytes of head");
        most_resident = most_resident.max(resident(&server)?);
        most_head = most_head.max(head);
    }
    let bound = before + HEAD_LIMIT + IN_FLIGHT_LIMIT + MERGE_LIMIT + BESIDE;
    ensure!(
        most_resident <= bound,
        "{most_resident} bytes resident, {before} before the load, bound {bound}"
    );
    ledger.stop();
    for sender in senders {
        sender.await??;
    }
    let (acknowledged, refused) = (ledger.n_acknowledged(), ledger.n_refused());
    // Shown by `--nocapture`, for the run by hand.
    writeln!(
        std::io::stderr(),
        "{load:?}: {acknowledged} requests acknowledged, {refused} refused; most resident {most_resident} bytes ({before} before), most in \
         the head {most_head}"
    )?;
    ensure!(
        acknowledged >= 10,
        "{acknowledged} acknowledged, {refused} refused: it came to a standstill"
    );
    drain(server)?;
    ledger.check(scratch.path(), |_| SERIES)
}
