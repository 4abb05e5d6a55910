//! A canonical label set: the identity of a series.
//!
//! Kept as one run of bytes, because a series is compared, hashed and copied far more often than it is taken apart.
//! It must never hold an empty value, a repeated name or a byte that is not UTF-8: equality of series is equality of these bytes.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

/// Why bytes or pairs are not a label set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LabelsError {
    /// A label name occurs twice.
    #[error("label name `{0}` occurs more than once")]
    DuplicateName(String),
    /// A label has no name.
    #[error("a label name is empty")]
    EmptyName,
    /// A name or value is not UTF-8.
    #[error("label name or value `{0}` is not valid UTF-8")]
    NotUtf8(String),
    /// Canonical bytes that are not canonical.
    #[error("label bytes are not canonical: {0}")]
    NotCanonical(&'static str),
}

/// An immutable canonical label set.
///
/// Layout: for each label, sorted by name bytewise, `uvarint(name length) name uvarint(value length) value`.
/// The order of two sets is that of Prometheus' `labels.Compare`: label by label, name then value, bytewise; a prefix sorts first.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Labels {
    bytes: Arc<[u8]>,
}

impl Labels {
    /// The label whose value is the name of the metric.
    pub const METRIC_NAME: &'static str = "__name__";

    /// Sorts the pairs, drops those with an empty value, and refuses repeated or empty names.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, LabelsError> {
        let mut builder = LabelsBuilder::default();
        for (name, value) in pairs {
            builder.push(name.as_bytes(), value.as_bytes());
        }
        Ok(Self::trusted(builder.canonical()?))
    }

    /// Takes canonical bytes, for example from a file or the wire, after checking them whole.
    pub fn from_canonical(bytes: &[u8]) -> Result<Self, LabelsError> {
        let mut rest = bytes;
        let mut previous: Option<&[u8]> = None;
        while !rest.is_empty() {
            let name = take(&mut rest).ok_or(LabelsError::NotCanonical("truncated name"))?;
            let value = take(&mut rest).ok_or(LabelsError::NotCanonical("truncated value"))?;
            if name.is_empty() {
                return Err(LabelsError::EmptyName);
            }
            if value.is_empty() {
                return Err(LabelsError::NotCanonical("empty value"));
            }
            if previous.is_some_and(|p| p >= name) {
                return Err(LabelsError::NotCanonical("names not in strictly rising order"));
            }
            check_utf8(name)?;
            check_utf8(value)?;
            previous = Some(name);
        }
        Ok(Self::trusted(bytes))
    }

    /// Takes canonical bytes that were checked when they were first taken in, and kept in memory since. What comes from outside goes through
    /// [`Labels::from_canonical`].
    #[must_use]
    pub fn of_canonical(canonical: &[u8]) -> Self {
        debug_assert!(Self::from_canonical(canonical).is_ok(), "labels that are not canonical");
        Self::trusted(canonical)
    }

    fn trusted(bytes: &[u8]) -> Self {
        Self { bytes: bytes.into() }
    }

    /// The canonical bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Name and value of each label in name order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        Pairs { rest: &self.bytes }.map(|(name, value)| (as_str(name), as_str(value)))
    }

    /// The value of a label, empty when the label is absent: the two are the same thing in Prometheus.
    #[must_use]
    pub fn value_of(&self, name: &str) -> &str {
        Pairs { rest: &self.bytes }
            .find(|(n, _)| *n == name.as_bytes())
            .map_or("", |(_, value)| as_str(value))
    }

    /// The value of `__name__`.
    #[must_use]
    pub fn metric_name(&self) -> &str {
        self.value_of(Self::METRIC_NAME)
    }

    /// Number of labels.
    #[must_use]
    pub fn len(&self) -> usize {
        Pairs { rest: &self.bytes }.count()
    }

    /// Whether there is no label at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

impl Ord for Labels {
    fn cmp(&self, other: &Self) -> Ordering {
        canonical_order(&self.bytes, &other.bytes)
    }
}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Prints as Prometheus does: `{__name__="up", job="a"}`.
impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (i, (name, value)) in self.iter().enumerate() {
            let separator = if i == 0 { "" } else { ", " };
            write!(f, "{separator}{name}={value:?}")?;
        }
        f.write_str("}")
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Normalises labels as they come from the wire into canonical bytes; reusable, so that the write path allocates nothing per series.
#[derive(Debug, Default)]
pub struct LabelsBuilder {
    pairs: Vec<(usize, usize, usize)>,
    raw: Vec<u8>,
    canonical: Vec<u8>,
}

impl LabelsBuilder {
    /// Forgets all labels, keeps the memory.
    pub fn clear(&mut self) {
        self.pairs.clear();
        self.raw.clear();
    }

    /// Adds a label in any order; empty values are dropped, because an empty label is an absent one.
    pub fn push(&mut self, name: &[u8], value: &[u8]) {
        if value.is_empty() && !name.is_empty() {
            return;
        }
        let start = self.raw.len();
        self.raw.extend_from_slice(name);
        self.raw.extend_from_slice(value);
        self.pairs.push((start, name.len(), value.len()));
    }

    /// The canonical bytes of what was pushed.
    ///
    /// # Errors
    /// An empty or repeated name, or bytes that are not UTF-8.
    pub fn canonical(&mut self) -> Result<&[u8], LabelsError> {
        let raw = &self.raw;
        let name = |&(start, name, _): &(usize, usize, usize)| &raw[start..start + name];
        if !self.pairs.is_sorted_by(|a, b| name(a) < name(b)) {
            self.pairs.sort_by(|a, b| name(a).cmp(name(b)));
            if let Some(pair) = self.pairs.windows(2).find(|w| name(&w[0]) == name(&w[1])) {
                return Err(LabelsError::DuplicateName(
                    String::from_utf8_lossy(name(&pair[0])).into_owned(),
                ));
            }
        }
        check_utf8_parts(raw, &self.pairs)?;
        self.canonical.clear();
        for &(start, name_len, value_len) in &self.pairs {
            if name_len == 0 {
                return Err(LabelsError::EmptyName);
            }
            put_uvarint(&mut self.canonical, name_len);
            self.canonical.extend_from_slice(&raw[start..start + name_len]);
            put_uvarint(&mut self.canonical, value_len);
            self.canonical
                .extend_from_slice(&raw[start + name_len..start + name_len + value_len]);
        }
        Ok(&self.canonical)
    }

    /// The label set of what was pushed.
    ///
    /// # Errors
    /// As [`LabelsBuilder::canonical`].
    pub fn labels(&mut self) -> Result<Labels, LabelsError> {
        Ok(Labels::trusted(self.canonical()?))
    }
}

/// The value of a label in canonical bytes, without making a label set of them.
#[must_use]
pub fn canonical_value_of<'a>(canonical: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    Pairs { rest: canonical }
        .find(|(n, _)| *n == name)
        .map(|(_, value)| value)
}

/// The order of two label sets, given by their canonical bytes: that of [`Labels`].
///
/// What they have in common is most of both, and is passed over in words; only the text in which they differ is taken apart.
#[must_use]
pub fn canonical_order(a: &[u8], b: &[u8]) -> Ordering {
    let common = common_bytes(a, b);
    if common == a.len().min(b.len()) {
        // One goes on where the other ends.
        return a.len().cmp(&b.len());
    }
    let mut at = 0;
    while at < common {
        let mut rest = &a[at..];
        let before = rest.len();
        if take(&mut rest).is_none() {
            break;
        }
        let next = at + before - rest.len();
        if next > common {
            break;
        }
        at = next;
    }
    Pairs { rest: &a[at..] }.texts().cmp(Pairs { rest: &b[at..] }.texts())
}

/// How many bytes are the same from the front on.
fn common_bytes(a: &[u8], b: &[u8]) -> usize {
    let (a_words, b_words) = (a.as_chunks::<8>().0, b.as_chunks::<8>().0);
    let word = |word: &[u8; 8]| u64::from_le_bytes(*word);
    let same_words = a_words
        .iter()
        .zip(b_words)
        .take_while(|(a, b)| word(a) == word(b))
        .count();
    let from = 8 * same_words;
    let same = a[from..].iter().zip(&b[from..]).take_while(|(a, b)| a == b).count();
    from + same
}

/// Name and value of each label in canonical bytes, without making a label set of them.
pub fn canonical_pairs(canonical: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    Pairs { rest: canonical }
}

/// Names and values are checked apart: a character cut in two by the border would make the whole valid and the parts not.
fn check_utf8_parts(raw: &[u8], pairs: &[(usize, usize, usize)]) -> Result<(), LabelsError> {
    if raw.is_ascii() {
        return Ok(());
    }
    for &(start, name, value) in pairs {
        check_utf8(&raw[start..start + name])?;
        check_utf8(&raw[start + name..start + name + value])?;
    }
    Ok(())
}

fn check_utf8(bytes: &[u8]) -> Result<(), LabelsError> {
    match std::str::from_utf8(bytes) {
        Ok(_) => Ok(()),
        Err(_) => Err(LabelsError::NotUtf8(String::from_utf8_lossy(bytes).into_owned())),
    }
}

fn as_str(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("labels are checked to be UTF-8 when they are made")
}

fn put_uvarint(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Takes one length-prefixed string, or nothing when the bytes end before it does.
fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let mut length = 0usize;
    let mut shift = 0u32;
    loop {
        let (&byte, tail) = rest.split_first()?;
        *rest = tail;
        length |= usize::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            // A longer form of the same number would give one label set two identities.
            if byte == 0 && shift > 0 {
                return None;
            }
            break;
        }
        shift += 7;
        if shift > 28 {
            return None;
        }
    }
    let (string, tail) = rest.split_at_checked(length)?;
    *rest = tail;
    Some(string)
}

struct Pairs<'a> {
    rest: &'a [u8],
}

impl<'a> Pairs<'a> {
    /// Names and values by turns.
    fn texts(mut self) -> impl Iterator<Item = &'a [u8]> {
        std::iter::from_fn(move || {
            if self.rest.is_empty() {
                return None;
            }
            take(&mut self.rest)
        })
    }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        Some((take(&mut self.rest)?, take(&mut self.rest)?))
    }
}

#[cfg(test)]
mod tests;
