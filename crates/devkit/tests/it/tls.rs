//! TLS at the proxy: who may speak it, how it begins, and whose certificate is refused.

use std::{
    io::{self, ErrorKind},
    sync::Arc,
};

use rustls::{
    CertificateError, ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use shared_devkit::{Authority, Certificate, Nats, Postgres, Proxy, Tls};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};
use tokio_postgres::{Client, NoTls};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{database::count, proxy::SSL_REQUEST};

const GSS_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x30];

/// A client that trusts one authority alone, and shows a certificate if it has one.
pub(crate) fn trusting(authority: &Authority, shown: Option<&Certificate>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    let root = CertificateDer::from_pem_file(authority.root_file()).expect("a root");
    assert_eq!(root, CertificateDer::from_pem_slice(authority.root_pem().as_bytes()).expect("the same root"));
    roots.add(root).expect("a root");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots);
    let Some(shown) = shown else { return config.with_no_client_auth() };
    let chain =
        vec![CertificateDer::from_pem_slice(shown.certificate_pem().as_bytes()).expect("a certificate")];
    let key = PrivateKeyDer::from_pem_slice(shown.key_pem().as_bytes()).expect("a key");
    config.with_client_auth_cert(chain, key).expect("a key that fits")
}

async fn handshake(socket: TcpStream, config: ClientConfig) -> io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from("localhost").expect("a name");
    TlsConnector::from(Arc::new(config)).connect(name, socket).await
}

async fn socket(proxy: &Proxy) -> TcpStream {
    TcpStream::connect(proxy.address()).await.expect("a proxy")
}

/// Asks a Postgres a question of eight bytes, which it answers with one.
async fn asks(socket: &mut TcpStream, request: [u8; 8]) -> char {
    socket.write_all(&request).await.expect("an open connection");
    char::from(socket.read_u8().await.expect("an answer"))
}

/// As libpq with `sslmode=verify-full`.
async fn after_request(proxy: &Proxy, config: ClientConfig) -> io::Result<TlsStream<TcpStream>> {
    let mut socket = socket(proxy).await;
    assert_eq!(asks(&mut socket, SSL_REQUEST).await, 'S');
    handshake(socket, config).await
}

/// Postgres over a stream that is open already.
async fn postgres<S>(url: &str, stream: S) -> Result<Client, tokio_postgres::Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let config: tokio_postgres::Config = url.parse().expect("a URL");
    let (client, connection) = config.connect_raw(stream, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

async fn answers(client: &Client) {
    assert_eq!(count(client, "select 42::bigint").await, 42);
}

struct World {
    server: Postgres,
    authority: Authority,
}

async fn world() -> World {
    let server = Postgres::shared().await.expect("a server");
    World { server, authority: Authority::new().expect("an authority") }
}

impl World {
    async fn proxy(&self, tls: &Tls) -> Proxy {
        Proxy::with_tls(self.server.url(), tls).await.expect("a proxy")
    }

    fn certificate(&self) -> Certificate {
        self.authority.server().expect("a certificate")
    }

    fn client(&self) -> ClientConfig {
        trusting(&self.authority, None)
    }
}

#[tokio::test]
async fn postgres_speaks_tls_after_its_request() {
    let world = world().await;
    let proxy = world.proxy(&Tls::postgres(&world.certificate())).await;
    let stream = after_request(&proxy, world.client()).await.expect("a handshake");
    answers(&postgres(world.server.url(), stream).await.expect("a session")).await;
    let after = proxy.counters();
    assert_eq!((after.handshakes, after.failed_handshakes), (1, 0));
    assert!(after.round_trips > 1 && after.to_client.bytes > 100, "the plain text is counted: {after:?}");
}

#[tokio::test]
async fn postgres_speaks_tls_at_once() {
    let world = world().await;
    let proxy = world.proxy(&Tls::postgres(&world.certificate())).await;
    let mut config = world.client();
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    let stream = handshake(socket(&proxy).await, config.clone()).await.expect("a handshake");
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"postgresql"[..]));
    answers(&postgres(world.server.url(), stream).await.expect("a session")).await;

    config.alpn_protocols = vec![b"h2".to_vec()];
    assert!(handshake(socket(&proxy).await, config).await.is_err(), "another protocol is not Postgres");
}

#[tokio::test]
async fn postgres_goes_on_in_plain_text_with_who_asks_for_no_tls() {
    let world = world().await;
    let proxy = world.proxy(&Tls::postgres(&world.certificate())).await;
    answers(&crate::database::connect(&proxy.url(world.server.url())).await).await;
    assert_eq!(proxy.counters().handshakes, 0);
}

#[tokio::test]
async fn postgres_without_tls_says_no_and_goes_on() {
    let world = world().await;
    let proxy = world.proxy(&Tls::postgres_without()).await;
    let mut socket = socket(&proxy).await;
    assert_eq!(asks(&mut socket, GSS_REQUEST).await, 'N');
    assert_eq!(asks(&mut socket, SSL_REQUEST).await, 'N');
    answers(&postgres(world.server.url(), socket).await.expect("a session")).await;
}

#[tokio::test]
async fn tls_may_be_there_from_the_first_byte() {
    let world = world().await;
    let proxy = world.proxy(&Tls::at_once(&world.certificate())).await;
    let stream = handshake(socket(&proxy).await, world.client()).await.expect("a handshake");
    answers(&postgres(world.server.url(), stream).await.expect("a session")).await;
    assert_eq!(proxy.counters().handshakes, 1);
}

#[tokio::test]
async fn a_bad_certificate_is_refused_by_the_client() {
    let world = world().await;
    let authority = &world.authority;
    let stranger = Authority::new().expect("another authority");
    type Reason = fn(&CertificateError) -> bool;
    let cases: [(_, Reason); 4] = [
        (authority.server_for("elsewhere.test"), |e| {
            matches!(e, CertificateError::NotValidForNameContext { .. })
        }),
        (authority.expired(), |e| matches!(e, CertificateError::ExpiredContext { .. })),
        (authority.not_yet_valid(), |e| matches!(e, CertificateError::NotValidYetContext { .. })),
        (stranger.server(), |e| *e == CertificateError::UnknownIssuer),
    ];
    for (certificate, is_expected) in cases {
        let proxy = world.proxy(&Tls::postgres(&certificate.expect("a certificate"))).await;
        let error = after_request(&proxy, world.client()).await.expect_err("a bad certificate");
        let reason = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match reason {
            Some(rustls::Error::InvalidCertificate(reason)) => assert!(is_expected(reason), "{reason:?}"),
            _ => panic!("{error}"),
        }
        let after = proxy.until(|counters| counters.open == 0).await.expect("an end");
        assert_eq!((after.handshakes, after.failed_handshakes, after.to_server.read), (0, 1, 0));
    }
}

#[tokio::test]
async fn the_name_in_a_certificate_is_the_one_that_was_asked_for() {
    let authority = Authority::new().expect("an authority");
    assert!(authority.server_for("not a name").is_ok(), "names are not judged here");
    assert!(authority.server_for("nö").is_err());
    let file = authority.root_file().to_owned();
    assert!(file.exists());
    drop(authority);
    assert!(!file.exists());
}

#[tokio::test]
async fn clients_may_need_a_certificate_of_their_own() {
    let world = world().await;
    let tls = Tls::postgres(&world.certificate()).with_clients_of(&world.authority);
    let proxy = world.proxy(&tls).await;
    let own = world.authority.client("app").expect("a certificate");
    let stream = after_request(&proxy, trusting(&world.authority, Some(&own))).await.expect("a handshake");
    answers(&postgres(world.server.url(), stream).await.expect("a session")).await;

    // In TLS 1.3 a client hears only with the first answer that its certificate was refused.
    let strangers = Authority::new().expect("an authority").client("app").expect("a certificate");
    for shown in [None, Some(&strangers)] {
        if let Ok(stream) = after_request(&proxy, trusting(&world.authority, shown)).await {
            assert!(postgres(world.server.url(), stream).await.is_err());
        }
    }
    let after = proxy.until(|counters| counters.failed_handshakes == 2).await.expect("two refusals");
    assert_eq!(after.handshakes, 1);
}

#[tokio::test]
async fn faults_work_inside_of_tls() {
    let world = world().await;
    let proxy = world.proxy(&Tls::postgres(&world.certificate())).await;
    let secure = async || after_request(&proxy, world.client()).await.expect("a handshake");
    let (mut halved, mut cut) = (secure().await, secure().await);
    proxy.until(|counters| counters.handshakes == 2).await.expect("two connections");

    proxy.to_client().half_close();
    assert_eq!(halved.read(&mut [0]).await.expect("an end in TLS, too"), 0);
    assert_eq!(cut.read(&mut [0]).await.expect("an end in TLS, too"), 0);
    assert_eq!(proxy.counters().half_closes, 2);

    let (mut cut, counted) = (secure().await, proxy.counters().cut);
    proxy.until(|counters| counters.handshakes == 3).await.expect("a connection");
    proxy.cut();
    let end = cut.read(&mut [0]).await.expect_err("no word of TLS");
    assert_eq!(end.kind(), ErrorKind::UnexpectedEof);
    assert_eq!(proxy.counters().cut, counted + 3);

    let mut reset = secure().await;
    proxy.until(|counters| counters.handshakes == 4).await.expect("a connection");
    proxy.reset();
    let end = reset.read(&mut [0]).await.expect_err("a reset");
    assert_eq!(end.kind(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_black_hole_answers_no_handshake() {
    let world = world().await;
    let proxy = world.proxy(&Tls::postgres(&world.certificate())).await;
    proxy.black_hole();
    let mut handshake = std::pin::pin!(after_request(&proxy, world.client()));
    tokio::select! {
        _ = &mut handshake => panic!("a black hole has answered"),
        opened = proxy.until(|counters| counters.open == 1) => assert_eq!(opened.expect("one").handshakes, 0),
    }
    proxy.heal();
    handshake.await.expect("a handshake");
}

#[tokio::test]
async fn nats_speaks_tls_after_its_info() {
    let (server, authority) =
        (Nats::shared().await.expect("a server"), Authority::new().expect("an authority"));
    let tls = Tls::nats(&authority.server().expect("a certificate"));
    let proxy = Proxy::with_tls(server.url(), &tls).await.expect("a proxy");
    let mut socket = socket(&proxy).await;
    let info = until_the_end_of(&mut socket, "\r\n").await;
    assert!(info.starts_with("INFO {\"tls_required\":true,\"server_id\":"), "{info}");

    let mut secure = handshake(socket, trusting(&authority, None)).await.expect("a handshake");
    let login = server.url().trim_start_matches("nats://").split('@').next().expect("a login");
    let (user, password) = login.split_once(':').expect("a password");
    let hello =
        format!("CONNECT {{\"verbose\":false,\"user\":\"{user}\",\"pass\":\"{password}\"}}\r\nPING\r\n");
    secure.write_all(hello.as_bytes()).await.expect("an open connection");
    assert_eq!(until_the_end_of(&mut secure, "PONG\r\n").await, "PONG\r\n");
    assert_eq!(proxy.counters().handshakes, 1);
}

/// What comes up to these words, and nothing of what follows.
async fn until_the_end_of(stream: &mut (impl AsyncRead + Unpin), words: &str) -> String {
    let mut text = String::new();
    while !text.ends_with(words) {
        text.push(char::from(stream.read_u8().await.expect("more")));
    }
    text
}
