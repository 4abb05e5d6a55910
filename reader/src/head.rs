//! A head as the reader sees it: in the same process, or over HTTP at `/api/v1/head/read`.
//!
//! Whatever goes wrong here fails the query: the head holds what is acknowledged and nowhere else yet.

mod remote;
mod wire;

use std::sync::Arc;

use emberkeep_model::head::{Head, HeadAnswer, HeadQuery};

pub use self::remote::RemoteHead;
use crate::ReaderError;

/// Where a head is.
#[derive(Debug, Clone)]
pub enum HeadSource {
    /// In this process.
    Local(Arc<dyn Head>),
    /// In a receiver elsewhere.
    Remote(RemoteHead),
}

impl HeadSource {
    /// Everything that the head holds for a query, and where it stood.
    ///
    /// # Errors
    /// Never a partial answer: the error says why there is none.
    pub async fn read(&self, query: HeadQuery) -> Result<HeadAnswer, ReaderError> {
        match self {
            Self::Local(head) => {
                let head = Arc::clone(head);
                let answer = tokio::task::spawn_blocking(move || head.read(&query)).await;
                let answer = answer.map_err(|error| ReaderError::Unavailable(format!("reading the head: {error}")))?;
                Ok(answer?)
            }
            Self::Remote(head) => head.read(&query).await,
        }
    }
}
