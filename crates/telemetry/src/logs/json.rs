//! One JSON object a line.

use std::error::Error;
use std::fmt::{self, Write as _};

use serde::Serialize;
use tracing::Event;
use tracing::field::{Field, Visit};

use super::ids::{CORRELATION, TENANT};
use super::{Chain, Line, timestamp};

/// The names that belong to the line. A field of an event with one of them is written as `fields.<name>`.
const RESERVED: [&str; 6] = ["timestamp", "level", "target", "service", "trace_id", "span_id"];

/// Appends the line, its end included.
pub(super) fn write(buffer: &mut Vec<u8>, line: &Line<'_>, event: &Event<'_>) {
    buffer.extend_from_slice(b"{\"timestamp\":\"");
    timestamp(buffer, line.at);
    buffer.push(b'"');
    member(buffer, "level", line.metadata.level().as_str());
    event.record(&mut Message(buffer));
    member(buffer, "target", line.metadata.target());
    member(buffer, "service", line.service);
    if let Some(span) = &line.span {
        key(buffer, "trace_id");
        formatted(buffer, format_args!("{}", span.trace_id()));
        key(buffer, "span_id");
        formatted(buffer, format_args!("{}", span.span_id()));
    }
    if let Some(tenant) = &line.ids.tenant {
        member(buffer, TENANT, tenant);
    }
    if let Some(correlation) = &line.ids.correlation {
        member(buffer, CORRELATION, correlation);
    }
    event.record(&mut Fields(buffer));
    buffer.extend_from_slice(b"}\n");
}

fn member(buffer: &mut Vec<u8>, name: &str, content: &str) {
    key(buffer, name);
    value(buffer, content);
}

fn key(buffer: &mut Vec<u8>, name: &str) {
    buffer.push(b',');
    value(buffer, name);
    buffer.push(b':');
}

/// Texts and numbers; a number that JSON does not know becomes null.
fn value(buffer: &mut Vec<u8>, content: &(impl Serialize + ?Sized)) {
    // Writing one of these to a Vec can't fail.
    let _ = serde_json::to_writer(buffer, content);
}

/// A text as its own formatting writes it, without a text in between. If that fails the value is null, so that the
/// line stays JSON; serde_json would panic.
fn formatted(buffer: &mut Vec<u8>, content: fmt::Arguments<'_>) {
    let start = buffer.len();
    buffer.push(b'"');
    if Escaped(buffer).write_fmt(content).is_ok() {
        buffer.push(b'"');
    } else {
        buffer.truncate(start);
        buffer.extend_from_slice(b"null");
    }
}

struct Escaped<'a>(&'a mut Vec<u8>);

impl fmt::Write for Escaped<'_> {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        let start = self.0.len();
        value(self.0, part);
        // Only the whole text has quotes, not its parts.
        self.0.pop();
        self.0.remove(start);
        Ok(())
    }
}

/// Writes the message alone.
struct Message<'a>(&'a mut Vec<u8>);

impl Visit for Message<'_> {
    fn record_debug(&mut self, field: &Field, content: &dyn fmt::Debug) {
        if field.name() == "message" {
            key(self.0, "message");
            formatted(self.0, format_args!("{content:?}"));
        }
    }

    fn record_str(&mut self, field: &Field, content: &str) {
        if field.name() == "message" {
            member(self.0, "message", content);
        }
    }
}

/// Writes all fields that have not been written before.
struct Fields<'a>(&'a mut Vec<u8>);

impl Fields<'_> {
    fn add(&mut self, field: &Field, content: impl FnOnce(&mut Vec<u8>)) {
        match field.name() {
            "message" | TENANT | CORRELATION => return,
            name if RESERVED.contains(&name) => key(self.0, &format!("fields.{name}")),
            name => key(self.0, name.strip_prefix("r#").unwrap_or(name)),
        }
        content(self.0);
    }
}

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, content: &str) {
        self.add(field, |buffer| value(buffer, content));
    }

    fn record_i64(&mut self, field: &Field, content: i64) {
        self.add(field, |buffer| value(buffer, &content));
    }

    fn record_u64(&mut self, field: &Field, content: u64) {
        self.add(field, |buffer| value(buffer, &content));
    }

    fn record_f64(&mut self, field: &Field, content: f64) {
        self.add(field, |buffer| value(buffer, &content));
    }

    fn record_bool(&mut self, field: &Field, content: bool) {
        self.add(field, |buffer| value(buffer, &content));
    }

    fn record_error(&mut self, field: &Field, error: &(dyn Error + 'static)) {
        self.add(field, |buffer| formatted(buffer, format_args!("{}", Chain(error))));
    }

    fn record_debug(&mut self, field: &Field, content: &dyn fmt::Debug) {
        self.add(field, |buffer| formatted(buffer, format_args!("{content:?}")));
    }
}
