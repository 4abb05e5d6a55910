//! A wire between a program and an object store that is cut at a chosen request: before the store hears of it, or after the store has done it
//! and before the program knows. Both are what a crash in the middle of that request looks like.
//!
//! It forwards bytes as they are, so signatures stay true: they cover the address that the program speaks to.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Where in the chosen request the wire is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The store never hears of it.
    Before,
    /// The store has done it, nobody hears the answer.
    After,
}

/// A port that stands for that of a store.
pub(crate) struct Interceptor {
    pub(crate) port: u16,
    is_cut: watch::Receiver<bool>,
}

impl Interceptor {
    /// Forwards to the store on this port until request `number`, counted from 1; then nothing passes any more.
    pub(crate) async fn start(store: u16, number: u64, cut: Cut) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let (tell, is_cut) = watch::channel(false);
        let wire = Wire {
            seen: Arc::default(),
            number,
            cut,
            tell: Arc::new(tell),
        };
        tokio::spawn(async move {
            while let Ok((program, _)) = listener.accept().await {
                let wire = wire.clone();
                // A connection that breaks is a connection that ends.
                tokio::spawn(async move { wire.connection(program, store).await.ok() });
            }
        });
        Ok(Self { port, is_cut })
    }

    /// Waits until the wire is cut.
    pub(crate) async fn cut(&mut self) -> Result<()> {
        self.is_cut.wait_for(|is_cut| *is_cut).await?;
        Ok(())
    }
}

#[derive(Clone)]
struct Wire {
    seen: Arc<AtomicU64>,
    number: u64,
    cut: Cut,
    tell: Arc<watch::Sender<bool>>,
}

impl Wire {
    async fn connection(&self, program: TcpStream, store: u16) -> Result<()> {
        let (mut from_program, mut to_program) = program.into_split();
        let (mut from_store, mut to_store) = TcpStream::connect(("127.0.0.1", store)).await?.into_split();
        // Told by the one direction when the answer that comes next is the one nobody hears.
        let (chosen, is_chosen) = watch::channel(false);
        let wire = self.clone();
        let answers = tokio::spawn(async move {
            let mut bytes = vec![0; 1 << 16];
            loop {
                let n = from_store.read(&mut bytes).await?;
                if *is_chosen.borrow() {
                    wire.tell.send_replace(true);
                    std::future::pending::<()>().await;
                }
                wire.wait_while_cut().await;
                if n == 0 {
                    return anyhow::Ok(());
                }
                to_program.write_all(&bytes[..n]).await?;
            }
        });
        let mut bytes = vec![0; 1 << 16];
        loop {
            let n = from_program.read(&mut bytes).await?;
            if n == 0 {
                answers.abort();
                return Ok(());
            }
            if begins_request(&bytes[..n]) && self.seen.fetch_add(1, Ordering::SeqCst) + 1 == self.number {
                match self.cut {
                    Cut::Before => {
                        self.tell.send_replace(true);
                    }
                    Cut::After => {
                        chosen.send_replace(true);
                    }
                }
            }
            self.wait_while_cut().await;
            to_store.write_all(&bytes[..n]).await?;
        }
    }

    /// Nothing passes a wire that is cut, on any connection.
    async fn wait_while_cut(&self) {
        if *self.tell.borrow() {
            std::future::pending::<()>().await;
        }
    }
}

/// A client writes the head of a request at once, and never two requests before the answer.
fn begins_request(bytes: &[u8]) -> bool {
    [&b"GET "[..], b"PUT ", b"POST ", b"HEAD ", b"DELETE "]
        .iter()
        .any(|method| bytes.starts_with(method))
}
