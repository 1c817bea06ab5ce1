//! Groups of options that several subcommands share: what is asked of a transfer, and what is shown and reported.

use std::path::PathBuf;

use clap::builder::{OsStringValueParser, TypedValueParser as _};
use clap::{Args, ValueEnum};

use super::values::{self, Lanes};
use crate::types::{Compress, LossKind, Owner, RootAttrs, RunId, SelinuxPolicy, StatePlace};

/// What a sender asks, shared by `send` and `sync`.
#[derive(Debug, Args)]
#[command(next_help_heading = "Transfer")]
pub struct TransferArgs {
    /// Remove from the destination what the source does not have.
    #[arg(long)]
    pub delete: bool,
    /// Say what would be done, one line an entry; touch nothing on either side.
    #[arg(long)]
    pub dry_run: bool,
    /// Compare by content instead of size and times.
    #[arg(long)]
    pub checksum: bool,
    /// Read the destination back from disk at the end and compare.
    #[arg(long)]
    pub verify: bool,
    /// Neither send nor delete what matches (gitignore pattern, anchored at the root). May be repeated.
    #[arg(long, value_name = "GLOB")]
    pub exclude: Vec<String>,
    /// Take exclude patterns from a file, one a line; they come before those of --exclude.
    #[arg(long, value_name = "FILE")]
    pub exclude_from: Vec<PathBuf>,
    /// With --delete, remove excluded entries at the destination too.
    #[arg(long)]
    pub delete_excluded: bool,
    /// Stay on the file system the source root is on.
    #[arg(long)]
    pub one_file_system: bool,
    /// Bytes a second all connections together may send, such as 500K or 100MB/s.
    #[arg(long, value_name = "RATE", value_parser = values::rate)]
    pub bwlimit: Option<u64>,
    /// Data connections: a number up to 8, or auto.
    #[arg(long, value_name = "N|auto", default_value = "auto", value_parser = values::lanes)]
    pub connections: Lanes,
    /// Compress what is sent: auto (while that is measured to be faster; never in sync, which has no network), off, zstd, or
    /// zstd:LEVEL (1 is fast, 19 small).
    #[arg(long, value_name = "HOW", default_value = "auto", value_parser = values::compress)]
    pub compress: Compress,
    /// Leave owners to the destination.
    #[arg(long)]
    pub no_owner: bool,
    /// Give every entry this owner.
    #[arg(long, value_name = "UID:GID", value_parser = values::owner)]
    pub chown: Option<Owner>,
    /// Leave out extended attributes, ACLs and capabilities.
    #[arg(long)]
    pub no_xattrs: bool,
    /// SELinux labels: keep, skip, or skip only where SELinux confines us.
    #[arg(long, value_enum, default_value_t = Selinux::Auto, value_name = "HOW")]
    pub selinux: Selinux,
    /// The root directory's own attributes: keep the destination's, copy the source's, or copy where it does no harm.
    #[arg(long, value_enum, default_value_t = Root::Auto, value_name = "HOW")]
    pub root_attrs: Root,
    /// Kinds of loss that are no failure, by comma.
    #[arg(long, value_name = "KIND,...", value_delimiter = ',', value_parser = values::loss)]
    pub accept_loss: Vec<LossKind>,
    /// Write every file beside its name and rename it when it is whole; takes the room of a second copy of each.
    #[arg(long)]
    pub atomic: bool,
    /// With --delete, let an empty source empty the destination.
    #[arg(long)]
    pub allow_empty_source: bool,
    /// With --delete, halt instead of deleting more than N entries.
    #[arg(long, value_name = "N")]
    pub max_delete: Option<u64>,
}

/// Where a destination remembers what it needs between runs, shared by `receive` and `sync`.
#[derive(Debug, Args)]
pub struct StateArgs {
    /// Remember what large files hold and since when both sides are equal, so that the next run need not read all of it: in a
    /// directory outside the volume, in the volume itself (below .ferry), or nowhere.
    #[arg(long, value_name = "DIR|volume|none", default_value = "none", value_parser = OsStringValueParser::new().map(values::state))]
    pub state: StatePlace,
}

/// What is shown and reported, shared by `send`, `receive` and `sync`.
#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub struct OutputArgs {
    /// How progress is shown: bars or lines on standard error, JSON lines on standard output.
    #[arg(long, value_enum, default_value_t = ProgressMode::Auto, value_name = "HOW")]
    pub progress: ProgressMode,
    /// Write the run's report here, one JSON object, also on signals and failures; /dev/stdout prints it.
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Write a JSON object of at most 4000 bytes into this file, in place.
    #[arg(long, value_name = "FILE")]
    pub termination_log: Option<PathBuf>,
    /// The name of this run in every record.
    #[arg(long, value_name = "ID", value_parser = values::run)]
    pub run: Option<RunId>,
}

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ProgressMode {
    /// A bar on a terminal, plain lines elsewhere.
    Auto,
    /// A bar.
    Bar,
    /// A line every few seconds.
    Plain,
    /// A JSON line every 2 seconds, on standard output.
    Json,
    /// Nothing.
    None,
}

/// `--selinux`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Selinux {
    /// Skip where SELinux is active and we are confined, keep elsewhere.
    Auto,
    /// Copy labels.
    Keep,
    /// Leave labels to the destination.
    Skip,
}

/// `--root-attrs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Root {
    /// Leave the destination's.
    Keep,
    /// Copy the source's.
    Copy,
    /// Copy with the privilege to chown and no group-owned setgid root at the destination, else keep and say so.
    Auto,
}

impl From<Selinux> for SelinuxPolicy {
    fn from(typed: Selinux) -> Self {
        match typed {
            Selinux::Auto => Self::Auto,
            Selinux::Keep => Self::Keep,
            Selinux::Skip => Self::Skip,
        }
    }
}

impl From<Root> for RootAttrs {
    fn from(typed: Root) -> Self {
        match typed {
            Root::Keep => Self::Keep,
            Root::Copy => Self::Copy,
            Root::Auto => Self::Auto,
        }
    }
}
