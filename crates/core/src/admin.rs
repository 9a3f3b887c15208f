//! What the routers of operators have in common: routes that somebody has to allow, and what is read from a request. What can't be read is answered
//! by a problem that quotes no value.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest, FromRequestParts, Path, Query, Request};
use axum::handler::Handler;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::middleware::{Next, from_fn};
use axum::response::IntoResponse;
use axum::routing::{MethodFilter, on};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{FieldError, Problem, json};

/// The largest body, in bytes: what an operator says is a few words.
const LARGEST_BODY: usize = 16 * 1024;

/// Things in a list if nothing is said.
const LISTED: u32 = 100;

/// Routes of which each is one method of a path, and says what it does, as an action `A`: one that nobody allows can't be written. A method
/// that a path does not have is answered with 405, whoever asks.
pub struct Routes<S, A> {
    router: Router<S>,
    allow: Arc<Allow<A>>,
}

/// Whether whoever sent a request may do that.
type Allow<A> = dyn Fn(&Parts, A) -> Result<(), Problem> + Send + Sync;

impl<S: Clone + Send + Sync + 'static, A: Copy + Send + Sync + 'static> Routes<S, A> {
    /// None yet. Each asks `allow` before anything else, and answers with its problem where it has one.
    pub fn new(allow: impl Fn(&Parts, A) -> Result<(), Problem> + Send + Sync + 'static) -> Self {
        Self { router: Router::new(), allow: Arc::new(allow) }
    }

    /// With one more.
    #[must_use]
    pub fn on<H, T>(self, action: A, method: MethodFilter, path: &str, handler: H) -> Self
    where
        H: Handler<T, S>,
        T: 'static,
    {
        let allow = Arc::clone(&self.allow);
        let guarded = on(method, handler).route_layer(from_fn(move |request: Request, next: Next| {
            let (parts, body) = request.into_parts();
            let allowed = allow(&parts, action);
            async move {
                match allowed {
                    Ok(()) => next.run(Request::from_parts(parts, body)).await,
                    Err(problem) => problem.into_response(),
                }
            }
        }));
        Self { router: self.router.route(path, guarded), ..self }
    }

    /// All of them.
    pub fn router(self) -> Router<S> {
        self.router.method_not_allowed_fallback(async || Problem::method_not_allowed())
    }
}

/// A JSON body of 16 KiB at most.
#[derive(Debug)]
pub struct Body<T>(pub T);

/// The query.
#[derive(Debug)]
pub struct Params<T>(pub T);

/// What stands in the path. Something of another shape is not there.
#[derive(Debug)]
pub struct At<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(mut request: Request, state: &S) -> Result<Self, Problem> {
        let kind =
            request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        if !kind.eq_ignore_ascii_case("application/json") {
            return Err(Problem::unsupported_media_type().with_detail("the body's content type is not JSON"));
        }
        let said = request.extensions().get::<Said>().cloned();
        DefaultBodyLimit::max(LARGEST_BODY).apply(&mut request);
        let body = Bytes::from_request(request, state).await.map_err(|rejection| {
            match rejection.status().as_u16() {
                413 => Problem::content_too_large().with_detail("16 KiB are the limit"),
                _ => Problem::bad_request().with_detail("the body ended before its end"),
            }
        })?;
        let read = json::read(&body).map(Self)?;
        if let Some(said) = said {
            said.hear(&body);
        }
        Ok(read)
    }
}

/// What the body of a request said, for those who keep a record of what was asked: put one into the request's extensions, and keep a
/// clone. It hears nothing of a body that a route does not read, or can't.
#[derive(Clone, Default)]
pub struct Said(Arc<OnceLock<String>>);

impl Said {
    /// The body as JSON without spaces, its fields by their names, if one was read.
    pub fn body(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }

    /// Spaces, or a long reason in front of a filter, would push what counts beyond what a record has room for.
    fn hear(&self, body: &[u8]) {
        let fields = serde_json::from_slice::<BTreeMap<String, Value>>(body);
        if let Ok(json) = fields.and_then(|fields| serde_json::to_string(&fields)) {
            // Each request has one body.
            let _ = self.0.set(json);
        }
    }
}

impl fmt::Debug for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Said").finish_non_exhaustive()
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let read = Query::<T>::from_request_parts(parts, state).await;
        read.map(|Query(value)| Self(value))
            .map_err(|wrong| Problem::bad_request().with_detail(json::of_query(&wrong.body_text())))
    }
}

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for At<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let read = Path::<T>::from_request_parts(parts, state).await;
        read.map(|Path(value)| Self(value)).map_err(|_| Problem::not_found())
    }
}

/// How many things a list has, by its `field`: 100 where nothing is said.
///
/// # Errors
/// A [`Problem`] for none, or more than `longest`.
pub fn most(field: &str, asked: Option<u32>, longest: u32) -> Result<u32, Problem> {
    let most = asked.unwrap_or(LISTED);
    if (1..=longest).contains(&most) {
        Ok(most)
    } else {
        Err(wrong(field, format!("expected 1 to {longest}")))
    }
}

/// A field that is one of some words, as what `read` makes of it.
///
/// # Errors
/// A [`Problem`] that says which `words` there are.
pub fn word<T>(
    field: &str,
    word: Option<String>,
    read: impl Fn(&str) -> Option<T>,
    words: &str,
) -> Result<Option<T>, Problem> {
    let Some(word) = word else { return Ok(None) };
    read(&word).map(Some).ok_or_else(|| wrong(field, format!("expected {words}")))
}

/// 422, with the field that is wrong and what was expected. A field of a body is a JSON pointer, such as `/filter/reason`; one of a query is its
/// name.
pub fn wrong(field: &str, detail: impl Into<String>) -> Problem {
    json::wrong_fields(vec![FieldError { pointer: field.to_owned(), detail: detail.into() }])
}

#[cfg(test)]
mod tests;
