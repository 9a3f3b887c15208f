use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Serialize;

/// An answer with status 201, and what was created as its JSON body.
#[derive(Clone, Copy, Debug)]
pub struct Created<T>(pub T);

impl<T: Serialize> IntoResponse for Created<T> {
    fn into_response(self) -> Response {
        (StatusCode::CREATED, axum::Json(self.0)).into_response()
    }
}
