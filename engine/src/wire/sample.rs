//! Values for the tests of this room: one of each message, with every field set to something of its own.

use crate::types::{
    Anchor, BatchId, BytesCount, Content, Device, Digest, DirId, Entry, EntryIndex, EntryKind, Epoch, FileContent,
    LeafDigest, LeafKey, LinkGroup, LossCounts, LossKind, LossSet, Mode, Name, Options, Outcome, Owner, OwnerPolicy,
    Problem, RelPath, RootAttrs, RunId, SegmentIndex, SelinuxPolicy, Shape, SourceInstance, Stage, Timestamp, Token,
    VolumeName, Xattr, Xattrs,
};

use super::{
    Ask, Batch, Coding, DataHead, FileEnd, FileState, Have, Hello, Item, ItemChange, LaneHello, Leaves, ListEnd,
    Message, Need, NeedItem, PackItem, Pages, Pass, PassEnd, PassKind, Refuse, RefuseReason, Report, RootEntry, Run,
    RunKind, Runs, Signatures, Sketch, Welcome, compressed_frame, compressed_pack_frame, data_frame, pack_frame,
};

pub(super) fn name(text: &str) -> Name {
    Name::new(text.as_bytes()).unwrap()
}

pub(super) fn hello() -> Hello {
    let mut accept_loss = LossSet::default();
    accept_loss.insert(LossKind::Ownership);
    accept_loss.insert(LossKind::Times);
    Hello {
        features: 1,
        run: RunId::new("run-7").unwrap(),
        instance: SourceInstance([0x11; 16]),
        nonce: [0x22; 16],
        volume: VolumeName::new("data").unwrap(),
        source: Shape::Device { size: 4_096 },
        lanes: 4,
        options: Options {
            delete: true,
            verify: true,
            max_delete: Some(300),
            owner: OwnerPolicy::Ignore,
            selinux: SelinuxPolicy::Skip,
            root_attrs: RootAttrs::Keep,
            accept_loss,
            excludes: vec!["*.tmp".into(), "/cache/".into()],
            ..Options::default()
        },
        vantage: None,
    }
}

pub(super) fn welcome() -> Welcome {
    Welcome {
        features: 0,
        epoch: Epoch(513),
        token: Token([0x33; 16]),
        nonce: [0x44; 16],
        leaf_key: LeafKey([0x55; 32]),
        lanes: 2,
        empty: true,
        nothing_deleted: false,
        notes: vec!["no owners".into()],
        baseline: None,
    }
}

fn xattrs(list: &[(&str, &str)]) -> Xattrs {
    let xattr = |(name, value): &(&str, &str)| Xattr { name: name.as_bytes().into(), value: value.as_bytes().into() };
    Xattrs::new(list.iter().map(xattr).collect()).unwrap()
}

/// A batch with an entry of each kind and each form of each field.
pub(super) fn batch() -> Batch {
    let first = Entry {
        name: name("a"),
        mode: Mode::new(0o644).unwrap(),
        owner: Owner::new(0, 1_000).unwrap(),
        mtime: Timestamp::new(-1, 999_999_999).unwrap(),
        xattrs: Xattrs::default(),
        link: None,
        content: Content::File(FileContent { size: 5 }),
    };
    let with = |text: &str, content: Content| Entry { name: name(text), content, ..first.clone() };
    let device = Device { major: 8, minor: 300 };
    let labelled = Entry {
        xattrs: xattrs(&[("security.selinux", "x"), ("user.a", "")]),
        ..with("abd", Content::Symlink(b"../t"[..].into()))
    };
    let entries = vec![
        first.clone(),
        Entry { link: Some(LinkGroup(3)), ..with("ab", Content::File(FileContent { size: i64::MAX as u64 })) },
        Entry { mode: Mode::new(0o7777).unwrap(), ..with("abc", Content::Dir) },
        labelled.clone(),
        Entry { name: name("abe"), content: Content::Fifo, ..labelled },
        Entry { mtime: Timestamp::new(1_700_000_000, 0).unwrap(), ..with("b", Content::Socket) },
        Entry { owner: Owner::new(u32::MAX - 1, 0).unwrap(), ..with("c", Content::CharDevice(device)) },
        Entry { name: Name::new(b"\xff").unwrap(), content: Content::BlockDevice(device), ..first.clone() },
    ];
    Batch { id: BatchId(130), dir: DirId(2), end: ListEnd::Complete, entries, unlooked: Vec::new() }
}

pub(super) fn report() -> Report {
    let mut loss = LossCounts::default();
    loss.add(LossKind::Ownership, 9);
    loss.add(LossKind::Acls, 10);
    Report {
        outcome: Outcome::Problems,
        text: "two".into(),
        created: 1,
        updated: 2,
        deleted: 3,
        bytes: BytesCount { literal: 4, copied: 5, holes: 6, trusted: 7, ..BytesCount::default() },
        problems_total: 8,
        loss,
    }
}

/// One of each message that [`Message`] holds, in the order of their numbers.
pub(super) fn messages() -> Vec<Message> {
    let path = RelPath::from_bytes(b"d/f").unwrap();
    let root = RootEntry {
        mode: Mode::new(0o2775).unwrap(),
        owner: Owner::new(7, 8).unwrap(),
        mtime: Timestamp::new(64, 1).unwrap(),
        xattrs: xattrs(&[("user.a", "b")]),
    };
    let (batch_id, index) = (BatchId(130), EntryIndex(6));
    let runs = vec![
        Run { kind: RunKind::Copy, len: 65_536 },
        Run { kind: RunKind::Hole, len: 1 },
        Run { kind: RunKind::Moved { from: 300 }, len: 2 },
    ];
    let items = vec![
        NeedItem { index: EntryIndex(2), have: Have::Nothing },
        NeedItem { index: EntryIndex(200), have: Have::Basis { len: 128, movable: true } },
    ];
    vec![
        Message::Hello(hello()),
        Message::Welcome(welcome()),
        Message::Refuse(Refuse { reason: RefuseReason::Busy, text: "later".into() }),
        Message::LaneHello(LaneHello { epoch: Epoch(513), token: Token([0x33; 16]), lane: 1 }),
        Message::LaneWelcome,
        Message::Ping,
        Message::Abort { outcome: Outcome::Failed, text: "disk".into() },
        Message::Pass(Pass { kind: PassKind::Verify, number: 1, root }),
        Message::Batch(batch()),
        Message::PassEnd(PassEnd { entries: 300, bytes: 2, source_empty: true, last: true, listed: None }),
        Message::Finish { problems: 5, listed: None },
        Message::Goodbye,
        Message::Problem(Problem::new(path.clone(), Stage::Read, "gone")),
        Message::Item(Item { change: ItemChange::Delete, kind: EntryKind::Symlink, path }),
        Message::Need(Need { batch: batch_id, items }),
        Message::Leaves(Leaves {
            batch: batch_id,
            index,
            segment: SegmentIndex(1),
            digests: vec![LeafDigest([0xaa; 16]), LeafDigest([0xbb; 16])],
            anchors: vec![Anchor(1), Anchor(0xffee_ddcc)],
        }),
        Message::Ask(Ask { batch: batch_id, index, segment: SegmentIndex(1), leaves: vec![0, 127] }),
        Message::Pages(Pages {
            batch: batch_id,
            index,
            segment: SegmentIndex(1),
            digests: vec![LeafDigest([0xcc; 16])],
        }),
        Message::Sketch(Sketch { batch: batch_id, index, segment: SegmentIndex(1), parts: vec![(9, 1), (65_536, 2)] }),
        Message::Signatures(Signatures {
            batch: batch_id,
            index,
            segment: SegmentIndex(1),
            signatures: vec![b"rs".to_vec(), Vec::new()],
        }),
        Message::BatchDone(batch_id),
        Message::PassDone { again: true },
        Message::Report(report()),
        Message::Runs(Runs { batch: batch_id, index, offset: 8_388_608, runs, beside: true }),
        Message::FileEnd(FileEnd { batch: batch_id, index, state: FileState::Vanished, size: 5 }),
        Message::Ack(1_048_576),
    ]
}

/// A digest that depends on nothing.
fn digest(_: &[u8], _: &[u8]) -> Digest {
    Digest([0xdd; 32])
}

const HEAD: DataHead =
    DataHead { batch: BatchId(130), index: EntryIndex(6), offset: 65_536, len: 3, coding: Coding::Plain, beside: true };

pub(super) fn data() -> Vec<u8> {
    let fill = |bytes: &mut [u8]| -> Result<(), ()> {
        bytes.copy_from_slice(b"abc");
        Ok(())
    };
    data_frame(Vec::new(), &HEAD, fill, digest).unwrap()
}

const ITEMS: [(EntryIndex, PackItem); 6] = [
    (EntryIndex(0), PackItem::Whole(2)),
    (EntryIndex(3), PackItem::Changed),
    (EntryIndex(4), PackItem::Vanished),
    (EntryIndex(5), PackItem::Unreadable),
    (EntryIndex(6), PackItem::Same),
    (EntryIndex(7), PackItem::Whole(1)),
];

pub(super) fn pack() -> Vec<u8> {
    pack_frame(Vec::new(), BatchId(130), &ITEMS, b"xyz", digest)
}

/// A pack whose contents are compressed to something that no zstd would make: this room does not look at it.
pub(super) fn compressed_pack() -> Vec<u8> {
    compressed_pack_frame(BatchId(130), &ITEMS, b"z", |said| digest(said, &[]))
}

/// Data, compressed likewise.
pub(super) fn compressed_data() -> Vec<u8> {
    compressed_frame(&HEAD, b"zs", |said| digest(said, &[]))
}
