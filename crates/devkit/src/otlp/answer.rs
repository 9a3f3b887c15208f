//! What becomes of a request.

use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsPartialSuccess, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceResponse,
};
use serde::Serialize;

use super::encoding::{Encoding, unpack};
use super::received::Items;
use super::{Fault, log, metric, span};

/// A collector's own bound for the body of a request, if nobody says another.
pub(super) const MOST_BYTES: usize = 20 << 20;

/// Why a request is not taken: the status of the answer, and the reason.
#[derive(Debug)]
pub(super) struct Refusal(pub(super) u16, pub(super) String);

pub(super) struct Outcome {
    /// None if the request is not taken.
    pub(super) items: Option<Items>,
    pub(super) rejected: usize,
    /// None where the client is to get none.
    pub(super) response: Option<Response<Full<Bytes>>>,
}

pub(super) fn outcome(head: &Parts, body: Result<Bytes, Refusal>, fault: Option<&Fault>) -> Outcome {
    let on_purpose = |status| Refusal(status, "a fault of the test".to_owned());
    let (refusal, retry_after) = match fault {
        Some(Fault::Hang | Fault::Close) => return Outcome { items: None, rejected: 0, response: None },
        Some(Fault::Unavailable { retry_after }) => (on_purpose(503), Some(*retry_after)),
        Some(Fault::TooManyRequests { retry_after }) => (on_purpose(429), Some(*retry_after)),
        Some(Fault::Status(status)) => (on_purpose(*status), None),
        Some(Fault::PartialSuccess { .. }) | None => match taken(head, body, fault) {
            Ok(outcome) => return outcome,
            Err(refusal) => (refusal, None),
        },
    };
    Outcome { items: None, rejected: 0, response: Some(refused(head, refusal, retry_after)) }
}

/// Reads the items, leaves out those that the fault rejects, and answers that all is well but for those.
fn taken(head: &Parts, body: Result<Bytes, Refusal>, fault: Option<&Fault>) -> Result<Outcome, Refusal> {
    if head.method != Method::POST {
        return Err(Refusal(405, "only POST is taken".to_owned()));
    }
    let encoding = Encoding::of(&head.headers);
    let encoding = encoding.ok_or_else(|| Refusal(415, "neither protobuf nor JSON".to_owned()))?;
    let body = unpack(&head.headers, body?, MOST_BYTES)?;
    let (most, error_message) = match fault {
        Some(Fault::PartialSuccess { rejected, message }) => (*rejected, message.clone()),
        _ => (0, String::new()),
    };
    let is_partial = most > 0 || !error_message.is_empty();
    let (items, rejected, answer) = match head.uri.path() {
        "/v1/traces" => {
            let mut items = span::spans(encoding.decode(&body)?);
            let rejected = reject(&mut items, most);
            let partial = ExportTracePartialSuccess { rejected_spans: rejected as i64, error_message };
            let partial_success = is_partial.then_some(partial);
            (Items::Spans(items), rejected, encoding.encode(&ExportTraceServiceResponse { partial_success }))
        }
        "/v1/metrics" => {
            let mut items = metric::metrics(encoding.decode(&body)?);
            let rejected = reject(&mut items, most);
            let partial =
                ExportMetricsPartialSuccess { rejected_data_points: rejected as i64, error_message };
            let partial_success = is_partial.then_some(partial);
            let answer = encoding.encode(&ExportMetricsServiceResponse { partial_success });
            (Items::Metrics(items), rejected, answer)
        }
        "/v1/logs" => {
            let mut items = log::logs(encoding.decode(&body)?);
            let rejected = reject(&mut items, most);
            let partial = ExportLogsPartialSuccess { rejected_log_records: rejected as i64, error_message };
            let partial_success = is_partial.then_some(partial);
            (Items::Logs(items), rejected, encoding.encode(&ExportLogsServiceResponse { partial_success }))
        }
        path => return Err(Refusal(404, format!("{path} is none of /v1/traces, /v1/metrics, /v1/logs"))),
    };
    Ok(Outcome { items: Some(items), rejected, response: Some(response(200, encoding, answer)) })
}

/// Takes the last ones away, and says how many.
fn reject<T>(items: &mut Vec<T>, most: usize) -> usize {
    let rejected = most.min(items.len());
    items.truncate(items.len() - rejected);
    rejected
}

/// The message that OTLP wants in the body of every failure; its fields are those of `google.rpc.Status`.
#[derive(Clone, PartialEq, prost::Message, Serialize)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
}

fn refused(head: &Parts, refusal: Refusal, retry_after: Option<Duration>) -> Response<Full<Bytes>> {
    let Refusal(status, message) = refusal;
    let encoding = Encoding::of(&head.headers).unwrap_or(Encoding::Protobuf);
    let mut response = response(status, encoding, encoding.encode(&RpcStatus { code: 0, message }));
    if let Some(wait) = retry_after {
        let seconds = wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0));
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    response
}

fn response(status: u16, encoding: Encoding, body: Vec<u8>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(encoding.content_type()));
    response
}
