//! Bytes inserted into large files, removed from them or moved within them: what follows is found again and not sent, and
//! whatever was not worth it, or had no room, arrives all the same.

use std::path::Path;

use ferry_tests::ferry::Ferry;
use ferry_tests::mounts::Mount;
use ferry_tests::report::Report;
use ferry_tests::scene::{Scene, within};
use ferry_tests::trees::Seed;
use ferry_tests::{Result, compare, ensure};

const MIB: usize = 1 << 20;

fn noise(seed: u64, len: usize) -> Vec<u8> {
    Seed::new(seed).bytes(len)
}

/// Copies a file of `before`, then one of `after` over it, both over the network; the second sender's report.
fn second(scene: &Scene, before: &[u8], after: &[u8], more: &[&str]) -> Result<Report> {
    let ferry = Ferry::new(scene)?;
    let (keys, source, destination) = (ferry.keys()?, scene.dir("source")?, scene.path("destination"));
    std::fs::write(source.join("file"), before)?;
    ferry.transfer(&keys, &source, &destination, more)?.0.exits(0)?;
    std::fs::write(source.join("file"), after)?;
    let done = ferry.transfer(&keys, &source, &destination, more)?.0.exits(0)?;
    compare::equal(&source, &destination)?;
    let again = ferry.transfer(&keys, &source, &destination, more)?.0.exits(0)?;
    ensure!(again.report()?.bytes.literal == 0, "a third run sends something");
    Ok(done.report()?.clone())
}

fn sent_at_most(report: &Report, literal: u64, wire: u64) -> Result<()> {
    ensure!(report.bytes.literal <= literal, "{} bytes were sent, {literal} would do", report.bytes.literal);
    let crossed = report.wire.sent + report.wire.received;
    ensure!(crossed <= wire, "{crossed} bytes crossed, {wire} would do");
    Ok(())
}

/// The leaves of so many mebibytes on the wire, and what a session costs beside.
fn compared(mib: u64) -> u64 {
    mib * 16 * 20 + 40_000
}

#[test]
fn nineteen_bytes_inserted_cost_little_more_than_themselves() -> Result<()> {
    within(120, |scene| {
        let before = noise(1, 64 * MIB);
        let mut after = before.clone();
        after.splice(MIB + 77..MIB + 77, *b"nineteen bytes more");
        sent_at_most(&second(scene, &before, &after, &[])?, 4_096, compared(64))
    })
}

#[test]
fn many_insertions_cost_a_block_each() -> Result<()> {
    within(120, |scene| {
        let before = noise(2, 64 * MIB);
        let after =
            before.chunks(3 * MIB + 5).flat_map(|part| [part, b"nineteen bytes more"].concat()).collect::<Vec<_>>();
        sent_at_most(&second(scene, &before, &after, &["--atomic"])?, 22 * 4_096, compared(64) + 22 * 6_000)
    })
}

#[test]
fn removed_bytes_cost_nothing_near_or_far() -> Result<()> {
    within(120, |scene| {
        let before = noise(3, 64 * MIB + 12_345);
        let after = [&before[..5 * MIB + 9], &before[25 * MIB + 1..40 * MIB], &before[40 * MIB + 3..]].concat();
        sent_at_most(&second(scene, &before, &after, &[])?, 3 * 65_536, compared(64) + 4 * 65_536)
    })
}

#[test]
fn a_long_insertion_costs_itself() -> Result<()> {
    within(120, |scene| {
        let (before, new) = (noise(4, 48 * MIB), noise(5, 20 * MIB + 3));
        let after = [&before[..MIB + 1], &new, &before[MIB + 1..]].concat();
        let report = second(scene, &before, &after, &[])?;
        sent_at_most(&report, new.len() as u64 + 300_000, new.len() as u64 + 400_000 + compared(64))
    })
}

#[test]
fn what_was_changed_in_place_before_a_shift_was_met_is_right() -> Result<()> {
    within(120, |scene| {
        let before = noise(6, 64 * MIB);
        let mut after = before.clone();
        // Pages all over the first half, which go in place; then the halves of the rest change places, one byte apart.
        for page in 0..200 {
            after[page * 160_000..page * 160_000 + 4_096].copy_from_slice(&noise(page as u64 + 100, 4_096));
        }
        let second_half = [&before[50 * MIB..], &[1], &before[32 * MIB..50 * MIB]].concat();
        after.truncate(32 * MIB);
        after.extend(second_half);
        sent_at_most(&second(scene, &before, &after, &[])?, 3 * MIB as u64, 4 * MIB as u64)
    })
}

#[test]
fn small_edits_everywhere_are_found_by_signatures() -> Result<()> {
    within(120, |scene| {
        let before = noise(7, 6 * MIB);
        let after = before.chunks(20_011).flat_map(|part| [part, b"!"].concat()).collect::<Vec<_>>();
        let report = second(scene, &before, &after, &[])?;
        ensure!(report.bytes.literal < 2 * MIB as u64, "{} bytes were sent", report.bytes.literal);
        Ok(())
    })
}

#[test]
fn a_file_that_was_written_anew_arrives_and_costs_no_more_than_itself() -> Result<()> {
    within(120, |scene| {
        let report = second(scene, &noise(8, 40 * MIB), &noise(9, 40 * MIB + 17), &[])?;
        sent_at_most(&report, 40 * MIB as u64 + 17, 40 * MIB as u64 + compared(40) + 900_000)
    })
}

#[test]
fn what_moved_but_is_not_worth_a_copy_of_the_file_is_sent_where_it_stands() -> Result<()> {
    within(120, |scene| {
        // The first pieces moved do not lie on leaves: none of them may be asked about as if they did.
        let before = noise(12, 64 * MIB);
        let mut after = before.clone();
        after[9 * MIB + 77..11 * MIB + 77].copy_from_slice(&before[40 * MIB + 5..42 * MIB + 5]);
        let report = second(scene, &before, &after, &[])?;
        sent_at_most(&report, 2 * MIB as u64 + 8_192, 2 * MIB as u64 + compared(64) + 20_000)
    })
}

#[test]
fn a_remembered_file_takes_insertions_too() -> Result<()> {
    within(120, |scene| {
        let state = scene.dir("state")?;
        let ferry = Ferry::new(scene)?;
        let (source, destination) = (scene.dir("source")?, scene.path("destination"));
        let more = ["--state", state.to_str().unwrap_or_default()];
        let mut content = noise(13, 40 * MIB);
        for round in 0..3 {
            std::fs::write(source.join("file"), &content)?;
            let done = ferry.sync(&source, &destination, &more)?.exits(0)?;
            compare::equal(&source, &destination)?;
            let bytes = &done.report()?.bytes;
            ensure!(round == 0 || bytes.literal <= 8_192, "round {round}: {} bytes were sent", bytes.literal);
            ensure!(
                round == 0 || bytes.trusted >= 39 * MIB as u64,
                "round {round}: only {} were trusted",
                bytes.trusted
            );
            content.splice(9 * MIB + 3..9 * MIB + 3, *b"nineteen bytes more");
        }
        Ok(())
    })
}

#[test]
fn alike_content_and_zeros_shift_too() -> Result<()> {
    within(120, |scene| {
        let before = [vec![7; 9 * MIB], vec![0; 9 * MIB], b"0123456789abcde".repeat(600_000)].concat();
        let after = [b"x".as_slice(), &before[..20 * MIB], b"y", &before[20 * MIB..]].concat();
        second(scene, &before, &after, &[])?;
        Ok(())
    })
}

#[test]
fn without_room_for_a_second_copy_the_rest_is_sent_and_that_is_said() -> Result<()> {
    within(120, |scene| {
        let ferry = Ferry::new(scene)?;
        let (keys, source) = (ferry.keys()?, scene.dir("source")?);
        let full = Mount::tmpfs(&scene.path("full"), 100 << 20)?;
        let before = noise(10, 60 * MIB);
        std::fs::write(source.join("file"), &before)?;
        ferry.transfer(&keys, &source, full.path(), &[])?.0.exits(0)?;
        std::fs::write(source.join("file"), [b"x", before.as_slice()].concat())?;
        let (sent, received) = ferry.transfer(&keys, &source, full.path(), &[])?;
        let sent = sent.exits(0)?;
        ensure!(sent.report()?.bytes.literal > 59 * MIB as u64, "what has no room cannot have been copied");
        received.says(&["want of room for a second copy"])?;
        compare::equal(&source, full.path())
    })
}

#[test]
fn a_single_file_takes_insertions_where_it_is() -> Result<()> {
    within(120, |scene| {
        let ferry = Ferry::new(scene)?;
        let (keys, source, destination) = (ferry.keys()?, scene.path("disk.img"), scene.path("copy.img"));
        let before = noise(11, 20 * MIB);
        std::fs::write(&source, &before)?;
        ferry.transfer(&keys, &source, &destination, &[])?.0.exits(0)?;
        std::fs::write(&source, [b"x", before.as_slice()].concat())?;
        ferry.transfer(&keys, &source, &destination, &[])?.0.exits(0)?;
        ensure!(same(&source, &destination)?, "the copy differs");
        Ok(())
    })
}

fn same(one: &Path, other: &Path) -> Result<bool> {
    Ok(std::fs::read(one)? == std::fs::read(other)?)
}
