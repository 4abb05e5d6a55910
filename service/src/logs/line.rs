//! One log event as one line: the order of its keys, quoting and escaping.
//!
//! Every character that comes from a message or a value passes [`push_logfmt_value`] or [`push_json_string`]; nothing
//! else may write text that we did not choose, or a log line could be forged by whoever sends a label.

use std::fmt::{self, Debug};
use std::sync::Arc;

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

use super::LogFormat;
use crate::clock::Clock;
use crate::time_expr;

/// Writes an event: time, level, source, message, the fields of the event, then those of the spans around it.
#[derive(Debug)]
pub(super) struct EventLine {
    format: LogFormat,
    clock: Arc<dyn Clock>,
}

impl EventLine {
    pub(super) fn new(format: LogFormat, clock: Arc<dyn Clock>) -> Self {
        Self { format, clock }
    }
}

impl<S, N> FormatEvent<S, N> for EventLine
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let metadata = event.metadata();
        let mut line = Pairs {
            format: self.format,
            text: String::with_capacity(160),
            message: None,
        };
        let mut head = Pairs {
            format: self.format,
            text: String::with_capacity(80),
            message: None,
        };
        event.record(&mut line);
        head.push_text("time", &time_expr::format_rfc3339(self.clock.now_ms()));
        head.push_text("level", metadata.level().as_str());
        if let (Some(file), Some(number)) = (metadata.file(), metadata.line()) {
            head.push_text("source", &format!("{}:{number}", short_path(file)));
        }
        head.push_text("msg", line.message.as_deref().unwrap_or_default());
        head.text.push_str(&line.text);
        for span in context.event_scope().into_iter().flat_map(|scope| scope.from_root()) {
            if let Some(fields) = span.extensions().get::<FormattedFields<N>>() {
                head.text.push_str(&fields.fields);
            }
        }
        // Every pair starts with its separator, so the first character of all is one too many.
        let pairs = head.text.get(1..).unwrap_or_default();
        match self.format {
            LogFormat::Logfmt => writeln!(writer, "{pairs}"),
            LogFormat::Json => writeln!(writer, "{{{pairs}}}"),
        }
    }
}

/// Files of the workspace are named from its root; of other crates the last part is enough.
fn short_path(file: &str) -> &str {
    if file.starts_with('/') {
        file.rsplit('/').next().unwrap_or(file)
    } else {
        file
    }
}

/// Writes the fields of a span, as [`EventLine`] appends them.
#[derive(Debug)]
pub(super) struct FieldText {
    format: LogFormat,
}

impl FieldText {
    pub(super) fn new(format: LogFormat) -> Self {
        Self { format }
    }
}

impl<'writer> FormatFields<'writer> for FieldText {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut pairs = Pairs {
            format: self.format,
            text: String::new(),
            message: None,
        };
        fields.record(&mut pairs);
        writer.write_str(&pairs.text)
    }

    // The default puts a space between what was there and what is added, which JSON would not bear twice.
    fn add_fields(
        &self,
        current: &'writer mut FormattedFields<Self>,
        fields: &tracing::span::Record<'_>,
    ) -> fmt::Result {
        self.format_fields(current.as_writer(), fields)
    }
}

/// Collects `separator key value` for each field; the message of an event is kept apart.
struct Pairs {
    format: LogFormat,
    text: String,
    message: Option<String>,
}

impl Pairs {
    fn push_key(&mut self, key: &str) {
        match self.format {
            LogFormat::Logfmt => {
                self.text.push(' ');
                self.text.push_str(key);
                self.text.push('=');
            }
            LogFormat::Json => {
                self.text.push(',');
                push_json_string(&mut self.text, key);
                self.text.push(':');
            }
        }
    }

    fn push_text(&mut self, key: &str, value: &str) {
        self.push_key(key);
        match self.format {
            LogFormat::Logfmt => push_logfmt_value(&mut self.text, value),
            LogFormat::Json => push_json_string(&mut self.text, value),
        }
    }

    /// A value that is its own text in both formats: a number or a truth value.
    fn push_plain(&mut self, field: &Field, value: impl fmt::Display) {
        self.push_key(field.name());
        self.text.push_str(&value.to_string());
    }

    fn push_field(&mut self, field: &Field, value: String) {
        if field.name() == "message" {
            self.message = Some(value);
        } else {
            self.push_text(field.name(), &value);
        }
    }
}

impl Visit for Pairs {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.push_field(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.push_field(field, value.to_owned());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.push_plain(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.push_plain(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.push_plain(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has no NaN and no infinity.
        if value.is_finite() {
            self.push_plain(field, value)
        } else {
            self.push_text(field.name(), &value.to_string())
        }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.push_field(field, crate::problem::chain(value));
    }
}

/// A logfmt value: bare when it is plain, else quoted as Go's `strconv.Quote` does.
fn push_logfmt_value(out: &mut String, value: &str) {
    let is_plain = |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, '"' | '=' | '\\');
    if !value.is_empty() && value.chars().all(is_plain) {
        out.push_str(value);
    } else {
        push_quoted(out, value);
    }
}

fn push_json_string(out: &mut String, value: &str) {
    push_quoted(out, value);
}

/// Quoted so that JSON and logfmt readers both take it. Control characters and the Unicode line separators, which
/// some viewers break lines at, are escaped.
fn push_quoted(out: &mut String, value: &str) {
    out.push('"');
    for c in value.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            // All of them lie below 0x10000, so four digits are enough.
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)))
            }
            c => out.push(c),
        }
    }
    out.push('"');
}
