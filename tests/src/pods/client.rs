//! What a client's containers run: rsync's options as each version orders them, and the shell around rsync and stunnel, word for
//! word. It refuses to improve on them: a loop that burns a processor does so here too.

use super::version::Version;

/// What an administrator can set of a copy.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `--bwlimit=N`, in KiB a second.
    pub bwlimit: Option<u32>,
    /// A claim's `verify`: `--checksum`.
    pub verify: bool,
    /// Sparse files were found: `--sparse --no-inplace` (from 1.7 on).
    pub sparse: bool,
    /// `RSYNC_OPT_EXTRAS`.
    pub extras: Vec<String>,
}

/// What the operator wants to be told.
pub const INFO: &str = "--info=COPY2,DEL2,REMOVE2,SKIP2,FLIST2,PROGRESS2,STATS2";
/// What MTC 1.4 and 1.5 ask of every copy.
pub const OLD: &[&str] =
    &["--archive", "--delete", "--recursive", "--hard-links", "--partial", INFO, "--human-readable"];
/// Where MTC 1.4 and 1.5 send it, and its log.
pub const OLD_PLACES: &[&str] = &["--port", "2222", "--log-file", "/dev/stdout"];
/// What MTC 1.6 to 1.8 ask of every copy, before a bound of the rate.
pub const NEW: &[&str] = &[
    "--recursive",
    "--links",
    "--perms",
    "--devices",
    "--specials",
    "--times",
    "--owner",
    "--group",
    "--hard-links",
    "--delete",
    "--partial",
];
/// What they ask behind it.
pub const NEW_TOLD: &[&str] = &["--human-readable", "--log-file=/dev/stdout", INFO];

/// The command line of rsync, for the claim mounted at `source` to the module behind `host`.
#[must_use]
pub fn rsync(version: Version, options: &Options, source: &str, host: &str, module: &str) -> Vec<String> {
    let url = format!("rsync://root@{host}/{module}");
    let source = format!("{source}/");
    let mut line: Vec<String> = Vec::new();
    let mut add = |words: &[&str]| line.extend(words.iter().map(|word| (*word).to_owned()));
    let bwlimit = options.bwlimit.map(|rate| format!("--bwlimit={rate}"));
    let extras: Vec<&str> = options.extras.iter().map(String::as_str).collect();
    if version.is_old() {
        add(&["rsync"]);
        add(bwlimit.as_deref().as_slice());
        add(OLD);
        add(OLD_PLACES);
        add(&extras);
        add(if options.verify { &["--checksum"] } else { &[] });
        add(&[&source, &url]);
    } else {
        add(&["/usr/bin/rsync"]);
        add(NEW);
        add(bwlimit.as_deref().as_slice());
        add(NEW_TOLD);
        add(if options.sparse { &["--sparse", "--no-inplace"] } else { &[] });
        add(if version == Version::V17Restricted || version == Version::V18Restricted {
            &["--omit-dir-times"]
        } else {
            &[]
        });
        add(&extras);
        add(if options.verify { &["--checksum"] } else { &[] });
        add(if version == Version::V17 { &[] } else { &["--exclude=lost+found"] });
        add(&[&source, &url, "--port", "6443"]);
    }
    line
}

/// The command of the client's rsync container. 1.4 has no shell.
#[must_use]
pub fn rsync_container(version: Version, rsync: &[String]) -> Vec<String> {
    let rsync_line = rsync.join(" ");
    match version {
        Version::V14 => rsync.to_vec(),
        Version::V15 => bash(format!(
            "trap \"touch /usr/share/rsync-stunnel-mgmt/rsync-client-container-done\" EXIT SIGINT SIGTERM; timeout=600; \
             SECONDS=0; while [ $SECONDS -lt $timeout ]; do nc -z localhost 2222; rc=$?; if [ $rc -eq 0 ]; then \
             {rsync_line}; rc=$?; break; fi; done; exit $rc;"
        )),
        Version::V17 | Version::V17Restricted | Version::V18 | Version::V18Restricted => bash(format!(
            "trap \"touch /usr/share/rsync/rsync-client-container-done\" EXIT SIGINT SIGTERM; timeout=120; SECONDS=0; \
             while [ $SECONDS -lt $timeout ]; do nc -z localhost 6443; rc=$?; if [ $rc -eq 0 ]; then {rsync_line}; rc=$?; \
             break; fi; done; exit $rc;"
        )),
    }
}

/// The command of the client's stunnel container.
#[must_use]
pub fn stunnel_container(version: Version) -> Vec<String> {
    match version {
        Version::V14 => stunnel(),
        Version::V15 => bash(
            "/bin/stunnel /etc/stunnel/stunnel.conf\nwhile true\ndo test -f \
             /usr/share/rsync-stunnel-mgmt/rsync-client-container-done\nif [ $? -eq 0 ]\nthen\nbreak\nfi\ndone\nexit 0\n"
                .to_owned(),
        ),
        Version::V17 | Version::V17Restricted | Version::V18 | Version::V18Restricted => bash(
            "/bin/stunnel /etc/stunnel/stunnel.conf\nwhile true\ndo test -f \
             /usr/share/rsync/rsync-client-container-done\nif [ $? -eq 0 ]\nthen\nbreak\nfi\nsleep 1\ndone\nexit 0\n"
                .to_owned(),
        ),
    }
}

/// The command of a server's stunnel container, and of 1.4's stunnel pod.
#[must_use]
pub fn stunnel() -> Vec<String> {
    ["/bin/stunnel", "/etc/stunnel/stunnel.conf"].map(str::to_owned).to_vec()
}

/// The command of the daemon.
#[must_use]
pub fn daemon(version: Version) -> Vec<String> {
    let port = format!("--port={}", version.daemon_port());
    ["/usr/bin/rsync", "--daemon", "--no-detach", &port, "-vvv"].map(str::to_owned).to_vec()
}

fn bash(script: String) -> Vec<String> {
    vec!["/bin/bash".to_owned(), "-c".to_owned(), script]
}
