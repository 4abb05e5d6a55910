//! Writes the answer to a head read, frame by frame.
//!
//! It must choose for each series the frame that an older reader cannot misread, and count what it wrote.

use prost::Message;

use crate::frame;
use crate::messages::head::head_read_frame::Frame;
use crate::messages::head::{HeadEnd, HeadKinds, HeadMetadata, HeadReadFrame, HeadSeries};

/// Writes the frames of an answer and counts them.
#[derive(Debug)]
pub struct HeadAnswerWriter {
    kinds: HeadKinds,
    series: u64,
    metadata: u64,
}

impl HeadAnswerWriter {
    /// `kinds` are those that were asked for, and that are answered: the end names them.
    #[must_use]
    pub fn new(kinds: HeadKinds) -> Self {
        Self {
            kinds,
            series: 0,
            metadata: 0,
        }
    }

    /// Appends the frame of one series to `out`. Series come in label order, with rows of the kinds asked for and no others: the reader
    /// refuses what it did not ask for.
    pub fn series(&mut self, series: HeadSeries, out: &mut Vec<u8>) {
        self.series += 1;
        // An older reader takes the plain frame without histograms and exemplars, and would not notice that any are missing.
        let is_plain = !series.has_histograms() && !series.has_exemplars();
        append(
            if is_plain {
                Frame::Series(series)
            } else {
                Frame::MixedSeries(series)
            },
            out,
        );
    }

    /// Appends the frame of one variant of metadata to `out`, in any order.
    pub fn metadata(&mut self, metadata: HeadMetadata, out: &mut Vec<u8>) {
        self.metadata += 1;
        append(Frame::Metadata(metadata), out);
    }

    /// Appends the end to `out`: the receiver, its epoch, and the last sequence it had committed *after* all content was taken.
    pub fn end(self, receiver: String, epoch: u64, committed: u64, out: &mut Vec<u8>) {
        append(
            Frame::End(HeadEnd {
                receiver,
                epoch,
                committed,
                series: self.series,
                metadata: self.metadata,
                kinds: self.kinds.into(),
            }),
            out,
        );
    }
}

fn append(content: Frame, out: &mut Vec<u8>) {
    let message = HeadReadFrame { frame: Some(content) };
    frame::append_frame(out, message.encoded_len(), |out| {
        message.encode(out).expect("a vector grows as long as it must");
    });
}
