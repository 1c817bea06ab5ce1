//! `ferry-bench`: ferry against rsync over stunnel and others on this machine, one table at the end. Exits with 0 when everybody
//! took part and left equal trees, 1 when somebody did not, 2 when it could not begin.

use std::io::Write;
use std::num::NonZeroU32;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, anyhow, ensure};
use clap::Parser;
use clap::builder::PossibleValuesParser;
use ferry_benches::caches::Caches;
use ferry_benches::cases::{self, Case, Play, Scale};
use ferry_benches::contenders;
use ferry_benches::contest::{Conditions, Contest, Trips};
use ferry_benches::ferry::Ferry;
use ferry_benches::line::Line;
use ferry_benches::machine::{self, Machine};
use ferry_benches::plot;
use ferry_benches::report::Report;
use ferry_benches::site::Site;
use ferry_benches::span::{Far, Span};
use ferry_benches::table;

/// Set once this process has the mounts and the network of its own that it needs.
const PRIVATE: &str = "FERRY_BENCH_PRIVATE";

/// Measures ferry against rsync over stunnel: alternating paired runs, checked, one table.
#[derive(Debug, Parser)]
#[command(name = "ferry-bench", version, max_term_width = 110)]
struct Args {
    /// The ferry to measure, a release build.
    #[arg(long, value_name = "FILE", env = "FERRY_BIN", default_value = "target/release/ferry")]
    ferry: PathBuf,
    /// Only these cases, by comma; see --list.
    #[arg(long = "case", value_name = "NAME,...", value_delimiter = ',', value_parser = case)]
    cases: Vec<&'static Case>,
    /// Only these contenders beside ferry, by comma; see --list.
    #[arg(long = "contender", value_name = "NAME,...", value_delimiter = ',', default_values = contenders::DEFAULT,
        value_parser = PossibleValuesParser::new(contenders::IDS))]
    contenders: Vec<String>,
    /// Timed runs of each contender in each case.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    runs: u32,
    /// Shrinks sizes and counts for a quick look.
    #[arg(long, value_name = "F", default_value = "1", value_parser = scale)]
    scale: Scale,
    /// Puts the data below this directory; a tmpfs of its own unless told, which needs root.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Like --dir, on a disk: `sync -f` of the destination is part of every time.
    #[arg(long, value_name = "DIR", conflicts_with = "dir")]
    disk: Option<PathBuf>,
    /// Drops the page cache before each timed run; needs root and --disk. Otherwise everything is read once before.
    #[arg(long)]
    cold: bool,
    /// Delays what the two sides say to each other, by this there and back.
    #[arg(long, value_name = "MS", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=10_000))]
    rtt: u32,
    /// Bounds the bandwidth between the two sides, each way and all connections together.
    #[arg(long, value_name = "N")]
    mbit: Option<NonZeroU32>,
    /// Bounds the bandwidth of each connection, each way.
    #[arg(long, value_name = "N")]
    connection_mbit: Option<NonZeroU32>,
    /// Bounds the bandwidth by `tc tbf` on a link between two network namespaces, not by a relay; needs root.
    #[arg(long, value_name = "MBIT", conflicts_with_all = ["rtt", "mbit", "connection_mbit"])]
    tbf: Option<NonZeroU32>,
    /// Counts round trips in every case, by some more runs, not only where they are owed.
    #[arg(long)]
    trips: bool,
    /// Writes every run here.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Writes the table here.
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Draws the ratios here.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Says what the cases and the contenders are and ends.
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(code) => code,
        Err(error) => {
            say(&format!("ferry-bench: {error:#}"));
            ExitCode::from(2)
        }
    }
}

fn run(args: &Args) -> Result<ExitCode> {
    if args.list {
        print(&list())?;
        return Ok(ExitCode::SUCCESS);
    }
    let ferry = Ferry::at(&args.ferry)?;
    apart(args)?;
    let site = site(args)?;
    let conditions = conditions(args, &site)?;
    let contenders = contenders::chosen(&ferry, &args.contenders);
    let report = contest(args, &Contest::new(site, &ferry, conditions, contenders)?)?;
    print(&table::markdown(&report))?;
    Ok(if report.troubles().is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The cases and the contenders.
fn list() -> String {
    let line = |case: &&Case| {
        let when = match case.play {
            Play::ByDefault => "",
            Play::WhenNamed => " (when named)",
        };
        format!("{:<16}{}{when}\n", case.name, case.what)
    };
    let cases: String = cases::all().iter().map(line).collect();
    let (all, default) = (contenders::IDS.join(", "), contenders::DEFAULT.join(", "));
    format!("{cases}\ncontenders beside ferry: {all}\nby default: {default}\n")
}

/// Under which conditions everybody runs.
fn conditions(args: &Args, site: &Site) -> Result<Conditions> {
    let line = Line { rtt_ms: args.rtt, mbit: args.mbit, connection_mbit: args.connection_mbit };
    let caches = if args.cold { Caches::cold(site)? } else { Caches::warm(site) };
    let trips = if args.trips { Trips::Everywhere } else { Trips::WhereOwed };
    let far = args.tbf.map_or(Ok(Far::Here), |mbit| Span::of(mbit).map(Far::Beyond))?;
    Ok(Conditions { line, far, tbf: args.tbf, caches, trips })
}

/// Plays the cases. What is known is written after each: a contest takes long, and one that is cut short has still said something.
fn contest(args: &Args, contest: &Contest) -> Result<Report> {
    let cases = if args.cases.is_empty() { cases::by_default() } else { args.cases.clone() };
    let mut report = Report {
        command: command(args),
        machine: Machine::now()?,
        load_after: String::new(),
        medium: contest.medium(),
        line: contest.conditions().line,
        tbf: args.tbf,
        caches: contest.conditions().caches.words(),
        scale: args.scale.factor(),
        runs: args.runs,
        contenders: contest.presences(),
        cases: Vec::new(),
    };
    for case in cases {
        let mut tell = |step: &str| say(&format!("{}: {step}", case.name));
        report.cases.push(contest.play(case, args.scale, args.runs, &mut tell));
        report.load_after = machine::load();
        save(args, &report)?;
    }
    Ok(report)
}

fn save(args: &Args, report: &Report) -> Result<()> {
    if let Some(path) = &args.markdown {
        write(path, &table::markdown(report))?;
    }
    if let Some(path) = &args.svg {
        write(path, &plot::svg(report)?)?;
    }
    if let Some(path) = &args.json {
        write(path, &serde_json::to_string_pretty(report)?)?;
    }
    Ok(())
}

/// In memory we want mounts of our own, and with tbf a network: they vanish with us, however we end.
fn apart(args: &Args) -> Result<()> {
    let (mounts, network) = (args.dir.is_none() && args.disk.is_none(), args.tbf.is_some());
    let root = rustix::process::geteuid().is_root();
    ensure!(
        root || !mounts,
        "without root there is no tmpfs of our own: name a directory with --dir, such as /dev/shm"
    );
    ensure!(root || !network, "without root there is no network of our own: bound the bandwidth with --mbit instead");
    if std::env::var_os(PRIVATE).is_some() || !(mounts || network) {
        return Ok(());
    }
    let mut again = Command::new("unshare");
    again.args(mounts.then_some("--mount")).args(network.then_some("--net")).arg("--");
    again.arg(std::env::current_exe()?).args(std::env::args_os().skip(1));
    let error = again.env(PRIVATE, "yes").exec();
    Err(error).context("cannot start unshare (util-linux): name a directory with --dir and leave out --tbf instead")
}

/// Where the data goes.
fn site(args: &Args) -> Result<Site> {
    let usable = |dir: &Path| dir.canonicalize().with_context(|| format!("cannot use {}", dir.display()));
    if let Some(dir) = &args.disk {
        return Site::on_disk(&usable(dir)?);
    }
    if let Some(dir) = &args.dir {
        return Site::below(&usable(dir)?);
    }
    Site::in_memory()
}

/// The command that makes the same again; where its files lie is nobody's concern.
fn command(args: &Args) -> String {
    let mut text = format!("ferry-bench --runs {}", args.runs);
    if args.scale != Scale::FULL {
        text.push_str(&format!(" --scale {}", args.scale.factor()));
    }
    if args.disk.is_some() {
        text.push_str(" --disk DIR");
    }
    if args.cold {
        text.push_str(" --cold");
    }
    if args.rtt > 0 {
        text.push_str(&format!(" --rtt {}", args.rtt));
    }
    if let Some(mbit) = args.mbit {
        text.push_str(&format!(" --mbit {mbit}"));
    }
    if let Some(mbit) = args.connection_mbit {
        text.push_str(&format!(" --connection-mbit {mbit}"));
    }
    if let Some(mbit) = args.tbf {
        text.push_str(&format!(" --tbf {mbit}"));
    }
    if args.trips {
        text.push_str(" --trips");
    }
    if args.contenders != contenders::DEFAULT {
        text.push_str(&format!(" --contender {}", args.contenders.join(",")));
    }
    if !args.cases.is_empty() {
        text.push_str(" --case ");
        text.push_str(&args.cases.iter().map(|case| case.name).collect::<Vec<_>>().join(","));
    }
    text
}

fn case(name: &str) -> Result<&'static Case> {
    let known = || cases::all().iter().map(|case| case.name).collect::<Vec<_>>().join(", ");
    Case::named(name).ok_or_else(|| anyhow!("no such case; there are: {}", known()))
}

fn scale(text: &str) -> Result<Scale> {
    text.parse().ok().and_then(Scale::new).context("must be above 0 and at most 1")
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn print(text: &str) -> Result<()> {
    std::io::stdout().write_all(text.as_bytes()).context("cannot print the table")
}

/// Progress, for people; a closed standard error is nobody's concern.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
