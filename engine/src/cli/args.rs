//! What was typed: the command line as clap reads it, one struct a subcommand.
//!
//! Nothing here decides: values are read by `values`, what they mean together is judged by `config`. An option stands
//! here only when it does something.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use super::flags::{OutputArgs, ProgressMode, StateArgs, TransferArgs};
use super::values;

/// The exit codes, as help and the man page show them.
pub const EXIT_CODES: &str = "\
Exit codes:
    0  clean (accepted loss and vanished files are counted, not failures)
    1  failed: no space or quota for data, read-only, I/O error at sync, internal
    2  usage or configuration: unknown option, missing source, unreadable identity
    3  finished, with problems or unaccepted loss, listed
    4  verify found differences
    5  safety halt, nothing deleted
    6  peer refused: certificate, name, role, version, unknown volume, still busy
    7  network gave up: connect, DNS, proxy, route, silence, a peer that does not speak TLS
  130  stopped by SIGINT, cleanly, report written
  143  stopped by SIGTERM, cleanly, report written

Logs go to standard error; FERRY_LOG sets what is logged (error, warn, info, debug, trace, or target=level,...).";

/// What the words of the benchmark mean, as its help and its man page say it. `bench/limit` judges by these figures.
pub const BENCH_WORDS: &str = "\
What limits a run, the first of these that holds:
  CPU             ferry keeps 80 % of all cores busy, or 60 % while nothing is idle
  other programs  nothing is idle, but it is not ferry: measure when it is quiet
  disk, TLS       reading from the device, writing and syncing (on tmpfs: memory),
                  or sending the same bytes through TLS would take 60 % of the time
                  by itself; the one that takes longest
  one core        at least 80 % of one core is busy: work that cannot be shared out
  latency         nothing is busy: round trips and waiting for each other

One machine does the work of both ends: two machines have twice the cores, and a
network between them. The source is read from the page cache, as it was just made;
how fast the disk itself is read is measured beside it.";

/// Moves a volume from one machine to another over mutual TLS through one port, whole and verified.
#[derive(Debug, Parser)]
#[command(name = "ferry", version, after_long_help = EXIT_CODES, after_help = "Exit codes: see `ferry --help`.")]
#[command(subcommand_required = true, arg_required_else_help = true, max_term_width = 110)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Say more: -v once a session, -vv once a file, -vvv once a frame.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make certificates for one receiver and its sender.
    Keygen(KeygenArgs),
    /// Wait for senders and write what they send.
    Receive(Box<ReceiveArgs>),
    /// Send volumes to a receiver.
    Send(Box<SendArgs>),
    /// Copy between two directories, files or block devices of this machine, no network.
    Sync(Box<SyncArgs>),
    /// Compare two directories, files or block devices strictly and name each difference.
    Verify(VerifyArgs),
    /// Show it all on a small volume of its own: copy, change, copy the change, verify.
    Demo(DemoArgs),
    /// Measure what this machine reaches, with data of its own over TLS on loopback, and what limits it.
    Bench(BenchArgs),
    /// Print the completions of a shell.
    Completions(CompletionsArgs),
    /// Print the manual page, or write all pages into a directory.
    Man(ManArgs),
}

/// `ferry keygen DIR`.
#[derive(Debug, Args)]
pub struct KeygenArgs {
    /// Where DIR/receiver and DIR/sender are made, each with tls.crt, tls.key and ca.crt.
    pub dir: PathBuf,
    /// A name the receiver is reached by; localhost, 127.0.0.1 and ::1 are always in. May be repeated.
    #[arg(long = "host", value_name = "NAME")]
    pub hosts: Vec<String>,
    /// Days the certificates are good for.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=3650))]
    pub days: u32,
}

/// `ferry receive`.
#[derive(Debug, Args)]
#[command(after_long_help = EXIT_CODES)]
pub struct ReceiveArgs {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, value_name = "ADDR:PORT")]
    pub listen: String,
    /// The directory with tls.crt, tls.key and ca.crt of the receiver.
    #[arg(long, value_name = "DIR")]
    pub identity: Option<PathBuf>,
    /// A volume senders may write, by name; PATH is made when only its last part is missing. May be repeated.
    #[arg(long = "volume", value_name = "NAME=PATH")]
    pub volumes: Vec<OsString>,
    /// Take one ad-hoc copy without certificates: prints the line to paste at the source.
    #[arg(long, value_name = "NAME=PATH", help_heading = "Tickets")]
    pub offer: Option<OsString>,
    /// How the source reaches this side, when it is not by an address found here. May be repeated.
    #[arg(long, value_name = "HOST:PORT", help_heading = "Tickets")]
    pub advertise: Vec<String>,
    /// How long the ticket is good for; 1h unless told.
    #[arg(long, value_name = "DURATION", value_parser = values::duration, help_heading = "Tickets")]
    pub expires: Option<Duration>,
    /// End when each volume was completed once.
    #[arg(long)]
    pub once: bool,
    /// End when no session has run for this long.
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    pub idle_exit: Option<Duration>,
    /// What is remembered between runs.
    #[command(flatten)]
    pub state: StateArgs,
    /// What this side permits, whatever senders ask; the stricter side wins.
    #[command(flatten)]
    pub bounds: BoundsArgs,
    /// What is shown and reported.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// What a receiver permits.
#[derive(Debug, Args)]
#[command(next_help_heading = "Bounds of this side (the stricter side wins)")]
pub struct BoundsArgs {
    /// Never delete anything.
    #[arg(long)]
    pub no_delete: bool,
    /// Halt instead of deleting more than N entries.
    #[arg(long, value_name = "N")]
    pub max_delete: Option<u64>,
    /// Make no device nodes.
    #[arg(long)]
    pub no_devices: bool,
    /// Drop setuid and setgid bits and file capabilities.
    #[arg(long)]
    pub no_setuid: bool,
    /// Set no extended attributes.
    #[arg(long)]
    pub no_xattrs: bool,
    /// Content bytes one session may write.
    #[arg(long, value_name = "BYTES", value_parser = values::size)]
    pub quota: Option<u64>,
}

/// `ferry send`.
#[derive(Debug, Args)]
#[command(after_long_help = EXIT_CODES)]
pub struct SendArgs {
    /// The directory, file or block device to send with a ticket (FERRY_TICKET, --ticket-file).
    pub source: Option<PathBuf>,
    /// The receiver, or the route in front of it.
    #[arg(long, value_name = "HOST:PORT")]
    pub to: Option<String>,
    /// The directory with tls.crt, tls.key and ca.crt of the sender.
    #[arg(long, value_name = "DIR")]
    pub identity: Option<PathBuf>,
    /// The name in the receiver's certificate, sent as SNI too; the host of --to unless told.
    #[arg(long, value_name = "NAME")]
    pub server_name: Option<String>,
    /// An HTTP proxy to CONNECT through: http://[USER:PASSWORD@]HOST:PORT.
    #[arg(long, value_name = "URL")]
    pub proxy: Option<String>,
    /// Give up after this long without progress.
    #[arg(long, value_name = "DURATION", default_value = "120s", value_parser = values::duration)]
    pub retry_for: Duration,
    /// A volume to send, by its name at the receiver. May be repeated.
    #[arg(long = "volume", value_name = "NAME=PATH")]
    pub volumes: Vec<OsString>,
    /// Read the ticket from a file.
    #[arg(long, value_name = "FILE")]
    pub ticket_file: Option<PathBuf>,
    /// The ticket itself; other users of this machine can read it there.
    #[arg(long, value_name = "TICKET")]
    pub ticket: Option<String>,
    /// What is asked of both sides.
    #[command(flatten)]
    pub transfer: TransferArgs,
    /// What is shown and reported.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// `ferry sync SRC DST`.
#[derive(Debug, Args)]
#[command(after_long_help = EXIT_CODES)]
pub struct SyncArgs {
    /// The directory whose contents are copied, or the file or block device.
    pub source: PathBuf,
    /// What becomes equal; made when only its last part is missing (for a block device, an image file).
    pub destination: PathBuf,
    /// What is remembered between runs.
    #[command(flatten)]
    pub state: StateArgs,
    /// What is asked.
    #[command(flatten)]
    pub transfer: TransferArgs,
    /// What is shown and reported.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// `ferry verify SRC DST`.
#[derive(Debug, Args)]
#[command(after_long_help = EXIT_CODES)]
pub struct VerifyArgs {
    /// One directory, file or block device.
    pub source: PathBuf,
    /// The other.
    pub destination: PathBuf,
    /// Leave out what matches, on both sides (gitignore pattern, anchored at the root). May be repeated.
    #[arg(long, value_name = "GLOB")]
    pub exclude: Vec<String>,
    /// Leave out what matches the patterns of a file.
    #[arg(long, value_name = "FILE")]
    pub exclude_from: Vec<PathBuf>,
    /// Do not compare owners.
    #[arg(long)]
    pub no_owner: bool,
    /// Do not compare extended attributes, ACLs and capabilities.
    #[arg(long)]
    pub no_xattrs: bool,
    /// What only DST has is no difference.
    #[arg(long)]
    pub ignore_extra: bool,
    /// How progress is shown.
    #[arg(long, value_enum, default_value_t = ProgressMode::Auto, value_name = "HOW")]
    pub progress: ProgressMode,
}

/// `ferry demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Leave the demo's files for you to look at.
    #[arg(long)]
    pub keep: bool,
    /// Where to make them; it must be empty or missing. A temporary place unless told.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// `ferry bench`.
#[derive(Debug, Args)]
#[command(after_long_help = BENCH_WORDS)]
pub struct BenchArgs {
    /// Bytes of the large file, at least 1M.
    #[arg(long, value_name = "SIZE", default_value = "512M", value_parser = values::data_size)]
    pub size: u64,
    /// Small files, of 1 byte to 8 KiB each.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub files: u64,
    /// Measure in this directory, which must exist: a subdirectory is made and removed again. The system's temporary
    /// directory unless told.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Write the figures here, one JSON object, also on signals and failures; /dev/stdout prints it.
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
}

/// `ferry completions SHELL`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell to complete in.
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// `ferry man [DIR]`.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// Write ferry.1 and a page a subcommand here instead of printing ferry.1.
    pub dir: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn options_of_later_issues_are_unknown() {
        let known = ["ferry", "sync", "a", "b"];
        assert!(Cli::try_parse_from(known).is_ok());
        for later in ["--metrics=:1", "--progress=rsync"] {
            assert!(Cli::try_parse_from(known.into_iter().chain([later])).is_err(), "{later}");
        }
    }

    #[test]
    fn a_benchmark_of_nothing_is_refused() {
        let parse = |line: &[&str]| Cli::try_parse_from(["ferry", "bench"].iter().chain(line));
        assert!(parse(&[]).is_ok());
        assert!(parse(&["--size", "8M", "--files", "200", "--dir", "/x"]).is_ok());
        for wrong in [["--size", "0"], ["--size", "1023K"], ["--size", "x"], ["--files", "0"], ["--files", "-1"]] {
            assert!(parse(&wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_table_in_help_is_the_table_of_outcomes() {
        let table = EXIT_CODES.lines().filter_map(|line| line.split_whitespace().next()?.parse::<u8>().ok());
        let mut known = crate::types::Outcome::ALL.map(|outcome| outcome.exit().0);
        known.sort_unstable();
        assert_eq!(table.collect::<Vec<_>>(), known);
    }
}
