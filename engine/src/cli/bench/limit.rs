//! What limits a run: judged from what it took, what it moved, and how fast each part goes by itself on this machine.
//!
//! ```text
//!  Spent (time, processor time, machine) ─┐
//!  Work  (bytes read, hashed, sent, ...) ─┼─> judge ─> Limit, and what the processor time went into
//!  Raw   (rate and cost of each part)    ─┘
//! ```
//! Pure, and a rule of thumb: the first sentence that holds is said (`args::BENCH_WORDS` tells them to people). It knows no
//! machine and measures nothing; where a raw rate is wrong, so is what it says.

use std::time::Duration;

use super::clock::Spent;

/// Processors are the limit from this share of all of them on.
const CPU_FULL: f64 = 0.8;
/// They are from this share on when nothing of the machine is idle: the kernel's work for sockets and disks is not always
/// counted as ours.
const CPU_MOST: f64 = 0.6;
/// Nothing is idle from this share on.
const MACHINE_FULL: f64 = 0.9;
/// A part is the limit when it would take this share of the time by itself.
const PART_FULL: f64 = 0.6;
/// One core is the limit from this share of it on.
const CORE_FULL: f64 = 0.8;
/// Parts that cost less than this share of the processor time are not named.
const SHARE_MIN: f64 = 0.05;

/// How fast a part of the work goes by itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Bytes or files that were done.
    pub amount: u64,
    /// What that took.
    pub spent: Spent,
}

/// Every part by itself, one thread each but TLS.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Raw {
    /// Bytes of the source from the page cache.
    pub read: Rate,
    /// Bytes of the source from its device; `None` on a file system without one.
    pub fetch: Option<Rate>,
    /// Bytes through BLAKE3.
    pub hash: Rate,
    /// Bytes through TLS over loopback, by as many connections as a run has; both ends.
    pub tls: Rate,
    /// Bytes written and synced.
    pub write: Rate,
    /// Small files made and synced.
    pub make: Rate,
}

/// What a run did, both sides together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Bytes read.
    pub read: u64,
    /// Bytes hashed.
    pub hashed: u64,
    /// Bytes through TLS.
    pub sent: u64,
    /// Bytes written to large files.
    pub written: u64,
    /// Small files made.
    pub made: u64,
}

/// What a run has to itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Machine {
    /// Cores this process may use.
    pub cores: usize,
    /// The share of all processor time that others had while the benchmark ran, 0 to 1: said of runs too short to tell.
    pub others: Option<f64>,
}

/// A part of the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Reading files.
    Reading,
    /// BLAKE3.
    Hashing,
    /// Encrypting, the sockets, decrypting.
    Tls,
    /// Writing and syncing a large file.
    Writing,
    /// Making small files and syncing them.
    Making,
}

/// What limits a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limit {
    /// All processors are busy with it.
    Cpu,
    /// All processors are busy, but with something else; the share of them that is not ours.
    Others(f64),
    /// The device the source is read from; the share of the time it takes by itself.
    Reading(f64),
    /// Writing, or making files, and syncing; likewise.
    Writing(f64),
    /// TLS on these connections; likewise.
    Tls(f64),
    /// Work that cannot be shared out; how many cores are busy.
    OneCore(f64),
    /// Nothing is busy.
    Latency,
}

/// What is to be said of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    /// The share of all processor time that it used, 0 to 1.
    pub cpu: f64,
    /// What limits it.
    pub limit: Limit,
    /// The shares of its processor time that parts account for, largest first; those too small to matter are left out.
    pub parts: Vec<(Part, f64)>,
}

impl Rate {
    /// Bytes or files a second.
    #[must_use]
    pub fn a_second(&self) -> f64 {
        ratio(self.amount as f64, self.spent.wall.as_secs_f64())
    }

    /// Seconds that `amount` takes at this rate.
    fn seconds(&self, amount: u64) -> f64 {
        ratio(amount as f64, self.a_second())
    }

    /// Seconds of processor time that `amount` costs.
    fn cost(&self, amount: u64) -> f64 {
        ratio(amount as f64 * self.spent.cpu.as_secs_f64(), self.amount as f64)
    }
}

impl Machine {
    /// One of `cores`, on which `spent` passed.
    #[must_use]
    pub fn seen(cores: usize, spent: Spent) -> Self {
        Self { cores, others: spent.machine.map(|machine| (machine - share_of(spent, cores)).max(0.0)) }
    }
}

/// Judges a run.
#[must_use]
pub fn judge(spent: Spent, work: Work, raw: &Raw, machine: Machine) -> Judgement {
    let cpu = share_of(spent, machine.cores);
    let all = spent.machine.or_else(|| machine.others.map(|others| others + cpu)).unwrap_or(0.0).min(1.0);
    Judgement { cpu, limit: limit(spent, work, raw, (cpu, all)), parts: parts(spent.cpu, work, raw) }
}

/// The share of `cores` that was used.
fn share_of(spent: Spent, cores: usize) -> f64 {
    ratio(busy_cores(spent), cores as f64).min(1.0)
}

fn busy_cores(spent: Spent) -> f64 {
    ratio(spent.cpu.as_secs_f64(), spent.wall.as_secs_f64())
}

fn limit(spent: Spent, work: Work, raw: &Raw, (cpu, all): (f64, f64)) -> Limit {
    if cpu >= CPU_FULL || (cpu >= CPU_MOST && all >= MACHINE_FULL) {
        return Limit::Cpu;
    }
    if all >= MACHINE_FULL {
        return Limit::Others((all - cpu).max(0.0));
    }
    let busy = busy_cores(spent);
    let share = |seconds: f64| ratio(seconds, spent.wall.as_secs_f64()).min(1.0);
    let fetching = share(raw.fetch.map_or(0.0, |rate| rate.seconds(spent.fetched)));
    let writing = share(raw.write.seconds(work.written) + raw.make.seconds(work.made));
    let tls = share(raw.tls.seconds(work.sent));
    let candidates = [Limit::Writing(writing), Limit::Reading(fetching), Limit::Tls(tls)];
    let fullest = candidates.into_iter().zip([writing, fetching, tls]).max_by(|(_, a), (_, b)| a.total_cmp(b));
    match fullest {
        Some((limit, share)) if share >= PART_FULL => limit,
        Some(_) | None if busy >= CORE_FULL => Limit::OneCore(busy),
        Some(_) | None => Limit::Latency,
    }
}

/// Where raw costs add up to more than was used, they are taken as proportions of it.
fn parts(cpu: Duration, work: Work, raw: &Raw) -> Vec<(Part, f64)> {
    let costs = [
        (Part::Reading, raw.read.cost(work.read)),
        (Part::Hashing, raw.hash.cost(work.hashed)),
        (Part::Tls, raw.tls.cost(work.sent)),
        (Part::Writing, raw.write.cost(work.written)),
        (Part::Making, raw.make.cost(work.made)),
    ];
    let sum: f64 = costs.iter().map(|(_, cost)| cost).sum();
    let whole = sum.max(cpu.as_secs_f64());
    let shares = costs.into_iter().map(|(part, cost)| (part, ratio(cost, whole)));
    let mut shares: Vec<(Part, f64)> = shares.filter(|(_, share)| *share >= SHARE_MIN).collect();
    shares.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    shares
}

/// `a / b`, and 0 where that says nothing.
fn ratio(a: f64, b: f64) -> f64 {
    if b > 0.0 { a / b } else { 0.0 }
}

/// A machine of round numbers: all parts at 1000 bytes a second, at half a core.
#[cfg(test)]
pub fn raw_for_tests() -> Raw {
    let second = Spent { wall: Duration::from_secs(1), cpu: Duration::from_millis(500), ..Spent::default() };
    let rate = Rate { amount: 1_000, spent: second };
    Raw { read: rate, fetch: Some(rate), hash: rate, tls: rate, write: rate, make: Rate { amount: 100, spent: second } }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run of 10 s on two cores.
    fn spent(cpu: u64, machine: Option<f64>) -> Spent {
        Spent { wall: Duration::from_secs(10), cpu: Duration::from_secs(cpu), machine, fetched: 0 }
    }

    const TWO: Machine = Machine { cores: 2, others: None };

    fn limit_of(spent: Spent, work: Work) -> Limit {
        judge(spent, work, &raw_for_tests(), TWO).limit
    }

    #[test]
    fn help_tells_the_rule_that_is_applied() {
        for (words, share) in [
            ("keeps {} of all cores busy", CPU_FULL),
            ("or {} while nothing is idle", CPU_MOST),
            ("would take {} of the time", PART_FULL),
            ("at least {} of one core", CORE_FULL),
        ] {
            let words = words.replace("{}", &format!("{:.0} %", share * 100.0));
            assert!(crate::cli::args::BENCH_WORDS.contains(&words), "{words}");
        }
    }

    #[test]
    fn busy_processors_are_the_limit_whatever_else_is_slow() {
        let slow = Work { written: 9_000, sent: 9_000, ..Work::default() };
        assert_eq!(limit_of(spent(16, None), slow), Limit::Cpu);
        assert_eq!(limit_of(spent(13, Some(0.95)), slow), Limit::Cpu);
        assert_eq!(limit_of(spent(20, Some(0.1)), Work::default()), Limit::Cpu);
    }

    #[test]
    fn a_machine_busy_with_other_things_is_said() {
        match limit_of(spent(8, Some(1.0)), Work { written: 9_000, ..Work::default() }) {
            Limit::Others(share) => assert!((share - 0.6).abs() < 1e-9, "{share}"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn of_a_short_run_what_others_had_before_is_believed() {
        let machine = Machine::seen(2, spent(4, Some(0.9)));
        assert!(machine.others.is_some_and(|others| (others - 0.7).abs() < 1e-9), "{machine:?}");
        let limit = |cpu| judge(spent(cpu, None), Work::default(), &raw_for_tests(), machine).limit;
        assert!(matches!(limit(5), Limit::Others(_)), "{:?}", limit(5));
        assert_eq!(limit(3), Limit::Latency);
        assert_eq!(limit(13), Limit::Cpu);
    }

    #[test]
    fn the_fullest_part_is_the_limit_when_processors_idle() {
        let idle = spent(2, Some(0.2));
        assert_eq!(limit_of(idle, Work { written: 9_000, sent: 7_000, ..Work::default() }), Limit::Writing(0.9));
        assert_eq!(limit_of(idle, Work { made: 800, ..Work::default() }), Limit::Writing(0.8));
        assert_eq!(limit_of(idle, Work { written: 6_000, sent: 7_000, ..Work::default() }), Limit::Tls(0.7));
        assert_eq!(limit_of(Spent { fetched: 8_000, ..idle }, Work::default()), Limit::Reading(0.8));
        // What comes from the page cache keeps no disk busy.
        assert_eq!(limit_of(idle, Work { read: 10_000, ..Work::default() }), Limit::Latency);
        // Raw rates vary: no part takes longer than the run.
        assert_eq!(limit_of(idle, Work { written: 90_000, ..Work::default() }), Limit::Writing(1.0));
    }

    #[test]
    fn without_a_full_part_it_is_one_core_or_waiting() {
        let some = Work { written: 5_000, ..Work::default() };
        assert_eq!(limit_of(spent(8, Some(0.5)), some), Limit::OneCore(0.8));
        assert_eq!(limit_of(spent(7, Some(0.5)), some), Limit::Latency);
        assert_eq!(limit_of(Spent::default(), Work::default()), Limit::Latency);
    }

    #[test]
    fn the_processor_time_is_shared_out_largest_first() {
        let work = Work { read: 1_000, hashed: 8_000, sent: 16_000, written: 100, made: 0 };
        let judged = judge(spent(20, None), work, &raw_for_tests(), TWO);
        assert_eq!(judged.parts, [(Part::Tls, 0.4), (Part::Hashing, 0.2)], "the rest is too little to name");
        assert_eq!(judged.cpu, 1.0);
        // Dearer by themselves than in the run: together they are the run.
        let judged = judge(spent(1, None), Work { hashed: 9_000, sent: 3_000, ..work }, &raw_for_tests(), TWO);
        let sum: f64 = judged.parts.iter().map(|(_, share)| share).sum();
        assert!((0.9..=1.0).contains(&sum), "{judged:?}");
    }
}
