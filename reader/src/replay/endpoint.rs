//! Somebody's remote-write endpoint: one request after the other, again and again while it only cannot take them now.
//!
//! 5xx, 429 and a connection that fails are repeated, after the time that the answer names; any other answer ends the replay, because
//! a receiver drops what it answers with 4xx. It must never go on behind a request that was not taken.

use std::time::Duration;

use emberkeep_model::excerpt::excerpt;
use emberkeep_service::problem::chain;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use reqwest::{Client, Response, StatusCode, Url};
use tokio::time::{Instant, sleep};

use super::batch::Request;
use crate::ReaderError;

/// Longest that one request may take.
const TIMEOUT: Duration = Duration::from_secs(60);
/// First pause; doubled each time.
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// Longest pause that an answer may ask for.
const PAUSE_ASKED_MAX: Duration = Duration::from_secs(5 * 60);
/// A receiver that takes nothing for so long is given up; the replay goes on when it is run again.
const PATIENCE: Duration = Duration::from_secs(15 * 60);
/// Bytes of an answer that are repeated to people.
const ANSWER_BYTES: usize = 512;

/// Where samples are sent.
#[derive(Debug, Clone)]
pub(super) struct Endpoint {
    client: Client,
    url: Url,
    tenant: Option<String>,
}

/// What came of an attempt that did not succeed.
enum Failure {
    /// It may be taken later.
    Later { why: String, pause: Option<Duration> },
    /// It never will.
    Final(String),
}

impl Endpoint {
    pub(super) fn new(url: &str, tenant: Option<String>) -> Result<Self, ReaderError> {
        let bad = |why: String| ReaderError::Bad(format!("--to `{url}`: {why}"));
        let parsed = Url::parse(url).map_err(|error| bad(error.to_string()))?;
        if !matches!(parsed.scheme(), "http" | "https") {
            return Err(bad("it must begin with http:// or https://".to_owned()));
        }
        // Another component may have chosen the provider already, and then it is the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().timeout(TIMEOUT).build();
        Ok(Self {
            client: client.map_err(|error| bad(chain(&error)))?,
            url: parsed,
            tenant,
        })
    }

    /// Sends a request until it is taken.
    ///
    /// # Errors
    /// When it is refused for good, or not taken for too long.
    pub(super) async fn send(&self, request: Request) -> Result<(), ReaderError> {
        let Request { body, .. } = request;
        let body = bytes::Bytes::from(body);
        let begin = Instant::now();
        let mut pause = PAUSE;
        loop {
            match self.attempt(body.clone()).await {
                Ok(()) => return Ok(()),
                Err(Failure::Final(why)) => {
                    return Err(ReaderError::Bad(format!("`{}` refuses the samples: {why}", self.url)));
                }
                Err(Failure::Later { why, .. }) if begin.elapsed() > PATIENCE => {
                    return Err(ReaderError::Unavailable(format!(
                        "`{}` takes nothing: {why}; the same command goes on",
                        self.url
                    )));
                }
                Err(Failure::Later { why, pause: asked }) => {
                    tracing::warn!(why, "a request was not taken; it is sent again");
                    sleep(asked.unwrap_or(pause)).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
        }
    }

    async fn attempt(&self, body: bytes::Bytes) -> Result<(), Failure> {
        let mut request = self
            .client
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/x-protobuf")
            .header(CONTENT_ENCODING, "snappy")
            .header("X-Prometheus-Remote-Write-Version", "0.1.0")
            .header(USER_AGENT, concat!("emberkeep/", env!("CARGO_PKG_VERSION")));
        if let Some(tenant) = &self.tenant {
            request = request.header("X-Scope-OrgID", tenant);
        }
        let response = request.body(body).send().await.map_err(|error| Failure::Later {
            why: chain(&error),
            pause: None,
        })?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        let pause = pause_of(&response);
        let mut said = response.text().await.unwrap_or_default();
        said = excerpt(said.trim(), ANSWER_BYTES);
        let why = format!("it answered {status}: {said}");
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            Err(Failure::Later { why, pause })
        } else {
            Err(Failure::Final(why))
        }
    }
}

/// `Retry-After` in seconds; a date is not waited for.
fn pause_of(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds).min(PAUSE_ASKED_MAX))
}
