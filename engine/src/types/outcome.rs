//! How a run ended, in one word and one exit code, and the figures of its report.

/// How a volume's run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// Everything asked for is at the destination; what was lost was accepted.
    Clean,
    /// Finished; some entries have problems, or something was lost that was not accepted.
    Problems,
    /// Verification found differences.
    Differences,
    /// Halted before deleting; nothing was deleted.
    SafetyHalt,
    /// The peer refused, or we refused it.
    Refused,
    /// The network was given up.
    Network,
    /// It failed here: space, disk, an internal error.
    Failed,
    /// It was asked in a way that cannot be done.
    Usage,
    /// Stopped by SIGINT.
    Interrupted,
    /// Stopped by SIGTERM.
    Terminated,
}

/// What stands behind an outcome, for callers that answer it in words or numbers of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// There never was a connection.
    NoConnection,
    /// A connection broke and did not come back.
    Cut,
    /// Nothing was heard any more.
    Silence,
    /// Something other than ferry, or another version of it, is there.
    Foreign,
    /// One side does not believe the other's certificate.
    Distrust,
    /// A password was refused.
    Password,
}

/// A process exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit(pub u8);

impl Outcome {
    /// All outcomes, in the order of their wire numbers.
    pub const ALL: [Self; 10] = [
        Self::Clean,
        Self::Problems,
        Self::Differences,
        Self::SafetyHalt,
        Self::Refused,
        Self::Network,
        Self::Failed,
        Self::Usage,
        Self::Interrupted,
        Self::Terminated,
    ];

    /// The exit code of the README's table.
    #[must_use]
    pub fn exit(self) -> Exit {
        Exit(match self {
            Self::Clean => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Problems => 3,
            Self::Differences => 4,
            Self::SafetyHalt => 5,
            Self::Refused => 6,
            Self::Network => 7,
            Self::Interrupted => 130,
            Self::Terminated => 143,
        })
    }

    /// The word used in reports.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Problems => "problems",
            Self::Differences => "differences",
            Self::SafetyHalt => "safety-halt",
            Self::Refused => "refused",
            Self::Network => "network",
            Self::Failed => "failed",
            Self::Usage => "usage",
            Self::Interrupted => "interrupted",
            Self::Terminated => "terminated",
        }
    }
}

/// Entries, counted by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EntriesCount {
    /// Seen at the source in the last full pass.
    pub scanned: u64,
    /// Made at the destination.
    pub created: u64,
    /// Changed at the destination, in content or attributes.
    pub updated: u64,
    /// Found as they should be.
    pub unchanged: u64,
    /// Removed at the destination.
    pub deleted: u64,
    /// Gone at the source before they could be read; no failure.
    pub vanished: u64,
    /// Of those unchanged: extended attributes were not looked at, for no ctime had changed since they were equal.
    pub trusted_attributes: u64,
}

/// Content bytes, counted by how the destination came to have them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BytesCount {
    /// All regular files' sizes.
    pub total: u64,
    /// Sent, compressed or as they are.
    pub literal: u64,
    /// Of them, those that crossed compressed.
    pub compressed: u64,
    /// What these took on the wire.
    pub compressed_to: u64,
    /// Compared equal leaf by leaf, not sent.
    pub copied: u64,
    /// Holes, neither read nor sent.
    pub holes: u64,
    /// Neither read nor sent: size and times were equal.
    pub trusted: u64,
}

/// What crossed the network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WireCount {
    /// Bytes sent, TLS records not counted.
    pub sent: u64,
    /// Bytes received.
    pub received: u64,
    /// Connections opened.
    pub connections: u64,
    /// Sessions begun after the first.
    pub reconnects: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_exit_codes() {
        let table: Vec<(Outcome, u8)> = Outcome::ALL.into_iter().map(|o| (o, o.exit().0)).collect();
        let codes: Vec<u8> = table.iter().map(|(_, code)| *code).collect();
        assert_eq!(codes, [0, 3, 4, 5, 6, 7, 1, 2, 130, 143]);
    }
}
