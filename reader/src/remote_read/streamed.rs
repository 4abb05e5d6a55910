//! The streamed answer: one frame for each series, XOR chunks of 120 samples.
//!
//! The hot loop of the reader: whole columns go to the encoder, and nothing is kept but the series' own encoded chunks and what
//! does not fill a chunk yet. Chunk ranges are exact and do not overlap, because Prometheus' client looks for a time in one
//! chunk only.

use emberkeep_model::Run;
use emberkeep_tsdb::SAMPLES_PER_CHUNK;
use emberkeep_tsdb::chunk::xor;

use super::body::BodySender;
use super::frame::SeriesFrame;
use crate::{ReaderError, ReaderMetrics, Scan};

/// Writes the frames of a query.
pub(super) async fn write(
    mut scan: Scan,
    query_index: u64,
    metrics: &ReaderMetrics,
    body: &mut BodySender,
) -> Result<(), ReaderError> {
    let mut frame = SeriesFrame::default();
    let mut chunks = Chunks::default();
    let mut piece = Run::default();
    while let Some(labels) = scan.next_series().await? {
        frame.start(&labels);
        let mut samples = 0;
        while scan.next_piece(&mut piece).await? {
            samples += piece.len() as u64;
            chunks.push(&piece, &mut frame)?;
        }
        chunks.finish(&mut frame)?;
        metrics.series(samples);
        frame.finish(query_index, body).await?;
    }
    metrics.conflicts(scan.conflicts());
    Ok(())
}

/// Cuts the samples of a series into chunks.
#[derive(Debug, Default)]
struct Chunks {
    /// Samples that do not fill a chunk yet.
    timestamps: Vec<i64>,
    values: Vec<f64>,
    data: Vec<u8>,
}

impl Chunks {
    fn push(&mut self, piece: &Run, frame: &mut SeriesFrame) -> Result<(), ReaderError> {
        let (mut timestamps, mut values) = (piece.timestamps.as_slice(), piece.values.as_slice());
        if !self.timestamps.is_empty() {
            let missing = (SAMPLES_PER_CHUNK - self.timestamps.len()).min(timestamps.len());
            self.timestamps.extend_from_slice(&timestamps[..missing]);
            self.values.extend_from_slice(&values[..missing]);
            (timestamps, values) = (&timestamps[missing..], &values[missing..]);
            if self.timestamps.len() == SAMPLES_PER_CHUNK {
                self.finish(frame)?;
            }
        }
        let whole = timestamps.len() - timestamps.len() % SAMPLES_PER_CHUNK;
        let cut = timestamps[..whole]
            .chunks_exact(SAMPLES_PER_CHUNK)
            .zip(values[..whole].chunks_exact(SAMPLES_PER_CHUNK));
        for (timestamps, values) in cut {
            encode(timestamps, values, &mut self.data, frame)?;
        }
        self.timestamps.extend_from_slice(&timestamps[whole..]);
        self.values.extend_from_slice(&values[whole..]);
        Ok(())
    }

    /// Writes what is left as a chunk of its own.
    fn finish(&mut self, frame: &mut SeriesFrame) -> Result<(), ReaderError> {
        if !self.timestamps.is_empty() {
            encode(&self.timestamps, &self.values, &mut self.data, frame)?;
            self.timestamps.clear();
            self.values.clear();
        }
        Ok(())
    }
}

fn encode(timestamps: &[i64], values: &[f64], data: &mut Vec<u8>, frame: &mut SeriesFrame) -> Result<(), ReaderError> {
    data.clear();
    xor::encode(timestamps, values, data);
    frame.push_chunk(timestamps[0], timestamps[timestamps.len() - 1], data)
}
