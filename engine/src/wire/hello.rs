//! How a session and its data connections begin: Hello, Welcome, Refuse, LaneHello.
//!
//! The first bytes of a stranger are read here, so a hello has a bound of its own, far below a frame's.

use crate::types::{
    Epoch, LeafKey, LossSet, Moment, Options, OwnerPolicy, RootAttrs, RunId, SelinuxPolicy, Shape, SourceInstance,
    Token, Vantage, VolumeName, limits,
};

use super::TEXT_LEN_MAX;
use super::attributes as field;
use super::cursor::Cursor;
use super::error::WireError;
use super::frame::{Frame, FrameKind, FrameWriter};

/// Notes of a welcome.
pub const NOTES_MAX: usize = 16;

/// Feature: contents may be compressed.
pub const FEATURE_ZSTD: u64 = 1;
/// Feature: a ctime baseline; what was not changed since the last run need not be looked at again.
pub const FEATURE_BASELINE: u64 = 1 << 1;

const RUN_LEN_MAX: usize = 64;

/// The sender opens a session on one volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Bits of what this sender can do.
    pub features: u64,
    /// The run this belongs to, for reports and logs.
    pub run: RunId,
    /// Which source is speaking: the same one may take its session over.
    pub instance: SourceInstance,
    /// The sender's part of the session key.
    pub nonce: [u8; 16],
    /// The volume's name at the receiver.
    pub volume: VolumeName,
    /// What the source is.
    pub source: Shape,
    /// Data connections wanted, 1 to `LANES_MAX`.
    pub lanes: u8,
    /// What is asked for.
    pub options: Options,
    /// From where the source is seen, when its ctimes may be trusted; with feature [`FEATURE_BASELINE`] only.
    pub vantage: Option<Vantage>,
}

/// The receiver accepts a session.
#[derive(Clone, Debug)]
pub struct Welcome {
    /// Of the features asked, those that are used.
    pub features: u64,
    /// The session.
    pub epoch: Epoch,
    /// What admits a data connection to it.
    pub token: Token,
    /// The receiver's part of the session key.
    pub nonce: [u8; 16],
    /// The key of the leaves that are compared.
    pub leaf_key: LeafKey,
    /// Data connections allowed, 1 to `LANES_MAX`.
    pub lanes: u8,
    /// The volume is empty: contents may come unasked.
    pub empty: bool,
    /// Nothing will be deleted, whatever was asked.
    pub nothing_deleted: bool,
    /// What the receiver's bounds or privilege change, for people: at most [`NOTES_MAX`], of 1024 bytes each.
    pub notes: Vec<String>,
    /// What did not change since then was equal then; with feature [`FEATURE_BASELINE`] only.
    pub baseline: Option<Moment>,
}

/// The receiver refuses a session or a data connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refuse {
    /// Why.
    pub reason: RefuseReason,
    /// Why, for people, and what to do.
    pub text: String,
}

/// Why a receiver refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefuseReason {
    /// No volume of that name.
    UnknownVolume,
    /// Another source is at it.
    Busy,
    /// The identity or its role is not admitted.
    NotAdmitted,
    /// The hello is not one of this protocol.
    Malformed,
    /// The epoch or the token is not of the running session.
    Stale,
    /// Too many connections.
    TooMany,
    /// The volume cannot be used; the text says why.
    Unusable,
    /// The ticket was used or has expired.
    TicketSpent,
    /// The receiver is going away.
    ShuttingDown,
}

/// A data connection names its session.
#[derive(Clone, Copy, Debug)]
pub struct LaneHello {
    /// The session.
    pub epoch: Epoch,
    /// As the welcome gave it.
    pub token: Token,
    /// Which data connection, below `LANES_MAX`.
    pub lane: u8,
}

impl Hello {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut writer = FrameWriter::with_capacity(FrameKind::Hello, 512);
        writer.uint(self.features).bytes(self.run.as_str().as_bytes()).raw(&self.instance.0).raw(&self.nonce);
        writer.bytes(self.volume.as_str().as_bytes());
        put_shape(&mut writer, self.source);
        writer.uint(self.lanes);
        put_options(&mut writer, &self.options);
        if let Some(vantage) = &self.vantage {
            writer.raw(&vantage.0);
        }
        writer.finish()
    }

    pub(super) fn decode(frame: &Frame) -> Result<Self, WireError> {
        if frame.len() > limits::HELLO_LEN_MAX {
            return Err(WireError::FrameLen { len: frame.len(), max: limits::HELLO_LEN_MAX });
        }
        let mut cursor = frame.cursor();
        let features = cursor.uint("features")?;
        let run = RunId::new(cursor.text("run", RUN_LEN_MAX)?).ok_or(WireError::Text("run"))?;
        let instance = SourceInstance(cursor.array("source instance")?);
        let nonce = cursor.array("nonce")?;
        let volume = VolumeName::new(cursor.text("volume", limits::VOLUME_NAME_LEN_MAX)?)
            .map_err(|source| WireError::Name { field: "volume", source })?;
        let source = shape(&mut cursor)?;
        let lanes = lanes(&mut cursor)?;
        let options = options(&mut cursor)?;
        let vantage = match features & FEATURE_BASELINE {
            0 => None,
            _ => Some(Vantage(cursor.array("vantage")?)),
        };
        cursor.finish()?;
        Ok(Self { features, run, instance, nonce, volume, source, lanes, options, vantage })
    }
}

impl Welcome {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut writer = FrameWriter::with_capacity(FrameKind::Welcome, 256);
        writer.uint(self.features).uint(self.epoch.0).raw(&self.token.0).raw(&self.nonce).raw(&self.leaf_key.0);
        let flags = [self.empty, self.nothing_deleted, self.baseline.is_some()];
        writer.uint(self.lanes).uint(flags.iter().rev().fold(0_u8, |bits, flag| bits << 1 | u8::from(*flag)));
        let notes = self.notes.iter().take(NOTES_MAX);
        writer.uint(notes.len() as u64);
        for note in notes {
            writer.text(note, TEXT_LEN_MAX);
        }
        if let Some(baseline) = &self.baseline {
            field::put_moment(writer.out(), baseline);
        }
        writer.finish()
    }

    pub(super) fn decode(frame: &Frame) -> Result<Self, WireError> {
        let mut cursor = frame.cursor();
        let features = cursor.uint("features")?;
        let epoch = Epoch(cursor.uint("epoch")?);
        let token = Token(cursor.array("token")?);
        let nonce = cursor.array("nonce")?;
        let leaf_key = LeafKey(cursor.array("leaf key")?);
        let lanes = lanes(&mut cursor)?;
        let flags = cursor.flags("flags of a welcome", if features & FEATURE_BASELINE == 0 { 0b11 } else { 0b111 })?;
        let count = cursor.count("count of notes", NOTES_MAX, 1)?;
        let mut notes = Vec::with_capacity(count);
        for _ in 0..count {
            notes.push(cursor.text("note", TEXT_LEN_MAX)?.to_owned());
        }
        let baseline = if flags & 4 == 0 { None } else { Some(field::moment(&mut cursor)?) };
        cursor.finish()?;
        let (empty, nothing_deleted) = (flags & 1 != 0, flags & 2 != 0);
        Ok(Self { features, epoch, token, nonce, leaf_key, lanes, empty, nothing_deleted, notes, baseline })
    }
}

impl RefuseReason {
    /// All reasons, in the order of their numbers.
    pub const ALL: [Self; 9] = [
        Self::UnknownVolume,
        Self::Busy,
        Self::NotAdmitted,
        Self::Malformed,
        Self::Stale,
        Self::TooMany,
        Self::Unusable,
        Self::TicketSpent,
        Self::ShuttingDown,
    ];

    /// True when the sender should try again within its give-up time.
    #[must_use]
    pub fn may_pass(self) -> bool {
        match self {
            Self::Busy | Self::TooMany | Self::ShuttingDown => true,
            Self::UnknownVolume
            | Self::NotAdmitted
            | Self::Malformed
            | Self::Stale
            | Self::Unusable
            | Self::TicketSpent => false,
        }
    }

    fn number(self) -> u8 {
        match self {
            Self::UnknownVolume => 0,
            Self::Busy => 1,
            Self::NotAdmitted => 2,
            Self::Malformed => 3,
            Self::Stale => 4,
            Self::TooMany => 5,
            Self::Unusable => 6,
            Self::TicketSpent => 7,
            Self::ShuttingDown => 8,
        }
    }
}

impl Refuse {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut writer = FrameWriter::new(FrameKind::Refuse);
        writer.uint(self.reason.number()).text(&self.text, TEXT_LEN_MAX);
        writer.finish()
    }

    pub(super) fn decode(frame: &Frame) -> Result<Self, WireError> {
        let mut cursor = frame.cursor();
        let reason = cursor.choice("reason", &RefuseReason::ALL)?;
        let text = cursor.text("text", TEXT_LEN_MAX)?.to_owned();
        cursor.finish()?;
        Ok(Self { reason, text })
    }
}

impl LaneHello {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut writer = FrameWriter::new(FrameKind::LaneHello);
        writer.uint(self.epoch.0).raw(&self.token.0).uint(self.lane);
        writer.finish()
    }

    pub(super) fn decode(frame: &Frame) -> Result<Self, WireError> {
        let mut cursor = frame.cursor();
        let epoch = Epoch(cursor.uint("epoch")?);
        let token = Token(cursor.array("token")?);
        let lane = cursor.bounded("lane", 0, limits::LANES_MAX as u64 - 1)? as u8;
        cursor.finish()?;
        Ok(Self { epoch, token, lane })
    }
}

fn lanes(cursor: &mut Cursor<'_>) -> Result<u8, WireError> {
    Ok(cursor.bounded("lanes", 1, limits::LANES_MAX as u64)? as u8)
}

fn put_shape(writer: &mut FrameWriter, shape: Shape) {
    match shape {
        Shape::Directory => writer.uint(0_u8),
        Shape::File { size } => writer.uint(1_u8).uint(size),
        Shape::Device { size } => writer.uint(2_u8).uint(size),
    };
}

fn shape(cursor: &mut Cursor<'_>) -> Result<Shape, WireError> {
    let kind = cursor.bounded("source", 0, 2)?;
    let mut size = || cursor.bounded("size of the source", 0, i64::MAX as u64);
    match kind {
        0 => Ok(Shape::Directory),
        1 => Ok(Shape::File { size: size()? }),
        _ => Ok(Shape::Device { size: size()? }),
    }
}

fn put_options(writer: &mut FrameWriter, options: &Options) {
    let flags = [
        options.delete,
        options.delete_excluded,
        options.allow_empty_source,
        options.checksum,
        options.verify,
        options.dry_run,
        options.owner == OwnerPolicy::Ignore,
        !options.xattrs,
        options.atomic,
    ];
    let bits = flags.iter().rev().fold(0, |bits, flag| bits << 1 | u64::from(*flag));
    writer.uint(bits).optional(options.max_delete);
    writer.uint(match options.selinux {
        SelinuxPolicy::Auto => 0_u8,
        SelinuxPolicy::Keep => 1,
        SelinuxPolicy::Skip => 2,
    });
    writer.uint(match options.root_attrs {
        RootAttrs::Auto => 0_u8,
        RootAttrs::Keep => 1,
        RootAttrs::Copy => 2,
    });
    writer.uint(options.accept_loss.bits()).uint(options.excludes.len() as u64);
    for pattern in &options.excludes {
        writer.bytes(pattern.as_bytes());
    }
}

fn options(cursor: &mut Cursor<'_>) -> Result<Options, WireError> {
    let flags = cursor.flags("options", 0x1ff)?;
    let has = |bit: u32| flags >> bit & 1 != 0;
    Ok(Options {
        delete: has(0),
        delete_excluded: has(1),
        allow_empty_source: has(2),
        checksum: has(3),
        verify: has(4),
        dry_run: has(5),
        owner: if has(6) { OwnerPolicy::Ignore } else { OwnerPolicy::Keep },
        xattrs: !has(7),
        atomic: has(8),
        max_delete: cursor.optional("max-delete", u64::MAX - 1)?,
        selinux: cursor.choice("selinux", &[SelinuxPolicy::Auto, SelinuxPolicy::Keep, SelinuxPolicy::Skip])?,
        root_attrs: cursor.choice("root-attrs", &[RootAttrs::Auto, RootAttrs::Keep, RootAttrs::Copy])?,
        accept_loss: LossSet::from_bits(cursor.flags("accept-loss", 0xff)? as u8),
        excludes: excludes(cursor)?,
    })
}

fn excludes(cursor: &mut Cursor<'_>) -> Result<Vec<String>, WireError> {
    let count = cursor.count("count of excludes", limits::EXCLUDES_MAX, 1)?;
    let mut patterns = Vec::with_capacity(count);
    let mut left = limits::EXCLUDES_LEN_MAX;
    for _ in 0..count {
        let pattern = cursor.text("exclude", left)?;
        left -= pattern.len();
        patterns.push(pattern.to_owned());
    }
    Ok(patterns)
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    fn decode(frame: &[u8]) -> Result<Hello, WireError> {
        Hello::decode(&Frame::new(frame[4..].to_vec()).unwrap())
    }

    #[test]
    fn each_option_has_its_own_place() {
        let plain = Options::default();
        let mut accepted = LossSet::default();
        accepted.insert(crate::types::LossKind::Times);
        let changed = [
            Options { delete: true, ..plain.clone() },
            Options { delete_excluded: true, ..plain.clone() },
            Options { max_delete: Some(0), ..plain.clone() },
            Options { max_delete: Some(u64::MAX - 1), ..plain.clone() },
            Options { allow_empty_source: true, ..plain.clone() },
            Options { checksum: true, ..plain.clone() },
            Options { verify: true, ..plain.clone() },
            Options { dry_run: true, ..plain.clone() },
            Options { owner: OwnerPolicy::Ignore, ..plain.clone() },
            Options { xattrs: false, ..plain.clone() },
            Options { atomic: true, ..plain.clone() },
            Options { selinux: SelinuxPolicy::Keep, ..plain.clone() },
            Options { selinux: SelinuxPolicy::Skip, ..plain.clone() },
            Options { root_attrs: RootAttrs::Keep, ..plain.clone() },
            Options { root_attrs: RootAttrs::Copy, ..plain.clone() },
            Options { accept_loss: accepted, ..plain.clone() },
            Options { excludes: vec!["a".into(), String::new(), "é*".into()], ..plain },
        ];
        for options in changed {
            let hello = Hello { options, ..sample::hello() };
            assert_eq!(decode(&hello.encode()), Ok(hello));
        }
    }

    #[test]
    fn a_vantage_and_a_baseline_come_with_their_bit_only() {
        let vantage = Some(Vantage([9; 32]));
        let hello = Hello { features: FEATURE_BASELINE | 1, vantage, ..sample::hello() };
        assert_eq!(decode(&hello.encode()), Ok(hello.clone()));
        let promised = Hello { vantage: None, ..hello.clone() };
        assert_eq!(decode(&promised.encode()), Err(WireError::Ends("vantage")));
        let unpromised = Hello { features: 1, ..hello };
        assert_eq!(decode(&unpromised.encode()), Err(WireError::Trailing(32)));
        let baseline = Some(Moment { wall: crate::types::Timestamp::new(-3, 7).unwrap(), up_ns: u64::MAX });
        for (features, baseline) in [(0, None), (FEATURE_BASELINE, None), (FEATURE_BASELINE, baseline)] {
            let bytes = Welcome { features, baseline, ..sample::welcome() }.encode();
            let back = Welcome::decode(&Frame::new(bytes[4..].to_vec()).unwrap()).unwrap();
            assert_eq!((back.features, back.baseline), (features, baseline));
        }
        let unasked = Welcome { features: 1, baseline, ..sample::welcome() }.encode();
        let refused = Welcome::decode(&Frame::new(unasked[4..].to_vec()).unwrap()).map(drop);
        assert_eq!(refused, Err(WireError::Flags { field: "flags of a welcome", bits: 4 }));
    }

    #[test]
    fn a_source_is_a_tree_a_file_or_a_device_and_nothing_else() {
        for source in [Shape::Directory, Shape::File { size: 0 }, Shape::Device { size: i64::MAX as u64 }] {
            let hello = Hello { source, ..sample::hello() };
            assert_eq!(decode(&hello.encode()), Ok(hello));
        }
        let hello = Hello { source: Shape::File { size: i64::MAX as u64 + 1 }, ..sample::hello() };
        assert!(matches!(decode(&hello.encode()), Err(WireError::Bound { field: "size of the source", .. })));
        let mut unknown = Hello { source: Shape::Directory, ..sample::hello() }.encode();
        // Length and type, features, run, instance, nonce, volume.
        let at = 5 + 1 + 6 + 16 + 16 + 5;
        assert_eq!(unknown[at], 0);
        unknown[at] = 3;
        assert!(matches!(decode(&unknown), Err(WireError::Bound { field: "source", .. })));
    }

    #[test]
    fn excludes_are_bounded_together() {
        let pattern = "x".repeat(limits::EXCLUDES_LEN_MAX / 2);
        let mut hello = sample::hello();
        hello.options.excludes = vec![pattern.clone(), pattern];
        assert!(decode(&hello.encode()).is_ok());
        hello.options.excludes.push("y".into());
        assert!(matches!(decode(&hello.encode()), Err(WireError::Bound { field: "exclude", max: 0, .. })));
    }

    #[test]
    fn a_long_hello_is_refused_unread() {
        let mut body = vec![0x01];
        body.resize(limits::HELLO_LEN_MAX + 1, 0);
        let refused = WireError::FrameLen { len: limits::HELLO_LEN_MAX + 1, max: limits::HELLO_LEN_MAX };
        assert_eq!(Hello::decode(&Frame::new(body).unwrap()), Err(refused));
    }

    #[test]
    fn no_lanes_and_too_many_lanes_are_refused() {
        for lanes in [0, limits::LANES_MAX as u8 + 1] {
            let hello = Hello { lanes, ..sample::hello() };
            assert!(matches!(decode(&hello.encode()), Err(WireError::Bound { field: "lanes", .. })));
        }
    }

    #[test]
    fn reasons_have_the_numbers_of_their_places() {
        for (place, reason) in RefuseReason::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(reason.number()), place);
        }
    }
}
