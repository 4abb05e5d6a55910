//! Borrowed decoder of remote write 2.0 (`io.prometheus.write.v2.Request`).
//!
//! [`Request::parse`] reads the whole body once and refuses it as a whole; series are then walked without errors of the format and without
//! allocation. References into the symbol table are judged where they are used, as the specification wants, and so is everything about content.

mod entries;
mod exemplar;
mod metadata;
mod series;
mod symbols;

pub use entries::{Entries, Entry, packed_refs, symbols};
pub use exemplar::Exemplar;
pub use metadata::{Metadata, MetadataRefs};
pub use series::Series;
pub use symbols::{SymbolError, SymbolLabel, Symbols};

use crate::WireError;
use crate::fields::repeated;
use crate::wire::{Cursor, LENGTH, key};

const REQUEST_SYMBOLS: u32 = key(4, LENGTH);
const REQUEST_TIMESERIES: u32 = key(5, LENGTH);

/// A request whose whole body is known to be well formed. Borrows the decompressed body and owns the places of its symbols: four bytes for
/// each of them, see [`Symbols`] for the bound.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    body: Cursor<'a>,
    symbols: Symbols<'a>,
    n_series: usize,
}

impl<'a> Request<'a> {
    /// Reads `body`, a decompressed `io.prometheus.write.v2.Request`, to its end. Symbols may stand anywhere in it.
    ///
    /// # Errors
    /// [`WireError::Malformed`] with the first place that is not protobuf or not this message; [`WireError::FirstSymbol`] when there are
    /// symbols and the first is not the empty string.
    pub fn parse(body: &'a [u8]) -> Result<Self, WireError> {
        let mut request = Self {
            body: Cursor::new(body),
            symbols: Symbols::new(body),
            n_series: 0,
        };
        let mut fields = request.body;
        while let Some(key) = fields.key()? {
            match key {
                REQUEST_SYMBOLS => request.symbols.push(&mut fields)?,
                REQUEST_TIMESERIES => {
                    series::check(fields.message()?)?;
                    request.n_series += 1;
                }
                other => fields.skip_unknown(other, &[4, 5])?,
            }
        }
        match request.symbols.get(0) {
            Some(first) if !first.is_empty() => Err(WireError::FirstSymbol),
            _ => Ok(request),
        }
    }

    /// The symbol table; the first symbol, if there is any, is empty.
    #[must_use]
    pub fn symbols(&self) -> &Symbols<'a> {
        &self.symbols
    }

    /// The series entries in the order of the wire; a series may occur many times.
    #[inline]
    pub fn series(&self) -> impl Iterator<Item = Series<'_, 'a>> {
        repeated(self.body, REQUEST_TIMESERIES, |entry| {
            Series::scan(&self.symbols, entry)
        })
    }

    /// Number of series entries.
    #[must_use]
    pub fn n_series(&self) -> usize {
        self.n_series
    }
}
