//! Two network namespaces of our own with a pair of virtual Ethernet devices between them, each end bounded by `tc tbf`: a real
//! link of so many megabits a second, with TCP as the kernel does it. This process is in the near one, where the source's side
//! runs; a process that only waits keeps the far one. All of it vanishes with the processes in it, however they end: nothing is
//! named outside, and the machine's own network is not touched. It refuses to work anywhere but in a namespace of our own.
//!
//! ```text
//!   source, client --- 10.7.7.1 near [tbf] ======== [tbf] far 10.7.7.2 --- daemons, destination
//! ```

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ferry_tests::command::until;

use crate::process;

/// In the near namespace, which has no other interface but the loopback.
const NEAR: Ipv4Addr = Ipv4Addr::new(10, 7, 7, 1);
/// In the far one.
const FAR: Ipv4Addr = Ipv4Addr::new(10, 7, 7, 2);
/// How long the far namespace may take to be there.
const MADE_MAX: Duration = Duration::from_secs(10);
/// What a bucket holds at least, in bytes: one packet as the kernel hands it down, 64 KiB and its headers.
const BURST_MIN: u64 = 72 << 10;

/// Where the destination's side runs.
#[derive(Debug)]
pub enum Far {
    /// Here, on the loopback.
    Here,
    /// At the other end of a link.
    Beyond(Span),
}

/// The link; gone when dropped.
#[derive(Debug)]
pub struct Span {
    /// Waits in the far namespace.
    keeper: Child,
}

impl Far {
    /// The address daemons of the destination's side listen on.
    #[must_use]
    pub fn host(&self) -> IpAddr {
        match self {
            Self::Here => IpAddr::V4(Ipv4Addr::LOCALHOST),
            Self::Beyond(_) => IpAddr::V4(FAR),
        }
    }

    /// A command of the destination's side, as it has to be started.
    #[must_use]
    pub fn within(&self, command: Command) -> Command {
        match self {
            Self::Here => command,
            Self::Beyond(span) => process::wrapped(&span.enter(), &command),
        }
    }
}

impl Span {
    /// A link of this bandwidth each way. This process must be alone in its network namespace: see `unshare --net`.
    ///
    /// # Errors
    /// When a tool is missing, the kernel has no tbf, we are not root, or the namespace is the machine's own.
    pub fn of(mbit: NonZeroU32) -> Result<Self> {
        for (tool, package) in
            [("unshare", "util-linux"), ("nsenter", "util-linux"), ("ip", "iproute2"), ("tc", "iproute2")]
        {
            let found = Command::new(tool).arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status();
            ensure!(found.is_ok(), "a link with tbf needs {tool}: install {package}");
        }
        let others = interfaces()?.into_iter().filter(|name| name != "lo").collect::<Vec<_>>();
        ensure!(others.is_empty(), "this network is not ours alone, it has {}", others.join(", "));
        let ours = namespace("self")?;
        let mut keeper = Command::new("unshare");
        keeper.args(["--net", "--", "sleep", "infinity"]);
        let keeper = process::bound(&keeper).stdin(Stdio::null()).spawn().context("cannot start unshare")?;
        let mut span = Self { keeper };
        until(MADE_MAX, "a network namespace of our own", || {
            ensure!(span.keeper.try_wait()?.is_none(), "unshare --net ended: a link with tbf needs root");
            Ok(namespace(&span.keeper.id().to_string()).is_ok_and(|theirs| theirs != ours))
        })?;
        span.lay(mbit)?;
        Ok(span)
    }

    fn lay(&self, mbit: NonZeroU32) -> Result<()> {
        let keeper = self.keeper.id().to_string();
        near(&["ip", "link", "add", "name", "near", "type", "veth", "peer", "name", "far", "netns", &keeper])?;
        near(&["ip", "link", "set", "lo", "up"])?;
        self.far(&["ip", "link", "set", "lo", "up"])?;
        near(&["ip", "address", "add", &format!("{NEAR}/24"), "dev", "near"])?;
        self.far(&["ip", "address", "add", &format!("{FAR}/24"), "dev", "far"])?;
        near(&["ip", "link", "set", "near", "up"])?;
        self.far(&["ip", "link", "set", "far", "up"])?;
        let (rate, burst) = (format!("{mbit}mbit"), format!("{}b", burst(mbit)));
        let tbf = |device| {
            ["tc", "qdisc", "add", "dev", device, "root", "tbf", "rate", &rate, "burst", &burst, "latency", "50ms"]
                .map(str::to_owned)
        };
        let bounded = || -> Result<()> {
            near(&tbf("near"))?;
            self.far(&tbf("far"))
        };
        bounded().context("no tbf: does this kernel have sch_tbf?")
    }

    /// What a command has to stand behind to run in the far namespace.
    fn enter(&self) -> Command {
        let mut enter = Command::new("nsenter");
        enter.arg(format!("--net=/proc/{}/ns/net", self.keeper.id())).arg("--");
        enter
    }

    fn far(&self, words: &[impl AsRef<str>]) -> Result<()> {
        let mut enter = self.enter();
        enter.args(words.iter().map(AsRef::as_ref));
        done(enter)
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        // The devices go with the namespace, and that with the last who is in it.
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}

/// What a bucket holds: 4 ms of the rate, for a timer may come that late; more would let whole seconds exceed it.
fn burst(mbit: NonZeroU32) -> u64 {
    (u64::from(mbit.get()) * 1_000_000 / 8 / 250).max(BURST_MIN)
}

fn near(words: &[impl AsRef<str>]) -> Result<()> {
    let mut words = words.iter().map(AsRef::as_ref);
    let mut command = Command::new(words.next().unwrap_or_default());
    command.args(words);
    done(command)
}

fn done(mut command: Command) -> Result<()> {
    let output = command.output().with_context(|| format!("cannot start {command:?}"))?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?} ended with {}: {}", output.status, complaint.trim());
    Ok(())
}

/// The network namespace of a process, by the kernel's name for it.
fn namespace(process: &str) -> Result<String> {
    let link = fs::read_link(format!("/proc/{process}/ns/net")).context("cannot tell a network namespace")?;
    Ok(link.to_string_lossy().into_owned())
}

/// The interfaces of our own namespace.
fn interfaces() -> Result<Vec<String>> {
    let table = fs::read_to_string("/proc/self/net/dev").context("cannot list network interfaces")?;
    let lines = table.lines().skip(2);
    Ok(lines.filter_map(|line| line.split_once(':').map(|(name, _)| name.trim().to_owned())).collect())
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;
    use std::time::Instant;

    use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

    use super::*;

    /// Set in the copy of this test that is alone in its network.
    const ALONE: &str = "FERRY_BENCH_TEST_ALONE";

    #[test]
    fn a_link_carries_what_its_rate_allows_and_vanishes_with_who_made_it() {
        if std::env::var_os(ALONE).is_some() {
            return carried_over_a_link();
        }
        let name = "span::tests::a_link_carries_what_its_rate_allows_and_vanishes_with_who_made_it";
        let mut alone = Command::new("timeout");
        alone.args(["60", "unshare", "--net", "--"]).arg(std::env::current_exe().unwrap()).args(["--exact", name]);
        let done = alone.env(ALONE, "yes").output().unwrap();
        let said = String::from_utf8_lossy(&done.stdout);
        assert!(done.status.success() && said.contains("1 passed"), "{said}");
    }

    fn carried_over_a_link() {
        let span = Span::of(NonZeroU32::new(80).unwrap()).unwrap();
        let keeper = span.keeper.id();
        let far = Far::Beyond(span);
        let address = (far.host(), 7);
        let there = fs::File::open(format!("/proc/{keeper}/ns/net")).unwrap();
        let (ready, listens) = std::sync::mpsc::channel();
        let receiver = std::thread::spawn(move || {
            // Only this thread moves.
            move_into_link_name_space(there.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            let listener = TcpListener::bind(address).unwrap();
            ready.send(()).unwrap();
            io::copy(&mut listener.accept().unwrap().0, &mut io::sink()).unwrap()
        });
        listens.recv().unwrap();
        let start = Instant::now();
        TcpStream::connect(address).unwrap().write_all(&[7; 5_000_000]).unwrap();
        assert_eq!(receiver.join().unwrap(), 5_000_000);
        // Half a second at 80 Mbit/s; frames have heads, and the bucket is full at first.
        let took = start.elapsed().as_secs_f64();
        assert!((0.48..3.0).contains(&took), "{took} s");
        drop(far);
        // The kernel takes its time over it.
        until(MADE_MAX, "the link vanishes", || Ok(interfaces()? == ["lo"])).unwrap();
    }

    #[test]
    fn a_bucket_holds_a_timers_lateness_and_a_packet() {
        let burst = |mbit| burst(NonZeroU32::new(mbit).unwrap());
        assert_eq!((burst(1), burst(1000)), (72 << 10, 500_000));
    }

    #[test]
    fn a_network_that_is_not_ours_alone_is_refused() {
        let found = interfaces().unwrap();
        assert!(found.contains(&"lo".to_owned()), "{found:?}");
        if found.len() > 1 {
            let error = Span::of(NonZeroU32::MIN).unwrap_err().to_string();
            assert!(error.contains("not ours alone"), "{error}");
        }
    }

    #[test]
    fn on_one_machine_the_far_side_is_here() {
        let mut command = Command::new("true");
        command.arg("x");
        assert_eq!(format!("{:?}", Far::Here.within(command)), "\"true\" \"x\"");
        assert!(Far::Here.host().is_loopback());
    }
}
