//! A connection that says when it moves bytes, and fails when its client takes nothing for too long.
//!
//! Whoever does not read an answer would otherwise be held for ever: neither TCP nor HTTP has a timeout for that.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::room::Place;

/// How long a client may take nothing of what is sent to it. Longer than an evaluation of a query pauses in its reading.
pub(super) const STALL: Duration = Duration::from_secs(120);

/// A connection and its place.
#[derive(Debug)]
pub(super) struct Watched<C> {
    connection: C,
    place: Arc<Place>,
    /// Runs while the client takes nothing.
    stall: Pin<Box<Sleep>>,
    is_stalled: bool,
}

impl<C> Watched<C> {
    pub(super) fn new(connection: C, place: Arc<Place>) -> Self {
        Self {
            connection,
            place,
            stall: Box::pin(tokio::time::sleep(STALL)),
            is_stalled: false,
        }
    }

    /// What becomes of an attempt to write.
    fn written(&mut self, context: &mut Context<'_>, attempt: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if attempt.is_ready() {
            self.is_stalled = false;
            self.place.moved();
            return attempt;
        }
        if !self.is_stalled {
            self.is_stalled = true;
            self.stall.as_mut().reset(Instant::now() + STALL);
        }
        match self.stall.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the client takes nothing of its answer",
            ))),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<C: AsyncRead + Unpin> AsyncRead for Watched<C> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let attempt = Pin::new(&mut self.connection).poll_read(context, buffer);
        if attempt.is_ready() {
            self.place.moved();
        }
        attempt
    }
}

impl<C: AsyncWrite + Unpin> AsyncWrite for Watched<C> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let attempt = Pin::new(&mut self.connection).poll_write(context, bytes);
        self.written(context, attempt)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let attempt = Pin::new(&mut self.connection).poll_write_vectored(context, pieces);
        self.written(context, attempt)
    }

    fn is_write_vectored(&self) -> bool {
        self.connection.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::super::room::Room;
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_reads_slowly_is_served_and_who_reads_nothing_is_not() {
        let (ours, mut theirs) = duplex(10);
        let mut watched = Watched::new(ours, Arc::new(Room::new(1).place().await));
        let writing = tokio::spawn(async move { watched.write_all(&[7; 30]).await });
        // Thirty bytes through a pipe of ten: the last ten stay in it.
        for _ in 0..20 {
            tokio::time::sleep(STALL * 9 / 10).await;
            assert_eq!(theirs.read_u8().await.unwrap(), 7);
        }
        writing.await.unwrap().unwrap();

        let (ours, _theirs) = duplex(10);
        let mut watched = Watched::new(ours, Arc::new(Room::new(1).place().await));
        let began = Instant::now();
        let error = watched.write_all(&[7; 30]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!((STALL..STALL * 2).contains(&began.elapsed()));
    }
}
