//! A sender that breaks the rules, speaking the wire by hand over memory: each breach ends its session with a word.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::Serving;
use crate::session::stop::Stop;
use crate::tunnel::{self, Inbox, Meter, Outbox, memory_pair};
use crate::types::{
    BatchId, Content, DirId, Entry, FileContent, Mode, Moment, Name, Options, Outcome, Owner, RunId, Shape,
    SourceInstance, StatePlace, Timestamp, VolumeName, Xattrs,
};
use crate::wire::{BatchEncoder, Hello, ListEnd, Message, Pass, PassEnd, PassKind, RootEntry};

fn hello() -> Message {
    Message::Hello(Hello {
        features: 0,
        run: RunId::new("hostile").unwrap(),
        instance: SourceInstance([1; 16]),
        nonce: [2; 16],
        volume: VolumeName::new("sync").unwrap(),
        lanes: 1,
        source: Shape::Directory,
        options: Options::default(),
        vantage: None,
    })
}

fn pass(number: u32) -> Vec<u8> {
    let (mode, owner) = (Mode::new(0o755).unwrap(), Owner::new(0, 0).unwrap());
    let root = RootEntry { mode, owner, mtime: Timestamp::default(), xattrs: Xattrs::default() };
    Message::Pass(Pass { kind: PassKind::Transfer, number, root }).encode()
}

/// A listing of one file whose content never comes.
fn batch() -> Vec<u8> {
    let mut encoder = BatchEncoder::new(BatchId(0), DirId(0));
    encoder.push(&file());
    encoder.finish(ListEnd::Complete)
}

fn file() -> Entry {
    Entry {
        name: Name::new(b"file").unwrap(),
        mode: Mode::new(0o644).unwrap(),
        owner: Owner::new(0, 0).unwrap(),
        mtime: Timestamp::default(),
        xattrs: Xattrs::default(),
        link: None,
        content: Content::File(FileContent { size: 7 }),
    }
}

async fn connect(door: &mpsc::Sender<tunnel::Stream>) -> (Outbox, Inbox) {
    let (mut ours, theirs) = memory_pair();
    door.send(theirs).await.unwrap();
    tunnel::greet(&mut ours).await.unwrap();
    tunnel::open(ours, Arc::<Meter>::default(), None)
}

/// What the receiver says at the end, within ten seconds.
async fn last_word(mut inbox: Inbox) -> (Outcome, String) {
    let heard = async {
        loop {
            match Message::decode(&inbox.recv().await.unwrap()).unwrap() {
                Message::Abort { outcome, text } => return (outcome, text),
                _ => continue,
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), heard).await.expect("the receiver said nothing")
}

#[tokio::test]
async fn a_sender_that_floods_control_while_contents_are_awaited_is_refused() {
    let path = std::env::temp_dir().join(format!("ferry-session-{}", std::process::id()));
    let (door, connections) = mpsc::channel(4);
    let (run, name) = (RunId::new("hostile").unwrap(), VolumeName::new("sync").unwrap());
    let serving = tokio::spawn(
        Serving::local(run, connections, (name, path.clone(), StatePlace::None), Arc::default(), Stop::new()).serve(),
    );
    let (control, inbox) = connect(&door).await;
    control.post(hello().encode()).unwrap();
    control.post(pass(0)).unwrap();
    control.post(batch()).unwrap();
    control.post(Message::PassEnd(PassEnd { entries: 1, bytes: 7, source_empty: false }).encode()).unwrap();
    for number in 1..100 {
        let _ = control.post(pass(number));
    }
    let (outcome, text) = last_word(inbox).await;
    assert_eq!(outcome, Outcome::Failed);
    assert!(text.contains("did not wait"), "{text}");
    drop((door, control));
    serving.await.unwrap();
    std::fs::remove_dir_all(path).unwrap();
}

/// What a receiver without a baseline says to these frames after a hello.
async fn answer(place: &str, frames: &[Vec<u8>]) -> String {
    let path = std::env::temp_dir().join(format!("ferry-session-{place}-{}", std::process::id()));
    let (door, connections) = mpsc::channel(4);
    let (run, name) = (RunId::new("hostile").unwrap(), VolumeName::new("sync").unwrap());
    let serving = tokio::spawn(
        Serving::local(run, connections, (name, path.clone(), StatePlace::None), Arc::default(), Stop::new()).serve(),
    );
    let (control, inbox) = connect(&door).await;
    control.post(hello().encode()).unwrap();
    frames.iter().for_each(|frame| control.post(frame.clone()).unwrap());
    let (outcome, text) = last_word(inbox).await;
    assert_eq!(outcome, Outcome::Failed);
    drop((door, control));
    serving.await.unwrap();
    std::fs::remove_dir_all(path).unwrap();
    text
}

#[tokio::test]
async fn a_sender_that_does_not_look_though_nothing_was_agreed_is_refused() {
    let mut encoder = BatchEncoder::new(BatchId(0), DirId(0));
    encoder.push_unlooked(&file());
    let text = answer("unlooked", &[pass(0), encoder.finish(ListEnd::Complete)]).await;
    assert!(text.contains("did not look"), "{text}");
}

#[tokio::test]
async fn a_sender_that_says_when_it_listed_though_nobody_asked_is_refused() {
    let listed = Some(Moment { wall: Timestamp::default(), up_ns: 1 });
    let text = answer("listed", &[Message::Finish { problems: 0, listed }.encode()]).await;
    assert!(text.contains("was not asked"), "{text}");
}
