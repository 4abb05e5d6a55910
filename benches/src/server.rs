//! A receiver or a reader in process, behind a listener on the loopback, as the product serves them.
//!
//! Through the front door, because that is what a sender and a querier pay for. One worker thread: benches show one core.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use emberkeep_archive::{DirectoryStore, ObjectStore};
use emberkeep_disk::FileSystem;
use emberkeep_reader::{Reader, ReaderMetrics, ReaderSettings};
use emberkeep_receiver::{Components, Pause, Receiver, Settings};
use emberkeep_service::clock::SystemClock;
use emberkeep_service::metrics::Metrics;
use emberkeep_service::server;
use emberkeep_service::shutdown::Shutdown;
use tokio::runtime::Runtime;

use crate::Url;

/// Larger than any bench fills, so that flushes do not begin in the middle of one.
const HEAD_BYTES: usize = 16 << 30;

/// A running server; it ends when this is dropped.
#[derive(Debug)]
pub struct Server {
    runtime: Option<Runtime>,
    address: SocketAddr,
    shutdown: Shutdown,
    receiver: Option<Arc<Receiver>>,
}

impl Server {
    /// A receiver with its data and its archive in `directory`, which never flushes by itself.
    ///
    /// # Errors
    /// When it cannot start.
    pub fn receiver(fs: Arc<dyn FileSystem>, directory: &Path) -> Result<Self> {
        let runtime = runtime()?;
        let mut settings = Settings::new(directory.to_owned());
        settings.flush_interval = Duration::from_secs(24 * 3600);
        settings.flush_bytes = HEAD_BYTES / 2;
        settings.head_bytes_max = HEAD_BYTES;
        let store: Arc<dyn ObjectStore> = Arc::new(DirectoryStore::open(fs.clone(), directory.join("archive"))?);
        let components = Components {
            fs,
            store,
            clock: Arc::new(SystemClock),
            on_fatal: Box::new(|_| std::process::exit(1)),
            pause: Pause::default(),
            stop: Arc::default(),
        };
        let mut metrics = Metrics::new("bench");
        let receiver = runtime.block_on(Receiver::start(components, settings, metrics.registry()))?;
        let (address, shutdown) = runtime.block_on(async {
            let listener = server::bind("127.0.0.1:0").await?;
            let (address, shutdown) = (listener.local_addr()?, Shutdown::new());
            let (router, stopping) = (receiver.router(), shutdown.clone());
            tokio::spawn(async move { server::serve(listener, router, &stopping, Duration::ZERO).await });
            anyhow::Ok((address, shutdown))
        })?;
        Ok(Self {
            runtime: Some(runtime),
            address,
            shutdown,
            receiver: Some(receiver),
        })
    }

    /// A reader of the archive in `store`.
    ///
    /// # Errors
    /// When it cannot start.
    pub fn reader(store: Arc<dyn ObjectStore>) -> Result<Self> {
        let runtime = runtime()?;
        let mut metrics = Metrics::new("bench");
        let reader_metrics = ReaderMetrics::register(metrics.registry());
        let reader = Arc::new(Reader::new(
            store,
            Vec::new(),
            ReaderSettings::default(),
            reader_metrics,
        ));
        let (address, shutdown) = runtime.block_on(async {
            let listener = server::bind("127.0.0.1:0").await?;
            let (address, shutdown) = (listener.local_addr()?, Shutdown::new());
            let stopping = shutdown.clone();
            tokio::spawn(async move { server::serve(listener, reader.router(), &stopping, Duration::ZERO).await });
            anyhow::Ok((address, shutdown))
        })?;
        Ok(Self {
            runtime: Some(runtime),
            address,
            shutdown,
            receiver: None,
        })
    }

    /// The URL of a path.
    #[must_use]
    pub fn url(&self, path: &str) -> Url {
        Url {
            authority: self.address.to_string(),
            path: path.to_owned(),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shutdown.trigger();
        if let Some(runtime) = self.runtime.take() {
            if let Some(receiver) = self.receiver.take() {
                runtime.block_on(receiver.shutdown());
            }
            runtime.shutdown_background();
        }
    }
}

fn runtime() -> Result<Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?)
}
