//! `ferry-bench`: ferry against rsync over stunnel on this machine, one table at the end. Exits with 0 when everybody took part
//! and left equal trees, 1 when somebody did not, 2 when it could not begin.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, anyhow, ensure};
use clap::Parser;
use ferry_benches::cases::{self, Case, Scale};
use ferry_benches::contender::Contender;
use ferry_benches::contest::Contest;
use ferry_benches::ferry::Ferry;
use ferry_benches::machine::{self, Machine};
use ferry_benches::report::Report;
use ferry_benches::rsync::{Options, Rsync};
use ferry_benches::site::Site;
use ferry_benches::table;

/// Set once this process has mounts of its own.
const PRIVATE: &str = "FERRY_BENCH_PRIVATE_MOUNTS";

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
    /// Writes every run here.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Writes the table here.
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Says what the cases are and ends.
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
        let lines: String = cases::all().iter().map(|case| format!("{:<16}{}\n", case.name, case.what)).collect();
        print(&lines)?;
        return Ok(ExitCode::SUCCESS);
    }
    let ferry = Ferry::at(&args.ferry)?;
    let site = site(args)?;
    let contenders: Vec<Box<dyn Contender>> =
        vec![Box::new(ferry.clone()), Box::new(Rsync::with(Options::Default)), Box::new(Rsync::with(Options::Best))];
    let report = contest(args, &Contest::new(site, &ferry, contenders)?)?;
    print(&table::markdown(&report))?;
    Ok(if report.troubles().is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Plays the cases. What is known is written after each: a contest takes long, and one that is cut short has still said something.
fn contest(args: &Args, contest: &Contest) -> Result<Report> {
    let cases = if args.cases.is_empty() { cases::all() } else { args.cases.clone() };
    let mut report = Report {
        command: command(args),
        machine: Machine::now()?,
        load_after: String::new(),
        medium: contest.medium(),
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
    if let Some(path) = &args.json {
        write(path, &serde_json::to_string_pretty(report)?)?;
    }
    Ok(())
}

/// Where the data goes. In memory we want mounts of our own: they vanish with us, however we end.
fn site(args: &Args) -> Result<Site> {
    let usable = |dir: &Path| dir.canonicalize().with_context(|| format!("cannot use {}", dir.display()));
    if let Some(dir) = &args.disk {
        return Site::on_disk(&usable(dir)?);
    }
    if let Some(dir) = &args.dir {
        return Site::below(&usable(dir)?);
    }
    let root = rustix::process::geteuid().is_root();
    ensure!(root, "without root there is no tmpfs of our own: name a directory with --dir, such as /dev/shm");
    if std::env::var_os(PRIVATE).is_none() {
        let mut again = Command::new("unshare");
        again.args(["--mount", "--"]).arg(std::env::current_exe()?).args(std::env::args_os().skip(1));
        let error = again.env(PRIVATE, "yes").exec();
        return Err(error).context("cannot start unshare for mounts of our own: name a directory with --dir instead");
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
