//! What the options shared by `send` and `sync` mean, and what `sync` and `verify` mean.

use std::path::PathBuf;

use super::{ConfigError, Conflict, refuse, state};
use crate::cli::args::{SyncArgs, VerifyArgs};
use crate::cli::files;
use crate::cli::flags::{Selinux, TransferArgs};
use crate::cli::values::Lanes;
use crate::types::{ChownTo, Compress, LossSet, Options, OwnerPolicy, StatePlace, limits};
use crate::volume::places;

/// More lanes than this gain nothing between two machines that the network does not slow (engine-rules, measured limits). Where it does,
/// more are opened later.
const LANES_AUTO_MAX: usize = 4;

/// What is asked of both sides.
#[derive(Debug)]
pub struct TransferConfig {
    /// What crosses the wire.
    pub options: Options,
    /// The owner every entry gets.
    pub chown: Option<ChownTo>,
    /// Stay on the root's file system.
    pub one_file_system: bool,
    /// Data connections to begin with, 1 to [`limits::LANES_MAX`].
    pub lanes: u8,
    /// Data connections that may be opened when more carry more.
    pub lanes_max: u8,
    /// Whether content is compressed.
    pub compress: Compress,
    /// Bytes a second, at least 1.
    pub bwlimit: Option<u64>,
}

/// A `sync` that can run.
#[derive(Debug)]
pub struct SyncConfig {
    /// Copied from.
    pub source: PathBuf,
    /// Copied to.
    pub destination: PathBuf,
    /// Where the destination remembers what large files hold.
    pub state: StatePlace,
    /// What is asked.
    pub transfer: TransferConfig,
}

/// A `verify` that can run.
#[derive(Debug)]
pub struct VerifyConfig {
    /// One side.
    pub source: PathBuf,
    /// The other.
    pub destination: PathBuf,
    /// Left out on both.
    pub excludes: Vec<String>,
    /// Whether owners are compared.
    pub owner: OwnerPolicy,
    /// Whether extended attributes are compared.
    pub xattrs: bool,
    /// What only the destination has is no difference.
    pub ignore_extra: bool,
}

impl TransferConfig {
    /// Judges the shared options.
    ///
    /// # Errors
    /// [`ConfigError`], each with what to change.
    pub fn new(args: &TransferArgs) -> Result<Self, ConfigError> {
        refuse(args.delete_excluded && !args.delete, Conflict::DeleteExcludedWithoutDelete)?;
        refuse(args.max_delete.is_some() && !args.delete, Conflict::MaxDeleteWithoutDelete)?;
        refuse(args.allow_empty_source && !args.delete, Conflict::EmptySourceWithoutDelete)?;
        refuse(args.verify && args.dry_run, Conflict::VerifyWithDryRun)?;
        refuse(args.chown.is_some() && args.no_owner, Conflict::ChownWithNoOwner)?;
        refuse(args.selinux == Selinux::Keep && args.no_xattrs, Conflict::SelinuxWithNoXattrs)?;
        let mut accept_loss = LossSet::default();
        args.accept_loss.iter().for_each(|kind| accept_loss.insert(*kind));
        let options = Options {
            delete: args.delete,
            delete_excluded: args.delete_excluded,
            max_delete: args.max_delete,
            allow_empty_source: args.allow_empty_source,
            checksum: args.checksum,
            verify: args.verify,
            dry_run: args.dry_run,
            atomic: args.atomic,
            owner: owner_policy(args.no_owner),
            xattrs: !args.no_xattrs,
            selinux: args.selinux.into(),
            root_attrs: args.root_attrs.into(),
            accept_loss,
            excludes: excludes(&args.exclude_from, &args.exclude)?,
        };
        Ok(Self {
            options,
            chown: args.chown.map(ChownTo),
            one_file_system: args.one_file_system,
            lanes: lanes(args.connections),
            lanes_max: lanes_max(args.connections),
            compress: args.compress,
            bwlimit: args.bwlimit,
        })
    }
}

impl SyncConfig {
    /// Judges what was typed.
    ///
    /// # Errors
    /// [`ConfigError`], each with what to change.
    pub fn new(args: &SyncArgs) -> Result<Self, ConfigError> {
        let transfer = TransferConfig::new(&args.transfer)?;
        places::source(&args.source)?;
        places::destination(&args.destination)?;
        places::apart(&args.source, &args.destination)?;
        let state = state(&args.state, [args.source.as_path(), &args.destination].into_iter())?;
        Ok(Self { source: args.source.clone(), destination: args.destination.clone(), state, transfer })
    }
}

impl VerifyConfig {
    /// Judges what was typed.
    ///
    /// # Errors
    /// [`ConfigError`], each with what to change.
    pub fn new(args: &VerifyArgs) -> Result<Self, ConfigError> {
        places::source(&args.source)?;
        places::source(&args.destination)?;
        Ok(Self {
            source: args.source.clone(),
            destination: args.destination.clone(),
            excludes: excludes(&args.exclude_from, &args.exclude)?,
            owner: owner_policy(args.no_owner),
            xattrs: !args.no_xattrs,
            ignore_extra: args.ignore_extra,
        })
    }
}

fn owner_policy(ignore: bool) -> OwnerPolicy {
    if ignore { OwnerPolicy::Ignore } else { OwnerPolicy::Keep }
}

/// Patterns of files first, those of the command line last: in gitignore's language the last one that matches decides.
fn excludes(from: &[PathBuf], typed: &[String]) -> Result<Vec<String>, ConfigError> {
    let mut patterns = Vec::new();
    for file in from {
        let text = files::read_text(file)?;
        let lines = text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
        patterns.extend(lines.map(str::to_owned));
    }
    patterns.extend(typed.iter().cloned());
    let (count, bytes) = (patterns.len(), patterns.iter().map(String::len).sum());
    if count > limits::EXCLUDES_MAX || bytes > limits::EXCLUDES_LEN_MAX {
        return Err(ConfigError::Excludes { count, bytes });
    }
    Ok(patterns)
}

fn lanes_max(typed: Lanes) -> u8 {
    match typed {
        Lanes::Count(count) => count,
        Lanes::Auto => limits::LANES_MAX as u8,
    }
}

/// How many data connections that is on this machine.
#[must_use]
pub fn lanes(typed: Lanes) -> u8 {
    match typed {
        Lanes::Count(count) => count,
        Lanes::Auto => {
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            u8::try_from(cores.min(LANES_AUTO_MAX)).unwrap_or(1)
        }
    }
}
