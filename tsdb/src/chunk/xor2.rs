//! Encoding 4: floats with start timestamps. PLACEHOLDER, so that the crate compiles until the codec is there.

use emberkeep_model::Run;

use crate::TsdbError;

/// Appends a chunk.
pub fn encode(timestamps: &[i64], values: &[f64], _start_timestamps: &[i64], out: &mut Vec<u8>) {
    super::xor::encode(timestamps, values, out);
}

/// Reads a chunk.
///
/// # Errors
/// [`TsdbError::Corrupt`].
pub fn decode(chunk: &[u8], run: &mut Run) -> Result<(), TsdbError> {
    super::xor::decode(chunk, run)
}
