//! One line of text, for people.

use std::error::Error;
use std::fmt::{self, Write as _};

use tracing::Event;
use tracing::field::{Field, Visit};

use super::ids::{CORRELATION, TENANT};
use super::{Chain, Line, timestamp};

/// Appends the line, its end included.
pub(super) fn write(buffer: &mut Vec<u8>, line: &Line<'_>, event: &Event<'_>) {
    timestamp(buffer, line.at);
    let mut out = OneLine(buffer);
    // A `Debug` that fails leaves its value unfinished; the rest of the line is written.
    let _ = write!(out, " {:>5} {}:", line.metadata.level(), line.metadata.target());
    event.record(&mut Message(&mut out));
    event.record(&mut Fields(&mut out));
    if let Some(tenant) = &line.ids.tenant {
        let _ = write!(out, " {TENANT}={tenant}");
    }
    if let Some(correlation) = &line.ids.correlation {
        let _ = write!(out, " {CORRELATION}={correlation}");
    }
    if let Some(span) = &line.span {
        let _ = write!(out, " trace_id={} span_id={}", span.trace_id(), span.span_id());
    }
    buffer.push(b'\n');
}

/// Escapes control characters, so that no value can begin a line of its own or colour the terminal.
struct OneLine<'a>(&'a mut Vec<u8>);

impl fmt::Write for OneLine<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for part in text.split_inclusive(char::is_control) {
            match part.chars().next_back().filter(|last| last.is_control()) {
                Some(last) => {
                    self.0.extend_from_slice(&part.as_bytes()[..part.len() - last.len_utf8()]);
                    self.0.extend(last.escape_default().map(|c| c as u8));
                }
                None => self.0.extend_from_slice(part.as_bytes()),
            }
        }
        Ok(())
    }
}

struct Message<'a, 'b>(&'a mut OneLine<'b>);

impl Visit for Message<'_, '_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            let _ = write!(self.0, " {value:?}");
        }
    }
}

struct Fields<'a, 'b>(&'a mut OneLine<'b>);

impl Visit for Fields<'_, '_> {
    fn record_error(&mut self, field: &Field, error: &(dyn Error + 'static)) {
        let _ = write!(self.0, " {}={}", field.name(), Chain(error));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if !matches!(field.name(), "message" | TENANT | CORRELATION) {
            let _ = write!(self.0, " {}={value:?}", field.name());
        }
    }
}
