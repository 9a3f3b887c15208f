//! The headers by which a service tells browsers what not to do: presets, each header by its name, and content security policies.
//!
//! ```
//! use shared_security::headers::{ReferrerPolicy, SecurityHeaders, SecurityHeadersLayer};
//!
//! let headers = SecurityHeaders::web_strict().referrer_policy(ReferrerPolicy::SameOrigin);
//! let layer = SecurityHeadersLayer::new(headers); // around a router, outside of everything that answers
//! # let _ = layer;
//! ```

mod csp;
mod embedders;
mod layer;
mod nonce;
mod values;

use std::time::Duration;

use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY_REPORT_ONLY, REFERRER_POLICY,
    STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS, X_DNS_PREFETCH_CONTROL, X_FRAME_OPTIONS,
    X_XSS_PROTECTION,
};
use http::{HeaderName, HeaderValue};

pub use csp::{Csp, Directive, Source};
pub use embedders::Embedders;
pub use layer::{SecurityHeadersFuture, SecurityHeadersLayer, SecurityHeadersService};
pub use nonce::Nonce;
pub use values::{EmbedderPolicy, FrameOptions, OpenerPolicy, ReferrerPolicy, ResourcePolicy};

const EMBEDDER: HeaderName = HeaderName::from_static("cross-origin-embedder-policy");
const OPENER: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const RESOURCE: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const AGENT_CLUSTER: HeaderName = HeaderName::from_static("origin-agent-cluster");
const DOWNLOAD_OPTIONS: HeaderName = HeaderName::from_static("x-download-options");
const CROSS_DOMAIN: HeaderName = HeaderName::from_static("x-permitted-cross-domain-policies");
const PERMISSIONS: HeaderName = HeaderName::from_static("permissions-policy");

/// A year: what ASVS 3.4.1 asks for at least, and what the preload lists of browsers take.
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// What a page may not use unless it says so: the capabilities that spy or pay.
const NO_CAPABILITIES: &str =
    "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()";

/// A set of security headers. Begin with a preset and change what your service needs otherwise.
///
/// A header that a handler has set stays as it is: it knows its page better. `x-powered-by` is always removed.
#[derive(Clone, Debug)]
pub struct SecurityHeaders {
    pub(crate) fixed: Vec<(HeaderName, HeaderValue)>,
    pub(crate) policy: Option<Csp>,
    pub(crate) report_only: Option<Csp>,
    pub(crate) embedders: Option<Embedders>,
}

impl SecurityHeaders {
    /// For answers that are data: nothing in them may run, be framed, be cached or be loaded by another origin's page.
    pub fn api() -> Self {
        Self::common(Csp::nothing())
            .frame_options(FrameOptions::Deny)
            .with(CACHE_CONTROL, HeaderValue::from_static("no-store"))
    }

    /// For pages: scripts by nonce, no frames, no foreign resources, no camera. Meets ASVS 3.4.1, 3.4.3 to 3.4.6 and 3.4.8;
    /// for 3.4.7 give its policy a place for [reports](Csp::report_to).
    pub fn web_strict() -> Self {
        Self::common(Csp::strict())
            .frame_options(FrameOptions::Deny)
            .with(PERMISSIONS, HeaderValue::from_static(NO_CAPABILITIES))
    }

    /// The thirteen effects of helmet 8 for Express at its defaults, for services that move from there.
    pub fn helmet_compatible() -> Self {
        Self::common(Csp::helmet()).frame_options(FrameOptions::SameOrigin)
    }

    /// For a page that others embed: `frame-ancestors` are the origins of the [`Embedders`], and nobody else. Use the same
    /// with [`Cors::per_request`](crate::Cors::per_request).
    pub fn widget(embedders: Embedders) -> Self {
        let mut headers = Self::web_strict()
            .without(X_FRAME_OPTIONS)
            .cross_origin_resource_policy(ResourcePolicy::CrossOrigin);
        headers.embedders = Some(embedders);
        headers
    }

    fn common(policy: Csp) -> Self {
        let headers = Self { fixed: Vec::new(), policy: Some(policy), report_only: None, embedders: None };
        let headers = headers
            .strict_transport_security(YEAR, true)
            .referrer_policy(ReferrerPolicy::NoReferrer)
            .cross_origin_opener_policy(OpenerPolicy::SameOrigin)
            .cross_origin_resource_policy(ResourcePolicy::SameOrigin);
        [
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (AGENT_CLUSTER, "?1"),
            (X_DNS_PREFETCH_CONTROL, "off"),
            (DOWNLOAD_OPTIONS, "noopen"),
            (CROSS_DOMAIN, "none"),
            // The filter of old browsers was itself a hole; 0 switches it off.
            (X_XSS_PROTECTION, "0"),
        ]
        .into_iter()
        .fold(headers, |headers, (name, value)| headers.with(name, HeaderValue::from_static(value)))
    }

    /// A header by its name, in place of another of that name.
    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self = self.without(name.clone());
        self.fixed.push((name, value));
        self
    }

    /// Without this header.
    pub fn without(mut self, name: HeaderName) -> Self {
        self.fixed.retain(|(known, _)| *known != name);
        if name == CONTENT_SECURITY_POLICY {
            (self.policy, self.embedders) = (None, None);
        }
        if name == CONTENT_SECURITY_POLICY_REPORT_ONLY {
            self.report_only = None;
        }
        self
    }

    /// What pages may load and who may frame them.
    pub fn content_security_policy(mut self, policy: Csp) -> Self {
        self.policy = Some(policy);
        self
    }

    /// A policy that is only reported, to be tried before it is enforced.
    pub fn content_security_policy_report_only(mut self, policy: Csp) -> Self {
        self.report_only = Some(policy);
        self
    }

    /// For how long browsers come by `https` alone, and whether that holds for subdomains (RFC 6797).
    pub fn strict_transport_security(self, max_age: Duration, subdomains: bool) -> Self {
        let seconds = max_age.as_secs();
        let text = format!("max-age={seconds}{}", if subdomains { "; includeSubDomains" } else { "" });
        // Digits and a fixed text are a header's value.
        match HeaderValue::try_from(text) {
            Ok(value) => self.with(STRICT_TRANSPORT_SECURITY, value),
            Err(_) => self,
        }
    }

    /// What a browser tells the next page about this one.
    pub fn referrer_policy(self, policy: ReferrerPolicy) -> Self {
        self.with(REFERRER_POLICY, HeaderValue::from_static(policy.text()))
    }

    /// Who may frame the page, for browsers without `frame-ancestors`.
    pub fn frame_options(self, options: FrameOptions) -> Self {
        self.with(X_FRAME_OPTIONS, HeaderValue::from_static(options.text()))
    }

    /// Which windows share a process with the page.
    pub fn cross_origin_opener_policy(self, policy: OpenerPolicy) -> Self {
        self.with(OPENER, HeaderValue::from_static(policy.text()))
    }

    /// Who may load the answer as part of a page.
    pub fn cross_origin_resource_policy(self, policy: ResourcePolicy) -> Self {
        self.with(RESOURCE, HeaderValue::from_static(policy.text()))
    }

    /// What the page may load from elsewhere. No preset sets it: foreign images and frames have to agree first.
    pub fn cross_origin_embedder_policy(self, policy: EmbedderPolicy) -> Self {
        self.with(EMBEDDER, HeaderValue::from_static(policy.text()))
    }
}
