//! The headers that say who asks: `authorization`, and the cookie of a session.

use std::convert::Infallible;
use std::sync::LazyLock;

use futures_util::FutureExt;
use http::header::{AUTHORIZATION, COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use shared_security::{BearerLayer, HostCookie, Principal, permissions};
use tower::{Layer, ServiceExt, service_fn};

use super::token;

permissions! { static MATRIX = "fuzz" { Fuzz = "fuzz:run" } }

static TOKEN: LazyLock<String> =
    LazyLock::new(|| token::signed(token::header().as_bytes(), token::claims().as_bytes()));

static LAYER: LazyLock<BearerLayer> = LazyLock::new(|| BearerLayer::new(token::VERIFIER.clone(), &MATRIX));

static SESSION: HostCookie = HostCookie::new("session");

/// A header that is right.
pub fn authorization() -> String {
    format!("Bearer {}", *TOKEN)
}

/// Cookies as a browser sends them.
pub fn cookies() -> String {
    "theme=dark; __Host-session=s3cret; __Host-sessions=other\nlang=en".to_owned()
}

/// The first byte says what the others are: lines of `authorization`, or of `cookie`.
pub fn any(bytes: &[u8]) {
    match bytes {
        [0, lines @ ..] => any_authorization(lines),
        lines => any_cookies(lines),
    }
}

/// There is a principal for one header with the scheme and the one good token, and for nothing else.
pub fn any_authorization(lines: &[u8]) {
    let headers = headers(AUTHORIZATION, lines);
    let values: Vec<&[u8]> = headers.get_all(AUTHORIZATION).iter().map(HeaderValue::as_bytes).collect();
    let good = matches!(*values, [value] if is_good(value));
    let several = values.len() > 1;
    let (status, admitted) = answer(headers.clone());
    assert_eq!(admitted, good);
    assert!(!good || status == StatusCode::OK);
    assert!(!several || status == StatusCode::BAD_REQUEST);
    assert!([StatusCode::OK, StatusCode::BAD_REQUEST, StatusCode::UNAUTHORIZED].contains(&status));
}

/// RFC 9110, section 11.4: the scheme has no case, and one space or more follow it.
fn is_good(value: &[u8]) -> bool {
    let Some((scheme, token)) = std::str::from_utf8(value).ok().and_then(|value| value.split_once(' '))
    else {
        return false;
    };
    scheme.eq_ignore_ascii_case("bearer") && token.trim_start_matches(' ') == *TOKEN
}

/// The status, and whether the service behind the layer saw a principal.
fn answer(headers: HeaderMap) -> (StatusCode, bool) {
    let service = LAYER.layer(service_fn(async |request: Request<()>| {
        let mut response = Response::new(Vec::new());
        if let Some(principal) = request.extensions().get::<Principal>() {
            response.extensions_mut().insert(principal.clone());
        }
        Ok::<_, Infallible>(response)
    }));
    let mut request = Request::new(());
    *request.headers_mut() = headers;
    let response =
        service.oneshot(request).now_or_never().expect("nobody is waited for").expect("infallible");
    (response.status(), response.extensions().get::<Principal>().is_some())
}

/// What is read is what one cookie of that name says; two are refused, and other cookies can't take its place.
pub fn any_cookies(lines: &[u8]) {
    let mut headers = headers(COOKIE, lines);
    let pairs: Vec<Vec<u8>> = headers
        .get_all(COOKIE)
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b';'))
        .filter_map(|pair| pair.trim_ascii().strip_prefix(b"__Host-session=").map(<[u8]>::to_vec))
        .collect();
    match (SESSION.read(&headers), &*pairs) {
        (Ok(Some(value)), [only]) => assert_eq!(value.expose().as_bytes(), only),
        (Ok(None), [only]) => assert!(std::str::from_utf8(only).is_err()),
        (Ok(None), []) | (Err(_), [_, _, ..]) => {}
        (read, _) => panic!("{read:?} of {} cookies", pairs.len()),
    }
    headers.append(COOKIE, HeaderValue::from_static("__Host-session=own"));
    match SESSION.read(&headers) {
        Ok(value) => assert_eq!(value.map(|value| value.expose().to_owned()).as_deref(), Some("own")),
        Err(_) => assert!(!pairs.is_empty()),
    }
}

fn headers(name: HeaderName, lines: &[u8]) -> HeaderMap {
    let values = lines.split(|byte| *byte == b'\n').filter_map(|line| HeaderValue::from_bytes(line).ok());
    values.map(|value| (name.clone(), value)).fold(HeaderMap::new(), |mut headers, (name, value)| {
        headers.append(name, value);
        headers
    })
}
