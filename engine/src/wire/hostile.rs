//! Hostile and random bytes: whatever arrives, decoding ends with a message or an error, and what was encoded comes
//! back. The generator is deterministic, so a failure repeats.

use std::fmt::Write as _;

use crate::types::{
    BatchId, Content, Device, DirId, Entry, EntryIndex, FileContent, LinkGroup, Mode, Name, Owner, Timestamp, Xattr,
    Xattrs,
};

use super::{Batch, DataView, Frame, FrameKind, Have, ListEnd, Message, Need, NeedItem, PackView, WireError, sample};

/// xorshift64*: short, and good enough to be everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// Of any magnitude: as many small numbers as large ones.
    fn number(&mut self) -> u64 {
        let bits = self.below(65) as u32;
        self.next().checked_shr(64 - bits).unwrap_or(0)
    }

    fn bytes(&mut self, len: u64) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    fn name(&mut self) -> Name {
        let longest = if self.one_in(9) { 255 } else { 8 };
        let len = 1 + self.below(longest);
        let bytes: Vec<u8> = (0..len).map(|_| b'x' + self.below(3) as u8 * 67).collect();
        Name::new(&bytes).unwrap()
    }

    fn xattrs(&mut self) -> Xattrs {
        let count = self.below(4);
        let mut list: Vec<Xattr> = (0..count)
            .map(|n| {
                let name = format!("user.{n}{}", self.below(9)).into_bytes().into();
                let longest = if self.one_in(20) { 40_000 } else { 40 };
                let len = self.below(longest);
                Xattr { name, value: self.bytes(len).into() }
            })
            .collect();
        list.sort();
        Xattrs::new(list).unwrap()
    }

    fn content(&mut self) -> Content {
        let device = Device { major: self.number() as u32, minor: self.number() as u32 };
        match self.below(7) {
            0 => Content::Dir,
            1 => Content::Symlink(vec![b't'; 1 + self.below(4_095) as usize].into()),
            2 => Content::Fifo,
            3 => Content::Socket,
            4 => Content::CharDevice(device),
            5 => Content::BlockDevice(device),
            _ => Content::File(FileContent { size: self.number() >> 1 }),
        }
    }

    fn batch(&mut self) -> Batch {
        let mut names: Vec<Name> = (0..self.below(40)).map(|_| self.name()).collect();
        names.sort();
        names.dedup();
        let mut entries: Vec<Entry> = Vec::new();
        for name in names {
            let entry = Entry {
                name,
                mode: Mode::new(self.below(0o10000) as u32).unwrap(),
                owner: Owner::new(self.below(u32::MAX.into()) as u32, self.below(9) as u32).unwrap(),
                mtime: Timestamp::new(self.number() as i64, self.below(1_000_000_000) as u32).unwrap(),
                xattrs: self.xattrs(),
                link: self.one_in(4).then(|| LinkGroup(self.number())),
                content: self.content(),
            };
            entries.push(match entries.last() {
                Some(before) if !self.one_in(3) => {
                    Entry { mode: before.mode, owner: before.owner, xattrs: before.xattrs.clone(), ..entry }
                }
                _ => entry,
            });
        }
        let mut unlooked = Vec::new();
        for (index, entry) in (0..).map(EntryIndex).zip(&mut entries) {
            if self.one_in(3) {
                entry.xattrs = Xattrs::default();
                unlooked.push(index);
            }
        }
        Batch { id: BatchId(self.number()), dir: DirId(self.number()), end: ListEnd::More, entries, unlooked }
    }

    fn basis(&mut self) -> Have {
        Have::Basis { len: self.number() >> 1, movable: self.one_in(2) }
    }

    fn need(&mut self) -> Need {
        let mut items = Vec::new();
        let mut index = self.below(9) as u32;
        while index < 1_024 {
            let have = if self.one_in(2) { Have::Nothing } else { self.basis() };
            items.push(NeedItem { index: EntryIndex(index), have });
            index += 1 + self.below(60) as u32;
        }
        Need { batch: BatchId(self.number()), items }
    }
}

/// What a receiver does with a frame, whatever its type.
fn decode(body: &[u8]) -> Result<(), WireError> {
    let frame = Frame::new(body.to_vec())?;
    match frame.kind() {
        FrameKind::Data => DataView::parse(&frame).map(|view| {
            assert_eq!(view.covered.len() + 32 + view.payload.len(), frame.payload().len());
        }),
        FrameKind::Pack => PackView::parse(&frame).map(|view| {
            assert_eq!(view.covered.len() + 32 + view.contents.len(), frame.payload().len());
        }),
        _ => {
            let again = Message::decode(&frame)?.encode();
            let message = Message::decode(&Frame::new(again[4..].to_vec()).unwrap()).unwrap();
            assert_eq!(message.encode(), again, "what decodes must come back as it is");
            Ok(())
        }
    }
}

/// One frame body of each type, and one of a batch of which some was not looked at.
fn bodies() -> Vec<Vec<u8>> {
    let unlooked = [1, 2].map(EntryIndex).into();
    let unlooked = Message::Batch(Batch { unlooked, ..sample::batch() });
    let messages = sample::messages().into_iter().chain([unlooked]).map(|message| message.encode());
    messages.chain([sample::pack(), sample::data()]).map(|frame| frame[4..].to_vec()).collect()
}

#[test]
fn batches_of_any_entries_come_back() {
    let mut random = Random(7);
    for round in 0..300 {
        let batch = random.batch();
        let frame = Frame::new(batch.encode()[4..].to_vec()).unwrap();
        assert_eq!(Batch::decode(&frame).as_ref(), Ok(&batch), "round {round}");
    }
}

#[test]
fn needs_of_any_items_come_back() {
    let mut random = Random(8);
    for round in 0..300 {
        let need = random.need();
        let frame = Frame::new(need.encode()[4..].to_vec()).unwrap();
        assert_eq!(Need::decode(&frame).as_ref(), Ok(&need), "round {round}");
    }
}

#[test]
fn every_cut_of_every_message_is_refused() {
    for body in bodies() {
        assert_eq!(decode(&body), Ok(()));
        for len in 1..body.len() {
            // A batch or a list that announces fewer items is another message; a cut one is none.
            assert!(decode(&body[..len]).is_err(), "type 0x{:02x} cut to {len}", body[0]);
        }
        let longer = [body.as_slice(), &[0]].concat();
        assert!(decode(&longer).is_err(), "type 0x{:02x} with a byte more", body[0]);
    }
}

#[test]
fn changed_messages_are_messages_or_errors() {
    let mut random = Random(9);
    let compressed = [sample::compressed_pack(), sample::compressed_data()].map(|frame| frame[4..].to_vec());
    let bodies = [bodies(), compressed.to_vec()].concat();
    let (mut good, mut bad) = (0, 0);
    for _ in 0..60_000 {
        let mut body = bodies[random.below(bodies.len() as u64) as usize].clone();
        for _ in 0..=random.below(3) {
            let place = random.below(body.len() as u64) as usize;
            body[place] = match random.below(3) {
                0 => body[place] ^ 1 << random.below(8),
                1 => [0, 1, 0x7f, 0x80, 0xff][random.below(5) as usize],
                _ => random.next() as u8,
            };
        }
        match decode(&body) {
            Ok(()) => good += 1,
            Err(_) => bad += 1,
        }
    }
    assert!(good > 1_000 && bad > 1_000, "{good} messages and {bad} errors test one side only");
}

#[test]
fn random_bytes_of_every_type_are_messages_or_errors() {
    let mut random = Random(10);
    let mut seen = String::new();
    for kind in FrameKind::ALL {
        let mut errors = 0;
        for _ in 0..2_000 {
            let len = random.below(80);
            let mut body = random.bytes(len);
            body.insert(0, kind.number());
            errors += u32::from(decode(&body).is_err());
        }
        write!(seen, "{kind:?} {errors}, ").unwrap();
        assert!(errors > 500, "random bytes pass for {seen}");
    }
}

#[test]
fn counts_of_what_is_not_there_are_refused_at_once() {
    // Each ends right after a count of the most that is allowed.
    let heads: [(&[u8], &str); 6] = [
        (&[0x11, 0, 0, 0, 0x80, 8], "count of entries"),
        (&[0x10, 0, 0, 0, 0, 0, 0, 0, 0x80, 0x80, 0x30], "count of xattrs"),
        (&[0x20, 0, 0x80, 8], "count of items"),
        (&[0x30, 0, 0x80, 8], "count of items"),
        (&[0x21, 0, 0, 0, 0x80, 1], "count of leaves"),
        (&[0x32, 0, 0, 0, 0x80, 0x20], "count of runs"),
    ];
    for (body, field) in heads {
        match decode(body) {
            Err(WireError::Count { field: found, .. }) => assert_eq!(found, field),
            other => panic!("{field}: {other:?}"),
        }
    }
}
