//! A sender that breaks the rules, speaking the wire by hand over memory: each breach ends its session with a word.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::Serving;
use crate::delta::{Compressor, content_digest, diff, session_key, sketch};
use crate::session::report::RunReport;
use crate::session::stop::Stop;
use crate::tunnel::{self, Inbox, Meter, Outbox, memory_pair};
use crate::types::{
    BatchId, Content, DirId, Entry, EntryIndex, FileContent, Mode, Moment, Name, Options, Outcome, Owner, RunId, Shape,
    SourceInstance, StatePlace, Timestamp, VolumeName, Xattrs,
};
use crate::wire::{
    BatchEncoder, Coding, DataHead, FEATURE_ZSTD, FileEnd, FileState, Have, Hello, LaneHello, ListEnd, Message,
    PackItem, Pass, PassEnd, PassKind, RootEntry, Run, RunKind, Runs, Welcome, compressed_pack_frame, data_frame,
    delta_frame,
};

fn hello(features: u64) -> Message {
    Message::Hello(Hello {
        features,
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
fn batch(size: u64) -> Vec<u8> {
    let mut encoder = BatchEncoder::new(BatchId(0), DirId(0));
    encoder.push(&file(size));
    encoder.finish(ListEnd::Complete)
}

fn file(size: u64) -> Entry {
    Entry {
        name: Name::new(b"file").unwrap(),
        mode: Mode::new(0o644).unwrap(),
        owner: Owner::new(0, 0).unwrap(),
        mtime: Timestamp::default(),
        xattrs: Xattrs::default(),
        link: None,
        content: Content::File(FileContent { size }),
    }
}

/// A receiver into a directory of its own, which is gone at the end.
struct Scene {
    path: PathBuf,
    door: mpsc::Sender<tunnel::Stream>,
    serving: JoinHandle<RunReport>,
}

impl Scene {
    /// `files` stand there.
    fn new(test: &str, files: &[(&str, &[u8])]) -> Self {
        let path = std::env::temp_dir().join(format!("ferry-session-{test}-{}", std::process::id()));
        for (file, content) in files {
            std::fs::create_dir_all(&path).unwrap();
            std::fs::write(path.join(file), content).unwrap();
        }
        let (door, connections) = mpsc::channel(4);
        let (run, name) = (RunId::new("hostile").unwrap(), VolumeName::new("sync").unwrap());
        let volume = (name, path.clone(), StatePlace::None);
        let serving = tokio::spawn(Serving::local(run, connections, volume, Arc::default(), Stop::new()).serve());
        Self { path, door, serving }
    }

    async fn end(self) {
        let Self { path, door, serving } = self;
        drop(door);
        serving.await.unwrap();
        std::fs::remove_dir_all(path).unwrap();
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
    let scene = Scene::new("flood", &[]);
    let (control, inbox) = connect(&scene.door).await;
    control.post(hello(0).encode()).unwrap();
    control.post(pass(0)).unwrap();
    control.post(batch(7)).unwrap();
    control
        .post(
            Message::PassEnd(PassEnd { entries: 1, bytes: 7, source_empty: false, last: false, listed: None }).encode(),
        )
        .unwrap();
    for number in 1..100 {
        let _ = control.post(pass(number));
    }
    let (outcome, text) = last_word(inbox).await;
    assert_eq!(outcome, Outcome::Failed);
    assert!(text.contains("did not wait"), "{text}");
    drop(control);
    scene.end().await;
}

/// Bytes of the file that is sent compressed.
const SIZE: usize = 1 << 16;

/// Sends a file of zeros as one compressed pack: `payload` is made of the honest zstd frame. What the receiver says to that.
async fn answer_to(test: &str, features: u64, payload: impl FnOnce(Vec<u8>) -> Vec<u8>) -> String {
    let scene = Scene::new(test, &[]);
    let (control, mut inbox) = connect(&scene.door).await;
    control.post(hello(features).encode()).unwrap();
    let welcome = match Message::decode(&inbox.recv().await.unwrap()).unwrap() {
        Message::Welcome(welcome) => welcome,
        other => panic!("{other:?}"),
    };
    assert_eq!(welcome.features, features & FEATURE_ZSTD);
    let (lane, _lane_inbox) = connect(&scene.door).await;
    let lane_hello = LaneHello { epoch: welcome.epoch, token: welcome.token, lane: 0 };
    lane.post(Message::LaneHello(lane_hello).encode()).unwrap();
    control.post(pass(0)).unwrap();
    control.post(batch(SIZE as u64)).unwrap();
    let key = session_key(&[2; 16], &welcome.nonce, welcome.epoch);
    let zeros = vec![0; SIZE];
    let honest = Compressor::default().compress(&zeros, 1).unwrap().to_vec();
    let items = [(EntryIndex(0), PackItem::Whole(SIZE as u32))];
    let pack = compressed_pack_frame(BatchId(0), &items, &payload(honest), |said| content_digest(&key, said, &zeros));
    lane.post(pack).unwrap();
    let heard = async {
        loop {
            match Message::decode(&inbox.recv().await.unwrap()).unwrap() {
                Message::Abort { text, .. } => return text,
                Message::BatchDone(_) => return "done".to_owned(),
                _ => continue,
            }
        }
    };
    let answer = tokio::time::timeout(Duration::from_secs(10), heard).await.expect("the receiver said nothing");
    let written = std::fs::read(scene.path.join("file")).unwrap_or_default();
    assert!(answer == "done" || written.is_empty(), "{} bytes were written", written.len());
    control.kill();
    drop((control, lane));
    scene.end().await;
    answer
}

#[tokio::test]
async fn compressed_content_is_taken_only_when_it_was_agreed() {
    let unasked = answer_to("unasked", 0, |honest| honest).await;
    assert!(unasked.contains("not agreed"), "{unasked}");
    assert_eq!(answer_to("agreed", FEATURE_ZSTD | 0xf0, |honest| honest).await, "done");
}

#[tokio::test]
async fn content_that_unfolds_to_something_else_ends_the_session() {
    let frame_of = |content: &[u8]| Compressor::default().compress(content, 1).unwrap().to_vec();
    let bomb = frame_of(&vec![0; 256 << 20]);
    assert!(bomb.len() < SIZE);
    for (test, payload, word) in [
        ("more", bomb, "another length"),
        ("less", frame_of(&[0; SIZE - 1]), "another length"),
        ("other", frame_of(&[1; SIZE]), "wrong digest"),
        ("garbage", vec![7; 100], "one whole zstd frame"),
        ("empty", Vec::new(), "one whole zstd frame"),
    ] {
        let said = answer_to(test, FEATURE_ZSTD, |_| payload).await;
        assert!(said.contains(word), "{test}: {said}");
    }
    let cut = answer_to("cut", FEATURE_ZSTD, |honest| honest[..honest.len() - 1].to_vec()).await;
    assert!(cut.contains("one whole zstd frame"), "{cut}");
}

/// What a receiver without a baseline says to these frames after a hello.
async fn answer(place: &str, frames: &[Vec<u8>]) -> String {
    let scene = Scene::new(place, &[]);
    let (control, inbox) = connect(&scene.door).await;
    control.post(hello(0).encode()).unwrap();
    frames.iter().for_each(|frame| control.post(frame.clone()).unwrap());
    let (outcome, text) = last_word(inbox).await;
    assert_eq!(outcome, Outcome::Failed);
    drop(control);
    scene.end().await;
    text
}

#[tokio::test]
async fn a_sender_that_does_not_look_though_nothing_was_agreed_is_refused() {
    let mut encoder = BatchEncoder::new(BatchId(0), DirId(0));
    encoder.push_unlooked(&file(7));
    let text = answer("unlooked", &[pass(0), encoder.finish(ListEnd::Complete)]).await;
    assert!(text.contains("did not look"), "{text}");
}

#[tokio::test]
async fn a_sender_that_says_when_it_listed_though_nobody_asked_is_refused() {
    let listed = Some(Moment { wall: Timestamp::default(), up_ns: 1 });
    let end = PassEnd { entries: 0, bytes: 0, source_empty: true, last: true, listed };
    let empty = BatchEncoder::new(BatchId(0), DirId(0)).finish(ListEnd::Complete);
    let text = answer("listed", &[pass(0), empty, Message::PassEnd(end).encode()]).await;
    assert!(text.contains("was not asked"), "{text}");
    let text = answer("listed at the end", &[Message::Finish { problems: 0, listed }.encode()]).await;
    assert!(text.contains("was not asked"), "{text}");
}

/// The next message that is no leaves, within ten seconds.
async fn hear(inbox: &mut Inbox) -> Message {
    let heard = async {
        loop {
            match Message::decode(&inbox.recv().await.unwrap()).unwrap() {
                Message::Leaves(_) | Message::BatchDone(_) => continue,
                message => return message,
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), heard).await.expect("the receiver said nothing")
}

/// Lists a file of that size in a pass, and whether the receiver would take content from elsewhere in what it has.
async fn listed(control: &Outbox, inbox: &mut Inbox, number: u32, size: u64) -> bool {
    let mut encoder = BatchEncoder::new(BatchId(number.into()), DirId(0));
    encoder.push(&file(size));
    control.post(pass(number)).unwrap();
    control.post(encoder.finish(ListEnd::Complete)).unwrap();
    match hear(inbox).await {
        Message::Need(need) => matches!(need.items[0].have, Have::Basis { movable: true, .. }),
        other => panic!("{other:?}"),
    }
}

/// Ends the file and the pass; whether the receiver wants another pass.
async fn ended(control: &Outbox, lane: &Outbox, inbox: &mut Inbox, number: u32, size: u64) -> bool {
    let (batch, index) = (BatchId(number.into()), EntryIndex(0));
    lane.post(Message::FileEnd(FileEnd { batch, index, state: FileState::AsScanned, size }).encode()).unwrap();
    let end = PassEnd { entries: 1, bytes: size, source_empty: false, last: false, listed: None };
    control.post(Message::PassEnd(end).encode()).unwrap();
    match hear(inbox).await {
        Message::PassDone { again } => again,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_delta_that_makes_something_else_is_not_written_and_none_is_taken_again() {
    const LEN: usize = 1 << 20;
    const PART: usize = 1 << 16;
    let old: Vec<u8> = (0..LEN).map(|n| (n / 7) as u8).collect();
    let mut new = old.clone();
    new[1_000] ^= 1;
    let scene = Scene::new("delta", &[("file", &old)]);
    let (control, mut inbox) = connect(&scene.door).await;
    control.post(hello(0).encode()).unwrap();
    let Message::Welcome(Welcome { epoch, token, nonce, .. }) = hear(&mut inbox).await else { panic!("no welcome") };
    let (lane, _lane_inbox) = connect(&scene.door).await;
    lane.post(Message::LaneHello(LaneHello { epoch, token, lane: 0 }).encode()).unwrap();
    let key = session_key(&[2; 16], &nonce, epoch);

    assert!(listed(&control, &mut inbox, 0, LEN as u64).await, "nothing is taken from elsewhere");
    let mut head = DataHead {
        batch: BatchId(0),
        index: EntryIndex(0),
        offset: 0,
        len: PART as u32,
        coding: Coding::Plain,
        beside: true,
    };
    let delta = diff(&sketch(&old[..PART]), PART as u64, &new[..PART]).unwrap();
    assert!(delta.len() < PART);
    // What a collision of the signature's digests would look like: the delta makes other bytes than those that were read.
    let wrong = |said: &[u8]| content_digest(&key, said, &old[..PART]);
    lane.post(delta_frame(&head, (0, PART as u64), &delta, wrong)).unwrap();
    let rest = Run { kind: RunKind::Copy, len: (LEN - PART) as u64 };
    let runs = Runs { batch: head.batch, index: head.index, offset: PART as u64, runs: vec![rest], beside: true };
    lane.post(Message::Runs(runs).encode()).unwrap();
    assert!(ended(&control, &lane, &mut inbox, 0, LEN as u64).await, "no second pass is asked for");
    assert_eq!(std::fs::read(scene.path.join("file")).unwrap(), old);

    assert!(!listed(&control, &mut inbox, 1, LEN as u64).await, "a delta is taken again");
    (head.batch, head.beside, head.len) = (BatchId(1), false, (LEN / 4) as u32);
    for part in new.chunks(LEN / 4) {
        let fill = |into: &mut [u8]| -> Result<(), ()> {
            into.copy_from_slice(part);
            Ok(())
        };
        let frame = data_frame(Vec::new(), &head, fill, |said, held| content_digest(&key, said, held)).unwrap();
        lane.post(frame).unwrap();
        head.offset += part.len() as u64;
    }
    assert!(!ended(&control, &lane, &mut inbox, 1, LEN as u64).await);
    assert_eq!(std::fs::read(scene.path.join("file")).unwrap(), new);
    control.kill();
    drop((control, lane));
    scene.end().await;
}
