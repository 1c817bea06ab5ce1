//! Connections over loopback: who is let in, who is not, and what is said of it.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::greet::greet_within;
use super::issue::{Request, issue};
use super::keygen::{keygen, write_identity};
use super::scratch::Scratch;
use super::*;
use crate::types::{Outcome, VolumeName};

/// Nothing here takes this long; it only keeps a broken test from hanging.
const AT_MOST: Duration = Duration::from_secs(20);
const DAY: Duration = Duration::from_secs(86_400);

fn timing() -> Timing {
    Timing { handshake: Duration::from_secs(5), linger: Duration::from_millis(200), ..Timing::default() }
}

/// Both identities of one authority, valid now, the receiver's for localhost.
pub(in crate::tunnel) fn pair() -> (Identity, Identity) {
    let dir = Scratch::new();
    keygen(dir.path(), &["receiver.example".to_owned()], 1).unwrap();
    load(&dir, SystemTime::now())
}

fn load(dir: &Scratch, at: SystemTime) -> (Identity, Identity) {
    let receiver = Identity::load_at(&dir.path().join("receiver"), Role::Receiver, at).unwrap();
    (receiver, Identity::load_at(&dir.path().join("sender"), Role::Sender, at).unwrap())
}

/// Both identities, valid from `from` to `until`; the authority has the same name each time.
fn pair_of(from: SystemTime, until: SystemTime) -> Scratch {
    let dir = Scratch::new();
    let pair = issue(&Request { hosts: &[], not_before: from, not_after: until, serial: 1 }).unwrap();
    write_identity(dir.path(), "receiver", &pair.receiver).unwrap();
    write_identity(dir.path(), "sender", &pair.sender).unwrap();
    dir
}

fn target(address: SocketAddr) -> Target {
    Target { addresses: vec![HostPort::parse(&address.to_string()).unwrap()], server_name: None, proxy: None }
}

/// What each side sees of one connection, preambles exchanged when it stands.
struct Seen {
    sender: Result<(Stream, u16), ConnectError>,
    receiver: Result<Stream, AcceptError>,
}

async fn meet(receiver: Identity, sender: Identity, name: Option<&str>) -> Seen {
    let acceptor = Acceptor::with_timing("127.0.0.1:0", &receiver, timing()).unwrap();
    let mut target = target(acceptor.local_addr().unwrap());
    target.server_name = name.map(str::to_owned);
    let connector = Connector::with_timing(target, &sender, timing()).unwrap();
    let sending = async {
        let mut stream = connector.connect().await?;
        match greet_within(&mut stream, &[], timing()).await {
            Ok(version) => Ok((stream, version)),
            Err(GreetError::Refused(refused)) => Err(refused),
            Err(other) => panic!("{other:?}"),
        }
    };
    let receiving = async {
        let (mut stream, _stranger) = acceptor.accept().await.unwrap().complete().await?;
        greet_within(&mut stream, &[], timing()).await.unwrap();
        Ok(stream)
    };
    let (sender, receiver) = timeout(AT_MOST, async { tokio::join!(sending, receiving) }).await.unwrap();
    Seen { sender, receiver }
}

/// The two ends of an authenticated connection.
pub(in crate::tunnel) async fn connected() -> (Stream, Stream) {
    let (receiver, sender) = pair();
    let seen = meet(receiver, sender, None).await;
    (seen.sender.unwrap().0, seen.receiver.unwrap())
}

#[track_caller]
fn distrust_of(seen: &Seen) -> (&Distrust, &Distrust) {
    let (Err(sender), Err(AcceptError::Identity { source: receiver, .. })) = (&seen.sender, &seen.receiver) else {
        panic!("{:?} {:?}", seen.sender.as_ref().err(), seen.receiver.as_ref().err());
    };
    assert_eq!((sender.outcome(), sender.may_pass()), (Outcome::Refused, false));
    let ConnectError::Identity { source: sender, .. } = sender else { panic!("{sender:?}") };
    (sender, receiver)
}

#[tokio::test]
async fn two_identities_of_one_authority_meet() {
    let (receiver, sender) = pair();
    let seen = meet(receiver, sender, None).await;
    let (mut ours, version) = seen.sender.unwrap();
    assert_eq!(version, 1);
    ours.write_all(b"hello").await.unwrap();
    ours.flush().await.unwrap();
    let mut read = [0; 5];
    seen.receiver.unwrap().read_exact(&mut read).await.unwrap();
    assert_eq!(&read, b"hello");
}

#[tokio::test]
async fn a_name_of_the_certificate_is_accepted_in_any_case() {
    let (receiver, sender) = pair();
    assert!(meet(receiver, sender, Some("Receiver.Example.")).await.sender.is_ok());
}

#[tokio::test]
async fn another_name_is_refused_and_both_are_told() {
    let (receiver, sender) = pair();
    let seen = meet(receiver, sender, Some("other.example")).await;
    let (ours, theirs) = distrust_of(&seen);
    let Distrust::WrongName { expected, presented } = ours else { panic!("{ours:?}") };
    assert_eq!(expected, "other.example");
    assert!(presented.contains("receiver.example"), "{presented}");
    assert!(matches!(theirs, Distrust::RefusedOurs(_)));
}

#[tokio::test]
async fn a_receiver_of_another_authority_is_refused() {
    let seen = meet(pair().0, pair().1, None).await;
    assert!(matches!(distrust_of(&seen), (Distrust::UnknownAuthority, Distrust::RefusedOurs(_))));
}

/// A sender whose ca.crt was replaced, so that it believes the receiver, but not the receiver it.
#[tokio::test]
async fn a_sender_of_another_authority_is_refused_and_learns_why() {
    let (ours, foreign) = (Scratch::new(), Scratch::new());
    keygen(ours.path(), &[], 1).unwrap();
    keygen(foreign.path(), &[], 1).unwrap();
    std::fs::copy(ours.path().join("sender/ca.crt"), foreign.path().join("sender/ca.crt")).unwrap();
    let now = SystemTime::now();
    let seen = meet(load(&ours, now).0, load(&foreign, now).1, None).await;
    assert!(matches!(distrust_of(&seen), (Distrust::RefusedOurs(_), Distrust::UnknownAuthority)));
}

#[tokio::test]
async fn an_authority_of_the_same_name_is_another_authority() {
    let (from, until) = (SystemTime::now() - DAY, SystemTime::now() + DAY);
    let (one, other) = (pair_of(from, until), pair_of(from, until));
    let now = SystemTime::now();
    let seen = meet(load(&one, now).0, load(&other, now).1, None).await;
    assert!(matches!(distrust_of(&seen), (Distrust::UnknownAuthority, Distrust::RefusedOurs(_))));
}

#[tokio::test]
async fn certificates_out_of_their_dates_are_refused_with_the_dates() {
    let now = SystemTime::now();
    let past = pair_of(now - 3 * DAY, now - DAY);
    let (receiver, sender) = load(&past, now - 2 * DAY);
    let seen = meet(receiver, sender, None).await;
    assert!(matches!(distrust_of(&seen).0, Distrust::Expired { .. }));

    let future = pair_of(now + DAY, now + 3 * DAY);
    let (receiver, sender) = load(&future, now + 2 * DAY);
    let seen = meet(receiver, sender, None).await;
    let sentence = distrust_of(&seen).0.to_string();
    assert!(sentence.contains("check the clocks of both sides") && sentence.contains(" UTC"), "{sentence}");
}

/// Stolen or confused: the sender's certificate on a receiver. Loading refuses it, so it is put together by hand.
#[tokio::test]
async fn a_certificate_for_one_side_is_of_no_use_on_the_other() {
    let dir = Scratch::new();
    keygen(dir.path(), &[], 1).unwrap();
    let (receiver, sender) = load(&dir, SystemTime::now());
    let masquerade = receiver.with_certificate_of(&sender);
    let seen = meet(masquerade, sender, Some("localhost")).await;
    let (ours, _) = distrust_of(&seen);
    assert!(matches!(ours, Distrust::WrongRole(Role::Receiver) | Distrust::WrongName { .. }), "{ours:?}");

    let (receiver, sender) = load(&dir, SystemTime::now());
    let masquerade = sender.with_certificate_of(&receiver);
    let seen = meet(receiver, masquerade, None).await;
    assert!(matches!(distrust_of(&seen), (Distrust::RefusedOurs(_), Distrust::WrongRole(Role::Sender))));
}

#[test]
fn an_identity_is_not_taken_on_the_other_side() {
    let (receiver, sender) = pair();
    assert!(matches!(
        Acceptor::bind("127.0.0.1:0", sender),
        Err(BindError::Identity(IdentityError::WrongSide { identity: Role::Sender }))
    ));
    let target = Target { addresses: vec![HostPort::parse("h:1").unwrap()], server_name: None, proxy: None };
    assert!(matches!(Connector::new(target, receiver), Err(ConnectorError::Identity(_))));
}

fn ticket() -> Ticket {
    let address = HostPort::parse("localhost:1").unwrap();
    Ticket::issue(vec![address], "ferry.example", VolumeName::new("data").unwrap(), u64::MAX).unwrap()
}

#[tokio::test]
async fn two_sides_of_one_ticket_meet_and_of_two_do_not() {
    let ours = ticket();
    let pasted = Ticket::parse(&ours.to_string()).unwrap();
    let receiver = || Identity::from_ticket(&ours, Role::Receiver).unwrap();
    let seen = meet(receiver(), Identity::from_ticket(&pasted, Role::Sender).unwrap(), Some("ferry.example")).await;
    assert!(seen.sender.is_ok() && seen.receiver.is_ok());

    let seen = meet(receiver(), Identity::from_ticket(&ticket(), Role::Sender).unwrap(), None).await;
    assert!(matches!(distrust_of(&seen), (Distrust::OtherKey, Distrust::RefusedOurs(_))));
    let seen = meet(receiver(), pair().1, None).await;
    assert!(matches!(distrust_of(&seen).0, Distrust::UnknownAuthority));
    let seen = meet(pair().0, Identity::from_ticket(&ours, Role::Sender).unwrap(), None).await;
    assert!(matches!(distrust_of(&seen).0, Distrust::OtherKey));
}

/// One connection to a port that does `serve`, and what comes of it.
async fn connect_to<F>(serve: impl FnOnce(TcpStream) -> F, timing: Timing) -> ConnectError
where
    F: Future<Output = ()>,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let connector = Connector::with_timing(target(listener.local_addr().unwrap()), &pair().1, timing).unwrap();
    let serving = async { serve(listener.accept().await.unwrap().0).await };
    let (result, ()) = timeout(AT_MOST, async { tokio::join!(connector.connect(), serving) }).await.unwrap();
    result.err().unwrap()
}

#[tokio::test]
async fn a_web_server_is_not_tls() {
    let error = connect_to(
        |mut tcp| async move {
            tcp.read_u8().await.unwrap();
            tcp.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        },
        timing(),
    )
    .await;
    assert!(matches!(error, ConnectError::NotTls { .. }), "{error:?}");
    assert_eq!((error.outcome(), error.may_pass()), (Outcome::Network, false));
}

#[tokio::test]
async fn a_port_that_says_nothing_is_given_up() {
    let short = Timing { handshake: Duration::from_millis(50), ..timing() };
    let (keep, mut kept) = tokio::sync::mpsc::channel(1);
    let error = connect_to(|tcp| async move { keep.send(tcp).await.unwrap() }, short).await;
    assert!(kept.recv().await.is_some());
    assert!(matches!(error, ConnectError::Network { source: NetworkError::Timeout { .. }, .. }), "{error:?}");
    assert!(error.may_pass());
}

#[tokio::test]
async fn a_port_that_hangs_up_or_is_closed_may_come_back() {
    let error = connect_to(|mut tcp| async move { drop(tcp.read_u8().await) }, timing()).await;
    assert!(error.may_pass(), "{error:?}");

    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let closed = Connector::with_timing(target(free), &pair().1, timing()).unwrap().connect().await.err().unwrap();
    assert!(matches!(closed, ConnectError::Network { source: NetworkError::Io(_), .. }), "{closed:?}");
}

#[tokio::test]
async fn the_second_address_is_tried_and_remembered() {
    let (receiver, sender) = pair();
    let acceptor = Acceptor::with_timing("127.0.0.1:0", &receiver, timing()).unwrap();
    let dead = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let mut both = target(dead);
    both.addresses.extend(target(acceptor.local_addr().unwrap()).addresses);
    let connector = Connector::with_timing(both, &sender, timing()).unwrap();
    for _ in 0..2 {
        let accepting = async { acceptor.accept().await.unwrap().complete().await.unwrap() };
        let (connected, _) = timeout(AT_MOST, async { tokio::join!(connector.connect(), accepting) }).await.unwrap();
        connected.unwrap();
    }
    assert_eq!(connector.preferred(), 1);
}

#[tokio::test]
async fn the_client_hello_fits_one_packet_and_offers_x25519_and_the_name() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut target = target(listener.local_addr().unwrap());
    let name = format!("{}.{}.example", "a".repeat(63), "b".repeat(63));
    target.server_name = Some(name.clone());
    let connector = Connector::with_timing(target, &pair().1, timing()).unwrap();
    let reading = async {
        let mut tcp = listener.accept().await.unwrap().0;
        let mut record = vec![0; 5];
        tcp.read_exact(&mut record).await.unwrap();
        record.resize(5 + usize::from(u16::from_be_bytes([record[3], record[4]])), 0);
        tcp.read_exact(&mut record[5..]).await.unwrap();
        record
    };
    let (_, hello) = timeout(AT_MOST, async { tokio::join!(connector.connect(), reading) }).await.unwrap();
    assert!(hello.len() < 1_400, "{} bytes", hello.len());
    assert_eq!((hello[0], hello[5]), (22, 1), "a handshake record with a ClientHello");
    assert!(hello.windows(name.len()).any(|window| window == name.as_bytes()));
    // Extension 10, supported groups: 29 is X25519. Extension 51, key share: X25519's 32 bytes and no other.
    let groups = extension(&hello, 10).unwrap();
    assert_eq!(groups[2..4], [0, 29]);
    let shares = extension(&hello, 51).unwrap();
    assert_eq!(shares[..6], [0, 36, 0, 29, 0, 32]);
    assert!(extension(&hello, 16).is_none(), "no ALPN");
    // Extension 43, supported versions: TLS 1.3 and no other.
    assert_eq!(extension(&hello, 43).unwrap(), [2, 3, 4]);
}

/// The body of one extension of a ClientHello record.
fn extension(hello: &[u8], wanted: u16) -> Option<&[u8]> {
    let two = |at: usize| u16::from_be_bytes([hello[at], hello[at + 1]]);
    // Record 5, handshake 4, version 2, random 32, then session id, suites and compression methods by length.
    let mut at = 43;
    at += 1 + usize::from(hello[at]);
    at += 2 + usize::from(two(at));
    at += 1 + usize::from(hello[at]) + 2;
    while at < hello.len() {
        let (kind, len) = (two(at), usize::from(two(at + 2)));
        if kind == wanted {
            return Some(&hello[at + 4..at + 4 + len]);
        }
        at += 4 + len;
    }
    None
}

/// A proxy that reads the request, and then does `serve` with what was asked for and the connection.
async fn through_proxy<F, T>(serve: impl FnOnce(String, TcpStream) -> F) -> (Result<Stream, ConnectError>, T)
where
    F: Future<Output = T>,
{
    let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut target = target("127.0.0.1:9".parse().unwrap());
    target.addresses = vec![HostPort::parse("receiver.example:443").unwrap()];
    target.proxy = Some(ProxyUrl::parse(&format!("http://u:p@{}", proxy.local_addr().unwrap())).unwrap());
    let connector = Connector::with_timing(target, &pair().1, timing()).unwrap();
    let serving = async {
        let mut tcp = proxy.accept().await.unwrap().0;
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(tcp.read_u8().await.unwrap());
        }
        serve(String::from_utf8(request).unwrap(), tcp).await
    };
    timeout(AT_MOST, async { tokio::join!(connector.connect(), serving) }).await.unwrap()
}

#[tokio::test]
async fn tls_goes_through_a_proxy_to_the_name_it_was_asked_for() {
    let dir = Scratch::new();
    keygen(dir.path(), &["receiver.example".to_owned()], 1).unwrap();
    let (receiver, sender) = load(&dir, SystemTime::now());
    let acceptor = Acceptor::with_timing("127.0.0.1:0", &receiver, timing()).unwrap();
    let behind = acceptor.local_addr().unwrap();
    let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = Target {
        addresses: vec![HostPort::parse("receiver.example:443").unwrap()],
        server_name: None,
        proxy: Some(ProxyUrl::parse(&format!("http://{}", proxy.local_addr().unwrap())).unwrap()),
    };
    let connector = Connector::with_timing(target, &sender, timing()).unwrap();
    let relay = tokio::spawn(async move {
        let mut ours = proxy.accept().await.unwrap().0;
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(ours.read_u8().await.unwrap());
        }
        assert!(request.starts_with(b"CONNECT receiver.example:443 HTTP/1.1\r\n"));
        let mut theirs = TcpStream::connect(behind).await.unwrap();
        ours.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        tokio::io::copy_bidirectional(&mut ours, &mut theirs).await
    });
    let accepting = async { acceptor.accept().await.unwrap().complete().await };
    let (connected, accepted) = timeout(AT_MOST, async { tokio::join!(connector.connect(), accepting) }).await.unwrap();
    connected.unwrap();
    accepted.unwrap();
    relay.abort();
}

#[tokio::test]
async fn a_proxy_that_refuses_is_told_with_both_addresses() {
    let (result, ()) = through_proxy(|_, mut tcp| async move {
        tcp.write_all(b"HTTP/1.1 407 No\r\nProxy-Authenticate: Basic\r\n\r\n").await.unwrap();
    })
    .await;
    let error = result.err().unwrap();
    assert!(matches!(error, ConnectError::Proxy { source: ProxyError::Credentials(407), .. }), "{error:?}");
    assert_eq!((error.outcome(), error.may_pass()), (Outcome::Network, false));
    let sentence = error.to_string();
    assert!(sentence.contains("receiver.example:443") && !sentence.contains("u:p"), "{sentence}");
}

#[tokio::test]
async fn strangers_that_say_nothing_scan_or_dawdle_are_told_from_refused_peers() {
    let short = Timing { handshake: Duration::from_millis(100), ..timing() };
    let acceptor = Acceptor::with_timing("127.0.0.1:0", &pair().0, short).unwrap();
    let address = acceptor.local_addr().unwrap();
    let accept = || async { acceptor.accept().await.unwrap().complete().await.err().unwrap() };

    drop(TcpStream::connect(address).await.unwrap());
    assert!(matches!(accept().await, AcceptError::Probe { .. }));

    let mut scanner = TcpStream::connect(address).await.unwrap();
    scanner.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
    assert!(matches!(accept().await, AcceptError::Probe { .. }));

    let _dawdler = TcpStream::connect(address).await.unwrap();
    let slow = accept().await;
    assert!(matches!(slow, AcceptError::Slow { .. }));
    assert!(slow.is_probe());
}

#[tokio::test]
async fn a_strangers_place_is_free_again_when_it_is_gone_or_known() {
    let (receiver, sender) = pair();
    let acceptor = Acceptor::with_timing("127.0.0.1:0", &receiver, timing()).unwrap();
    let places = acceptor.places_left();
    let connector = Connector::with_timing(target(acceptor.local_addr().unwrap()), &sender, timing()).unwrap();
    let accepting = async { acceptor.accept().await.unwrap().complete().await.unwrap() };
    let (_stream, (_accepted, stranger)) =
        timeout(AT_MOST, async { tokio::join!(connector.connect(), accepting) }).await.unwrap();
    assert_eq!(acceptor.places_left(), places - 1);
    drop(stranger);
    assert_eq!(acceptor.places_left(), places);
}

#[tokio::test]
async fn a_dual_stack_port_takes_both_families() {
    let acceptor = Acceptor::bind("[::]:0", pair().0).unwrap();
    let port = acceptor.local_addr().unwrap().port();
    for address in ["127.0.0.1", "::1"] {
        let connecting = TcpStream::connect((address, port));
        let (_tcp, handshake) = timeout(AT_MOST, async { tokio::join!(connecting, acceptor.accept()) }).await.unwrap();
        handshake.unwrap();
    }
    assert!(matches!(Acceptor::bind("localhost:1", pair().0), Err(BindError::Address(_))));
    let taken = format!("[::]:{port}");
    assert!(matches!(Acceptor::bind(&taken, pair().0), Err(BindError::Listen { .. })));
}
