//! A NATS server that takes TLS and nothing else.

use std::{error::Error as _, sync::Arc};

use rustls::pki_types::ServerName;
use shared_devkit::{Authority, Error, Nats, NatsOptions};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use crate::tls::trusting;

#[tokio::test]
async fn a_client_that_trusts_the_authority_gets_in() {
    let authority = Authority::new().expect("an authority");
    let certificate = authority.server().expect("a certificate");
    let options = NatsOptions::new().tls(certificate.certificate_pem(), certificate.key_pem());
    let server = Nats::exclusive_with(options).await.expect("a server");
    let (login, address) =
        server.url().strip_prefix("tls://").expect("TLS").split_once('@').expect("a login");
    let (user, password) = login.split_once(':').expect("a password");

    // The greeting comes before TLS.
    let mut plain = BufReader::new(TcpStream::connect(address).await.expect("a connection"));
    let mut greeting = String::new();
    plain.read_line(&mut greeting).await.expect("a greeting");
    assert!(greeting.contains("\"tls_required\":true"), "{greeting}");
    let connector = TlsConnector::from(Arc::new(trusting(&authority, None)));
    let name = ServerName::try_from("localhost").expect("a name");
    let encrypted = connector.connect(name, plain.into_inner()).await.expect("TLS");
    let mut encrypted = BufReader::new(encrypted);
    let hello =
        format!("CONNECT {{\"verbose\":false,\"user\":\"{user}\",\"pass\":\"{password}\"}}\r\nPING\r\n");
    encrypted.write_all(hello.as_bytes()).await.expect("a greeting");
    let mut answer = String::new();
    encrypted.read_line(&mut answer).await.expect("an answer");
    assert_eq!(answer, "PONG\r\n");

    let error = server.namespace().await.expect_err("devkit speaks no TLS");
    assert!(matches!(error, Error::Request { .. }), "{error}");
    assert!(error.source().expect("a reason").to_string().contains("asks for TLS"));
}
