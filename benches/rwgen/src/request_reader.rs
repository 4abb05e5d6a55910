//! Reads remote write requests, 1.0 and 2.0: recorded ones, and those of a file whose acknowledgements are known.
//!
//! One call for each sample; nothing is kept. It reads what Prometheus and this program write and must never be lenient: a
//! sample that is skipped here would be missed by nobody.

use anyhow::{Context, Result, ensure};

use crate::histogram::Histogram;
use crate::request::{Metadata, Protocol};
use crate::row::Value;
use crate::wire::{Content, Fields};

/// One sample of a request.
#[derive(Debug)]
pub(crate) struct Sample<'a> {
    /// Number of its entry.
    pub(crate) ordinal: u32,
    pub(crate) labels: &'a [(&'a str, &'a str)],
    pub(crate) timestamp: i64,
    pub(crate) value: Value,
    /// What a 2.0 entry says of its family.
    pub(crate) metadata: Option<Metadata>,
}

/// Calls `on_sample` for each sample of an uncompressed request.
pub(crate) fn read_samples(
    protocol: Protocol,
    raw: &[u8],
    mut on_sample: impl FnMut(Sample<'_>) -> Result<()>,
) -> Result<()> {
    let symbols = match protocol {
        Protocol::V1 => Vec::new(),
        Protocol::V2 => texts(raw, 4)?,
    };
    let series_field = match protocol {
        Protocol::V1 => 1,
        Protocol::V2 => 5,
    };
    let (mut labels, mut ordinal) = (Vec::new(), 0);
    let mut fields = Fields(raw);
    while let Some((field, content)) = fields.next()? {
        if field != series_field {
            continue;
        }
        let entry = content.bytes()?;
        let metadata = match protocol {
            Protocol::V1 => {
                labels_v1(entry, &mut labels)?;
                None
            }
            Protocol::V2 => labels_v2(entry, &symbols, &mut labels)?,
        };
        let mut inner = Fields(entry);
        while let Some((field, content)) = inner.next()? {
            let (timestamp, value) = match (protocol, field) {
                (_, 2) => float(content.bytes()?)?,
                (Protocol::V1, 4) | (Protocol::V2, 3) => {
                    let (timestamp, histogram) = Histogram::read(content.bytes()?)?;
                    (timestamp, Value::Histogram(Box::new(histogram)))
                }
                _ => continue,
            };
            on_sample(Sample {
                ordinal,
                labels: &labels,
                timestamp,
                value,
                metadata: metadata.clone(),
            })?;
        }
        ordinal += 1;
    }
    Ok(())
}

/// The families that a 1.0 request tells about.
pub(crate) fn read_metadata_v1(raw: &[u8], mut on_family: impl FnMut(&str, Metadata)) -> Result<()> {
    let mut fields = Fields(raw);
    while let Some((field, content)) = fields.next()? {
        if field != 3 {
            continue;
        }
        let (mut family, mut metadata) = ("", Metadata::default());
        let mut inner = Fields(content.bytes()?);
        while let Some((field, content)) = inner.next()? {
            match field {
                1 => metadata.kind = content.number()?,
                2 => family = content.text()?,
                4 => content.text()?.clone_into(&mut metadata.help),
                5 => content.text()?.clone_into(&mut metadata.unit),
                _ => {}
            }
        }
        on_family(family, metadata);
    }
    Ok(())
}

/// Which version a recorded request is of; its first field tells.
pub(crate) fn protocol_of(raw: &[u8]) -> Result<Option<Protocol>> {
    Ok(match Fields(raw).next()? {
        Some((4 | 5, _)) => Some(Protocol::V2),
        Some((1 | 3, _)) => Some(Protocol::V1),
        _ => None,
    })
}

fn texts(raw: &[u8], wanted: u64) -> Result<Vec<&str>> {
    let (mut texts, mut fields) = (Vec::new(), Fields(raw));
    while let Some((field, content)) = fields.next()? {
        if field == wanted {
            texts.push(content.text()?);
        }
    }
    Ok(texts)
}

/// Reads `repeated Label labels = 1` of any message.
pub(crate) fn labels_v1<'a>(entry: &'a [u8], labels: &mut Vec<(&'a str, &'a str)>) -> Result<()> {
    labels.clear();
    let mut fields = Fields(entry);
    while let Some((field, content)) = fields.next()? {
        if field != 1 {
            continue;
        }
        let (mut label, mut inner) = (("", ""), Fields(content.bytes()?));
        while let Some((field, content)) = inner.next()? {
            match field {
                1 => label.0 = content.text()?,
                2 => label.1 = content.text()?,
                _ => {}
            }
        }
        labels.push(label);
    }
    Ok(())
}

fn labels_v2<'a>(
    entry: &'a [u8],
    symbols: &[&'a str],
    labels: &mut Vec<(&'a str, &'a str)>,
) -> Result<Option<Metadata>> {
    labels.clear();
    let symbol = |reference: u64| -> Result<&'a str> {
        let text = usize::try_from(reference).ok().and_then(|at| symbols.get(at));
        text.copied()
            .with_context(|| format!("symbol {reference} is not in the table"))
    };
    let (mut metadata, mut fields) = (None, Fields(entry));
    while let Some((field, content)) = fields.next()? {
        match (field, content) {
            (1, content) => {
                let mut references = Fields(content.bytes()?);
                while !references.0.is_empty() {
                    let name = symbol(references.varint()?)?;
                    ensure!(!references.0.is_empty(), "a label name without a value");
                    labels.push((name, symbol(references.varint()?)?));
                }
            }
            (5, Content::Bytes(message)) => {
                let (mut told, mut inner) = (Metadata::default(), Fields(message));
                while let Some((field, content)) = inner.next()? {
                    match field {
                        1 => told.kind = content.number()?,
                        3 => symbol(content.number()?)?.clone_into(&mut told.help),
                        4 => symbol(content.number()?)?.clone_into(&mut told.unit),
                        _ => {}
                    }
                }
                metadata = Some(told);
            }
            _ => {}
        }
    }
    Ok(metadata)
}

fn float(message: &[u8]) -> Result<(i64, Value)> {
    let (mut timestamp, mut bits) = (0, 0);
    let mut fields = Fields(message);
    while let Some((field, content)) = fields.next()? {
        match field {
            1 => bits = content.fixed()?,
            2 => timestamp = content.number()?.cast_signed(),
            _ => {}
        }
    }
    Ok((timestamp, Value::Float(bits)))
}
