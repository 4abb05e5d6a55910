//! Requests of remote write 2.0 put together by a test, series by series, with prost alone.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use emberkeep_proto::messages::write_v2 as v2;
use prost::Message;

/// A request that grows; strings become symbols once.
pub(crate) struct Requests {
    symbols: Vec<String>,
    series: Vec<u8>,
}

impl Requests {
    pub(crate) fn new() -> Self {
        Self {
            symbols: vec![String::new()],
            series: Vec::new(),
        }
    }

    /// The position of a string in the symbols.
    pub(crate) fn symbol(&mut self, text: &str) -> u32 {
        let known = self.symbols.iter().position(|s| s == text);
        let index = known.unwrap_or_else(|| {
            self.symbols.push(text.to_owned());
            self.symbols.len() - 1
        });
        u32::try_from(index).unwrap_or(u32::MAX)
    }

    /// The position of a string that is not in the symbols yet.
    pub(crate) fn fresh(&mut self, text: &str) -> u32 {
        self.symbols.push(text.to_owned());
        u32::try_from(self.symbols.len() - 1).unwrap_or(u32::MAX)
    }

    /// References for pairs of names and values, in the order given.
    pub(crate) fn refs<S: AsRef<str>>(&mut self, pairs: &[(S, S)]) -> Vec<u32> {
        let refs = pairs.iter();
        refs.flat_map(|(name, value)| [self.symbol(name.as_ref()), self.symbol(value.as_ref())])
            .collect()
    }

    /// Adds a series with fields that the schema does not know appended to it.
    pub(crate) fn push(&mut self, series: &v2::TimeSeries, unknown_fields: &[u8]) {
        let mut message = series.encode_to_vec();
        message.extend_from_slice(unknown_fields);
        self.series.push(0x2a);
        prost::encoding::encode_varint(message.len() as u64, &mut self.series);
        self.series.extend_from_slice(&message);
    }

    /// The compressed body.
    pub(crate) fn body(&self) -> Result<Vec<u8>> {
        let mut request = v2::Request {
            symbols: self.symbols.clone(),
            timeseries: vec![],
        }
        .encode_to_vec();
        request.extend_from_slice(&self.series);
        Ok(snap::raw::Encoder::new().compress_vec(&request)?)
    }
}

/// Milliseconds of the machine's clock, which senders use.
pub(crate) fn now_ms() -> Result<i64> {
    #[expect(clippy::disallowed_methods, reason = "a sender has the machine's clock")]
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    Ok(i64::try_from(now.as_millis())?)
}
