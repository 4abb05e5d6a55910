//! Fifty real `kill -9` at full load, over both protocols: whatever was answered with 204 is there afterwards, exactly, and nothing that was
//! never sent.

use std::sync::Arc;

use anyhow::{Result, ensure};

use crate::corpus::drain;
use crate::gauges::Gauges;
use crate::load::{Ledger, Template, send};
use crate::process::{Emberkeep, eventually};
use crate::wire;

const KILLS: usize = 50;
/// Samples of the requests of each sender, the next of which is sent as soon as the answer comes. Even ones speak 1.0, odd ones 2.0.
const SENDERS: [usize; 4] = [400, 400, 40, 40];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_kills_at_full_load_lose_nothing_acknowledged() -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let arguments = ["--flush.interval=300ms", "--fold.interval=200ms"];
    let mut server = Emberkeep::start(scratch.path(), &arguments)?;
    let (ledger, client_of_metrics) = (Arc::new(Ledger::default()), wire::client());
    let senders: Vec<_> = (0..SENDERS.len())
        .map(|sender| {
            let template = Template::new(sender, SENDERS[sender]);
            tokio::spawn(send(server.url("/api/v1/write"), template, ledger.clone()))
        })
        .collect();
    for kill in 0..KILLS {
        // Between 2 and 30 acknowledged requests after each start, so that kills fall into writes, flushes and commits alike.
        let wanted = ledger.n_acknowledged() + 2 + (kill * 7) % 29;
        let client = &ledger;
        eventually(|| async move {
            let now = client.n_acknowledged();
            ensure!(now >= wanted, "{now} of {wanted} requests acknowledged");
            Ok(())
        })
        .await?;
        if kill % 5 == 4 {
            // Now and then a life reaches the archive, so that the log does not only grow.
            let (client, running) = (&client_of_metrics, &server);
            eventually(|| async move {
                let commits = Gauges::scrape(client, running).await?.of("receiver_commits_total")?;
                ensure!(commits > 0.0, "nothing is committed");
                Ok(())
            })
            .await?;
        }
        server = server.kill_and_restart()?;
    }
    ledger.stop();
    for sender in senders {
        sender.await??;
    }
    drain(server)?;
    ensure!(
        ledger.n_acknowledged() > KILLS * 2,
        "too little load: {}",
        ledger.n_acknowledged()
    );
    ledger.check(scratch.path(), |sender| SENDERS[sender])
}
