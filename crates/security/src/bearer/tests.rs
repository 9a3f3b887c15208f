//! Requests whose token names a key that is not known yet.

use std::convert::Infallible;
use std::time::Duration;

use http::StatusCode;
use shared_core::TenantId;
use tower::{ServiceExt, service_fn};

use super::*;
use crate::keys::Supply;
use crate::{Algorithm, Grant, Issuer, Keys, Policy, SigningKey, TokenType};

crate::permissions! { static MATRIX = "notes" { ReadNotes = "notes:read" } }

fn layer() -> (BearerLayer, Supply) {
    let (keys, supply) = Keys::supplied(Duration::from_secs(30));
    let policy = Policy::new("issuer", "notes", TokenType::Access, Algorithm::EdDsa, keys).unwrap();
    (BearerLayer::new(Verifier::any_of([policy]).unwrap(), &MATRIX), supply)
}

fn request(key: &SigningKey) -> Request<()> {
    let grant = Grant::new(TenantId::new(), "user:7").with_permissions(ReadNotes);
    let token = Issuer::new(key.clone(), "issuer", "notes").issue(&grant).unwrap();
    Request::get("/").header("authorization", format!("Bearer {}", token.expose())).body(()).unwrap()
}

async fn who(request: Request<()>) -> Result<Response<Vec<u8>>, Infallible> {
    let who = request.extensions().get::<Principal>().map(|who| who.subject().to_owned());
    Ok(Response::new(format!("{who:?}").into_bytes()))
}

/// The issuer signs with its next key a moment before this program has heard of it.
#[tokio::test]
async fn a_request_waits_for_its_key_and_goes_on() {
    let (layer, supply) = layer();
    let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
    let source = async {
        supply.wanted().await;
        supply.publish(vec![key.verifying_key().clone()]);
        supply.answer(true);
    };
    let (response, ()) = tokio::join!(layer.layer(service_fn(who)).oneshot(request(&key)), source);
    assert_eq!(response.unwrap().into_body(), br#"Some("user:7")"#);
}

#[tokio::test]
async fn a_request_whose_key_nobody_knows_is_refused() {
    let (layer, supply) = layer();
    let [key, forgers] = [(); 2].map(|()| SigningKey::generate(Algorithm::EdDsa).unwrap());
    supply.publish(vec![key.verifying_key().clone()]);
    let service = layer.layer(service_fn(who));
    let source = async {
        supply.wanted().await;
        supply.answer(true);
    };
    let (response, ()) = tokio::join!(service.clone().oneshot(request(&forgers)), source);
    assert_eq!(response.unwrap().status(), StatusCode::UNAUTHORIZED);
    // Within the cool-down the source is not asked again, so nobody has to answer.
    let again = service.clone().oneshot(request(&forgers)).await.unwrap();
    assert_eq!(again.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(service.oneshot(request(&key)).await.unwrap().status(), StatusCode::OK);
}
