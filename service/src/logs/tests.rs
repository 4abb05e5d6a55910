//! Log lines as they come out, captured.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::io::Write;
use std::sync::{Arc, Mutex};

use super::*;
use crate::clock::ManualClock;

#[derive(Clone, Default)]
struct Capture(Arc<Mutex<Vec<u8>>>);

impl Write for Capture {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What the events of `emit` become, with the line numbers of this file taken out.
fn logged(level: LogLevel, format: LogFormat, emit: impl FnOnce()) -> String {
    let capture = Capture::default();
    let writer = capture.clone();
    let clock = Arc::new(ManualClock::new(1_795_168_800_123));
    tracing::subscriber::with_default(subscriber(level, format, clock, move || writer.clone()), emit);
    let text = String::from_utf8(capture.0.lock().unwrap().clone()).unwrap();
    let mut out = String::new();
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once("tests.rs:") {
        out.push_str(before);
        out.push_str("tests.rs:N");
        rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
    }
    out + rest
}

#[test]
fn logfmt_has_the_keys_of_prometheus() {
    let text = logged(LogLevel::Info, LogFormat::Logfmt, || {
        tracing::info!(parts = 2, ok = true, ratio = 0.5, path = %"a/b", "flushed the head");
    });
    assert_eq!(
        text,
        "time=2026-11-20T10:00:00.123Z level=INFO source=service/src/logs/tests.rs:N msg=\"flushed the head\" parts=2 ok=true ratio=0.5 path=a/b\n"
    );
}

#[test]
fn json_has_the_same_keys() {
    let text = logged(LogLevel::Info, LogFormat::Json, || {
        tracing::warn!(parts = 2, ok = true, ratio = f64::NAN, path = %"a/b", "flushed");
    });
    assert_eq!(
        text,
        "{\"time\":\"2026-11-20T10:00:00.123Z\",\"level\":\"WARN\",\"source\":\"service/src/logs/tests.rs:N\",\"msg\":\"flushed\",\"parts\":2,\"ok\":true,\"ratio\":\"NaN\",\"path\":\"a/b\"}\n"
    );
}

#[test]
fn a_value_cannot_break_its_line_or_forge_a_field() {
    for format in [LogFormat::Logfmt, LogFormat::Json] {
        let text = logged(LogLevel::Info, format, || {
            tracing::info!(
                label = "x level=ERROR\nmsg=\"forged\"\u{1b}[31m\\\u{2028}",
                empty = "",
                "two\r\nlines"
            );
        });
        let (message, label) = match format {
            LogFormat::Logfmt => (
                r#" msg="two\r\nlines""#,
                r#" label="x level=ERROR\nmsg=\"forged\"\u001b[31m\\\u2028" empty="""#,
            ),
            LogFormat::Json => (
                r#","msg":"two\r\nlines""#,
                r#","label":"x level=ERROR\nmsg=\"forged\"\u001b[31m\\\u2028","empty":"""#,
            ),
        };
        assert!(text.contains(&format!("{message}{label}")), "{text}");
        assert_eq!(text.matches('\n').count(), 1, "{text}");
    }
}

#[test]
fn fields_of_spans_follow_those_of_the_event() {
    for (format, end) in [
        (LogFormat::Logfmt, " msg=done rows=3 tenant=\"team a\" attempt=2\n"),
        (
            LogFormat::Json,
            ",\"msg\":\"done\",\"rows\":3,\"tenant\":\"team a\",\"attempt\":2}\n",
        ),
    ] {
        let text = logged(LogLevel::Info, format, || {
            let span = tracing::info_span!("flush", tenant = "team a", attempt = tracing::field::Empty);
            span.record("attempt", 2);
            span.in_scope(|| tracing::info!(rows = 3, "done"));
        });
        assert!(text.ends_with(end), "{text}");
    }
}

#[test]
fn an_error_is_written_with_its_causes() {
    let cause = std::io::Error::other("disk is gone");
    let error = crate::lock::LockError::Io {
        path: "data/lock".into(),
        source: cause,
    };
    let text = logged(LogLevel::Info, LogFormat::Logfmt, || {
        tracing::error!(err = &error as &dyn std::error::Error, "failed");
    });
    assert!(
        text.ends_with("msg=failed err=\"cannot lock the data directory: `data/lock`: disk is gone\"\n"),
        "{text}"
    );
}

#[test]
fn the_level_is_ours_and_others_are_heard_from_warn() {
    let emit = || {
        tracing::debug!("own debug");
        tracing::info!("own info");
        tracing::info!(target: "receiver::main", "binary info");
        tracing::debug!(target: "hyper::proto", "noise");
        tracing::info!(target: "rustls::client", "noise");
        tracing::warn!(target: "object_store::aws", "their warning");
        tracing::error!("own error");
    };
    let messages = |level| -> Vec<String> {
        let text = logged(level, LogFormat::Logfmt, emit);
        text.lines()
            .map(|line| line.split_once("msg=").unwrap().1.trim_matches('"').to_owned())
            .collect()
    };
    assert_eq!(
        messages(LogLevel::Debug),
        ["own debug", "own info", "binary info", "their warning", "own error"]
    );
    assert_eq!(
        messages(LogLevel::Info),
        ["own info", "binary info", "their warning", "own error"]
    );
    assert_eq!(messages(LogLevel::Warn), ["their warning", "own error"]);
    assert_eq!(messages(LogLevel::Error), ["own error"]);
}
