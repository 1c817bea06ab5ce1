//! What the kernel counts about processes: CPU time, children, resident memory. A process that is gone has nothing to say;
//! numbers of processes that were waited for are in their parent's.

use std::fs;

/// CPU time of a process, in ticks of the clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ticks {
    /// Its own, all threads.
    pub own: u64,
    /// That of the children it waited for, and of theirs.
    pub reaped: u64,
}

/// CPU time of a process.
#[must_use]
pub fn ticks(pid: u32) -> Option<Ticks> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// CPU time of what this process waited for.
#[must_use]
pub fn reaped_here() -> u64 {
    ticks(std::process::id()).map_or(0, |ticks| ticks.reaped)
}

/// Ticks as seconds.
#[must_use]
pub fn seconds(ticks: u64) -> f64 {
    ticks as f64 / rustix::param::clock_ticks_per_second() as f64
}

/// The process and all its descendants, itself first.
#[must_use]
pub fn family(pid: u32) -> Vec<u32> {
    let mut found = vec![pid];
    let mut next = 0;
    while let Some(pid) = found.get(next).copied() {
        found.extend(children(pid));
        next += 1;
    }
    found
}

/// Children that any thread of the process started.
#[must_use]
pub fn children(pid: u32) -> Vec<u32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let lists = threads.flatten().filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()).collect()
}

/// Resident memory of a process, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// What is no file's: what the process costs the machine.
    pub anonymous: u64,
    /// All of it, the program's own pages too.
    pub resident: u64,
}

/// Resident memory of a process; nothing of one that is gone.
#[must_use]
pub fn memory(pid: u32) -> Memory {
    parse_status(&fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default())
}

fn parse_status(status: &str) -> Memory {
    let bytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse::<u64>().ok()).unwrap_or(0) * 1024
    };
    Memory { anonymous: bytes("RssAnon:"), resident: bytes("VmRSS:") }
}

/// `PID (NAME) STATE ...`: fields 14 to 17, where the name may hold anything, parentheses too.
fn parse_stat(stat: &str) -> Option<Ticks> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ').skip(11).map_while(|field| field.parse::<u64>().ok());
    let mut both = || Some(fields.next()? + fields.next()?);
    Some(Ticks { own: both()?, reaped: both()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_full_of_parentheses_does_not_confuse_the_fields() {
        let stat = "7 (a) R (b) S 1 7 7 0 -1 4194560 1 2 3 4 50 6 700 8 20 0 1 0 9";
        assert_eq!(parse_stat(stat), Some(Ticks { own: 56, reaped: 708 }));
        assert_eq!(parse_stat("7 (a) S 1"), None);
    }

    #[test]
    fn memory_is_read_in_bytes_and_is_nothing_of_who_is_gone() {
        let status = "Name:\tx\nVmRSS:\t    5000 kB\nRssAnon:\t    3000 kB\n";
        assert_eq!(parse_status(status), Memory { anonymous: 3000 << 10, resident: 5000 << 10 });
        assert_eq!(parse_status(""), Memory::default());
    }

    #[test]
    fn work_of_a_child_is_counted_once_it_was_waited_for() {
        let before = reaped_here();
        let spin = "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done";
        assert!(std::process::Command::new("sh").args(["-c", spin]).status().unwrap().success());
        assert!(reaped_here() > before, "no time for 300000 rounds of a shell");
    }

    #[test]
    fn a_family_holds_grandchildren_and_takes_memory() {
        let mut child = std::process::Command::new("sh").args(["-c", "sleep 60 & echo; wait"]).spawn().unwrap();
        let start = std::time::Instant::now();
        while family(child.id()).len() < 2 && start.elapsed().as_secs() < 10 {
            std::thread::yield_now();
        }
        let family = family(child.id());
        assert_eq!(family.len(), 2, "{family:?}");
        let memory = memory(child.id());
        assert!(memory.anonymous > 0 && memory.resident > memory.anonymous, "{memory:?}");
        for pid in family {
            let pid = rustix::process::Pid::from_raw(pid.try_into().unwrap()).unwrap();
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
        child.wait().unwrap();
    }
}
