//! rsyncd.conf as the operators of each version render it, and as nobody should.

use super::*;

/// MTC 1.4 and 1.5.
const OLD: &str = "
    syslog facility = local7
    read only = no
    list = yes
    log file = /dev/stdout
    max verbosity = 4
    auth users = root
    hosts allow = ::1, 127.0.0.1, localhost
    uid = root
    gid = root
    secrets file = /etc/rsyncd.secrets

[0cc175b9c0f1b6a831c399e269772661]
    comment = archive for ns/vol
    path = /mnt/ns/0cc175b9c0f1b6a831c399e269772661
    use chroot = no
    munge symlinks = no
    list = yes
    hosts allow = ::1, 127.0.0.1, localhost
    auth users = root
    secrets file = /etc/rsyncd.secrets
    read only = false
";

/// MTC 1.7.10 and 1.8, not as root.
const NEW: &str = "syslog facility = local7
read only = no
list = yes
log file = /dev/stdout
max verbosity = 4
auth users = root
hosts allow = ::1, 127.0.0.1, localhost
use chroot = no
munge symlinks = no

[one]
    comment = archive for ns/one
    path = /mnt/ns/one
    list = yes
    read only = false
    auth users = root
    secrets file = /etc/rsync-secret/rsyncd.secrets
[two]
    path = /mnt/ns/two
    secrets file = /etc/rsync-secret/rsyncd.secrets
";

fn loopback() -> Vec<Host> {
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    vec![Host::Network(ip("::1"), 128), Host::Network(ip("127.0.0.1"), 32), Host::Name("localhost".into())]
}

#[test]
fn the_configurations_of_every_version() {
    let old = Conf::parse(OLD).unwrap();
    assert_eq!(old.notes, Vec::<String>::new());
    assert_eq!(
        old.modules,
        [ModuleConf {
            name: "0cc175b9c0f1b6a831c399e269772661".into(),
            line: 13,
            path: "/mnt/ns/0cc175b9c0f1b6a831c399e269772661".into(),
            read_only: false,
            users: vec!["root".into()],
            secrets: Some("/etc/rsyncd.secrets".into()),
            hosts: Some(loopback()),
            uid: Some("root".into()),
            gid: Some("root".into()),
        }]
    );
    let new = Conf::parse(NEW).unwrap();
    assert_eq!(new.modules.len(), 2);
    for module in &new.modules {
        assert_eq!((module.read_only, module.users.len(), module.uid.as_deref()), (false, 1, None));
        assert_eq!(module.hosts, Some(loopback()));
        assert_eq!(module.secrets, Some("/etc/rsync-secret/rsyncd.secrets".into()));
    }
}

#[test]
fn keys_without_case_and_blanks_and_lines_that_go_on() {
    let text = "PORT=2222\nAddress = ::1\n[m]\nPa th = /a \\\nb\nREAD  only=No\n; c\n  # c\n[GLOBAL]\nreadonly = yes\n[n]\npath=/n\n";
    let conf = Conf::parse(text).unwrap();
    assert_eq!((conf.port, conf.address.as_deref()), (Some(2222), Some("::1")));
    assert_eq!((conf.modules[0].path.clone(), conf.modules[0].read_only), ("/a b".into(), false));
    assert!(conf.modules[1].read_only);
    // As with rsync: where nothing is said, nothing is written.
    assert!(Conf::parse("[m]\npath = /m").unwrap().modules[0].read_only);
    assert_eq!(Conf::parse("").unwrap(), Conf::default());
}

#[test]
fn unknown_keys_are_noted_and_bounded() {
    let conf = Conf::parse("frobnicate = 7\n[m]\npath = /m\nfoo bar = x\n").unwrap();
    assert_eq!(conf.notes.len(), 2);
    assert!(conf.notes[1].starts_with("line 4: 'foo bar'"), "{:?}", conf.notes);
    assert_eq!(Conf::parse(&"x = 1\n".repeat(1_000)).unwrap().notes.len(), NOTES_MAX);
}

#[test]
fn what_cannot_be_followed_names_its_line() {
    for (text, line, word) in [
        ("[m]\npath = /m\nexclude = x", 3, "exclude"),
        ("[m]\npath = /m\nincoming chmod = x", 3, "incoming chmod"),
        ("\nhosts deny = *", 2, "hosts allow"),
        ("[m]\npath = m", 2, "root"),
        ("\n[m]\nread only = no", 2, "path = "),
        ("[m", 1, "bracket"),
        ("[]", 1, "[NAME]"),
        ("[m]\njust words", 2, "KEY = VALUE"),
        ("&include /x", 1, "other files"),
        ("[m]\npath = /m\nread only = maybe", 3, "yes nor no"),
        ("[m]\npath = /m\nmunge symlinks = yes", 3, "munge symlinks = no"),
        ("[m]\npath = /m\nstrict modes = no", 3, "strict modes = yes"),
        ("[m]\npath = /m\nauth users = @wheel", 3, "one by one"),
        ("[m]\npath = /m\nhosts allow = 10.0.0.0/33", 3, "no address"),
        ("[m]\npath = /m\nhosts allow = *.example", 3, "no address"),
        ("[m]\npath = /m\n[m]\npath = /n", 3, "second module"),
        ("port = 0", 1, "no port"),
        ("port = 70000", 1, "no port"),
    ] {
        let error = Conf::parse(text).unwrap_err();
        assert_eq!(error.line, line, "{text:?}: {error}");
        assert!(error.to_string().contains(word), "{text:?}: {error}");
    }
    assert!(Conf::parse(&"\n".repeat(LINES_MAX + 1)).is_err());
}

#[test]
fn hosts_in_every_form() {
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    for (word, expected) in [
        ("10.128.0.0/14", Some(Host::Network(ip("10.128.0.0"), 14))),
        ("10.0.0.0/255.0.0.0", Some(Host::Network(ip("10.0.0.0"), 8))),
        ("fe80::/64", Some(Host::Network(ip("fe80::"), 64))),
        ("[::1]", Some(Host::Network(ip("::1"), 128))),
        ("a.example", Some(Host::Name("a.example".into()))),
        ("*", Some(Host::All)),
        ("10.0.0.0/255.0.255.0", None),
        ("10.0.0.0/-1", None),
        ("a/8", None),
        ("a%b", None),
    ] {
        assert_eq!(host(word), expected, "{word}");
    }
}

#[test]
fn secrets_are_users_and_passwords() {
    let read = secrets("# c\n; c\n\nroot:s3:cret\nother:x\nroot:second\n").unwrap();
    assert_eq!(read.get("root").map(String::as_str), Some("s3:cret"));
    assert_eq!(read.len(), 2);
    for bad in ["root", ":x", "root:"] {
        let error = secrets(bad).unwrap_err().to_string();
        assert!(error.contains("line 1") && !error.contains("root"), "{error}");
    }
}
