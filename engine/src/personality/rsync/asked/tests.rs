//! Command lines as the operators write them, and what each of them asks for.

use super::*;

fn asked(line: &str) -> Result<Asked, AskError> {
    Asked::parse(&line.split(' ').filter(|arg| !arg.is_empty()).map(OsString::from).collect::<Vec<_>>())
}

fn copy_of(line: &str) -> CopyAsked {
    match asked(line) {
        Ok(Asked::Copy(copy)) => *copy,
        other => panic!("{line}: {other:?}"),
    }
}

fn remote(line: &str) -> Remote {
    match copy_of(line).destination {
        Destination::There(remote) => remote,
        Destination::Here(path) => panic!("{line}: {path:?}"),
    }
}

/// The options of MTC 1.4 and 1.5, and of 1.6 to 1.8.
const OLD: &str = "--bwlimit=1000 --archive --delete --recursive --hard-links --partial \
    --info=COPY2,DEL2,REMOVE2,SKIP2,FLIST2,PROGRESS2,STATS2 --human-readable --port 2222 --log-file /dev/stdout --checksum";
const NEW: &str = "--recursive --links --perms --devices --specials --times --owner --group --hard-links --delete \
    --partial --human-readable --log-file=/dev/stdout --info=COPY2,DEL2,REMOVE2,SKIP2,FLIST2,PROGRESS2,STATS2 \
    --sparse --no-inplace --omit-dir-times --exclude=lost+found";

#[test]
fn the_command_lines_of_every_version() {
    let old = copy_of(&format!("{OLD} /mnt/ns/vol/ rsync://root@10.1.2.3/vol"));
    assert!(old.options.delete && old.options.checksum && !old.options.xattrs);
    assert_eq!(old.options.owner, OwnerPolicy::Keep);
    assert_eq!(old.bwlimit.map(NonZeroU64::get), Some(1_024_000));
    let there = |host: &str, port, module: &str| {
        Destination::There(Remote { user: Some("root".into()), host: host.into(), port, module: module.into() })
    };
    assert_eq!(old.destination, there("10.1.2.3", 2222, "vol"));
    assert_eq!(old.notes.len(), 1, "{:?}", old.notes);

    let new = copy_of(&format!("{NEW} /mnt/ns/0cc175b9/ rsync://root@localhost/0cc175b9 --port 6443"));
    assert_eq!(new.destination, there("localhost", 6443, "0cc175b9"));
    assert!(new.options.delete && !new.options.checksum && new.contents);
    assert_eq!(new.options.excludes, ["**/lost+found"]);
    assert_eq!(new.notes.len(), 1, "{:?}", new.notes);
    assert_eq!(
        new.notes[0],
        "note: of no effect, ferry does so anyway or does not need it: --hard-links --partial --human-readable \
         --log-file --info --sparse --no-inplace --omit-dir-times"
    );
}

#[test]
fn the_daemons_of_every_version() {
    for (line, port) in [
        ("--daemon --no-detach --port=22 -vvv", Some(22)),
        ("--daemon --no-detach --port=2222 -vvv", Some(2222)),
        ("--daemon", None),
    ] {
        let Ok(Asked::Daemon(daemon)) = asked(line) else { panic!("{line}") };
        assert_eq!(daemon, DaemonAsked { config: None, port, address: None });
    }
    let Ok(Asked::Daemon(daemon)) = asked("--daemon --config=/x --address ::1 --port 1") else { panic!() };
    assert_eq!(daemon.config, Some(PathBuf::from("/x")));
    assert_eq!(daemon.address.as_deref(), Some("::1"));
    assert!(matches!(asked("--daemon a b"), Err(AskError::Misplaced(_))));
    assert!(matches!(asked("-a a/ b/ --config=x"), Err(AskError::Misplaced(_))));
}

#[test]
fn urls_in_every_form() {
    let full = |user: Option<&str>, host: &str, port, module: &str| Remote {
        user: user.map(str::to_owned),
        host: host.into(),
        port,
        module: module.into(),
    };
    assert_eq!(remote("-a a/ rsync://h/m"), full(None, "h", PORT, "m"));
    assert_eq!(remote("-a a/ RSYNC://u@h:99/m/"), full(Some("u"), "h", 99, "m"));
    assert_eq!(remote("-a a/ rsync://u@[::1]:99/m --port 7"), full(Some("u"), "::1", 99, "m"));
    assert_eq!(remote("-a a/ rsync://[fe80::1]/m --port 7"), full(None, "fe80::1", 7, "m"));
    for bad in [
        "rsync://h",
        "rsync://h/",
        "rsync:///m",
        "rsync://h/m/sub",
        "rsync://h:0/m",
        "rsync://h:x/m",
        "rsync://@h/m",
        "rsync://[::1/m",
        "rsync://[::1]9/m",
        "rsync://h:/m",
    ] {
        assert!(matches!(asked(&format!("-a a/ {bad}")), Err(AskError::Url(_))), "{bad}");
    }
    for shell in ["h::m", "u@h::m", "h:/path", "h:"] {
        assert!(matches!(asked(&format!("-a a/ {shell}")), Err(AskError::RemoteShell(_))), "{shell}");
    }
    assert!(matches!(asked("-a rsync://h/m a/"), Err(AskError::Fetch(_))));
    assert!(matches!(asked("-a a rsync://h/m"), Err(AskError::NoSlash(_))));
    assert!(matches!(copy_of("-a ./a:b/ c").destination, Destination::Here(_)));
}

#[test]
fn a_trailing_slash_means_what_is_in_it() {
    for (source, contents) in [("a/", true), ("a", false), ("a/.", true), (".", true), ("..", true), ("a/..", true)] {
        assert_eq!(copy_of(&format!("-a {source} b")).contents, contents, "{source}");
    }
    for line in ["-a", "-a a/", "-a a/ b/ c/"] {
        assert!(matches!(asked(line), Err(AskError::Operands(_))), "{line}");
    }
}

#[test]
fn attributes_owners_and_what_is_copied_unasked() {
    assert!(copy_of("-aA a/ b").options.xattrs && copy_of("-aX a/ b").options.xattrs);
    assert!(!copy_of("-aX --no-xattrs a/ b").options.xattrs);
    let both = copy_of("-a --no-owner --no-group a/ b");
    assert_eq!((both.options.owner, both.notes.len()), (OwnerPolicy::Ignore, 0));
    assert!(matches!(asked("-a --no-owner a/ b"), Err(AskError::HalfOwner)));
    assert!(matches!(asked("-rlptg a/ b"), Err(AskError::HalfOwner)));
    let plain = copy_of("a/ b");
    assert_eq!(plain.options.owner, OwnerPolicy::Ignore);
    assert!(plain.notes[0].contains("directories, symbolic links, permissions, times"), "{:?}", plain.notes);
    let owned = copy_of("-a --chown=5:6 a/ b");
    assert_eq!(owned.chown, Some(ChownTo(Owner::new(5, 6).unwrap())));
    assert!(matches!(asked("-a --chown=root:root a/ b"), Err(AskError::Value { option: "--chown", .. })));
}

#[test]
fn what_ferrys_own_errors_ask_for_is_understood() {
    let copy = copy_of("-a --delete --allow-empty-source --accept-loss acls,devices a/ b").options;
    assert!(copy.allow_empty_source && copy.accept_loss.contains(LossKind::Acls));
    assert!(!copy.accept_loss.contains(LossKind::Xattrs));
    let wrong = asked("-a --accept-loss=all a/ b").unwrap_err().to_string();
    assert!(LossKind::ALL.iter().all(|kind| wrong.contains(kind.word())), "{wrong}");
}

#[test]
fn deletion_and_its_bounds() {
    assert!(!copy_of("-a a/ b").options.delete);
    assert!(copy_of("-a --del a/ b").options.delete);
    let excluded = copy_of("-a --delete-excluded a/ b").options;
    assert!(excluded.delete && excluded.delete_excluded);
    for (typed, bound) in [("5", 5), ("0", 0), ("-1", 0)] {
        assert_eq!(copy_of(&format!("-a --delete --max-delete={typed} a/ b")).options.max_delete, Some(bound));
    }
    let idle = copy_of("-a --max-delete=5 a/ b");
    assert_eq!((idle.options.max_delete, idle.notes.len()), (None, 1));
    assert!(matches!(asked("-a --delete --max-delete=x a/ b"), Err(AskError::Value { .. })));
}

#[test]
fn rates_as_rsync_reads_them() {
    for (text, bytes) in [
        ("0", Some(0)),
        ("1", Some(1024)),
        ("1.5m", Some(1_572_864)),
        ("100K", Some(102_400)),
        ("100KB", Some(100_000)),
        ("2GiB", Some(2 << 30)),
        ("512b", Some(512)),
        (".5k", Some(512)),
        ("0.1b", Some(1)),
        ("", None),
        (".", None),
        ("1.2.3", None),
        ("fast", None),
        ("-1", None),
        ("99999999999999999999", None),
        ("99999999999G", None),
    ] {
        assert_eq!(rate(text), bytes, "{text:?}");
    }
    assert_eq!(copy_of("-a --bwlimit=0 a/ b").bwlimit, None);
}

#[test]
fn compression_is_measured_unless_it_is_forbidden() {
    assert_eq!(copy_of("-a a/ b").compress, Compress::Auto);
    assert_eq!(copy_of("-az a/ b").compress, Compress::Auto);
    assert_eq!(copy_of("-az --no-compress a/ b").compress, Compress::Off);
    assert_eq!(copy_of("-az --no-z a/ b").compress, Compress::Off);
}

#[test]
fn a_later_mark_clears_the_rules_before_it() {
    assert_eq!(copy_of("-a --exclude=x --exclude=! --exclude y a/ b").options.excludes, ["**/y"]);
    assert!(matches!(asked("-a --exclude=[ a/ b"), Err(AskError::Filter(_))));
}
