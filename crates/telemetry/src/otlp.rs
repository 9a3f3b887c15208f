//! Export to a collector: OTLP as protobuf over HTTP.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, Request, Response, StatusCode};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{MetricExporter, Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::metrics::Temporality;

use crate::{Config, Error};

/// The exporters of both signals, and the client that they share.
pub(crate) struct Otlp {
    pub(crate) spans: SpanExporter,
    pub(crate) metrics: MetricExporter,
    pub(crate) client: Client,
}

impl Otlp {
    pub(crate) fn new(endpoint: &str, config: &Config) -> Result<Self, Error> {
        let client = Client::new(config.export_timeout)?;
        let endpoint = endpoint.trim_end_matches('/');
        let spans = SpanExporter::builder()
            .with_http()
            .with_endpoint(format!("{endpoint}/v1/traces"))
            .with_protocol(Protocol::HttpBinary)
            .with_timeout(config.export_timeout)
            .with_http_client(client.clone())
            .build()
            .map_err(Error::export)?;
        let metrics = MetricExporter::builder()
            .with_http()
            .with_endpoint(format!("{endpoint}/v1/metrics"))
            .with_protocol(Protocol::HttpBinary)
            .with_timeout(config.export_timeout)
            .with_http_client(client.clone())
            .with_temporality(Temporality::Cumulative)
            .build()
            .map_err(Error::export)?;
        Ok(Self { spans, metrics, client })
    }
}

/// A blocking client: the exporters run on threads of their own, without a runtime. It is always handed over,
/// because otherwise the features of any crate in the program decide which client is taken.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    inner: reqwest::blocking::Client,
    closed: Arc<AtomicBool>,
}

impl Client {
    fn new(timeout: Duration) -> Result<Self, Error> {
        // Building and dropping a blocking client waits, which a thread of a runtime may not do.
        let built = std::thread::Builder::new()
            .name("telemetry-client".to_owned())
            .spawn(move || {
                let client = reqwest::blocking::Client::builder();
                // Proxies would be read from the environment.
                client.no_proxy().timeout(timeout).connect_timeout(timeout).build()
            })
            .map_err(Error::export)?
            .join()
            .map_err(|_| Error::export(io::Error::other("the thread that builds the client panicked")))?;
        Ok(Self { inner: built.map_err(Error::export)?, closed: Arc::default() })
    }

    /// Nothing is sent any more; what is tried is refused for good, so that nobody tries again.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, mut request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        if self.closed.load(Ordering::Relaxed) {
            return Ok(Response::builder().status(StatusCode::GONE).body(Bytes::new())?);
        }
        keep_own_headers(request.headers_mut());
        self.inner.send_bytes(request).await
    }
}

/// The exporter adds headers from `OTEL_EXPORTER_OTLP_HEADERS`; settings come from nowhere but the settings.
fn keep_own_headers(headers: &mut HeaderMap) {
    let own = [CONTENT_TYPE, CONTENT_ENCODING, USER_AGENT]
        .map(|name| headers.remove(&name).map(|value| (name, value)));
    headers.clear();
    headers.extend(own.into_iter().flatten());
}
