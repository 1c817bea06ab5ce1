//! New files of a second run that are alike one that stands, of its size and time: what is equal is copied at the
//! destination and not sent, and likeness is never believed.

use std::os::unix::fs::FileExt;
use std::path::Path;

use ferry_tests::compare;
use ferry_tests::ferry::Ferry;
use ferry_tests::report::Report;
use ferry_tests::scene::within;
use ferry_tests::trees::Seed;
use ferry_tests::{Result, ensure};

const LEN: usize = 5 << 20;

fn file(path: &Path, seed: u64) -> Result<()> {
    Ok(std::fs::write(path, Seed::new(seed).bytes(LEN))?)
}

/// Gives `to` the time of `from`.
fn as_old(from: &Path, to: &Path) -> Result<()> {
    let time = std::fs::metadata(from)?.modified()?;
    Ok(std::fs::File::options().write(true).open(to)?.set_modified(time)?)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::copy(from, to)?;
    as_old(from, to)
}

/// Copies, does `change`, copies again; the report of that, after which a further run touches nothing.
fn second(change: fn(&Path) -> Result<()>, more: &'static [&str], judge: fn(&Report) -> Result<()>) -> Result<()> {
    within(60, move |scene| {
        let (source, destination) = (scene.dir("source")?, scene.path("destination"));
        let ferry = Ferry::new(scene)?;
        file(&source.join("b"), 1)?;
        file(&source.join("c"), 2)?;
        ferry.sync(&source, &destination, more)?.exits(0)?;
        change(&source)?;
        let done = ferry.sync(&source, &destination, more)?.exits(0)?;
        compare::equal(&source, &destination)?;
        judge(done.report()?)?;
        let before = compare::snapshot(&destination)?;
        ferry.sync(&source, &destination, more)?.exits(0)?;
        compare::unmoved(&before, &compare::snapshot(&destination)?)
    })
}

fn copies(source: &Path) -> Result<()> {
    std::fs::create_dir(source.join("d"))?;
    copy(&source.join("b"), &source.join("d/copy"))?;
    copy(&source.join("b"), &source.join("e"))?;
    // A leader, whose follower is linked when it is there.
    std::fs::hard_link(source.join("e"), source.join("f"))?;
    Ok(())
}

fn nothing_sent(report: &Report) -> Result<()> {
    ensure!(report.bytes.literal == 0, "{} bytes were sent", report.bytes.literal);
    ensure!(report.bytes.copied == 2 * LEN as u64, "{} bytes were copied", report.bytes.copied);
    ensure!(report.entries.created == 4, "{} entries were created", report.entries.created);
    Ok(())
}

#[test]
fn copies_of_a_file_that_stands_are_not_sent() -> Result<()> {
    second(copies, &[], nothing_sent)
}

#[test]
fn copies_of_a_file_that_stands_are_not_sent_when_new_files_wait_for_what_is_deleted() -> Result<()> {
    second(copies, &["--delete"], nothing_sent)
}

#[test]
fn what_differs_in_a_file_that_is_only_alike_is_sent() -> Result<()> {
    let change = |source: &Path| {
        let (b, new) = (source.join("b"), source.join("new"));
        std::fs::copy(&b, &new)?;
        std::fs::File::options().write(true).open(&new)?.write_all_at(&[7; 5000], 100_000)?;
        as_old(&b, &new)?;
        file(&source.join("other"), 3)?;
        as_old(&b, &source.join("other"))
    };
    second(change, &[], |report| {
        let most = (LEN + 3 * 4096) as u64;
        ensure!(report.bytes.literal <= most, "{} bytes were sent", report.bytes.literal);
        Ok(())
    })
}

#[test]
fn a_file_that_is_changed_itself_serves_nobody() -> Result<()> {
    let change = |source: &Path| {
        let b = source.join("b");
        std::fs::File::options().write(true).open(&b)?.write_all_at(&[7; 5000], 100_000)?;
        copy(&b, &source.join("copy"))
    };
    second(change, &[], |_| Ok(()))
}

#[test]
fn atomic_shows_no_copy_before_it_is_whole() -> Result<()> {
    second(copies, &["--atomic"], |_| Ok(()))
}
