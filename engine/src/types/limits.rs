//! Every bound of the engine, by name, with its reason. PROTOCOL.md quotes these; a test compares them.

use std::time::Duration;

/// Bytes of one name: what Linux allows (NAME_MAX).
pub const NAME_LEN_MAX: usize = 255;
/// Bytes of a volume's name: a DNS label, as Kubernetes uses for claims.
pub const VOLUME_NAME_LEN_MAX: usize = 63;
/// Bytes of a symbolic link's target: PATH_MAX less its NUL.
pub const SYMLINK_TARGET_LEN_MAX: usize = 4095;
/// Bytes of an extended attribute's name (XATTR_NAME_MAX).
pub const XATTR_NAME_LEN_MAX: usize = 255;
/// Bytes of an extended attribute's value (XATTR_SIZE_MAX).
pub const XATTR_VALUE_LEN_MAX: usize = 65_536;
/// Bytes of all names and values of one entry: the kernel's list of names is 64 KiB, and an entry must fit one frame.
pub const XATTRS_LEN_MAX: usize = 786_432;
/// Directories below each other. Deeper trees are a problem of the directory that is too deep.
pub const DEPTH_MAX: usize = 16_384;

/// Bytes of one frame, its type included: what a peer can make us allocate at once.
pub const FRAME_LEN_MAX: usize = 1_048_576;
/// Bytes of file content in one data frame: large enough that a frame's cost vanishes, small enough to pipeline.
pub const DATA_LEN_MAX: usize = 262_144;
/// A batch frame is sent when its encoding has reached this.
pub const BATCH_LEN_AIM: usize = 131_072;
/// Entries of one batch.
pub const BATCH_ENTRIES_MAX: usize = 1_024;
/// Files of at most this many bytes travel in packs, whole.
pub const PACKED_FILE_LEN_MAX: u64 = 65_536;

/// Bytes of a leaf, the unit in which two copies of a file are compared (engine-study 2.6).
pub const LEAF_LEN: usize = 65_536;
/// Bytes that are read and hashed at a time, whole leaves: they stay in a processor's own cache between the two.
pub const HASHED_LEN: usize = LEAF_LEN;
/// Bytes of a page, the finer unit in which leaves that differ are compared before anything is sent.
pub const PAGE_LEN: usize = 4_096;
/// Pages of a leaf.
pub const LEAF_PAGES: usize = LEAF_LEN / PAGE_LEN;
/// Leaves of a segment.
pub const SEGMENT_LEAVES: usize = 128;
/// Bytes of a segment, the unit of work on a large file: 8 MiB, the same as a connection's credit.
pub const SEGMENT_LEN: u64 = (LEAF_LEN * SEGMENT_LEAVES) as u64;
/// A segment of which more leaves differ than this is refined only while that pays: its pages may differ too.
pub const REFINED_LEAVES_MAX: usize = 120;
/// Segments whose leaves the receiver may have sent without having got their operations.
pub const SEGMENTS_COMPARED_MAX: usize = 32;

/// Bytes at a leaf's start that its anchor is made of: long enough to be rare, short enough to cost a receiver nothing.
pub const ANCHOR_LEN: usize = 1_024;
/// Leaves in a row that differ before a shift is looked for: fewer are changed pages more often than inserted bytes.
pub const LEAVES_LOST_MIN: usize = 16;
/// Segments of the basis beyond the one at hand whose leaves a sender waits for: how far bytes may have been removed.
pub const SHIFT_AHEAD: u64 = 4;
/// Segments of the basis before the one at hand whose leaves a sender keeps: how far bytes may have been inserted.
pub const SHIFT_BEHIND: u64 = 32;
/// Bytes of the basis that one signature describes.
pub const SKETCH_LEN_MAX: u64 = 524_288;
/// Signatures asked for at once, of one segment.
pub const SKETCHES_MAX: usize = 64;

/// Leaves that may be on their way without an answer: a small file counts as one.
pub const LEAVES_OPEN_MAX: u64 = (SEGMENTS_COMPARED_MAX * SEGMENT_LEAVES) as u64;

/// Files smaller than this are not remembered between runs: reading them again costs little.
pub const CACHED_FILE_LEN_MIN: u64 = 1_048_576;
/// Leaves that are remembered between runs: those of 128 GiB of data, 32 MiB.
pub const CACHED_LEAVES_MAX: u64 = 2 * 1_048_576;
/// Files that are remembered between runs.
pub const CACHED_FILES_MAX: usize = 100_000;
/// Where times are coarse, or cannot be tried: a file that changed less than this ago may change again unseen.
pub const COARSE_TICK: Duration = Duration::from_secs(2);

/// How far a clock that may be set and one that only goes on may drift apart between two looks: they are read one after the
/// other. What is more is a clock that was set. Less than half of `CLOCK_TICK`, which has to cover a kernel's step besides.
pub const CLOCK_STEP_MAX: Duration = Duration::from_millis(5);

/// Batches sent and not yet done.
pub const BATCHES_OPEN_MAX: usize = 4_096;
/// Entries sent and not yet done: about 10 MiB on each side.
pub const ENTRIES_OPEN_MAX: usize = 65_536;
/// Encoded bytes of batches sent and not yet done.
pub const BATCH_BYTES_OPEN_MAX: usize = 8 * 1_048_576;
/// Content bytes on one data connection that the receiver has not yet acknowledged: what a cut can cost.
pub const LANE_CREDIT: u64 = 8 * 1_048_576;
/// The receiver acknowledges a data connection at least this often.
pub const LANE_ACK_EVERY: u64 = 1_048_576;
/// Data connections of a session.
pub const LANES_MAX: usize = 8;
/// Names a listing holds in memory at once, in bytes of names; larger directories are listed in ranges.
pub const LISTING_NAMES_LEN_MAX: usize = 8 * 1_048_576;
/// Names of a large directory that are sampled to cut it into ranges.
pub const LISTING_SAMPLES: usize = 4_096;
/// Directory descriptors kept open at once per volume; more are reopened from their parents.
pub const DIR_FDS_MAX: usize = 256;
/// Exclude patterns, and the bytes of all of them.
pub const EXCLUDES_MAX: usize = 4_096;
/// Bytes of all exclude patterns.
pub const EXCLUDES_LEN_MAX: usize = 262_144;

/// Problems kept in full; more are only counted.
pub const PROBLEMS_KEPT_MAX: usize = 1_000;
/// Bytes of a problem's sentence or path on the wire.
pub const PROBLEM_TEXT_LEN_MAX: usize = 8_192;
/// Paths remembered to be deleted in one pass; a pass that finds more is followed by another.
pub const EXTRAS_KEPT_MAX: usize = 100_000;
/// Large files that stand and are remembered in a pass, for new ones that are alike; about 4 MiB.
pub const ALIKE_KEPT_MAX: usize = 16_384;
/// Full passes that follow the first because something changed or was in the way.
pub const REPEATED_PASSES_MAX: u32 = 2;
/// Names of hard-link groups that wait until all names of their file are known; about 15 MiB with the longest names.
pub const LINK_NAMES_WAITING_MAX: usize = 32_768;
/// Hard-link groups remembered at once.
pub const LINK_GROUPS_MAX: usize = 4_000_000;

/// Bytes of a hello frame: options and exclude patterns.
pub const HELLO_LEN_MAX: usize = 524_288;
/// A peer has this long for each step until the session stands: TLS, hello, lanes.
pub const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);
/// A TCP connection attempt, per address.
pub const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
/// A side that has sent nothing for this long sends a ping.
pub const PING_AFTER: Duration = Duration::from_secs(10);
/// A connection on which nothing arrived for this long is cut.
pub const SILENCE_MAX: Duration = Duration::from_secs(45);
/// How long the receiver waits for the sender's goodbye after its report.
pub const GOODBYE_DEADLINE: Duration = Duration::from_secs(20);
/// Connections that have not yet introduced themselves, per receiver.
pub const STRANGERS_MAX: usize = 256;
/// First and longest pause between two attempts to connect.
pub const RETRY_PAUSE_MIN: Duration = Duration::from_millis(200);
/// Longest pause between two attempts to connect.
pub const RETRY_PAUSE_MAX: Duration = Duration::from_secs(5);
/// Kernel clocks tick in steps; a change within one step leaves no trace (engine-rules 3).
pub const CLOCK_TICK: Duration = Duration::from_millis(20);
