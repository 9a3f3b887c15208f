use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::logs::v1::LogRecord;

use super::value::{Attributes, Scope, Value, attributes, id, known_time, resource, shown, value};

/// A log record, with what is said about its origin.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Log {
    /// When it happened, if that is known.
    pub time: Option<SystemTime>,
    /// When it was noticed, if that is known.
    pub observed: Option<SystemTime>,
    /// How serious it is as a word, such as `WARN`, or nothing.
    pub severity: String,
    /// How serious it is, from 1 (trace) by 5 (debug), 9 (info), 13 (warn), 17 (error) to 24 (fatal); 0: not said.
    pub severity_number: i32,
    /// What is logged: a text mostly.
    pub body: Value,
    /// What kind of event it is, or nothing.
    pub event_name: String,
    /// What is said about it.
    pub attributes: Attributes,
    /// The trace, as 32 hexadecimal digits, if it happened in one.
    pub trace_id: Option<String>,
    /// The span, as 16 hexadecimal digits, if it happened in one.
    pub span_id: Option<String>,
    /// The program that it comes from, such as `service.name`.
    pub resource: Arc<Attributes>,
    /// The library that it comes from.
    pub scope: Arc<Scope>,
}

pub(super) fn logs(request: ExportLogsServiceRequest) -> Vec<Log> {
    let mut logs = Vec::new();
    for of_resource in request.resource_logs {
        let resource = Arc::new(resource(of_resource.resource));
        for of_scope in of_resource.scope_logs {
            let scope = Arc::new(Scope::of(of_scope.scope));
            logs.extend(of_scope.log_records.into_iter().map(|record| Log::of(record, &resource, &scope)));
        }
    }
    logs
}

impl Log {
    fn of(record: LogRecord, resource: &Arc<Attributes>, scope: &Arc<Scope>) -> Self {
        Self {
            time: known_time(record.time_unix_nano),
            observed: known_time(record.observed_time_unix_nano),
            severity: record.severity_text,
            severity_number: record.severity_number,
            body: value(record.body),
            event_name: record.event_name,
            attributes: attributes(record.attributes),
            trace_id: id(&record.trace_id),
            span_id: id(&record.span_id),
            resource: Arc::clone(resource),
            scope: Arc::clone(scope),
        }
    }
}

impl fmt::Display for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "log {} {} {}", self.severity, self.body, shown(&self.attributes))
    }
}
