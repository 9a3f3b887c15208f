//! Bodies, queries and paths that answer with a problem when they can't be read.

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use serde::Serialize;
use serde::de::DeserializeOwned;
use shared_core::Problem;
use shared_core::json::{self, wrong_fields};
use validator::Validate;

use crate::validation::field_errors;

/// A JSON body; as an answer, a JSON body with status 200.
///
/// It is read strictly: the content type has to say that it is JSON (415), it has the size that the service accepts (413), is
/// nested 32 levels deep at most, and has no fields that the type does not know (422), so that nobody sets what was not
/// asked for. A problem names the place of what is wrong and never the value; of several values that do not fit their
/// types, the first.
#[derive(Clone, Copy, Debug, Default)]
pub struct Json<T>(pub T);

/// The query of the URL.
#[derive(Clone, Copy, Debug, Default)]
pub struct Query<T>(pub T);

/// The parameters of the path.
#[derive(Clone, Copy, Debug, Default)]
pub struct Path<T>(pub T);

/// A [`Json`], [`Query`] or [`Path`] whose `validator` rules hold: else 422, with each field that is wrong.
#[derive(Clone, Copy, Debug, Default)]
pub struct Valid<E>(pub E);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(Problem::unsupported_media_type().with_detail("the body's content type is not JSON"));
        }
        let body = Bytes::from_request(request, state).await.map_err(|rejection| unreadable(&rejection))?;
        json::read(&body).map(Self)
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let read = axum::extract::Query::<T>::from_request_parts(parts, state).await;
        let wrong = |rejection: QueryRejection| {
            Problem::bad_request().with_detail(json::of_query(&rejection.body_text()))
        };
        read.map(|axum::extract::Query(value)| Self(value)).map_err(wrong)
    }
}

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let read = axum::extract::Path::<T>::from_request_parts(parts, state).await;
        let wrong = |rejection: PathRejection| match rejection.status().as_u16() {
            500.. => Problem::internal(),
            _ => Problem::not_found(),
        };
        read.map(|axum::extract::Path(value)| Self(value)).map_err(wrong)
    }
}

impl<T: DeserializeOwned + Validate, S: Send + Sync> FromRequest<S> for Valid<Json<T>> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let Json(value) = Json::<T>::from_request(request, state).await?;
        valid(&value)?;
        Ok(Self(Json(value)))
    }
}

impl<T: DeserializeOwned + Validate, S: Send + Sync> FromRequestParts<S> for Valid<Query<T>> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Query(value) = Query::<T>::from_request_parts(parts, state).await?;
        valid(&value)?;
        Ok(Self(Query(value)))
    }
}

impl<T: DeserializeOwned + Validate + Send, S: Send + Sync> FromRequestParts<S> for Valid<Path<T>> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(value) = Path::<T>::from_request_parts(parts, state).await?;
        valid(&value)?;
        Ok(Self(Path(value)))
    }
}

fn valid(value: &impl Validate) -> Result<(), Problem> {
    value.validate().map_err(|errors| wrong_fields(field_errors(&errors)))
}

/// `application/json`, or a type that says it is written in JSON (RFC 6839), whatever its parameters.
fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
}

/// The caller sees its own mistake; nothing of it goes to the log.
fn unreadable(rejection: &BytesRejection) -> Problem {
    match rejection.status().as_u16() {
        413 => Problem::content_too_large().with_detail("the body is larger than this service accepts"),
        _ => Problem::bad_request().with_detail("the body ended before its end"),
    }
}
