//! The streamed answer: one frame for each series, with chunks of the encodings 1 to 3, which every client of remote read knows.
//!
//! The hot loop of the reader: whole columns go to the encoder, and nothing is kept but the series' own encoded chunks and what
//! does not fill a chunk yet. Chunk ranges are exact and do not overlap, because Prometheus' client looks for a time in one
//! chunk only. Start timestamps are left out: the encodings that hold them are not negotiated, and older clients fail on them.

use emberkeep_model::SeriesRuns;
use emberkeep_tsdb::chunk::SeriesEncoder;

use super::body::BodySender;
use super::budget::Budget;
use super::frame::SeriesFrame;
use crate::{ReaderError, ReaderMetrics, SeriesReader};

/// Writes the frames of a query.
pub(super) async fn write(
    scan: &mut SeriesReader,
    query_index: u64,
    budget: &mut Budget,
    metrics: &ReaderMetrics,
    body: &mut BodySender,
) -> Result<(), ReaderError> {
    let mut frame = SeriesFrame::default();
    let mut encoder = SeriesEncoder::new();
    let mut piece = SeriesRuns::default();
    while let Some(labels) = scan.next_series().await? {
        budget.series()?;
        frame.start(&labels);
        let mut samples = 0;
        while scan.next_piece(&mut piece).await? {
            samples += piece.len();
            budget.samples(piece.len())?;
            encoder.push(&piece.samples, &piece.histograms, |chunk| frame.push_chunk(&chunk))?;
        }
        encoder.finish(|chunk| frame.push_chunk(&chunk))?;
        budget.bytes(body.written() + frame.bytes() as u64)?;
        metrics.series(samples as u64);
        frame.finish(query_index, body).await?;
    }
    Ok(())
}
