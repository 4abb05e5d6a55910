//! One encrypted piece of a Parquet file: length, nonce, encrypted bytes, tag; and what is proven about its place.

use parquet::errors::ParquetError;
use ring::rand::{SecureRandom, SystemRandom};

use super::super::file_sink::unexpected;
use crate::KeyError;
use crate::keys::{DerivedKey, NONCE_BYTES, TAG_BYTES};

/// Length before a module.
pub(super) const LENGTH_BYTES: usize = 4;

const IDENTITY_BYTES: usize = 8;

/// What a piece is; a chunk is named by row group and column.
#[derive(Clone, Copy)]
pub(super) enum Module {
    Footer,
    DataPage((usize, usize), usize),
    DictionaryPage((usize, usize)),
    DataPageHeader((usize, usize), usize),
    DictionaryPageHeader((usize, usize)),
    ColumnIndex((usize, usize)),
    OffsetIndex((usize, usize)),
}

impl Module {
    /// Type, and the ordinals of row group, column and page.
    fn parts(self) -> (u8, Option<(usize, usize)>, Option<usize>) {
        match self {
            Self::Footer => (0, None, None),
            Self::DataPage(chunk, page) => (2, Some(chunk), Some(page)),
            Self::DictionaryPage(chunk) => (3, Some(chunk), None),
            Self::DataPageHeader(chunk, page) => (4, Some(chunk), Some(page)),
            Self::DictionaryPageHeader(chunk) => (5, Some(chunk), None),
            Self::ColumnIndex(chunk) => (6, Some(chunk), None),
            Self::OffsetIndex(chunk) => (7, Some(chunk), None),
        }
    }
}

/// Encrypts the modules of one file.
pub(super) struct ModuleWriter {
    key: DerivedKey,
    /// Stands in every module's associated data: a module of another file under the same key would not pass.
    identity: [u8; IDENTITY_BYTES],
    /// Counts up from a random number; a file has far fewer modules than there are.
    nonce: u128,
    aad: Vec<u8>,
}

impl ModuleWriter {
    pub(super) fn new(key: DerivedKey) -> Result<Self, KeyError> {
        let (mut identity, mut nonce) = ([0; IDENTITY_BYTES], [0; 16]);
        let random = SystemRandom::new();
        let filled = random
            .fill(&mut identity)
            .and_then(|()| random.fill(&mut nonce[..NONCE_BYTES]));
        filled.map_err(|_| KeyError::NoRandomness)?;
        Ok(Self {
            key,
            identity,
            nonce: u128::from_le_bytes(nonce),
            aad: Vec::new(),
        })
    }

    pub(super) fn file_identity(&self) -> &[u8] {
        &self.identity
    }

    /// How long the module of so many bytes is.
    pub(super) fn bytes(clear: usize) -> usize {
        LENGTH_BYTES + NONCE_BYTES + clear + TAG_BYTES
    }

    /// Appends a module.
    pub(super) fn put(&mut self, out: &mut Vec<u8>, module: Module, clear: &[u8]) -> Result<(), ParquetError> {
        let (kind, chunk, page) = module.parts();
        self.aad.clear();
        self.aad.extend_from_slice(&self.identity);
        self.aad.push(kind);
        for ordinal in chunk
            .map(|(group, column)| [group, column])
            .into_iter()
            .flatten()
            .chain(page)
        {
            // Parquet counts them in 16 bits, signed.
            let ordinal = i16::try_from(ordinal).map_err(|_| unexpected("it has more than 32767 groups or pages"))?;
            self.aad.extend_from_slice(&ordinal.to_le_bytes());
        }
        let length = u32::try_from(NONCE_BYTES + clear.len() + TAG_BYTES);
        let length = length.map_err(|_| unexpected("a page of 4 GiB"))?;
        self.nonce = self.nonce.wrapping_add(1);
        let nonce: [u8; NONCE_BYTES] = *self.nonce.to_le_bytes().first_chunk().expect("12 of 16 bytes");
        out.reserve(Self::bytes(clear.len()));
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&nonce);
        let start = out.len();
        out.extend_from_slice(clear);
        let tag = self.key.seal(nonce, &self.aad, &mut out[start..]);
        out.extend_from_slice(&tag);
        Ok(())
    }
}
