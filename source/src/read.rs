//! Remote read: the request, and which form the answer has.

use emberkeep_model::{MatchOp, Matcher, TimeRange};
use emberkeep_proto::content::ReadResponseType;
use emberkeep_proto::messages::prometheus as wire;
use emberkeep_proto::snappy;
use prost::Message;
use reqwest::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE};

use crate::client::{answer, send, whole};
use crate::frames::Frames;
use crate::sampled::Sampled;
use crate::{SeriesStream, Source, SourceError};

impl Source {
    /// All series that satisfy the matchers and have samples in the range, one after the other.
    ///
    /// The server adds its external labels to what it answers, and takes an equality matcher of one of them for its own. It
    /// streams chunks when it can, and then memory is bounded by the longest series of the range; an old server answers with all
    /// samples at once. Their order is the server's: with external labels it need not be that of the labels.
    ///
    /// # Errors
    /// See [`SourceError`]; [`SourceError::TooMuch`] for a range that must be asked for in parts.
    pub async fn read(&self, matchers: &[Matcher], range: TimeRange) -> Result<SeriesStream, SourceError> {
        let url = self.endpoint("/api/v1/read");
        let request = self
            .post(&url)
            .body(snappy::compress(&request(matchers, range).encode_to_vec()));
        let request = request
            .header(CONTENT_TYPE, "application/x-protobuf")
            .header(CONTENT_ENCODING, "snappy")
            .header(ACCEPT_ENCODING, "snappy")
            .header("X-Prometheus-Remote-Read-Version", "0.1.0");
        let mut response = send(request, &url).await?;
        let kind = response
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok());
        let kind = kind.unwrap_or_default().to_owned();
        if kind == ReadResponseType::StreamedXorChunks.content_type() {
            let frames = Frames::new(response, url, self.answer_bytes_max);
            return Ok(SeriesStream::streamed(frames, range));
        }
        if !kind.starts_with(ReadResponseType::Samples.content_type()) {
            let reason = format!("its content type is `{kind}`; is this the URL of a Prometheus?");
            return Err(answer(&url, reason));
        }
        let body = whole(&mut response, &url, self.answer_bytes_max).await?;
        let sampled = Sampled::decode(&body, self.answer_bytes_max).map_err(|reason| answer(&url, reason))?;
        Ok(SeriesStream::sampled(sampled, url, range))
    }
}

fn request(matchers: &[Matcher], range: TimeRange) -> wire::ReadRequest {
    use wire::label_matcher::Type;
    let matcher = |matcher: &Matcher| wire::LabelMatcher {
        r#type: match matcher.op() {
            MatchOp::Equal => Type::Eq,
            MatchOp::NotEqual => Type::Neq,
            MatchOp::Regex => Type::Re,
            MatchOp::NotRegex => Type::Nre,
        }
        .into(),
        name: matcher.name().to_owned(),
        value: matcher.value().to_owned(),
    };
    let query = wire::Query {
        start_timestamp_ms: range.start,
        // Theirs belongs to the range.
        end_timestamp_ms: range.end.saturating_sub(1),
        matchers: matchers.iter().map(matcher).collect(),
        hints: None,
    };
    wire::ReadRequest {
        queries: vec![query],
        accepted_response_types: vec![
            wire::read_request::ResponseType::StreamedXorChunks.into(),
            wire::read_request::ResponseType::Samples.into(),
        ],
    }
}
