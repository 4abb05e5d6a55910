//! What a store said, on one line.
//!
//! Stores of the S3 kind answer errors with a page of XML, and their client puts all of it into its message. An operator needs the request, the
//! status, the code and the sentence; the rest says the same again. Which kind of error it is never changes here.

use object_store::Error;

/// The same error with a message that fits into a log line, where its answer is understood.
pub(crate) fn in_one_line(error: Error) -> Error {
    let shorter = |source: Box<dyn std::error::Error + Send + Sync>| {
        let text = summary(&source.to_string()).unwrap_or_else(|| with_causes(&*source));
        text.into()
    };
    match error {
        Error::Generic { store, source } => Error::Generic {
            store,
            source: shorter(source),
        },
        Error::NotFound { path, source } => Error::NotFound {
            path,
            source: shorter(source),
        },
        Error::AlreadyExists { path, source } => Error::AlreadyExists {
            path,
            source: shorter(source),
        },
        Error::Precondition { path, source } => Error::Precondition {
            path,
            source: shorter(source),
        },
        Error::PermissionDenied { path, source } => Error::PermissionDenied {
            path,
            source: shorter(source),
        },
        Error::Unauthenticated { path, source } => Error::Unauthenticated {
            path,
            source: shorter(source),
        },
        other => other,
    }
}

/// `PUT: 403 Forbidden: AccessDenied: Access Denied.`, from a message with an XML answer in it; an answer to `HEAD` has none.
fn summary(text: &str) -> Option<String> {
    let between = |start: &str, end: &str| Some(text.split_once(start)?.1.split_once(end)?.0.trim());
    let status = between("status code: ", ":")?;
    let verb = between("performing ", " ");
    let (code, message) = (between("<Code>", "</Code>"), between("<Message>", "</Message>"));
    let said: Vec<_> = [verb, Some(status), code, message].into_iter().flatten().collect();
    Some(said.join(": "))
}

/// An error and its causes: that a request failed is no help without `connection refused` or `invalid peer certificate`.
fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let said = inner.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = inner.source();
    }
    text.replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_of_a_store_fits_on_a_line() {
        let text = "Error performing PUT http://127.0.0.1:1/b/x in 1.2ms - Server returned non-2xx status code: 403 Forbidden: \
                    <?xml version=\"1.0\"?>\n<Error><Code>AccessDenied</Code><Message>Access Denied.</Message><Key>x</Key></Error>";
        let error = in_one_line(Error::PermissionDenied {
            path: "x".to_owned(),
            source: text.into(),
        });
        let Error::PermissionDenied { source, .. } = &error else {
            panic!("another kind: {error}")
        };
        assert_eq!(source.to_string(), "PUT: 403 Forbidden: AccessDenied: Access Denied.");
        let head = "Error performing HEAD http://127.0.0.1:1/b/x in 1.2ms - Server returned non-2xx status code: 403 Forbidden: ";
        assert_eq!(summary(head).unwrap_or_default(), "HEAD: 403 Forbidden");
    }

    #[test]
    fn anything_else_is_told_with_its_causes() {
        let refused = std::io::Error::other("connection refused");
        let failed = crate::ArchiveError::Write(std::io::Error::other(refused));
        let error = Error::Generic {
            store: "S3",
            source: Box::new(failed),
        };
        assert_eq!(
            in_one_line(error).to_string(),
            "Generic S3 error: write part: connection refused"
        );
        #[derive(Debug, thiserror::Error)]
        #[error("error sending request")]
        struct Sending(#[source] std::io::Error);
        let error = Error::Generic {
            store: "S3",
            source: Box::new(Sending(std::io::Error::other("invalid peer certificate"))),
        };
        assert_eq!(
            in_one_line(error).to_string(),
            "Generic S3 error: error sending request: invalid peer certificate"
        );
    }
}
