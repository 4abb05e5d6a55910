//! The symbol table of a remote write 2.0 request, kept as places in the body.
//!
//! An empty symbol is two bytes on the wire, so what a symbol costs here must stay small: it is four bytes, and no symbol is ever copied.

use crate::error::Malformed;
use crate::fields::scalars;
use crate::shape;
use crate::wire::{Cursor, VARINT};

/// Why a reference into the symbol table cannot be followed. It costs its own series, exemplar or metadata, and nothing else of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SymbolError {
    /// A name without a value.
    #[error("the number of label references is odd")]
    OddCount,
    /// A reference past the end of the symbol table.
    #[error("symbol reference {reference} is out of range, the request has {symbols} symbols")]
    OutOfRange {
        /// The reference.
        reference: u32,
        /// Number of symbols in the table.
        symbols: usize,
    },
}

/// Name and value of a label, or why they cannot be had.
pub type SymbolLabel<'a> = Result<(&'a [u8], &'a [u8]), SymbolError>;

/// The symbols of a request. Borrows the body and owns four bytes for each symbol, of which the body holds two at least: at most twice the
/// body, as much again that a growing list keeps in reserve, and at the moment in which it moves the half of that once more.
#[derive(Debug, Clone)]
pub struct Symbols<'a> {
    body: &'a [u8],
    /// Where the length of each symbol stands. Not where its end is as well: that would double the bound.
    places: Vec<u32>,
}

impl<'a> Symbols<'a> {
    pub(super) fn new(body: &'a [u8]) -> Self {
        Self {
            body,
            places: Vec::new(),
        }
    }

    /// Takes the symbol that `fields` stands before: its key was just read.
    #[inline]
    pub(super) fn push(&mut self, fields: &mut Cursor<'a>) -> Result<(), Malformed> {
        let Ok(place) = u32::try_from(fields.offset()) else {
            return Err(fields.malformed("a symbol behind the first 4 GiB"));
        };
        fields.message()?;
        self.places.push(place);
        Ok(())
    }

    /// Number of symbols.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is none, as in a request without series.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The symbol at this position. Perhaps not UTF-8.
    #[must_use]
    #[inline]
    pub fn get(&self, reference: u32) -> Option<&'a [u8]> {
        self.at(*self.places.get(reference as usize)?)
    }

    /// All symbols; the first, if there is any, is empty. Perhaps not UTF-8.
    pub fn iter(&self) -> impl Iterator<Item = &'a [u8]> {
        self.places.iter().filter_map(|place| self.at(*place))
    }

    /// The symbol whose length stands there. Always found: it was read once before.
    #[inline]
    fn at(&self, place: u32) -> Option<&'a [u8]> {
        let mut fields = Cursor::new(self.body).part(place as usize, self.body.len());
        fields.bytes().ok()
    }

    /// [`Self::get`], with the reason.
    #[inline]
    pub(super) fn resolve(&self, reference: u32) -> Result<&'a [u8], SymbolError> {
        self.get(reference).ok_or(SymbolError::OutOfRange {
            reference,
            symbols: self.len(),
        })
    }

    /// What packed label references stand for. Ends after the first error.
    ///
    /// # Errors
    /// [`crate::WireError::Malformed`] when the bytes are no varints.
    pub fn packed_labels<'p>(
        &'p self,
        refs: &'p [u8],
    ) -> Result<impl Iterator<Item = SymbolLabel<'a>> + use<'p, 'a>, crate::WireError> {
        shape::check_packed_varints(Cursor::new(refs))?;
        // Checked, so no item is an error.
        Ok(self.labels(super::packed_refs(refs).flatten()))
    }

    /// What label references, names and values in turn, stand for. Ends after the first error.
    #[inline]
    pub(super) fn labels(&self, mut refs: impl Iterator<Item = u32>) -> impl Iterator<Item = SymbolLabel<'a>> {
        let mut failed = false;
        std::iter::from_fn(move || {
            if failed {
                return None;
            }
            let name = refs.next()?;
            let pair = match refs.next() {
                Some(value) => self.resolve(name).and_then(|name| Ok((name, self.resolve(value)?))),
                None => Err(SymbolError::OddCount),
            };
            failed = pair.is_err();
            Some(pair)
        })
    }
}

/// The label references of a series or an exemplar, whose first field they are in both.
#[inline]
pub(super) fn refs<'a>(fields: Cursor<'a>) -> impl Iterator<Item = u32> + use<'a> {
    // Longer varints are cut to 32 bits, as every protobuf library does.
    scalars(fields, 1, VARINT, |values| {
        values.varint().map(|reference| reference as u32)
    })
}

#[cfg(test)]
mod tests;
