//! The configurations of all versions of the operator, as they are rendered, and what must not be taken.

use super::*;

const SERVER: &str = "foreground = yes\npid =\nsocket = l:TCP_NODELAY=1\nsocket = r:TCP_NODELAY=1\ndebug = 7\n\
    sslVersion = TLSv1.2\n[rsync]\naccept = 6443\nconnect = 2222\nkey = /etc/stunnel/certs/tls.key\n\
    cert = /etc/stunnel/certs/tls.crt\nTIMEOUTclose = 0\n";
const CLIENT_1_4_0: &str = "foreground = yes\npid =\nsslVersion = TLSv1.2\nclient = yes\nsyslog = no\n[rsync]\naccept = 2222\n\
    CAFile = /etc/stunnel/certs/ca.crt\ncert = /etc/stunnel/certs/tls.crt\nconnect = dvm-ns.apps.example.com:443\n\
    verify = 2\nkey = /etc/stunnel/certs/tls.key\n";
const CLIENT_1_5: &str = "pid =\nsslVersion = TLSv1.2\nclient = yes\nsyslog = no\noutput = /dev/stdout\n[rsync]\ndebug = 7\n\
    accept = localhost:2222\nCAfile = /etc/stunnel/certs/ca.crt\ncert = /etc/stunnel/certs/tls.crt\n\
    connect = dvm-ns.apps.example.com:443\nverify = 2\nkey = /etc/stunnel/certs/tls.key\n";
const CLIENT_1_6: &str = "\n pid =\n sslVersion = TLSv1.2\n client = yes\n syslog = no\n output = /dev/stdout\n [rsync]\n \
    debug = 7\n accept = 6443\n cert = /etc/stunnel/certs/tls.crt\n key = /etc/stunnel/certs/tls.key\n \
    connect = Dvm-NS.apps.example.com:443\n";

fn read(text: &str) -> Conf {
    parse(text.as_bytes()).unwrap()
}

fn only(conf: &Conf) -> &Service {
    assert_eq!(conf.services.len(), 1);
    &conf.services[0]
}

fn at(text: &str) -> HostPort {
    HostPort::parse(text).unwrap()
}

fn fault(text: &str) -> (usize, String) {
    let error = parse(text.as_bytes()).unwrap_err();
    (error.line, error.to_string())
}

#[test]
fn the_servers_form_is_understood() {
    let conf = read(SERVER);
    assert!(conf.foreground);
    let service = only(&conf);
    assert_eq!((service.name.as_str(), &service.side), ("rsync", &Side::Server));
    assert_eq!((&service.accept, &service.to), (&InletAddress::Port(6443), &at("localhost:2222")));
    assert_eq!(service.key, PathBuf::from("/etc/stunnel/certs/tls.key"));
    assert_eq!(service.cert, PathBuf::from("/etc/stunnel/certs/tls.crt"));
    // What asks for less than is done is said; what asks for what is done anyway is not.
    assert_eq!(conf.notes.len(), 2, "{:?}", conf.notes);
    assert!(conf.notes[0].contains("debug = 7") && conf.notes[1].contains("sslVersion = TLSv1.2"), "{:?}", conf.notes);
}

#[test]
fn the_clients_forms_are_understood() {
    for (text, foreground, accept) in [
        (CLIENT_1_4_0, true, InletAddress::Port(2222)),
        (CLIENT_1_5, false, InletAddress::Host(at("localhost:2222"))),
        (CLIENT_1_6, false, InletAddress::Port(6443)),
    ] {
        let conf = read(text);
        assert_eq!(conf.foreground, foreground);
        let service = only(&conf);
        assert_eq!((&service.side, &service.accept), (&Side::Client(None), &accept));
        // As it is sent as SNI: in lower case.
        assert_eq!(service.to.to_string(), "dvm-ns.apps.example.com:443");
    }
}

#[test]
fn a_proxy_is_gone_through_and_its_credentials_are_kept_for_it() {
    let more = " protocol = connect\n connect = proxy.example.com:3128\n protocolHost = dvm.apps.example.com:443\n \
                protocolUsername = us@er\n protocolPassword = p=ss;#:w\n";
    let text = CLIENT_1_6.replace(" connect = Dvm-NS.apps.example.com:443\n", more);
    let conf = read(&text);
    let service = only(&conf);
    assert_eq!(service.to, at("dvm.apps.example.com:443"));
    let proxy = ProxyUrl::new(at("proxy.example.com:3128"), Some(("us@er", "p=ss;#:w"))).unwrap();
    assert_eq!(service.side, Side::Client(Some(proxy)));
    assert!(!format!("{conf:?}").contains("p=ss"), "{conf:?}");

    let anonymous: String =
        text.lines().filter(|line| !line.contains("protocolU")).map(|line| format!("{line}\n")).collect();
    let proxy = ProxyUrl::new(at("proxy.example.com:3128"), None).unwrap();
    assert_eq!(only(&read(&anonymous)).side, Side::Client(Some(proxy)));
}

#[test]
fn what_stands_before_the_services_is_their_default() {
    let conf = read(
        "client = yes\ncert = /c\n[a]\naccept = 1\nconnect = h:1\n[b]\nclient = no\naccept = ::1:2\nconnect = [::2]:3\n",
    );
    let [a, b] = &conf.services[..] else { panic!("{conf:?}") };
    assert_eq!((&a.side, &a.key), (&Side::Client(None), &PathBuf::from("/c")));
    assert_eq!((&b.side, &b.to), (&Side::Server, &at("[::2]:3")));
    assert_eq!(b.accept, InletAddress::Host(at("[::1]:2")));
}

#[test]
fn comments_blanks_cases_and_line_ends_do_not_matter() {
    let text = "\u{feff}; a comment\r\n# another = one\r\n\r\n  FOREGROUND=Yes\r\n[ x ]\r\n\tACCEPT =7\r\nConnect= 8\r\nCERT = /a b\r\n";
    let conf = read(text);
    assert!(conf.foreground && conf.notes.is_empty(), "{conf:?}");
    assert_eq!((only(&conf).name.as_str(), &only(&conf).cert), ("x", &PathBuf::from("/a b")));
}

#[test]
fn unknown_keys_are_noted_once_each_and_harm_nothing() {
    let more = format!("{SERVER}retry = yes\nno\u{1b}such = thing\nforeground = no\n");
    let conf = read(&more);
    assert_eq!(conf.notes.len(), 5);
    assert!(conf.notes.iter().any(|note| note.contains("`retry` is not known")), "{:?}", conf.notes);
    assert!(conf.foreground && !conf.notes.concat().contains('\u{1b}'), "{:?}", conf.notes);
    let many = format!("{SERVER}{}", "x=\n".repeat(10_000));
    assert_eq!(read(&many).notes.len(), NOTES_MAX + 1);
}

#[test]
fn an_error_names_the_line_and_what_to_do() {
    let without = |key: &str| -> String {
        SERVER.lines().filter(|line| !line.starts_with(key)).map(|line| format!("{line}\n")).collect()
    };
    let with = |from: &str, to: &str| SERVER.replace(from, to);
    for (text, line, words) in [
        (without("accept"), 7, "no `accept`"),
        (without("connect"), 7, "no `connect`"),
        (without("cert"), 7, "no `cert`"),
        (without("[rsync]"), 11, "no service"),
        (String::new(), 1, "no service"),
        (with("accept = 6443", "accept 6443"), 8, "begins with `accept`"),
        (with("accept = 6443", "accept = 0"), 8, "PORT"),
        (with("accept = 6443", "accept = 65536"), 8, "PORT"),
        (with("accept = 6443", "accept = a b:1"), 8, "accept"),
        (with("connect = 2222", "connect = host"), 9, "HOST:PORT"),
        (with("connect = 2222", "connect = 2222\nconnect = 3333"), 10, "first in line 9"),
        (with("foreground = yes", "foreground = perhaps"), 1, "yes, quiet or no"),
        (with("[rsync]", "[]"), 7, "[NAME]"),
        (with("[rsync]", "client = maybe\n[rsync]"), 7, "yes or no"),
        (format!("{SERVER}client = yes\nprotocol = smtp\n"), 14, "connect"),
        (format!("{SERVER}client = yes\nprotocol = connect\n"), 14, "protocolHost"),
        (
            format!("{SERVER}client = yes\nprotocol = connect\nprotocolHost = h:1\nprotocolUsername = a:b\n"),
            16,
            "user name",
        ),
    ] {
        let (found, said) = fault(&text);
        assert!(found == line && said.contains(words), "{said}\n{text}");
    }
}

#[test]
fn what_is_no_configuration_is_refused_within_bounds() {
    assert_eq!(parse(&vec![b'a'; CONF_LEN_MAX + 1]).unwrap_err().fault, Fault::Long);
    assert_eq!(parse(b"pid =\n\xff\xfe").unwrap_err(), ConfError { line: 2, fault: Fault::Binary });
    assert!(matches!(
        parse("[x]\n".repeat(17).as_bytes()).unwrap_err(),
        ConfError { line: 17, fault: Fault::Services }
    ));
    let long = format!("{}\u{7}\n", "x".repeat(10_000));
    assert!(parse(long.as_bytes()).unwrap_err().to_string().len() < 300);
    // A password that lost its `=` is not repeated.
    assert!(!fault("protocolPassword hunter2\n").1.contains("hunter2"));
}

#[test]
fn no_bytes_make_it_panic() {
    // Every prefix, and every byte replaced: what is no text any more, or another text.
    for text in [SERVER, CLIENT_1_4_0, CLIENT_1_5, CLIENT_1_6] {
        for end in 0..text.len() {
            let _ = parse(&text.as_bytes()[..end]);
            for byte in [0, b'\n', b'=', b'[', b']', 0xff] {
                let mut changed = text.as_bytes().to_vec();
                changed[end] = byte;
                let _ = parse(&changed);
            }
        }
    }
}
