//! A sender that breaks the rules, speaking the wire by hand over memory: each breach ends its session with a word.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::Serving;
use crate::session::stop::Stop;
use crate::tunnel::{self, Inbox, Meter, Outbox, memory_pair};
use crate::types::{
    BatchId, Content, DirId, Entry, FileContent, Mode, Name, Options, Outcome, Owner, RunId, Shape, SourceInstance,
    StatePlace, Timestamp, VolumeName, Xattrs,
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
    encoder.push(&Entry {
        name: Name::new(b"file").unwrap(),
        mode: Mode::new(0o644).unwrap(),
        owner: Owner::new(0, 0).unwrap(),
        mtime: Timestamp::default(),
        xattrs: Xattrs::default(),
        link: None,
        content: Content::File(FileContent { size: 7 }),
    });
    encoder.finish(ListEnd::Complete)
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
    control
        .post(Message::PassEnd(PassEnd { entries: 1, bytes: 7, source_empty: false, last: false }).encode())
        .unwrap();
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
