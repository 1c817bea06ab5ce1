//! Strangers at a relay, whom a pair believes, and that every reason is one line with the right word. Tunnels that carry
//! something are tested through the binary.

use std::fs;
use std::future::{pending, ready};
use std::io;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{AlertDescription, ClientConfig, ServerConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Duration, timeout};

use super::super::connect::{late, network, server_name};
use super::super::failure::{ConnectError, Distrust, NetworkError, distrust, tls_error};
use super::super::provider::provider;
use super::super::proxy::ProxyError;
use super::super::scratch::Scratch;
use super::super::verifier::Exactly;
use super::inlet::Strangers;
use super::reason::{of_broken, of_connect, of_distrust};
use super::upstream::further;
use super::*;
use crate::tunnel::{Host, Role, Trouble};
use crate::types::limits::STRANGERS_MAX;

const SOON: Duration = Duration::from_secs(10);

/// A certificate as the operator makes it, with a key of another kind, which takes less time to make.
fn pair_at(scratch: &Scratch, name: &str) -> Pair {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, "openshift.io");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // Dates are not judged.
    (params.not_before, params.not_after) = (rcgen::date_time_ymd(2001, 1, 1), rcgen::date_time_ymd(2002, 1, 1));
    let path = |end: &str| scratch.path().join(format!("{name}.{end}"));
    fs::write(path("crt"), params.self_signed(&key).unwrap().pem()).unwrap();
    fs::write(path("key"), key.serialize_pem()).unwrap();
    Pair::load(&path("crt"), &path("key")).unwrap()
}

/// Both handshakes over the loopback.
async fn shake(
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
) -> (io::Result<super::super::Stream>, Result<super::super::Stream, io::Error>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = listener.local_addr().unwrap();
    let name = server_name(&Host::parse("dvm.apps.example.com").unwrap()).unwrap();
    let connecting = async { handshake::client(client, name, TcpStream::connect(to).await.unwrap()).await };
    let accepting = async {
        let (tcp, _) = listener.accept().await.unwrap();
        handshake::server(server, tcp).await.map_err(|(error, _)| error)
    };
    timeout(SOON, async { tokio::join!(connecting, accepting) }).await.unwrap()
}

fn distrusted(error: &io::Error) -> Distrust {
    distrust(tls_error(error).unwrap(), Role::Receiver).unwrap()
}

#[tokio::test]
async fn the_same_pair_is_believed_on_both_sides_whatever_its_dates_and_names() {
    let scratch = Scratch::new();
    let pair = pair_at(&scratch, "a");
    let (client, server) = shake(pair.client_config().unwrap(), pair.server_config().unwrap()).await;
    assert!(client.is_ok() && server.is_ok());
}

#[tokio::test]
async fn another_pair_of_the_same_name_is_not() {
    let scratch = Scratch::new();
    let (ours, theirs) = (pair_at(&scratch, "a"), pair_at(&scratch, "b"));
    let (client, server) = shake(ours.client_config().unwrap(), theirs.server_config().unwrap()).await;
    assert!(matches!(distrusted(&client.err().unwrap()), Distrust::OtherKey));
    assert!(matches!(distrusted(&server.err().unwrap()), Distrust::RefusedOurs(AlertDescription::AccessDenied)));
}

#[tokio::test]
async fn the_certificate_without_its_key_is_worth_nothing() {
    let scratch = Scratch::new();
    let (ours, theirs) = (pair_at(&scratch, "a"), pair_at(&scratch, "b"));
    // Shown is ours; signed is with theirs.
    let forged = || {
        let key = provider().key_provider.load_private_key(theirs.key.clone_key()).unwrap();
        Arc::new(SingleCertAndKey::from(CertifiedKey::new(ours.chain.clone(), key)))
    };
    let believed = || Arc::new(Exactly::certificate(ours.chain[0].clone()));
    let versions = [&rustls::version::TLS13];
    let server = ServerConfig::builder_with_provider(provider()).with_protocol_versions(&versions).unwrap();
    let server = server.with_client_cert_verifier(believed()).with_cert_resolver(forged());
    let (client, _) = shake(ours.client_config().unwrap(), Arc::new(server)).await;
    assert!(client.is_err(), "a server without the key was believed");
    let client = ClientConfig::builder_with_provider(provider()).with_protocol_versions(&versions).unwrap();
    let client = client.dangerous().with_custom_certificate_verifier(believed());
    let client = client.with_client_cert_resolver(forged());
    let (_, server) = shake(Arc::new(client), ours.server_config().unwrap()).await;
    assert!(server.is_err(), "a client without the key was believed");
}

#[tokio::test]
async fn one_stranger_too_many_costs_the_eldest_its_place() {
    let mut strangers = Strangers::default();
    let eldest = tokio::spawn(strangers.let_in().await.hold(pending::<()>()));
    let mut places = Vec::new();
    for _ in 1..STRANGERS_MAX {
        places.push(strangers.let_in().await);
    }
    // Given up, and so free for another at once.
    places.pop();
    places.push(strangers.let_in().await);
    assert!(!eldest.is_finished(), "it lost its place although there was one");
    places.push(timeout(SOON, strangers.let_in()).await.unwrap());
    assert_eq!(timeout(SOON, eldest).await.unwrap().unwrap(), None);
    // The others have theirs.
    assert_eq!(places.remove(0).hold(ready(7)).await, Some(7));
}

#[test]
fn the_failure_that_came_further_is_told() {
    let io = |number: i32| network("h:1", io::Error::from_raw_os_error(number).into());
    let kind = |earlier, later| of_connect(&further(Some(earlier), later)).trouble;
    assert_eq!(kind(io(101), io(113)), Trouble::Unreachable);
    assert_eq!(kind(io(111), io(101)), Trouble::Refused);
    assert_eq!(kind(io(101), io(111)), Trouble::Refused);
    let told = of_connect(&further(Some(network("h:1", NetworkError::Closed)), io(111)));
    assert!(told.sentence.contains("closed the connection"), "{told}");
}

#[test]
fn every_reason_is_one_line_with_its_word() {
    let peer = || "route.example.com:443".to_owned();
    let identity = |source| of_connect(&ConnectError::Identity { peer: peer(), source });
    let proxy = |source| of_connect(&ConnectError::Proxy { proxy: "p:3128".to_owned(), peer: peer(), source });
    let alert = |alert| rustls::Error::AlertReceived(alert);
    let io_of = |error| io::Error::new(io::ErrorKind::InvalidData, error);
    let table = [
        (of_connect(&network(&peer(), io::Error::from_raw_os_error(113).into())), "unreachable", "No route to host"),
        (of_connect(&network(&peer(), io::Error::from_raw_os_error(110).into())), "refused", "timed out"),
        (of_connect(&network(&peer(), late("connecting", SOON))), "refused", "within 10 seconds"),
        (of_connect(&network(&peer(), NetworkError::Closed)), "refused", "passthrough"),
        (identity(Distrust::OtherTls(alert(AlertDescription::ProtocolVersion))), "stock", "is stock"),
        (of_distrust(&Distrust::NoCertificate, "10.0.0.1"), "stock", "the stunnel of 10.0.0.1 is stock"),
        (identity(Distrust::OtherKey), "certificate", "delete the stale Secret"),
        (identity(Distrust::UnknownAuthority), "refused", "a router answers"),
        (of_broken(&io_of(alert(AlertDescription::AccessDenied)), "h:1"), "certificate", "refused our certificate"),
        (of_broken(&io::ErrorKind::ConnectionReset.into(), "h:1"), "refused", "before anything came back"),
        (proxy(ProxyError::Credentials(407)), "proxy", "stunnel_tcp_proxy"),
        (proxy(ProxyError::Forbidden), "proxy", "403"),
        (proxy(ProxyError::Unavailable), "refused", "503"),
        (reason::too_many(), "refused", "try again"),
        (Reason::new(Trouble::Refused, format!("a\r\n@ERROR: b{}", "c".repeat(5_000))), "refused", "a@ERROR"),
    ];
    for (reason, word, words) in table {
        let line = reason.line();
        assert!(line.starts_with(&format!("@ERROR: ferry-stunnel {word}: ")), "{line}");
        assert!(line.contains(words), "{words} is not in {line}");
        assert!(line.ends_with('\n') && line.lines().count() == 1 && line.len() < 1_100, "{line}");
    }
}
