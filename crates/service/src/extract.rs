//! Bodies, queries and paths that answer with a problem when they can't be read.

use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use serde::Serialize;
use serde::de::DeserializeOwned;
use shared_core::Problem;
use validator::Validate;

use crate::validation::field_errors;

/// A JSON body; as an answer, a JSON body with status 200.
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
        let read = axum::Json::<T>::from_request(request, state).await;
        read.map(|axum::Json(value)| Self(value)).map_err(|rejection| unreadable_body(&rejection))
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
        let wrong = |rejection: QueryRejection| Problem::bad_request().with_detail(rejection.body_text());
        read.map(|axum::extract::Query(value)| Self(value)).map_err(wrong)
    }
}

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let read = axum::extract::Path::<T>::from_request_parts(parts, state).await;
        let wrong = |rejection: PathRejection| match rejection.status().as_u16() {
            500.. => Problem::internal(),
            _ => Problem::not_found().with_detail(rejection.body_text()),
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
    value.validate().map_err(|errors| {
        Problem::unprocessable_content()
            .with_detail("some fields are not as they should be")
            .with_errors(field_errors(&errors))
    })
}

/// The caller sees its own mistake; nothing of it goes to the log.
fn unreadable_body(rejection: &JsonRejection) -> Problem {
    let problem = match rejection.status().as_u16() {
        413 => {
            return Problem::content_too_large().with_detail("the body is larger than this service accepts");
        }
        415 => Problem::unsupported_media_type(),
        422 => Problem::unprocessable_content(),
        _ => Problem::bad_request(),
    };
    problem.with_detail(rejection.body_text())
}
