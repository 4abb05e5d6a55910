//! The counters of a store, and how they are shown at `/metrics`.

use std::time::Instant;

use object_store::{Error, Result};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Upper bounds of answer times, seconds: from a local disk to a store that is about to be given up.
const SECONDS: [f64; 9] = [0.001, 0.005, 0.02, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];

/// What is asked of a store, as it is billed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StoreOperation {
    /// An object is written, whatever was there.
    Put,
    /// An object is written that must not exist.
    Create,
    /// A whole object is read.
    Get,
    /// A range of an object is read.
    GetRange,
    /// Size and time of an object are asked for.
    Head,
    /// A page of names is listed.
    List,
    /// An object is deleted. S3 takes up to 1,000 of them in one request.
    Delete,
    /// An upload in parts begins.
    MultipartStart,
    /// A part is uploaded.
    MultipartPart,
    /// An upload in parts becomes an object.
    MultipartComplete,
    /// An upload in parts is given up.
    MultipartAbort,
    /// An object gets another name, in place of or beside its own.
    Copy,
}

impl StoreOperation {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Put,
        Self::Create,
        Self::Get,
        Self::GetRange,
        Self::Head,
        Self::List,
        Self::Delete,
        Self::MultipartStart,
        Self::MultipartPart,
        Self::MultipartComplete,
        Self::MultipartAbort,
        Self::Copy,
    ];

    /// The operation as a label value.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::Create => "create",
            Self::Get => "get",
            Self::GetRange => "get_range",
            Self::Head => "head",
            Self::List => "list",
            Self::Delete => "delete",
            Self::MultipartStart => "multipart_start",
            Self::MultipartPart => "multipart_part",
            Self::MultipartComplete => "multipart_complete",
            Self::MultipartAbort => "multipart_abort",
            Self::Copy => "copy",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OperationLabels {
    operation: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DirectionLabels {
    direction: &'static str,
}

const SENT: DirectionLabels = DirectionLabels { direction: "sent" };
const RECEIVED: DirectionLabels = DirectionLabels { direction: "received" };

/// What went through one store; clones count together.
#[derive(Debug, Clone)]
pub struct StoreTraffic {
    requests: Family<OperationLabels, Counter>,
    failures: Family<OperationLabels, Counter>,
    bytes: Family<DirectionLabels, Counter>,
    seconds: Family<OperationLabels, Histogram, fn() -> Histogram>,
}

/// All zero, and all there: a rate over a counter that appears only with its first event misses that event.
impl Default for StoreTraffic {
    fn default() -> Self {
        let traffic = Self {
            requests: Family::default(),
            failures: Family::default(),
            bytes: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(SECONDS)),
        };
        for operation in StoreOperation::ALL {
            drop(traffic.requests.get_or_create(&labels(operation)));
            drop(traffic.failures.get_or_create(&labels(operation)));
        }
        drop(traffic.bytes.get_or_create(&SENT));
        drop(traffic.bytes.get_or_create(&RECEIVED));
        traffic
    }
}

fn labels(operation: StoreOperation) -> OperationLabels {
    OperationLabels {
        operation: operation.as_str(),
    }
}

impl StoreTraffic {
    /// Shows the counters in a registry, whose names begin with `emberkeep_`.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "objstore_requests",
            "Requests to the object store; a listing counts once for each page of 1000 names",
            self.requests.clone(),
        );
        registry.register(
            "objstore_request_failures",
            "Requests to the object store that failed; an object that is absent or exists already is an answer",
            self.failures.clone(),
        );
        registry.register(
            "objstore_bytes",
            "Content of objects sent to and received from the object store, in bytes",
            self.bytes.clone(),
        );
        registry.register(
            "objstore_request_duration_seconds",
            "Time until the object store answered; of reads until the first byte, of listings until the first page",
            self.seconds.clone(),
        );
    }

    /// How many requests of a kind there were.
    #[must_use]
    pub fn requests(&self, operation: StoreOperation) -> u64 {
        self.requests.get_or_create(&labels(operation)).get()
    }

    /// How many of them failed.
    #[must_use]
    pub fn failures(&self, operation: StoreOperation) -> u64 {
        self.failures.get_or_create(&labels(operation)).get()
    }

    /// Bytes of content that went to the store.
    #[must_use]
    pub fn bytes_sent(&self) -> u64 {
        self.bytes.get_or_create(&SENT).get()
    }

    /// Bytes of content that came from the store.
    #[must_use]
    pub fn bytes_received(&self) -> u64 {
        self.bytes.get_or_create(&RECEIVED).get()
    }

    pub(super) fn count(&self, operation: StoreOperation, requests: u64) {
        self.requests.get_or_create(&labels(operation)).inc_by(requests);
    }

    pub(super) fn failed(&self, operation: StoreOperation) {
        self.failures.get_or_create(&labels(operation)).inc();
    }

    /// Counts an error as a failure, unless it is an answer.
    pub(super) fn judge(&self, operation: StoreOperation, error: &Error) {
        if !matches!(
            error,
            Error::NotFound { .. }
                | Error::AlreadyExists { .. }
                | Error::Precondition { .. }
                | Error::NotModified { .. }
        ) {
            self.failed(operation);
        }
    }

    pub(super) fn sent(&self, bytes: usize) {
        self.bytes.get_or_create(&SENT).inc_by(bytes as u64);
    }

    pub(super) fn received(&self, bytes: usize) {
        self.bytes.get_or_create(&RECEIVED).inc_by(bytes as u64);
    }

    pub(super) fn took(&self, operation: StoreOperation, since: Instant) {
        self.seconds
            .get_or_create(&labels(operation))
            .observe(since.elapsed().as_secs_f64());
    }

    /// Counts one request and times its answer.
    pub(super) async fn time<T>(
        &self,
        operation: StoreOperation,
        request: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        self.count(operation, 1);
        let began = Instant::now();
        let answer = request.await;
        self.took(operation, began);
        if let Err(error) = &answer {
            self.judge(operation, error);
        }
        answer
    }
}
