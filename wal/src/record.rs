//! One acknowledged request as the log keeps it: the payload of a record.
//!
//! Payload and framing never mix: here are the meaning-bearing fields, the frame with checksum and position is in `format`.

use bytes::Bytes;
use emberkeep_model::TenantId;

use crate::Verdict;
use crate::verdict::{put_uvarint, take_uvarint};

/// The wire protocol of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Remote write 1.0 (`prometheus.WriteRequest`).
    V1,
    /// Remote write 2.0 (`io.prometheus.write.v2.Request`).
    V2,
}

/// A request to append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Whose data it is.
    pub tenant: TenantId,
    /// How the body is to be decoded.
    pub protocol: Protocol,
    /// When it arrived, in milliseconds since the Unix epoch by the receiver's clock.
    pub arrival: i64,
    /// What was refused of it.
    pub verdict: Verdict,
    /// The compressed body as received.
    pub body: Bytes,
}

/// A record read back; the body is borrowed from the reader's buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordView<'a> {
    /// Whose data it is.
    pub tenant: TenantId,
    /// How the body is to be decoded.
    pub protocol: Protocol,
    /// When it arrived, in milliseconds since the Unix epoch by the receiver's clock.
    pub arrival: i64,
    /// What was refused of it.
    pub verdict: Verdict,
    /// The compressed body as received.
    pub body: &'a [u8],
}

impl Record {
    /// Appends everything of the payload that stands before the body, so that the body can be written from where it is.
    pub(crate) fn encode_prefix(&self, out: &mut Vec<u8>) {
        out.push(match self.protocol {
            Protocol::V1 => 1,
            Protocol::V2 => 2,
        });
        out.extend_from_slice(&self.arrival.to_le_bytes());
        let tenant = self.tenant.as_str().as_bytes();
        put_uvarint(out, tenant.len() as u64);
        out.extend_from_slice(tenant);
        self.verdict.encode(out);
    }
}

impl<'a> RecordView<'a> {
    /// Reads a payload whose checksum was right; the error says what is wrong with it all the same.
    pub(crate) fn decode(payload: &'a [u8]) -> Result<Self, String> {
        let mut rest = payload;
        let protocol = match rest.split_off_first() {
            Some(1) => Protocol::V1,
            Some(2) => Protocol::V2,
            Some(other) => return Err(format!("unknown protocol {other}")),
            None => return Err("empty payload".to_owned()),
        };
        let (arrival, after) = rest.split_first_chunk().ok_or("arrival time is cut off")?;
        rest = after;
        let tenant = take_uvarint(&mut rest)
            .and_then(|len| rest.split_off(..usize::try_from(len).ok()?))
            .and_then(|bytes| std::str::from_utf8(bytes).ok())
            .ok_or("tenant is malformed")?;
        let tenant = TenantId::parse(tenant).map_err(|error| error.to_string())?;
        let verdict = Verdict::decode(&mut rest).ok_or("verdict is malformed")?;
        Ok(Self {
            tenant,
            protocol,
            arrival: i64::from_le_bytes(*arrival),
            verdict,
            body: rest,
        })
    }

    /// An owned copy.
    pub fn to_record(&self) -> Record {
        Record {
            tenant: self.tenant.clone(),
            protocol: self.protocol,
            arrival: self.arrival,
            verdict: self.verdict.clone(),
            body: Bytes::copy_from_slice(self.body),
        }
    }
}

#[cfg(test)]
mod tests;
