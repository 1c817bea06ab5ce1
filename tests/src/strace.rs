//! Counts the system calls of a program that change a file system, by strace. Opening for writing counts too; devices, pipes
//! and the kernel's own files do not. It refuses to trust a trace without a single line.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Calls that change files, names or attributes.
const MUTATING: &str = "mkdir,mkdirat,rmdir,unlink,unlinkat,rename,renameat,renameat2,link,linkat,symlink,symlinkat,mknod,mknodat,\
chmod,fchmod,fchmodat,chown,fchown,lchown,fchownat,utimensat,futimesat,utimes,utime,setxattr,lsetxattr,fsetxattr,removexattr,\
lremovexattr,fremovexattr,truncate,ftruncate,fallocate,pwrite64,pwritev,pwritev2,copy_file_range,creat";
/// Calls that may open for writing, and one that every program makes.
const OPENING: &str = "open,openat,openat2,execve";

/// `command` under strace, its calls written to `log`.
#[must_use]
pub fn traced(command: &Command, log: &Path) -> Command {
    let mut traced = Command::new("strace");
    traced.args(["-f", "-qq", "-e", "signal=none", "-e"]).arg(format!("trace={MUTATING},{OPENING}")).arg("-o").arg(log);
    traced.arg("--").arg(command.get_program()).args(command.get_args());
    for (key, value) in command.get_envs() {
        match value {
            Some(value) => traced.env(key, value),
            None => traced.env_remove(key),
        };
    }
    traced
}

/// The lines of `log` that changed something, but for files named in `allowed` (a report, for instance).
///
/// # Errors
/// When the log is missing or has nothing in it.
pub fn mutations(log: &Path, allowed: &[PathBuf]) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(log).with_context(|| format!("no trace at {}", log.display()))?;
    ensure!(text.contains("execve("), "the trace at {} holds nothing", log.display());
    let is_allowed = |line: &str| allowed.iter().any(|path| line.contains(&*path.to_string_lossy()));
    Ok(text.lines().filter(|line| mutates(line) && !is_allowed(line)).map(str::to_owned).collect())
}

fn mutates(line: &str) -> bool {
    // Lines are `PID call(...) = result`; calls cut in two are told at their start.
    let Some(call) = line.split_once(' ').map(|(_, call)| call.trim_start()) else { return false };
    let Some((name, arguments)) = call.split_once('(') else { return false };
    if !matches!(name, "open" | "openat" | "openat2") {
        return name != "execve";
    }
    let writes = ["O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC", "O_TMPFILE"].iter().any(|flag| arguments.contains(flag));
    let harmless = ["\"/dev/", "\"/proc/", "\"/sys/"].iter().any(|start| arguments.contains(start));
    writes && !harmless
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_calls_that_change_something_count() {
        assert!(mutates("12 unlinkat(3, \"a\", 0) = 0"));
        assert!(mutates("12 openat(3, \"a\", O_WRONLY|O_CREAT, 0600) = 4"));
        assert!(!mutates("12 openat(3, \"a\", O_RDONLY|O_NOFOLLOW) = 4"));
        assert!(!mutates("12 openat(AT_FDCWD, \"/dev/null\", O_RDWR) = 4"));
        assert!(!mutates("12 execve(\"/usr/bin/true\", [\"true\"], 0x7ffe /* 3 vars */) = 0"));
        assert!(!mutates("12 <... openat resumed>) = 4"));
    }
}
