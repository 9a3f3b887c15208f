//! Log lines: every event becomes one line, with the ids of where it happened at top level.

mod ids;
mod json;
mod text;
mod writer;

use std::cell::Cell;
use std::error::Error;
use std::fmt;
use std::sync::{Arc, OnceLock};

use opentelemetry::Context as Otel;
use opentelemetry::trace::{SpanContext, TraceContextExt};
use time::OffsetDateTime;
use tracing::dispatcher::WeakDispatch;
use tracing::span::{Attributes, Id, Record};
use tracing::{Dispatch, Event, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use crate::LogFormat;
use ids::Ids;
pub(crate) use writer::LogWriter;

/// A line longer than this gives its buffer back, so that one giant line does not cost every thread its size.
const KEPT_BUFFER: usize = 16 * 1024;

thread_local! {
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Writes every event that reaches it as one line.
pub(crate) struct LogLayer {
    format: LogFormat,
    service: String,
    writer: Arc<LogWriter>,
    dispatch: OnceLock<WeakDispatch>,
}

/// What a format needs beside the event's own fields.
struct Line<'a> {
    at: OffsetDateTime,
    metadata: &'a Metadata<'static>,
    service: &'a str,
    span: Option<SpanContext>,
    ids: Ids,
}

impl LogLayer {
    pub(crate) fn new(format: LogFormat, service: &str, writer: Arc<LogWriter>) -> Self {
        Self { format, service: service.to_owned(), writer, dispatch: OnceLock::new() }
    }

    /// Where in a trace the event happened: in the span that it names as its parent, or in the running one.
    fn span_of(&self, event: &Event<'_>) -> Option<SpanContext> {
        let found = match event.parent() {
            Some(parent) => {
                let dispatch = self.dispatch.get()?.upgrade()?;
                tracing_opentelemetry::get_otel_context(parent, &dispatch)?.span().span_context().clone()
            }
            None if event.is_contextual() => {
                Otel::map_current(|context| context.span().span_context().clone())
            }
            None => return None,
        };
        found.is_valid().then_some(found)
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for LogLayer {
    fn on_register_dispatch(&self, dispatch: &Dispatch) {
        // A second registration would be the same subscriber again.
        let _ = self.dispatch.set(dispatch.downgrade());
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id).filter(|span| Ids::declared_by(span.metadata())) {
            let mut ids = Ids::default();
            attributes.record(&mut ids);
            span.extensions_mut().replace(ids);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(ids) = span.extensions_mut().get_mut::<Ids>() {
            values.record(ids);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut ids = Ids::default();
        event.record(&mut ids);
        for span in context.event_scope(event).into_iter().flatten() {
            match span.extensions().get::<Ids>() {
                _ if ids.are_complete() => break,
                Some(of_span) => ids.fill_from(of_span),
                None => {}
            }
        }
        let span = self.span_of(event);
        let line = Line {
            at: OffsetDateTime::now_utc(),
            metadata: event.metadata(),
            service: &self.service,
            span,
            ids,
        };
        // Taken rather than borrowed: a `Debug` of a field may log.
        let mut buffer = BUFFER.try_with(Cell::take).unwrap_or_default();
        buffer.clear();
        match self.format {
            LogFormat::Json => json::write(&mut buffer, &line, event),
            LogFormat::Text => text::write(&mut buffer, &line, event),
        }
        self.writer.write(&buffer);
        if buffer.capacity() <= KEPT_BUFFER {
            // Only a thread that is ending has no buffer to give it back to.
            let _ = BUFFER.try_with(|kept| kept.set(buffer));
        }
    }
}

/// An error with its causes: our errors do not print them.
struct Chain<'a>(&'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut next = self.0.source();
        while let Some(cause) = next {
            write!(f, ": {cause}")?;
            next = cause.source();
        }
        Ok(())
    }
}

/// Appends the time as RFC 3339 with microseconds, in UTC.
fn timestamp(buffer: &mut Vec<u8>, at: OffsetDateTime) {
    use std::io::Write;
    let (date, time) = (at.date(), at.time());
    // Writing to a Vec can't fail.
    let _ = write!(
        buffer,
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z",
        date.year(),
        u8::from(date.month()),
        date.day(),
        time.hour(),
        time.minute(),
        time.second(),
        time.microsecond()
    );
}
