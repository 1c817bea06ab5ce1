//! Tests of the frames that carry contents: what is lent out is what was put in, and nothing else gets through.

use super::super::Message;
use super::*;

const HEAD: DataHead = DataHead {
    batch: BatchId(300),
    index: EntryIndex(7),
    offset: limits::SEGMENT_LEN - 5,
    len: 5,
    coding: Coding::Plain,
    beside: false,
};

/// A digest that tells what it was made over.
fn digest(head: &[u8], content: &[u8]) -> Digest {
    let mut bytes = [0; 32];
    bytes[0] = head.len() as u8;
    bytes[1] = content.len() as u8;
    bytes[2] = head.iter().chain(content).fold(0, |sum, byte| sum ^ byte);
    Digest(bytes)
}

fn fill(bytes: &mut [u8]) -> Result<(), ()> {
    bytes.copy_from_slice(b"hello");
    Ok(())
}

fn frame(bytes: &[u8]) -> Frame {
    let len = u32::from_be_bytes(bytes[..4].try_into().unwrap()) as usize;
    assert_eq!(len, bytes.len() - 4);
    Frame::new(bytes[4..].to_vec()).unwrap()
}

#[test]
fn data_comes_back_as_it_was_filled_in() {
    let frame = frame(&data_frame(vec![7; 300], &HEAD, fill, digest).unwrap());
    let view = DataView::parse(&frame).unwrap();
    assert_eq!(view.head, HEAD);
    assert_eq!(view.payload, b"hello");
    assert_eq!(view.digest, digest(view.covered, view.payload));
    assert_eq!([view.covered, &view.digest.0, view.payload].concat(), frame.payload());
}

#[test]
fn a_failed_read_makes_no_frame() {
    assert_eq!(data_frame(vec![7; 300], &HEAD, |_| Err("gone"), digest), Err("gone"));
}

#[test]
fn data_must_be_as_long_as_its_head_says() {
    let whole = data_frame(vec![7; 300], &HEAD, fill, digest).unwrap();
    for body in [&whole[4..whole.len() - 1], &[&whole[4..], b"!"].concat()] {
        let frame = Frame::new(body.to_vec()).unwrap();
        assert!(matches!(DataView::parse(&frame), Err(WireError::Contents { expected: 5, .. })));
    }
}

#[test]
fn compressed_data_is_shorter_than_what_it_unfolds_to() {
    let with = |payload: usize| {
        let body = [&[0x31, 0, 0, 0, 5, 1][..], &[0; 32], &vec![9; payload]].concat();
        let frame = Frame::new(body).unwrap();
        DataView::parse(&frame).map(|view| (view.head.coding, view.payload.len()))
    };
    assert_eq!(with(4), Ok((Coding::Zstd, 4)));
    assert_eq!(with(5), Err(WireError::Contents { expected: 5, found: 5 }));
}

#[test]
fn no_operation_crosses_its_segment() {
    let head = DataHead { offset: HEAD.offset + 1, ..HEAD };
    assert_eq!(
        DataView::parse(&frame(&data_frame(vec![7; 300], &head, fill, digest).unwrap())).unwrap_err(),
        WireError::Crosses("data")
    );
    let last = DataHead { offset: i64::MAX as u64 - 4, ..HEAD };
    assert!(DataView::parse(&frame(&data_frame(vec![7; 300], &last, fill, digest).unwrap())).is_err());
}

#[test]
fn runs_may_meet_at_a_segments_end_but_not_cross_it() {
    let runs = |first: u64| Runs {
        batch: BatchId(0),
        index: EntryIndex(0),
        offset: 0,
        runs: vec![Run { kind: RunKind::Copy, len: first }, Run { kind: RunKind::Hole, len: 2 }],
        beside: false,
    };
    let decode = |runs: Runs| Runs::decode(&frame(&runs.encode()));
    assert_eq!(decode(runs(limits::SEGMENT_LEN)), Ok(runs(limits::SEGMENT_LEN)));
    assert_eq!(decode(runs(limits::SEGMENT_LEN - 1)), Err(WireError::Crosses("a run")));
    assert!(decode(runs(0)).is_err());
}

#[test]
fn a_pack_comes_back_with_its_contents() {
    let items = [
        (EntryIndex(0), PackItem::Whole(3)),
        (EntryIndex(1), PackItem::Changed),
        (EntryIndex(9), PackItem::Whole(0)),
        (EntryIndex(500), PackItem::Vanished),
        (EntryIndex(501), PackItem::Unreadable),
        (EntryIndex(1023), PackItem::Same),
    ];
    let frame = frame(&pack_frame(Vec::new(), BatchId(5), &items, b"abc", digest));
    let view = PackView::parse(&frame).unwrap();
    assert_eq!((view.batch, view.items.as_slice(), view.contents), (BatchId(5), items.as_slice(), b"abc".as_slice()));
    assert_eq!(view.digest, digest(view.covered, view.contents));
}

#[test]
fn a_packs_lengths_must_add_up() {
    for contents in [b"ab".as_slice(), b"abcd"] {
        let frame =
            frame(&pack_frame(Vec::new(), BatchId(5), &[(EntryIndex(0), PackItem::Whole(3))], contents, digest));
        assert!(matches!(PackView::parse(&frame), Err(WireError::Contents { expected: 3, .. })));
    }
}

#[test]
fn only_whole_items_have_a_length_and_it_is_bounded() {
    let pack = |state: u8, len: &[u8]| {
        let body = [&[0x30, 0, 1, 0, state][..], len, &[0; 33]].concat();
        let frame = Frame::new(body).unwrap();
        PackView::parse(&frame).map(|view| view.items)
    };
    assert_eq!(pack(1, &[0]), Ok(vec![(EntryIndex(0), PackItem::Changed)]));
    assert!(matches!(pack(1, &[1]), Err(WireError::Bound { max: 0, .. })));
    // 65,537 bytes.
    assert!(matches!(pack(0, &[0x81, 0x80, 4]), Err(WireError::Bound { max: 65_536, .. })));
    assert!(matches!(pack(5, &[0]), Err(WireError::Unknown { .. })));
}

#[test]
fn contents_are_read_by_their_views_only() {
    let data = frame(&data_frame(vec![7; 300], &HEAD, fill, digest).unwrap());
    assert_eq!(Message::decode(&data).unwrap_err(), WireError::OtherKind(FrameKind::Data));
    assert_eq!(PackView::parse(&data).unwrap_err(), WireError::OtherKind(FrameKind::Data));
}
