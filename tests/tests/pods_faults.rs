//! What goes wrong in the pods of our image: a stock image on one side, wrong secrets, no route, no room, killed parts. Every pod
//! ends, within a bound, with the exit code and the sentence that the operator shows.

use std::time::Duration;

use ferry_tests::command::{high_water_mark, until};
use ferry_tests::compare::{self, Aspect};
use ferry_tests::ferry::HOST;
use ferry_tests::mounts::Mount;
use ferry_tests::pods::cell::Cell;
use ferry_tests::pods::client::Options;
use ferry_tests::pods::container::signal_to;
use ferry_tests::pods::image::{Built, Root};
use ferry_tests::pods::network::Cluster;
use ferry_tests::pods::objects::Certificate;
use ferry_tests::pods::operator::{self, Attempt};
use ferry_tests::pods::pod::Phase;
use ferry_tests::pods::tree;
use ferry_tests::pods::version::Version;
use ferry_tests::scene::{Scene, within};
use ferry_tests::{Result, ensure};
use rustix::process::Signal;

/// How long one pod may take.
const SOON: Duration = Duration::from_secs(60);
/// How long a pod may take to fail where the cause is known at once: the operator counts the seconds, too.
const AT_ONCE: Duration = Duration::from_secs(6);

fn cell(scene: &Scene, version: Version, count: usize) -> Result<Cell> {
    Cell::slow(scene, version, &Root::ours(scene)?, count)
}

fn at(kib: u32) -> Options {
    Options { bwlimit: Some(kib), ..Options::default() }
}

/// Fails unless the pod failed with `code`, said one of `words` where the operator looks, and did not take longer than `limit`.
fn fails_with(attempt: &Attempt, code: i32, words: &[&str], limit: Duration) -> Result<()> {
    attempt.exits(code)?;
    ensure!(attempt.phase == Phase::Failed, "the pod {:?}", attempt.phase);
    // 1.4 and 1.5 take the end of the log where the termination log is empty; later ones read nothing else.
    for (place, text) in [("termination log", &attempt.message), ("log", &attempt.log)] {
        ensure!(words.iter().all(|word| text.contains(word)), "the {place} does not say {words:?}: {text}");
        ensure!(text.contains(&format!("(code {code})")), "the {place} has no code {code}: {text}");
    }
    ensure!(attempt.message.len() <= 4096, "{} bytes", attempt.message.len());
    ensure!(attempt.elapsed <= limit, "it took {:?}: {}", attempt.elapsed, attempt.log);
    Ok(())
}

fn a_stock_destination_is_named(version: Version) -> Result<()> {
    Built::get()?;
    within(60, move |scene| {
        let (ours, stock) = (Root::ours(scene)?, Root::stock(scene)?);
        let cell = cell(scene, version, 3)?.with_images(&ours, &stock);
        let attempt = cell.start(scene)?.attempt(&cell.claim(), &Options::default(), SOON)?;
        // The route's host is the destination's.
        fails_with(&attempt, 2, &["stock", HOST], AT_ONCE)
    })
}

#[test]
fn a_stock_destination_is_named_under_1_4() -> Result<()> {
    a_stock_destination_is_named(Version::V14)
}

#[test]
fn a_stock_destination_is_named_under_1_5() -> Result<()> {
    a_stock_destination_is_named(Version::V15)
}

#[test]
fn a_stock_destination_is_named_under_1_7() -> Result<()> {
    a_stock_destination_is_named(Version::V17Restricted)
}

fn a_stock_source_is_named(version: Version) -> Result<()> {
    Built::get()?;
    within(60, move |scene| {
        let (ours, stock) = (Root::ours(scene)?, Root::stock(scene)?);
        let cell = cell(scene, version, 3)?.with_images(&stock, &ours);
        let mut migration = cell.start(scene)?;
        let attempt = migration.attempt(&cell.claim(), &Options::default(), SOON)?;
        // Stock's own words and code: what matters is that it is over soon, and that our side says why.
        ensure!(attempt.phase == Phase::Failed, "{attempt:?}");
        ensure!(attempt.elapsed <= AT_ONCE, "it took {:?}", attempt.elapsed);
        let story = migration.server.story();
        ensure!(story.contains("stock"), "the server does not say who is stock:\n{story}");
        ensure!(std::fs::read_dir(&cell.claim().destination)?.next().is_none(), "something was written");
        Ok(())
    })
}

#[test]
fn a_stock_source_is_named_under_1_5() -> Result<()> {
    a_stock_source_is_named(Version::V15)
}

#[test]
fn a_stock_source_is_named_under_1_7() -> Result<()> {
    a_stock_source_is_named(Version::V17Restricted)
}

#[test]
fn a_wrong_password_ends_with_5() -> Result<()> {
    Built::get()?;
    within(60, |scene| {
        let cell = cell(scene, Version::V17Restricted, 3)?;
        let mut migration = cell.start(scene)?;
        migration.password = "Guess".to_owned();
        let attempt = migration.attempt(&cell.claim(), &Options::default(), SOON)?;
        fails_with(&attempt, 5, &["the password", "was refused"], AT_ONCE)?;
        ensure!(!attempt.log.contains("Guess"), "it prints a password");
        Ok(())
    })
}

#[test]
fn unequal_certificates_end_with_2_and_name_the_secret() -> Result<()> {
    Built::get()?;
    within(90, |scene| {
        for version in [Version::V15, Version::V17Restricted] {
            let cell = cell(scene, version, 3)?;
            let mut migration = cell.start(scene)?;
            migration.client_certificate = Some(Certificate::new(scene)?);
            let attempt = migration.attempt(&cell.claim(), &Options::default(), SOON)?;
            fails_with(&attempt, 2, &["certificate", "Secret"], AT_ONCE)?;
        }
        Ok(())
    })
}

#[test]
fn no_route_ends_with_10_and_the_kernels_words() -> Result<()> {
    Built::get()?;
    within(60, |scene| {
        let cell = cell(scene, Version::V17Restricted, 3)?;
        let mut migration = cell.start(scene)?;
        // Nobody has this address: the kernel asks three times for it and gives up.
        migration.route = Cluster::Source.address(250);
        let attempt = migration.attempt(&cell.claim(), &Options::default(), SOON)?;
        fails_with(&attempt, 10, &["No route to host"], Duration::from_millis(5499))
    })
}

#[test]
fn no_room_at_the_destination_ends_with_11() -> Result<()> {
    Built::get()?;
    within(90, |scene| {
        let version = Version::V17Restricted;
        let small = Mount::tmpfs(&scene.path("small"), 2 << 20)?;
        let cell = cell(scene, version, 100)?.to(small.path());
        let attempt = cell.start(scene)?.attempt(&cell.claim(), &Options::default(), SOON)?;
        fails_with(&attempt, 11, &["no space left", "ENOSPC"], Duration::from_secs(30))
    })
}

#[test]
fn what_the_user_cannot_read_ends_with_23_and_names_the_user() -> Result<()> {
    Built::get()?;
    within(60, |scene| {
        let cell = cell(scene, Version::V17Restricted, 3)?;
        let claim = cell.claim();
        let closed = claim.source.join("closed");
        std::fs::write(&closed, "secret")?;
        std::fs::set_permissions(&closed, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        let attempt = cell.start(scene)?.attempt(&claim, &Options::default(), SOON)?;
        fails_with(&attempt, 23, &[&ferry_tests::unprivileged::UID.to_string()], SOON)?;
        // The rest arrived all the same.
        ensure!(cell.finished()?.len() == 3, "{:?}", cell.finished()?);
        Ok(())
    })
}

#[test]
fn a_client_whose_stunnel_is_killed_ends() -> Result<()> {
    Built::get()?;
    within(120, |scene| {
        for version in [Version::V15, Version::V17Restricted] {
            let cell = cell(scene, version, 200)?;
            let migration = cell.start(scene)?;
            let mut pod = migration.client(&cell.claim(), &at(1024))?;
            cell.await_finished(5)?;
            let stunnels = pod.container("stunnel")?.processes("stunnel.conf")?;
            ensure!(!stunnels.is_empty(), "{}", pod.story());
            for pid in stunnels {
                signal_to(pid, Signal::KILL)?;
            }
            let attempt = operator::watch(&mut pod, version.client_container(), SOON)?;
            ensure!(attempt.phase == Phase::Failed && attempt.exit != 0, "{attempt:?}");
            compare::no_false_finish(&cell.claim().source, &cell.claim().destination)?;
        }
        Ok(())
    })
}

#[test]
fn a_client_whose_first_process_is_killed_ends_within_a_minute() -> Result<()> {
    Built::get()?;
    within(120, |scene| {
        let cell = cell(scene, Version::V17Restricted, 200)?;
        let migration = cell.start(scene)?;
        let mut pod = migration.client(&cell.claim(), &at(1024))?;
        cell.await_finished(5)?;
        pod.container("rsync")?.signal(Signal::KILL)?;
        let attempt = operator::watch(&mut pod, "rsync", SOON)?;
        ensure!(attempt.phase == Phase::Failed && attempt.exit == 137, "{attempt:?}");
        Ok(())
    })
}

#[test]
fn after_a_restart_of_the_server_a_retry_goes_on_where_it_ended() -> Result<()> {
    Built::get()?;
    within(150, |scene| {
        let version = Version::V17Restricted;
        let cell = cell(scene, version, 200)?;
        let claim = cell.claim();
        let mut migration = cell.start(scene)?;
        let mut pod = migration.client(&claim, &at(2048))?;
        cell.await_finished(30)?;
        let daemon = migration.server.container("rsync")?;
        daemon.signal(Signal::KILL)?;
        until(SOON, "the daemon is gone", || Ok(daemon.exit()?.is_some()))?;
        let before = cell.finished()?;
        daemon.restart()?;
        migration.server.listens(version.daemon_port(), SOON)?;
        let attempt = operator::watch(&mut pod, "rsync", SOON)?;
        if attempt.phase == Phase::Failed {
            attempt.exits(12)?;
            migration.attempt(&claim, &at(4096), SOON)?.succeeded()?;
        }
        compare::equal_but(&claim.source, &claim.destination, &[Aspect::Root, Aspect::DirectoryTimes])?;
        let after = cell.finished()?;
        let again: Vec<_> = before.iter().filter(|file| !after.contains(file)).collect();
        ensure!(
            before.len() >= 30 && again.is_empty(),
            "of {} finished files these were made anew: {again:?}",
            before.len()
        );
        Ok(())
    })
}

#[test]
fn probes_cost_nothing_and_disturb_nobody() -> Result<()> {
    Built::get()?;
    within(90, |scene| {
        let version = Version::V17Restricted;
        let cell = cell(scene, version, 3)?;
        let mut migration = cell.start(scene)?;
        let before = migration.server.story().lines().count();
        for port in [version.daemon_port(), version.stunnel_port()] {
            let script = format!("for i in $(seq 50); do nc -z 127.0.0.1 {port} || exit 1; done");
            let mut probe = std::process::Command::new("bash");
            probe.args(["-c", &script]);
            ferry_tests::command::must(scene, &mut migration.server.enter(&probe))?;
        }
        let story = migration.server.story();
        ensure!(story.lines().count() < before + 20, "a hundred probes were told:\n{story}");
        migration.attempt(&cell.claim(), &Options::default(), SOON)?.succeeded()?;
        ensure!(cell.finished()?.len() == 3);
        Ok(())
    })
}

#[test]
fn ten_claims_at_once_stay_within_a_processor_and_a_gibibyte() -> Result<()> {
    Built::get()?;
    within(180, |scene| {
        let version = Version::V17Restricted;
        let names: Vec<String> = (0..10).map(|number| format!("claim-{number}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let cell = Cell::empty(scene, version, &Root::ours(scene)?, &names)?;
        for claim in cell.claims() {
            tree::alike_nothing(&claim.source, 150, version.security())?;
        }
        let mut migration = cell.start(scene)?;
        let pods = cell.claims().iter().map(|claim| migration.client(claim, &Options::default()));
        let mut pods = pods.collect::<Result<Vec<_>>>()?;
        for pod in &mut pods {
            operator::watch(pod, "rsync", Duration::from_secs(120))?.succeeded()?;
        }
        for claim in cell.claims() {
            compare::equal_but(&claim.source, &claim.destination, &[Aspect::Root, Aspect::DirectoryTimes])?;
        }
        for container in &mut migration.server.containers {
            ensure!(container.exit()?.is_none(), "{} ended", container.name);
            let peak = high_water_mark(container.pid()).unwrap_or(u64::MAX);
            ensure!(peak < 512 << 20, "{} took {peak} bytes", container.name);
        }
        Ok(())
    })
}
