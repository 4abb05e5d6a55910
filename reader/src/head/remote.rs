//! The head of a receiver elsewhere, over HTTP.
//!
//! Frames are checked one by one and the end frame is required, so an answer that was cut off is an error and never a short
//! answer. Its size is bounded, because it is held while the query runs.

use std::time::Duration;

use emberkeep_model::head::{HeadAnswer, HeadPosition, HeadQuery, PackedSeries};
use emberkeep_proto::head::{ANSWER_CONTENT_TYPE, HeadAnswerReader, HeadContent, REQUEST_CONTENT_TYPE, encode_request};
use emberkeep_service::problem::chain;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE};
use reqwest::{Client, Response, StatusCode, Url};

use super::wire;
use crate::ReaderError;

/// Largest frame, one series of a head.
const FRAME_BYTES_MAX: usize = 64 << 20;
/// Most bytes of an answer. What is held of it is packed, a tenth to a third of that.
const ANSWER_BYTES_MAX: usize = 1 << 30;
/// Time to connect, and longest silence of a receiver that answers.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// A receiver's endpoint for its head.
#[derive(Debug, Clone)]
pub struct RemoteHead {
    url: Url,
    client: Client,
}

impl RemoteHead {
    /// The head of the receiver at a base URL, as `http://receiver:9201`.
    ///
    /// # Errors
    /// When the text is no HTTP URL.
    pub fn new(base: &str) -> Result<Self, ReaderError> {
        let bad = |why: String| ReaderError::Bad(format!("head URL `{base}`: {why}"));
        let mut url = Url::parse(base).map_err(|error| bad(error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(bad("it must begin with http:// or https://".to_owned()));
        }
        let path = format!("{}/api/v1/head/read", url.path().trim_end_matches('/'));
        url.set_path(&path);
        // Another component may have chosen the provider already, and then it is the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            .build();
        let client = client.map_err(|error| bad(chain(&error)))?;
        Ok(Self { url, client })
    }

    pub(super) async fn read(&self, query: &HeadQuery) -> Result<HeadAnswer, ReaderError> {
        let mut response = self.ask(query).await?;
        let mut reader = HeadAnswerReader::new(FRAME_BYTES_MAX, wire::kinds(query.kinds));
        let (mut series, mut metadata, mut bytes) = (PackedSeries::default(), Vec::new(), 0usize);
        while let Some(arrived) = response.chunk().await.map_err(|error| self.down(&chain(&error)))? {
            bytes = bytes.saturating_add(arrived.len());
            if bytes > ANSWER_BYTES_MAX {
                return Err(ReaderError::TooMuch(format!(
                    "the query selects more than {ANSWER_BYTES_MAX} bytes of the head at `{}`: narrow it",
                    self.url
                )));
            }
            reader.push(&arrived);
            while let Some(next) = reader.next_content().map_err(|error| self.down(&chain(&error)))? {
                match next {
                    HeadContent::Series(next) => {
                        let next = wire::series(next).map_err(|why| self.down(&why))?;
                        series.push(&next.labels, &next.runs);
                    }
                    HeadContent::Metadata(next) => metadata.push(wire::metadata(next).map_err(|why| self.down(&why))?),
                }
            }
        }
        let end = reader.finish().map_err(|error| self.down(&chain(&error)))?;
        let position = HeadPosition {
            receiver: end.receiver,
            epoch: end.epoch,
            committed: end.committed,
        };
        Ok(HeadAnswer {
            position,
            series,
            metadata,
        })
    }

    /// Sends a query, and makes sure that what comes back is an answer.
    async fn ask(&self, query: &HeadQuery) -> Result<Response, ReaderError> {
        let request = self.client.post(self.url.clone());
        let request = request
            .header(CONTENT_TYPE, REQUEST_CONTENT_TYPE)
            .header(CONTENT_ENCODING, "snappy");
        let response = request
            .body(encode_request(&wire::request(query)))
            .send()
            .await
            .map_err(|error| self.down(&chain(&error)))?;
        let status = response.status();
        if status != StatusCode::OK {
            let text = response.text().await.unwrap_or_default();
            let said = format!("{status}: {}", text.trim().chars().take(500).collect::<String>());
            // The head is healthy then, and refuses this query.
            let is_refusal = matches!(status, StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY);
            return Err(if is_refusal {
                ReaderError::TooMuch(said)
            } else {
                self.down(&said)
            });
        }
        if response
            .headers()
            .get(CONTENT_TYPE)
            .is_none_or(|kind| kind != ANSWER_CONTENT_TYPE)
        {
            return Err(self.down("its answer is not one of a head; is this the URL of a receiver?"));
        }
        Ok(response)
    }

    fn down(&self, why: &str) -> ReaderError {
        ReaderError::Unavailable(format!("the head at `{}` cannot be read now: {why}", self.url))
    }
}
