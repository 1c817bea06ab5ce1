//! Golden bytes: each message, with every field set, is exactly these bytes. A change here is a change of the protocol.

use super::sample;
use super::{DataView, Frame, FrameKind, Message, PackView};

/// Prefix, type and payload of the samples.
const GOLDEN: [(FrameKind, &str); 28] = [
    (
        FrameKind::Hello,
        "00000047 01 010572756e2d3711111111111111111111111111111111222222222222222222222222222222220464617461 \
          0280200451ad020201810102052a2e746d70072f63616368652f",
    ),
    (
        FrameKind::Welcome,
        "00000051 02 0081043333333333333333333333333333333344444444444444444444444444444444555555555555555555 \
          5555555555555555555555555555555555555555555555020101096e6f206f776e657273",
    ),
    (FrameKind::Refuse, "00000008 03 01056c61746572"),
    (FrameKind::LaneHello, "00000014 04 81043333333333333333333333333333333301"),
    (FrameKind::LaneWelcome, "00000001 05"),
    (FrameKind::Ping, "00000001 06"),
    (FrameKind::Abort, "00000007 07 06046469736b"),
    (FrameKind::Pass, "00000014 10 0101fd0b07088001010106757365722e610162"),
    (
        FrameKind::Batch,
        "000000a0 11 820102010800000161a40300e80701ff93ebdc0300057801016200ff93ebdc0303ffffffffffffffff7f3102 \
          0163ff1f00ff93ebdc0312020164a40300ff93ebdc03021073656375726974792e73656c696e7578017806757365722e6100 \
          042e2e2f743b02016500ff93ebdc031c00016282c49fd50c00002d000163feffffff0f0081c49fd50cff93ebdc0308ac022e \
          0001ff00e80700ff93ebdc0308ac02",
    ),
    (FrameKind::PassEnd, "00000005 12 ac020203"),
    (FrameKind::Finish, "00000002 13 05"),
    (FrameKind::Goodbye, "00000001 14"),
    (FrameKind::Problem, "0000000b 15 0103642f6604676f6e65"),
    (FrameKind::Item, "00000007 16 030203642f66"),
    (FrameKind::Need, "0000000b 20 8201020200c601810101"),
    (
        FrameKind::Leaves,
        "0000002f 21 8201060102aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb0100000001ffee \
          ddcc",
    ),
    (FrameKind::Ask, "00000008 17 8201060102007f"),
    (FrameKind::Pages, "00000016 25 8201060101cccccccccccccccccccccccccccccccc"),
    (FrameKind::Sketch, "0000000c 18 82010601020901808004 02"),
    (FrameKind::Signatures, "0000000a 26 8201060102 02727300"),
    (FrameKind::BatchDone, "00000003 22 8201"),
    (FrameKind::PassDone, "00000002 23 01"),
    (FrameKind::Report, "00000013 24 010374776f0102030405060708020009050a"),
    (FrameKind::Runs, "00000014 32 82010680808004038080040001010203ac0201"),
    (FrameKind::FileEnd, "00000006 33 8201060205"),
    (FrameKind::Ack, "00000004 38 808040"),
    (
        FrameKind::Pack,
        "0000003a 30 82010600000203010001020001030001040001000100dddddddddddddddddddddddddddddddddddddddddddd \
          dddddddddddddddddddd78797a",
    ),
    (
        FrameKind::Data,
        "0000002c 31 8201068080040302dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd616263",
    ),
];

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn golden(kind: FrameKind) -> Vec<u8> {
    let (_, text) = GOLDEN.iter().find(|(of, _)| *of == kind).unwrap();
    let digits: String = text.split_whitespace().collect();
    (0..digits.len() / 2).map(|n| u8::from_str_radix(&digits[2 * n..2 * n + 2], 16).unwrap()).collect()
}

fn frame(bytes: &[u8]) -> Frame {
    Frame::new(bytes[4..].to_vec()).unwrap()
}

#[test]
fn every_type_has_golden_bytes() {
    assert_eq!(GOLDEN.len(), FrameKind::ALL.len());
    for kind in FrameKind::ALL {
        let bytes = golden(kind);
        assert_eq!(bytes[4], kind.number());
        assert_eq!(u32::from_be_bytes(bytes[..4].try_into().unwrap()) as usize, bytes.len() - 4);
    }
}

#[test]
fn messages_are_written_as_these_bytes() {
    for message in sample::messages() {
        let bytes = message.encode();
        let kind = FrameKind::try_from(bytes[4]).unwrap();
        assert_eq!(hex(&bytes), hex(&golden(kind)), "{kind:?}");
    }
    assert_eq!(hex(&sample::pack()), hex(&golden(FrameKind::Pack)));
    assert_eq!(hex(&sample::data()), hex(&golden(FrameKind::Data)));
}

#[test]
fn these_bytes_are_read_as_the_messages() {
    for message in sample::messages() {
        let kind = FrameKind::try_from(message.encode()[4]).unwrap();
        let read = Message::decode(&frame(&golden(kind))).unwrap();
        assert_eq!(format!("{read:?}"), format!("{message:?}"));
    }
}

#[test]
fn secrets_arrive_though_nothing_shows_them() {
    let Message::Welcome(welcome) = Message::decode(&frame(&golden(FrameKind::Welcome))).unwrap() else {
        panic!("a welcome is a welcome");
    };
    assert_eq!((welcome.token.0, welcome.leaf_key.0), ([0x33; 16], [0x55; 32]));
    let Message::LaneHello(hello) = Message::decode(&frame(&golden(FrameKind::LaneHello))).unwrap() else {
        panic!("a lane hello is a lane hello");
    };
    assert_eq!(hello.token.0, [0x33; 16]);
}

#[test]
fn contents_are_lent_out_of_these_bytes() {
    let pack = frame(&golden(FrameKind::Pack));
    let view = PackView::parse(&pack).unwrap();
    assert_eq!((view.items.len(), view.contents), (6, b"xyz".as_slice()));
    assert_eq!(view.digest.0, [0xdd; 32]);
    let data = frame(&golden(FrameKind::Data));
    let view = DataView::parse(&data).unwrap();
    assert_eq!((view.head.offset, view.payload), (65_536, b"abc".as_slice()));
    assert_eq!(view.digest.0, [0xdd; 32]);
}
