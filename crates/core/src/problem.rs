use std::borrow::Cow;
use std::fmt;

use serde::Serialize;

/// An error for the caller of an HTTP API: the body of `application/problem+json` (RFC 9457).
///
/// What it says is meant for the caller. What happened inside belongs into the log, and is kept out by
/// constructing a problem from words and not from errors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<Cow<'static, str>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError>,
    /// Headers that the status asks for.
    #[serde(skip)]
    pub(crate) headers: Vec<(&'static str, Cow<'static, str>)>,
}

/// What is wrong with one field of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// Where: a JSON pointer (RFC 6901) into the body, or the name of a query parameter.
    pub pointer: String,
    /// What was expected; never the value that was sent.
    pub detail: String,
}

macro_rules! statuses {
    ($($(#[$doc:meta])* $name:ident = $status:literal $title:literal;)*) => {
        impl Problem {
            $($(#[$doc])* pub fn $name() -> Self { Self::new($status, $title) })*
        }
    };
}

statuses! {
    /// 400: the request can't be understood.
    bad_request = 400 "Bad Request";
    /// 401: no valid credentials.
    unauthorized = 401 "Unauthorized";
    /// 403: valid credentials, and not enough.
    forbidden = 403 "Forbidden";
    /// 404: not there, or not for this tenant: the two are not told apart.
    not_found = 404 "Not Found";
    /// 405: this resource does not know the method.
    method_not_allowed = 405 "Method Not Allowed";
    /// 408: the request did not arrive in time.
    request_timeout = 408 "Request Timeout";
    /// 409: it contradicts what is there.
    conflict = 409 "Conflict";
    /// 413: the body is larger than accepted.
    content_too_large = 413 "Content Too Large";
    /// 415: the body is of a type that is not accepted.
    unsupported_media_type = 415 "Unsupported Media Type";
    /// 422: understood, and wrong.
    unprocessable_content = 422 "Unprocessable Content";
    /// 429: too many requests.
    too_many_requests = 429 "Too Many Requests";
    /// 500: our fault.
    internal = 500 "Internal Server Error";
    /// 503: not now; trying again may help.
    unavailable = 503 "Service Unavailable";
    /// 504: something behind us did not answer in time.
    gateway_timeout = 504 "Gateway Timeout";
}

impl Problem {
    fn new(status: u16, title: &'static str) -> Self {
        Self { kind: "about:blank", title, status, detail: None, errors: Vec::new(), headers: Vec::new() }
    }

    /// A type of problem of your own: a URI that names it, under which it can be documented.
    pub fn with_type(mut self, kind: &'static str, title: &'static str) -> Self {
        (self.kind, self.title) = (kind, title);
        self
    }

    /// What is wrong this time, in a sentence for the caller.
    pub fn with_detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// What is wrong with each field.
    pub fn with_errors(mut self, errors: Vec<FieldError>) -> Self {
        self.errors = errors;
        self
    }

    /// A header of the response, such as `retry-after` or `www-authenticate`.
    pub fn with_header(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The short name of the problem.
    pub fn title(&self) -> &'static str {
        self.title
    }

    /// What is wrong this time, if it was said.
    pub fn detail(&self) -> Option<&str> {
        self.detail.as_deref()
    }

    /// The headers that belong to the response.
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.headers.iter().map(|(name, value)| (*name, value.as_ref()))
    }

    /// The body, as `application/problem+json`.
    pub fn to_json(&self) -> Vec<u8> {
        // Text and numbers alone: there is nothing in it that can fail.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.status, self.title)?;
        self.detail.as_ref().map_or(Ok(()), |detail| write!(f, ": {detail}"))
    }
}

#[cfg(feature = "axum")]
impl axum_core::response::IntoResponse for Problem {
    fn into_response(self) -> axum_core::response::Response {
        use http::{HeaderName, HeaderValue, StatusCode, header};
        let mut response = http::Response::new(axum_core::body::Body::from(self.to_json()));
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        for (name, value) in self.headers() {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.append(HeaderName::from_static(name), value);
            }
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::Problem;

    #[test]
    fn has_the_body_of_rfc_9457() {
        let problem = Problem::conflict().with_detail("a note with this title is there");
        assert_eq!(
            String::from_utf8(problem.to_json()).unwrap(),
            r#"{"type":"about:blank","title":"Conflict","status":409,"detail":"a note with this title is there"}"#
        );
    }
}
