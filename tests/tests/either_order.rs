//! Sender and receiver may start in either order, one receiver serves several volumes and several senders, and `--once`
//! ends it when each volume was completed once.

use std::time::Duration;

use ferry_tests::compare;
use ferry_tests::ferry::{Ferry, SOON};
use ferry_tests::router::Router;
use ferry_tests::scene::within;
use ferry_tests::{Result, ensure, ports, trees};

#[test]
fn a_sender_waits_for_its_receiver() -> Result<()> {
    within(60, |scene| {
        let (source, destination) = (scene.path("source"), scene.path("destination"));
        trees::small_files(&source, 100, 5)?;
        let ferry = Ferry::new(scene)?;
        let (keys, port) = (ferry.keys()?, ports::free()?);
        let mut sender = ferry.send(&keys, port, &[("data", &source)], &[])?;
        std::thread::sleep(Duration::from_secs(2));
        ensure!(sender.process.is_running()?, "it did not wait: {:?}", sender.process.so_far());
        let receiver = ferry.receive_on(port, &keys, &[("data", &destination)], &["--once"])?;
        sender.finish(SOON)?.exits(0)?;
        receiver.run.finish(SOON)?.exits(0)?;
        compare::equal(&source, &destination)
    })
}

#[test]
fn a_sender_waits_behind_a_router_without_a_backend() -> Result<()> {
    within(60, |scene| {
        let (source, destination) = (scene.path("source"), scene.path("destination"));
        trees::small_files(&source, 100, 5)?;
        let ferry = Ferry::new(scene)?;
        let (keys, port) = (ferry.keys()?, ports::free()?);
        let router = Router::start(scene, port)?;
        let mut sender = ferry.send(&keys, router.port, &[("data", &source)], &[])?;
        std::thread::sleep(Duration::from_secs(2));
        ensure!(sender.process.is_running()?, "it did not wait: {:?}", sender.process.so_far());
        let receiver = ferry.receive_on(port, &keys, &[("data", &destination)], &["--once"])?;
        sender.finish(SOON)?.exits(0)?;
        receiver.run.finish(SOON)?.exits(0)?;
        compare::equal(&source, &destination)
    })
}

#[test]
fn once_ends_after_each_of_two_volumes() -> Result<()> {
    within(60, |scene| {
        let ferry = Ferry::new(scene)?;
        let keys = ferry.keys()?;
        let [a, b, to_a, to_b] = ["a", "b", "to-a", "to-b"].map(|name| scene.path(name));
        trees::small_files(&a, 100, 5)?;
        trees::small_files(&b, 200, 5)?;
        let mut receiver = ferry.receive(&keys, &[("a", &to_a), ("b", &to_b)], &["--once"])?;
        ferry.send(&keys, receiver.port, &[("a", &a)], &[])?.finish(SOON)?.exits(0)?;
        std::thread::sleep(Duration::from_millis(500));
        ensure!(receiver.run.process.is_running()?, "it ended after the first of two volumes");
        ferry.send(&keys, receiver.port, &[("a", &a)], &[])?.finish(SOON)?.exits(0)?;
        ensure!(receiver.run.process.is_running()?, "it ended after the first volume came twice");
        ferry.send(&keys, receiver.port, &[("b", &b)], &[])?.finish(SOON)?.exits(0)?;
        let done = receiver.run.finish(SOON)?.exits(0)?;
        let mut names: Vec<&str> = done.report()?.volumes.iter().map(|volume| volume.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        ensure!(names == ["a", "b"], "{names:?}");
        compare::equal(&a, &to_a)?;
        compare::equal(&b, &to_b)
    })
}

#[test]
fn one_sender_sends_two_volumes() -> Result<()> {
    within(60, |scene| {
        let ferry = Ferry::new(scene)?;
        let keys = ferry.keys()?;
        let [a, b, to_a, to_b] = ["a", "b", "to-a", "to-b"].map(|name| scene.path(name));
        trees::small_files(&a, 100, 5)?;
        trees::small_files(&b, 200, 5)?;
        let receiver = ferry.receive(&keys, &[("a", &to_a), ("b", &to_b)], &["--once"])?;
        let sent = ferry.send(&keys, receiver.port, &[("a", &a), ("b", &b)], &[])?.finish(SOON)?.exits(0)?;
        ensure!(sent.report()?.volumes.len() == 2, "{:?}", sent.report()?.volumes);
        receiver.run.finish(SOON)?.exits(0)?;
        compare::equal(&a, &to_a)?;
        compare::equal(&b, &to_b)
    })
}

#[test]
fn several_senders_are_served_at_once() -> Result<()> {
    within(90, |scene| {
        let ferry = Ferry::new(scene)?;
        let keys = ferry.keys()?;
        let names = ["v0", "v1", "v2", "v3"];
        let sources = names.map(|name| scene.path(&format!("source-{name}")));
        let targets = names.map(|name| scene.path(&format!("target-{name}")));
        for source in &sources {
            trees::small_files(source, 1000, 5)?;
            std::fs::write(source.join("big"), vec![7; 4 << 20])?;
        }
        let volumes: Vec<_> = names.into_iter().zip(targets.iter().map(|path| path.as_path())).collect();
        let receiver = ferry.receive(&keys, &volumes, &["--once"])?;
        // Slow enough that each must still run when the last has begun.
        let more = ["--bwlimit", "2M", "--compress", "off"];
        let senders = names
            .iter()
            .zip(&sources)
            .map(|(name, source)| ferry.send(&keys, receiver.port, &[(name, source.as_path())], &more));
        let mut senders = senders.collect::<Result<Vec<_>>>()?;
        std::thread::sleep(Duration::from_millis(700));
        for sender in &mut senders {
            ensure!(sender.process.is_running()?, "a sender ended too early: {:?}", sender.process.so_far());
        }
        for sender in senders {
            sender.finish(SOON)?.exits(0)?;
        }
        receiver.run.finish(SOON)?.exits(0)?;
        for (source, target) in sources.iter().zip(&targets) {
            compare::equal(source, target)?;
        }
        Ok(())
    })
}

#[test]
fn an_idle_receiver_ends_when_asked() -> Result<()> {
    within(60, |scene| {
        let ferry = Ferry::new(scene)?;
        let keys = ferry.keys()?;
        let receiver = ferry.receive(&keys, &[("data", &scene.path("destination"))], &["--idle-exit", "1s"])?;
        receiver.run.finish(Duration::from_secs(10)).map(drop)
    })
}
