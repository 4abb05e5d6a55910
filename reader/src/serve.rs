//! `reader serve`: the reader as a process of its own, on port 9203.
//!
//! It has nothing to save, so ending is answering what is in flight.

use std::sync::Arc;

use emberkeep_archive::CountingStore;
use emberkeep_service::metrics::Metrics;
use emberkeep_service::problem::Outcome;
use emberkeep_service::server::{GRACE, admin_routes, bind, serve};
use emberkeep_service::shutdown::{Shutdown, Signals};

use crate::cli::ServeFlags;
use crate::{Reader, ReaderMetrics};

/// Where the reader listens when nothing is said.
const DEFAULT_ADDRESS: &str = "127.0.0.1:9203";

pub(crate) async fn run(flags: &ServeFlags) -> anyhow::Result<Outcome> {
    let file = flags.archive.prepare()?;
    let mut metrics = Metrics::new("reader");
    let reader_metrics = ReaderMetrics::register(metrics.registry());
    let (store, traffic) = CountingStore::wrap(flags.archive.open(&file)?);
    traffic.register(metrics.registry());
    let heads = flags.heads.roster()?;
    let mut settings = flags.limits.settings();
    settings.look.as_of = flags.as_of.resolve()?;
    let reader = Arc::new(Reader::new(store, heads, settings, reader_metrics));
    let past = reader.hold_past("serve --as-of").await?;
    let router = reader.router().merge(admin_routes(|| Ok(()), Arc::new(metrics)));
    let listener = bind(&flags.web.resolve(&file, DEFAULT_ADDRESS)).await?;
    let shutdown = Shutdown::new();
    tokio::spawn(Signals::install()?.serve(shutdown.clone(), || {}));
    tracing::info!(address = %listener.local_addr()?, "reader is listening");
    serve(listener, router, &shutdown, GRACE).await?;
    if let Some(past) = past {
        past.release().await;
    }
    Ok(Outcome::Done)
}
