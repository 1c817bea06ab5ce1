//! Both sides of the port against each other, and against what a stock or hostile peer says.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::*;
use crate::tunnel::HostPort;
use crate::types::VolumeName;

const AT_MOST: Duration = Duration::from_secs(10);

fn module(name: &str, users: &[(&str, &str)], allowed: Allowed) -> PortModule {
    let users =
        users.iter().map(|(user, word)| ((*user).to_owned(), Password::new(word.as_bytes()).unwrap())).collect();
    PortModule { module: Module::new(name).unwrap(), volume: VolumeName::new(name).unwrap(), users, allowed }
}

fn door() -> PortDoor {
    let modules = vec![
        module("data", &[("root", "secret")], Allowed::Networks(vec![("127.0.0.1".parse().unwrap(), 32)])),
        module("open", &[], Allowed::Everybody),
        module("far", &[], Allowed::Networks(vec![("10.0.0.0".parse().unwrap(), 8)])),
    ];
    PortDoor::bind("127.0.0.1:0", modules).unwrap()
}

fn connector(address: std::net::SocketAddr, name: &str, password: Option<&str>) -> PortConnector {
    PortConnector::new(PortTarget {
        address: HostPort::parse(&address.to_string()).unwrap(),
        module: Module::new(name).unwrap(),
        user: "root".to_owned(),
        password: password.map(|word| Password::new(word.as_bytes()).unwrap()),
    })
    .within(AT_MOST)
}

/// Both sides' end of one attempt.
async fn attempt(name: &str, password: Option<&str>) -> (Result<crate::tunnel::Stream, PortError>, Option<VolumeName>) {
    let door = door();
    let dialling = connector(door.local_addr().unwrap(), name, password);
    let admitting = async { door.accept().await.unwrap().complete().await };
    let (dialled, admitted) = timeout(AT_MOST, async { tokio::join!(dialling.connect(), admitting) }).await.unwrap();
    match (dialled, admitted) {
        (Ok(mut ours), Some((mut theirs, _, volume))) => {
            theirs.write_all(b"ferry").await.unwrap();
            theirs.flush().await.unwrap();
            let mut heard = [0; 5];
            ours.read_exact(&mut heard).await.unwrap();
            assert_eq!(&heard, b"ferry");
            (Ok(ours), Some(volume))
        }
        (dialled, admitted) => (dialled, admitted.map(|(_, _, volume)| volume)),
    }
}

#[tokio::test]
async fn who_knows_the_password_gets_the_module_it_is_for() {
    let (dialled, admitted) = attempt("data", Some("secret")).await;
    assert!(dialled.is_ok(), "{:?}", dialled.err());
    assert_eq!(admitted.unwrap().as_str(), "data");
    let (dialled, admitted) = attempt("open", None).await;
    assert!(dialled.is_ok() && admitted.is_some());
}

#[tokio::test]
async fn who_does_not_know_it_is_refused_and_told_so() {
    for password in [Some("secreT"), None] {
        let (dialled, admitted) = attempt("data", password).await;
        assert!(matches!(dialled, Err(PortError::Password(_))), "{:?}", dialled.err());
        assert_eq!(admitted, None);
    }
    for (name, expected) in [("nothing", "Unknown module 'nothing'"), ("far", "access denied to far from 127.0.0.1")] {
        match attempt(name, Some("secret")).await {
            (Err(PortError::Refused(text)), None) => assert_eq!(text, expected),
            (other, _) => panic!("{:?}", other.err()),
        }
    }
}

/// A daemon that says `lines` to whoever connects.
async fn says(lines: &'static str) -> PortError {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let connector = connector(listener.local_addr().unwrap(), "data", Some("secret"));
    let daemon = async {
        let (mut socket, _) = listener.accept().await.unwrap();
        socket.write_all(lines.as_bytes()).await.unwrap();
        socket.shutdown().await.unwrap();
        let mut rest = Vec::new();
        // Broken off, perhaps, by a client that has heard enough.
        let _ = socket.read_to_end(&mut rest).await;
    };
    let (dialled, ()) = timeout(AT_MOST, async { tokio::join!(connector.connect(), daemon) }).await.unwrap();
    dialled.err().unwrap()
}

#[tokio::test]
async fn a_stock_daemon_a_stranger_and_a_broken_line_are_told_apart() {
    assert!(matches!(says("@RSYNCD: 32.0 sha512 md5\n").await, PortError::Stock));
    assert!(matches!(says("SSH-2.0-OpenSSH\r\n").await, PortError::Foreign { .. }));
    assert!(matches!(says("@RSYNCD: 31.0 ferry1\nSSH\n").await, PortError::Foreign { .. }));
    assert!(matches!(says("@RSYNCD: 31.0 ferry1\n@FERRY: 00\n").await, PortError::Foreign { .. }));
    assert!(matches!(says("@RSYNCD: 31.0 ferry1\n").await, PortError::Broken { .. }));
    assert!(matches!(says("").await, PortError::Broken { .. }));
    let stock = says("@ERROR: ferry-stunnel stock: the stunnel at x:443 is stock\n").await;
    assert!(matches!(stock, PortError::Tunnel { trouble: Trouble::Stock, .. }), "{stock:?}");
}

#[tokio::test]
async fn what_listened_here_and_is_gone_is_not_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let patient = connector(listener.local_addr().unwrap(), "data", None);
    let hasty = patient.clone().gone_after(Duration::ZERO);
    // Never reached: it may yet begin to listen.
    let elsewhere = door().local_addr().unwrap();
    let never = connector(elsewhere, "data", None).gone_after(Duration::ZERO);
    assert!(matches!(never.connect().await, Err(PortError::Connect { .. })));
    let (dialled, ()) = tokio::join!(hasty.connect(), async { drop(listener.accept().await.unwrap()) });
    assert!(matches!(dialled, Err(PortError::Broken { .. })), "{:?}", dialled.err());
    drop(listener);
    // Both know of the same contact, and one has more patience.
    assert!(matches!(patient.connect().await, Err(PortError::Connect { .. })));
    let gone = hasty.connect().await.err().unwrap();
    assert!(matches!(gone, PortError::Gone { .. }) && !gone.may_pass(), "{gone:?}");
}

/// What our daemon answers a client that says `lines` and then waits.
async fn hears(lines: &[u8]) -> (String, bool) {
    let door = door();
    let mut client = TcpStream::connect(door.local_addr().unwrap()).await.unwrap();
    client.write_all(lines).await.unwrap();
    let talking = async {
        client.shutdown().await.unwrap();
        let mut heard = String::new();
        let _ = client.read_to_string(&mut heard).await;
        heard
    };
    let admitting = async { door.accept().await.unwrap().complete().await.is_some() };
    timeout(AT_MOST, async { tokio::join!(talking, admitting) }).await.unwrap()
}

#[tokio::test]
async fn a_stock_client_hears_why_and_nobody_else_gets_in() {
    let (heard, admitted) = hears(b"@RSYNCD: 31.0 sha512 md5\n").await;
    assert!(heard.contains("@ERROR: the source's transfer image is stock rsync"), "{heard}");
    assert!(!admitted);
    let greeted = |rest: &str| [b"@RSYNCD: 31.0 ferry1\n".as_slice(), rest.as_bytes()].concat();
    let nonce = "0".repeat(32);
    for lines in [
        Vec::new(),
        b"\x16\x03\x01".to_vec(),
        // What a stock blockrsync begins with.
        b"0cc175b9c0f1b6a831c399e269772661".to_vec(),
        vec![b'@'; 5_000],
        greeted("data\n"),
        greeted(&format!("@FERRY: data root {nonce}\n@FERRY: {}\n", "0".repeat(64))),
        greeted(&format!("@FERRY: data nobody {nonce}\n@FERRY: {}\n", "0".repeat(64))),
        greeted(&format!("@FERRY: data root {nonce}\n@FERRY: OK\n")),
        greeted(&format!("@FERRY: ../data root {nonce}\n")),
    ] {
        let (heard, admitted) = hears(&lines).await;
        assert!(!admitted && !heard.contains("@FERRY: OK"), "{heard}");
    }
}
