//! The HTTP client of one source: every request goes through here.
//!
//! No redirects to other hosts with credentials (the library drops them), no body that is read without a bound.

use std::error::Error;
use std::fs;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Certificate, Client, RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::{Auth, SourceConfig, SourceError};

/// Time to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Most bytes of an answer about the server itself.
const STATUS_BYTES_MAX: usize = 64 << 20;
/// Most bytes of a refusal that are repeated.
const SAID_BYTES: usize = 500;

/// A Prometheus, or what speaks like one.
#[derive(Debug, Clone)]
pub struct Source {
    client: Client,
    base: Url,
    auth: Auth,
    pub(crate) answer_bytes_max: usize,
}

impl Source {
    /// Makes the client; the server is not asked yet.
    ///
    /// # Errors
    /// [`SourceError::Config`].
    pub fn new(config: SourceConfig) -> Result<Self, SourceError> {
        let mut base = Url::parse(&config.url).map_err(|error| bad(&config.url, error.to_string()))?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err(bad(&config.url, "it must begin with http:// or https://"));
        }
        let mut auth = config.auth;
        if !base.username().is_empty() {
            if auth == Auth::None {
                auth = Auth::Basic {
                    username: base.username().to_owned(),
                    password: base.password().unwrap_or_default().to_owned(),
                };
            }
            // From here on the URL may be shown. Both exist for these schemes.
            let _ = base.set_username("");
            let _ = base.set_password(None);
        }
        let mut headers = HeaderMap::new();
        for (name, value) in &config.headers {
            let parsed = HeaderName::try_from(name.as_str()).ok();
            let parsed = parsed.zip(HeaderValue::try_from(value.as_str()).ok());
            let (name, mut value) = parsed.ok_or_else(|| bad(&config.url, format!("header `{name}` is not valid")))?;
            value.set_sensitive(true);
            headers.append(name, value);
        }
        // Another component may have chosen the provider already, and then it is the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(config.timeout)
            .default_headers(headers);
        if let Some(path) = &config.ca_file {
            let place = path.display().to_string();
            let pem = fs::read(path).map_err(|error| bad(&place, error.to_string()))?;
            let authorities = Certificate::from_pem_bundle(&pem).map_err(|error| bad(&place, chain(&error)))?;
            if authorities.is_empty() {
                return Err(bad(&place, "it holds no certificate"));
            }
            builder = builder.tls_certs_only(authorities);
        }
        let client = builder.build().map_err(|error| bad(&config.url, chain(&error)))?;
        Ok(Self {
            client,
            base,
            auth,
            answer_bytes_max: config.answer_bytes_max,
        })
    }

    /// The base URL, without user and password.
    #[must_use]
    pub fn url(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// The URL of an endpoint, which begins with a slash.
    pub(crate) fn endpoint(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        let path = format!("{}{path}", url.path().trim_end_matches('/'));
        url.set_path(&path);
        url
    }

    pub(crate) fn post(&self, url: &Url) -> RequestBuilder {
        self.authorised(self.client.post(url.clone()))
    }

    pub(crate) fn get(&self, url: &Url) -> RequestBuilder {
        self.authorised(self.client.get(url.clone()))
    }

    fn authorised(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.auth {
            Auth::None => request,
            Auth::Bearer(token) => request.bearer_auth(token),
            Auth::Basic { username, password } => request.basic_auth(username, Some(password)),
        }
    }

    /// The data of an endpoint of the HTTP API.
    pub(crate) async fn data<T: DeserializeOwned>(&self, path: &str) -> Result<T, SourceError> {
        self.data_at(&self.endpoint(path)).await
    }

    /// The same, with the query that the URL has.
    pub(crate) async fn data_at<T: DeserializeOwned>(&self, url: &Url) -> Result<T, SourceError> {
        let body = self.body(url).await?;
        let wrong = |error: serde_json::Error| answer(url, format!("{error}; it begins with `{}`", shown(&body)));
        let envelope: Envelope<T> = serde_json::from_slice(&body).map_err(wrong)?;
        Ok(envelope.data)
    }

    /// A whole answer about the server itself.
    pub(crate) async fn body(&self, url: &Url) -> Result<Vec<u8>, SourceError> {
        let mut response = send(self.get(url), url).await?;
        whole(&mut response, url, STATUS_BYTES_MAX).await
    }
}

/// What every endpoint of the HTTP API wraps its answer in.
#[derive(Deserialize)]
struct Envelope<T> {
    data: T,
}

/// Sends a request, and makes sure that an answer comes.
pub(crate) async fn send(request: RequestBuilder, url: &Url) -> Result<Response, SourceError> {
    let mut response = request.send().await.map_err(|error| unavailable(url, &error))?;
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let mut body = Vec::new();
    while body.len() < SAID_BYTES
        && let Ok(Some(more)) = response.chunk().await
    {
        body.extend_from_slice(&more);
    }
    let said = shown(&body);
    let url = url.to_string();
    Err(match status {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => SourceError::Unavailable {
            url,
            reason: format!("{status}: {said}"),
        },
        _ if status.is_server_error() => SourceError::Unavailable {
            url,
            reason: format!("{status}: {said}"),
        },
        // `--storage.remote.read-sample-limit` of Prometheus, and the limits of this program's own reader.
        StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY => SourceError::TooMuch { url, reason: said },
        StatusCode::BAD_REQUEST if said.contains("exceeded sample limit") => SourceError::TooMuch { url, reason: said },
        _ => SourceError::Refused {
            url,
            status: status.as_u16(),
            said,
        },
    })
}

/// A whole body of at most `limit` bytes.
pub(crate) async fn whole(response: &mut Response, url: &Url, limit: usize) -> Result<Vec<u8>, SourceError> {
    let mut body = Vec::new();
    while let Some(more) = response.chunk().await.map_err(|error| unavailable(url, &error))? {
        if body.len() + more.len() > limit {
            return Err(SourceError::TooMuch {
                url: url.to_string(),
                reason: format!("more than {limit} bytes"),
            });
        }
        body.extend_from_slice(&more);
    }
    Ok(body)
}

pub(crate) fn unavailable(url: &Url, error: &reqwest::Error) -> SourceError {
    SourceError::Unavailable {
        url: url.to_string(),
        reason: chain(error),
    }
}

pub(crate) fn answer(url: &Url, reason: impl Into<String>) -> SourceError {
    SourceError::Answer {
        url: url.to_string(),
        reason: reason.into(),
    }
}

fn bad(place: &str, reason: impl Into<String>) -> SourceError {
    // A URL that cannot be parsed may hold a password all the same.
    let place = match place.rsplit_once('@') {
        Some((_, rest)) => format!("..@{rest}"),
        None => place.to_owned(),
    };
    SourceError::Config {
        place,
        reason: reason.into(),
    }
}

/// The beginning of a body, on one line.
fn shown(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(SAID_BYTES)]);
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// An error and its causes on one line. The library repeats the URL in its own text.
fn chain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
