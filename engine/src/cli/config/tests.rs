//! Conflicts of options, and that what was typed reaches what runs.

use clap::Parser;

use super::*;
use crate::cli::args::{Cli, Command};
use crate::types::{Compress, LossKind, OwnerPolicy, RootAttrs, SelinuxPolicy, ZstdLevel};

fn receive(args: &[&str]) -> Result<ReceiveConfig, ConfigError> {
    match Cli::try_parse_from(["ferry", "receive"].iter().chain(args)).unwrap().command {
        Command::Receive(args) => ReceiveConfig::new(&args),
        other => panic!("{other:?}"),
    }
}

fn send(args: &[&str], environment: Option<&str>) -> Result<SendConfig, ConfigError> {
    match Cli::try_parse_from(["ferry", "send"].iter().chain(args)).unwrap().command {
        Command::Send(args) => SendConfig::new(&args, environment.map(str::to_owned)),
        other => panic!("{other:?}"),
    }
}

fn sync(args: &[&str]) -> Result<TransferConfig, ConfigError> {
    match Cli::try_parse_from(["ferry", "sync", "a", "b"].iter().chain(args)).unwrap().command {
        Command::Sync(args) => TransferConfig::new(&args.transfer),
        other => panic!("{other:?}"),
    }
}

fn conflict<T: std::fmt::Debug>(result: Result<T, ConfigError>) -> Conflict {
    match result {
        Err(ConfigError::Conflict(conflict)) => conflict,
        other => panic!("{other:?}"),
    }
}

const LISTEN: [&str; 2] = ["--listen", "127.0.0.1:0"];
const TO: [&str; 4] = ["--to", "host:8443", "--identity", "keys"];

#[test]
fn a_receiver_has_certificates_or_a_ticket() {
    let with = |more: &[&str]| receive(&[&LISTEN, more].concat());
    assert_eq!(conflict(with(&["--volume", "a=/tmp"])), Conflict::NoIdentityToReceive);
    assert_eq!(conflict(with(&["--offer", "a=/tmp", "--identity", "keys"])), Conflict::OfferWithIdentity);
    assert_eq!(conflict(with(&["--offer", "a=/tmp", "--volume", "b=/tmp"])), Conflict::OfferWithVolume);
    assert_eq!(conflict(with(&["--identity", "k", "--advertise", "h:1"])), Conflict::AdvertiseWithoutOffer);
    assert_eq!(conflict(with(&["--identity", "k", "--expires", "1h"])), Conflict::ExpiresWithoutOffer);
    assert_eq!(conflict(with(&["--offer", "a=/tmp", "--expires", "0"])), Conflict::ExpiresAtOnce);
    let bounds = ["--identity", "k", "--volume", "a=/tmp", "--no-delete", "--max-delete", "3"];
    assert_eq!(conflict(with(&bounds)), Conflict::MaxDeleteWithNoDelete);
    assert!(matches!(with(&["--identity", "k"]), Err(ConfigError::NoVolume)));
}

#[test]
fn volumes_of_a_receiver_have_their_own_names_and_places() {
    let with = |more: &[&str]| receive(&[&LISTEN[..], &["--identity", "k"], more].concat());
    let twice = with(&["--volume", "a=/tmp", "--volume", "a=/var"]);
    assert_eq!(twice.unwrap_err().to_string(), "the volume a is named twice; every --volume needs a name of its own");
    assert!(matches!(with(&["--volume", "a=/tmp", "--volume", "b=/tmp/new"]), Err(ConfigError::Place(_))));
    assert!(matches!(with(&["--volume", "a=/dev/null"]), Err(ConfigError::Place(_))));
    assert!(matches!(with(&["--volume", "a="]), Err(ConfigError::Volume { .. })));
    let good = with(&["--volume", "a=/tmp", "--quota", "1G", "--no-setuid", "--idle-exit", "5m"]).unwrap();
    assert_eq!(good.bounds.quota, Some(1 << 30));
    assert!(good.bounds.no_setuid && !good.bounds.no_delete && !good.once);
    assert_eq!(good.idle_exit, Some(std::time::Duration::from_secs(300)));
}

#[test]
fn state_is_kept_outside_the_volumes_it_is_about() {
    let with = |state: &str| {
        receive(&[&LISTEN[..], &["--identity", "k", "--volume", "a=/tmp/ferry-none", "--state", state]].concat())
    };
    assert_eq!(with("volume").unwrap().state, StatePlace::Volume);
    assert_eq!(with("none").unwrap().state, StatePlace::None);
    assert_eq!(with("/tmp/ferry-state").unwrap().state, StatePlace::Dir("/tmp/ferry-state".into()));
    assert!(matches!(with("/tmp/ferry-none"), Err(ConfigError::Place(PlaceError::StateInside { .. }))));
    assert!(matches!(with("/dev/null"), Err(ConfigError::Place(PlaceError::NoDirectory { .. }))));
    assert!(matches!(with("/no/such/place"), Err(ConfigError::Place(PlaceError::NoParent(_)))));
}

#[test]
fn an_offer_lasts_an_hour_and_is_taken_once() {
    let offer = receive(&[&LISTEN[..], &["--offer", "a=/tmp"]].concat()).unwrap();
    assert!(offer.once);
    match offer.admission {
        Admission::Ticket { advertise, life } => {
            assert!(advertise.is_empty());
            assert_eq!(life.as_secs(), 3_600);
        }
        Admission::Certificates { .. } => panic!("an offer is a ticket"),
    }
}

#[test]
fn a_listening_address_without_a_port_is_a_sentence() {
    let sentence = receive(&["--listen", "8443", "--identity", "k"]).unwrap_err().to_string();
    assert!(sentence.contains("0.0.0.0:8443"), "{sentence}");
}

#[test]
fn a_sender_knows_its_receiver_in_one_way_only() {
    assert_eq!(conflict(send(&["/tmp"], None)), Conflict::NoReceiver);
    assert_eq!(conflict(send(&["--to", "host:1", "--volume", "a=/tmp"], None)), Conflict::NoIdentityToSend);
    assert_eq!(conflict(send(&[&TO[..], &["/tmp"]].concat(), None)), Conflict::SourceWithTo);
    assert_eq!(conflict(send(&[&TO[..], &["--ticket", "t"]].concat(), None)), Conflict::TicketWithTo);
    assert_eq!(conflict(send(&["--identity", "k", "/tmp"], Some("t"))), Conflict::TicketWithIdentity);
    assert_eq!(conflict(send(&["--server-name", "n", "/tmp"], Some("t"))), Conflict::TicketWithServerName);
    assert_eq!(conflict(send(&["--volume", "a=/tmp"], Some("t"))), Conflict::TicketWithVolume);
    assert_eq!(conflict(send(&[], Some("t"))), Conflict::TicketWithoutSource);
    let two = ["--ticket", "t", "--ticket-file", "f", "/tmp"];
    assert_eq!(conflict(send(&two, None)), Conflict::TwoTickets);
    assert!(matches!(send(&TO, None), Err(ConfigError::NoVolume)));
    let missing = [&TO[..], &["--volume", "a=/no/such/place"]].concat();
    assert!(matches!(send(&missing, None), Err(ConfigError::Place(_))));
}

#[test]
fn a_ticket_in_the_environment_gives_way_to_an_address() {
    let named = send(&[&TO[..], &["--volume", "a=/tmp"]].concat(), Some("t")).unwrap();
    assert!(matches!(named.access, SenderAccess::Certificates { .. }));
    assert_eq!(named.warnings.len(), 1);
    assert_eq!(named.retry_for.as_secs(), 120);
}

#[test]
fn a_bad_ticket_is_not_repeated_in_the_message() {
    let error = send(&["/tmp"], Some("geheim")).unwrap_err();
    assert!(matches!(error, ConfigError::Ticket { origin: "FERRY_TICKET", .. }), "{error}");
    assert!(!error.to_string().contains("geheim"), "{error}");
}

#[test]
fn options_that_make_no_sense_together_are_refused() {
    assert_eq!(conflict(sync(&["--delete-excluded"])), Conflict::DeleteExcludedWithoutDelete);
    assert_eq!(conflict(sync(&["--max-delete", "1"])), Conflict::MaxDeleteWithoutDelete);
    assert_eq!(conflict(sync(&["--allow-empty-source"])), Conflict::EmptySourceWithoutDelete);
    assert_eq!(conflict(sync(&["--verify", "--dry-run"])), Conflict::VerifyWithDryRun);
    assert_eq!(conflict(sync(&["--chown", "1:1", "--no-owner"])), Conflict::ChownWithNoOwner);
    assert_eq!(conflict(sync(&["--selinux", "keep", "--no-xattrs"])), Conflict::SelinuxWithNoXattrs);
}

#[test]
fn every_shared_option_reaches_the_session() {
    let plain = sync(&[]).unwrap();
    assert_eq!(plain.options, crate::types::Options::default());
    let typed = "--delete --checksum --verify --delete-excluded --one-file-system --bwlimit 1M --connections 3 --compress zstd:7 --no-owner \
                 --no-xattrs --selinux skip --root-attrs copy --accept-loss ownership,devices --allow-empty-source \
                 --max-delete 7 --exclude *.tmp --exclude !keep.tmp";
    let all = sync(&typed.split_whitespace().collect::<Vec<_>>()).unwrap();
    let options = &all.options;
    assert!(options.delete && options.checksum && options.verify && options.delete_excluded);
    assert!(options.allow_empty_source && !options.xattrs && !options.dry_run && all.one_file_system);
    assert_eq!((options.max_delete, all.lanes, all.bwlimit), (Some(7), 3, Some(1 << 20)));
    assert_eq!((all.compress, plain.compress), (Compress::Zstd(ZstdLevel::new(7).unwrap()), Compress::Auto));
    assert_eq!((options.owner, options.selinux), (OwnerPolicy::Ignore, SelinuxPolicy::Skip));
    assert_eq!(options.root_attrs, RootAttrs::Copy);
    assert!(options.accept_loss.contains(LossKind::Ownership) && options.accept_loss.contains(LossKind::Devices));
    assert!(!options.accept_loss.contains(LossKind::Acls));
    assert_eq!(options.excludes, ["*.tmp", "!keep.tmp"]);
    assert!(sync(&["--dry-run"]).unwrap().options.dry_run);
    assert_eq!(sync(&["--chown", "5:6"]).unwrap().chown.unwrap().0.gid(), 6);
}

#[test]
fn patterns_of_files_come_first_and_comments_are_left_out() {
    let file = std::env::temp_dir().join(format!("ferry-patterns-{}", std::process::id()));
    std::fs::write(&file, "# caches\n*.cache\r\n\n  \n/tmp/\n").unwrap();
    let config = sync(&["--exclude", "last", "--exclude-from", file.to_str().unwrap()]).unwrap();
    assert_eq!(config.options.excludes, ["*.cache", "/tmp/", "last"]);
    std::fs::remove_file(&file).unwrap();
    assert!(matches!(sync(&["--exclude-from", "/no/such/file"]), Err(ConfigError::File(_))));
}

#[test]
fn more_patterns_than_a_hello_holds_are_refused_here() {
    let long = "x".repeat(limits::EXCLUDES_LEN_MAX + 1);
    assert!(matches!(sync(&["--exclude", &long]), Err(ConfigError::Excludes { count: 1, .. })));
}
