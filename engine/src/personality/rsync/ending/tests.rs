//! Every outcome and cause with its code and its words.

use std::time::Duration;

use super::*;
use crate::session::Tally;
use crate::types::{Cause, RelPath, RunId, Stage, WireCount};

const ROOT: User = User { uid: 0, gid: 0 };
const NOBODY: User = User { uid: 1_000_680_000, gid: 0 };

fn report(outcome: Outcome, cause: Option<Cause>, text: Option<&str>, tally: &Tally) -> RunReport {
    let volume = tally.report("data", outcome, text.map(str::to_owned)).because(cause);
    RunReport::of(RunId::new("run").unwrap(), vec![volume], WireCount::default(), Duration::from_secs(1))
}

#[test]
fn the_table_of_exit_codes() {
    let table = [
        (Outcome::Clean, None, 0),
        (Outcome::Problems, None, 23),
        (Outcome::Differences, None, 23),
        (Outcome::SafetyHalt, None, 25),
        (Outcome::Refused, None, 5),
        (Outcome::Refused, Some(Cause::Foreign), 2),
        (Outcome::Refused, Some(Cause::Distrust), 2),
        (Outcome::Refused, Some(Cause::Password), 5),
        (Outcome::Network, None, 10),
        (Outcome::Network, Some(Cause::NoConnection), 10),
        (Outcome::Network, Some(Cause::Cut), 12),
        (Outcome::Network, Some(Cause::Silence), 30),
        (Outcome::Network, Some(Cause::Foreign), 2),
        (Outcome::Failed, None, 11),
        (Outcome::Usage, None, 3),
        (Outcome::Interrupted, None, 20),
        (Outcome::Terminated, Some(Cause::Cut), 20),
    ];
    for (outcome, cause, number) in table {
        let ending = Ending::of(&report(outcome, cause, Some("why"), &Tally::default()), ROOT);
        assert_eq!(ending.code.number(), number, "{outcome:?} {cause:?}");
        assert_eq!(ending.error().is_none(), number == 0, "{outcome:?} {cause:?}");
    }
}

#[test]
fn what_changed_while_it_was_copied_is_a_warning_when_it_is_all_there_is() {
    let ending = |tally: &Tally, problems: u64| {
        for number in 0..problems {
            let path = RelPath::from_bytes(format!("log {number}").as_bytes()).unwrap();
            tally.problem(Problem::new(path, Stage::Read, "it changed while it was read"));
        }
        Ending::of(&report(Outcome::Problems, None, Some("finished with problems"), tally), ROOT)
    };
    let tally = Tally::default();
    tally.add(|t| &t.unsettled, 2);
    let well = ending(&tally, 2);
    assert_eq!((well.code, well.error()), (Code::Clean, None));
    assert!(well.notes.iter().any(|note| note.starts_with("warning: 2 paths changed")), "{:?}", well.notes);
    // One problem more than that, or something lost, and it is none.
    assert_eq!(ending(&tally, 3).code, Code::Partial);
    let tally = Tally::default();
    tally.add(|t| &t.unsettled, 1);
    tally.lost(LossKind::Ownership);
    assert_eq!(ending(&tally, 1).code, Code::Partial);
    assert_eq!(ending(&Tally::default(), 1).code, Code::Partial);
}

#[test]
fn a_clean_run_has_nothing_to_say_but_what_was_not_kept() {
    let tally = Tally::default();
    tally.lost(LossKind::Ownership);
    tally.lost(LossKind::Ownership);
    tally.lost(LossKind::Devices);
    let ending = Ending::of(&report(Outcome::Clean, None, None, &tally), NOBODY);
    assert_eq!(
        ending,
        Ending {
            code: Code::Clean,
            text: None,
            notes: vec![
                "warning: not kept: ownership of 2 entries, devices of 1 entries (uid 1000680000 gid 0)".to_owned()
            ],
        }
    );
}

#[test]
fn what_is_not_permitted_names_who_and_the_setting() {
    let tally = Tally::default();
    tally.problem(Problem::new(RelPath::from_bytes(b"a/50%").unwrap(), Stage::Read, "permission denied (EACCES)"));
    let problems = report(Outcome::Problems, None, Some("finished with 1 problems"), &tally);
    let error = Ending::of(&problems, NOBODY).error().unwrap();
    assert_eq!(
        error,
        "rsync error: finished with 1 problems; uid 1000680000 gid 0 may not do that: run as root (MigMigration \
         runAsRoot: true, and the label pod-security.kubernetes.io/enforce=privileged on the namespace), or as the \
         owner (runAsUser, runAsGroup); a/50% (read): permission denied (EACCES) (code 23)"
    );
    assert!(!Ending::of(&problems, ROOT).error().unwrap().contains("runAsRoot"));
}

#[test]
fn many_problems_are_a_few_lines_and_a_number() {
    let tally = Tally::default();
    for n in 0..25 {
        tally.problem(Problem::new(RelPath::root(), Stage::Write, format!("cause {n}")));
    }
    let ending = Ending::of(&report(Outcome::Problems, None, None, &tally), ROOT);
    assert_eq!(ending.notes.len(), PROBLEMS_TOLD_MAX + 1);
    assert_eq!(ending.notes.last().map(String::as_str), Some("rsync: and 15 more problems"));
}

#[test]
fn only_root_must_keep_owners() {
    assert!(accepted(NOBODY).contains(LossKind::Ownership) && !accepted(ROOT).contains(LossKind::Ownership));
    assert!(!accepted(NOBODY).contains(LossKind::Acls) && accepted(ROOT).contains(LossKind::Times));
}
