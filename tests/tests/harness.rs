//! The parts of these tests, tested without ferry: trees are the same twice, the comparator sees every kind of difference,
//! routers route, proxies ask, networks break, mounts appear and go.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use ferry_tests::chaos::Chaos;
use ferry_tests::command::{Running, must, run, until};
use ferry_tests::compare::{self, Aspect};
use ferry_tests::fakes::{self, Fake};
use ferry_tests::mounts::{Image, Kind, Mount};
use ferry_tests::place::Place;
use ferry_tests::proxy::Proxy;
use ferry_tests::router::Router;
use ferry_tests::scene::{Scene, within};
use ferry_tests::trees::{self, Limits, Seed};
use ferry_tests::{Context, Result, certs, ensure, ports, strace, unprivileged};

fn copy(scene: &Scene, from: &Path, to: &Path) -> Result<()> {
    must(scene, Command::new("cp").arg("-a").arg("--sparse=always").arg(from).arg(to)).map(drop)
}

#[test]
fn the_same_seed_builds_the_same_tree_beyond_path_max() -> Result<()> {
    within(120, |scene| {
        let (a, b) = (scene.path("a"), scene.path("b"));
        trees::everything(&a, 7, Limits::PATH)?;
        trees::everything(&b, 7, Limits::PATH)?;
        compare::equal_but(&a, &b, &[Aspect::Times])?;
        let entries = compare::snapshot(&a)?;
        ensure!(entries.iter().any(|(path, _)| path.len() > 8000), "no path is longer than PATH_MAX");
        ensure!(entries.len() > 200, "only {} entries", entries.len());
        Ok(())
    })
}

#[test]
fn every_kind_of_difference_is_seen() -> Result<()> {
    type Change = fn(&Place) -> Result<()>;
    let changes: [(&str, &str, Change); 16] = [
        ("sizes/1", "content differs", |at| {
            at.edit(b"1").and_then(|f| keep_time(at, b"1", || Ok((&f).write_all(b"?")?)))
        }),
        ("sizes/4096", "size", |at| at.edit(b"4096").and_then(|f| keep_time(at, b"4096", || Ok(f.set_len(5)?)))),
        ("times/file-0", "mtime", |at| at.time(b"file-0", (-315_619_200, 123_456_788))),
        ("times/dir-0", "mtime", |at| at.time(b"dir-0", (1, 1))),
        ("symlinks/time-1", "mtime", |at| at.time(b"time-1", (1, 1))),
        ("symlinks/owned", "owner", |at| at.own(b"owned", 1, 2)),
        ("symlinks/dangling", "target", |at| {
            keep_time_of_new(at, b"dangling", |at| at.symlink(b"dangling", b"elsewhere"))
        }),
        ("modes/file-4755", "mode", |at| at.mode(b"file-4755", 0o755)),
        ("attributes/file", "attribute user.empty is missing", |at| at.drop_xattr(b"file", "user.empty")),
        ("attributes/directory", "attribute user.new is surplus", |at| at.xattr(b"directory", "user.new", b"")),
        ("acls/inheriting", "attribute system.posix_acl_default", |at| {
            at.drop_xattr(b"inheriting", "system.posix_acl_default")
        }),
        ("symlinks/owned", "attribute trusted.on.link differs", |at| at.xattr(b"owned", "trusted.on.link", b"no")),
        ("names/...", "missing", |at| at.unlink(b"...")),
        ("names/surplus", "only the destination", |at| at.file(b"surplus", b"").map(drop)),
        ("links two/fifo again", "links", |at| {
            at.unlink(b"fifo again")?;
            at.node(b"fifo again", rustix::fs::FileType::Fifo, 0, 0)
        }),
        ("nodes/null", "device", |at| {
            at.unlink(b"null")?;
            at.node(b"null", rustix::fs::FileType::CharacterDevice, 1, 7)
        }),
    ];
    within(120, move |scene| {
        let (a, b) = (scene.path("a"), scene.path("b"));
        trees::everything(&a, 7, Limits::PATH)?;
        std::fs::remove_file(a.join("sparse/a gigabyte"))?;
        must(scene, Command::new("rm").arg("-r").arg(a.join("deep")))?;
        for (path, what, change) in changes {
            must(scene, Command::new("rm").arg("-rf").arg(&b))?;
            copy(scene, &a, &b)?;
            compare::equal(&a, &b).with_context(|| format!("before {path} was changed"))?;
            let (dir, _) = path.split_once('/').context("a path of two names")?;
            let at = Place::open(&b.join(dir))?;
            let before = at.stat(b".")?;
            change(&at)?;
            at.time(b".", ferry_tests::facts::mtime(&before))?;
            let found = compare::differences(&a, &b, &[])?;
            let seen = found.iter().any(|difference| difference.path == path && difference.what.contains(what));
            ensure!(seen, "{path}: {what} was not seen, only {found:?}");
        }
        Ok(())
    })
}

fn keep_time(at: &Place, name: &[u8], change: impl FnOnce() -> Result<()>) -> Result<()> {
    let before = ferry_tests::facts::mtime(&at.stat(name)?);
    change()?;
    at.time(name, before)
}

fn keep_time_of_new(at: &Place, name: &[u8], make: impl FnOnce(&Place) -> Result<()>) -> Result<()> {
    let before = ferry_tests::facts::mtime(&at.stat(name)?);
    at.unlink(name)?;
    make(at)?;
    at.time(name, before)
}

#[test]
fn a_hole_that_was_filled_is_seen() -> Result<()> {
    within(60, |scene| {
        let (a, b) = (scene.dir("a")?, scene.dir("b")?);
        Place::open(&a)?.sparse(b"f", 8 << 20, &[])?;
        Place::open(&b)?.file(b"f", &vec![0; 8 << 20])?;
        let found = compare::differences(&a, &b, &[Aspect::Times, Aspect::Root])?;
        ensure!(found.len() == 1 && found.iter().all(|d| d.what.contains("sparse")), "{found:?}");
        Ok(())
    })
}

#[test]
fn a_snapshot_sees_a_touch_and_nothing_else() -> Result<()> {
    within(60, |scene| {
        let tree = scene.path("tree");
        trees::small_files(&tree, 500, 7)?;
        let before = compare::snapshot(&tree)?;
        compare::equal(&tree, &tree)?;
        compare::unmoved(&before, &compare::snapshot(&tree)?)?;
        Place::open(&tree.join("dir-00003"))?.mode(b"file-0000003", 0o644)?;
        ensure!(compare::unmoved(&before, &compare::snapshot(&tree)?).is_err(), "a chmod to the same mode went unseen");
        Ok(())
    })
}

#[test]
fn random_edits_repeat_and_rsync_follows_them() -> Result<()> {
    within(120, |scene| {
        let (a, b, copied) = (scene.path("a"), scene.path("b"), scene.path("copied"));
        for tree in [&a, &b] {
            let mut seed = Seed::new(11);
            trees::random(tree, &mut seed, 120)?;
            trees::edit(tree, &mut seed, 60)?;
        }
        compare::equal_but(&a, &b, &[Aspect::Times])?;
        let source = format!("{}/", a.display());
        must(
            scene,
            Command::new("rsync")
                .args(["-aHAXS", "--numeric-ids", "--delete", "--modify-window=-1"])
                .arg(source)
                .arg(&copied),
        )?;
        let found = compare::differences(&a, &copied, &[])?;
        ensure!(found.len() < 30, "rsync left {} differences: {found:?}", found.len());
        Ok(())
    })
}

#[test]
fn the_router_forwards_by_server_name_only() -> Result<()> {
    within(60, |scene| {
        let keys = certs::keys(scene, "keys", certs::Years::NOW, certs::Years::NOW)?;
        let port = ports::free()?;
        let mut server = Command::new("openssl");
        server.args(["s_server", "-quiet", "-tls1_3", "-accept", &port.to_string()]);
        server.arg("-cert").arg(keys.receiver.join("tls.crt")).arg("-key").arg(keys.receiver.join("tls.key"));
        let _server = Running::start(scene, &mut server)?;
        ports::await_listener(port, Duration::from_secs(5))?;
        let router = Router::start(scene, port)?;
        for (name, passes) in [(ferry_tests::ferry::HOST, true), ("other.example.test", false)] {
            let mut client = Command::new("openssl");
            client.args([
                "s_client",
                "-tls1_3",
                "-connect",
                &format!("127.0.0.1:{}", router.port),
                "-servername",
                name,
            ]);
            client.arg("-CAfile").arg(keys.receiver.join("ca.crt")).arg("-verify_return_error");
            let done = run(scene, &mut client, Duration::from_secs(20))?;
            let verified = done.text().contains("Server certificate") && done.text().contains("Verify return code: 0");
            ensure!(verified == passes, "{name}: {}\n{}\n{}", done.text(), done.stderr, router.log());
        }
        Ok(())
    })
}

#[test]
fn the_proxy_asks_for_a_password() -> Result<()> {
    within(60, |scene| {
        let fake = Fake::start(fakes::SMTP)?;
        let proxy = Proxy::start(scene)?;
        // mover:s3cret in base64, then nothing.
        for (header, code) in [("Proxy-Authorization: Basic bW92ZXI6czNjcmV0\r\n", "200"), ("", "407")] {
            let mut stream = TcpStream::connect(("127.0.0.1", proxy.port))?;
            write!(stream, "CONNECT 127.0.0.1:{} HTTP/1.1\r\nHost: 127.0.0.1\r\n{header}\r\n", fake.port)?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            ensure!(answer.split(' ').nth(1) == Some(code), "{answer}\n{}", proxy.log());
        }
        ensure!(fake.met() == 1, "{} connections got through", fake.met());
        Ok(())
    })
}

#[test]
fn the_bad_network_cuts_when_told() -> Result<()> {
    within(60, |_| {
        let sink = TcpListener::bind("127.0.0.1:0")?;
        let port = sink.local_addr()?.port();
        std::thread::spawn(move || {
            for stream in sink.incoming().flatten() {
                std::thread::spawn(move || std::io::copy(&mut &stream, &mut std::io::sink()));
            }
        });
        let chaos = Chaos::start(port)?;
        chaos.cut_every(1 << 20, 3);
        let mut failures = 0;
        while failures < 3 {
            let mut stream = TcpStream::connect(("127.0.0.1", chaos.port))?;
            while stream.write_all(&[7; 10_000]).is_ok() {}
            failures += 1;
        }
        ensure!(
            chaos.cuts() == 3 && chaos.connections() == 3,
            "{} cuts, {} connections",
            chaos.cuts(),
            chaos.connections()
        );
        ensure!(chaos.sent() >= 3 << 20, "only {} bytes passed", chaos.sent());
        let mut stream = TcpStream::connect(("127.0.0.1", chaos.port))?;
        let before = chaos.sent();
        chaos.swallow(true);
        stream.write_all(&[7; 1000])?;
        std::thread::sleep(Duration::from_millis(100));
        ensure!(chaos.sent() == before, "bytes passed a swallowing network");
        chaos.swallow(false);
        until(Duration::from_secs(5), "the bytes pass after all", || Ok(chaos.sent() == before + 1000))
    })
}

#[test]
fn file_systems_appear_and_a_power_cut_is_of_one_moment() -> Result<()> {
    within(120, |scene| {
        for (kind, limits) in [(Kind::Ext4, Limits::PATH), (Kind::Xfs, Limits::XFS)] {
            let host = Image::new(scene, &format!("host-{kind:?}"), Kind::Xfs, 2 << 30)?;
            let disk = Image::within(scene, host.path(), "disk", kind, 512 << 20)?;
            trees::everything(&disk.dir("tree")?, 1, limits).with_context(|| format!("on {kind:?}"))?;
            rustix::fs::syncfs(std::fs::File::open(disk.path())?)?;
            std::fs::write(disk.path().join("late"), "never synced")?;
            let after = disk.after_power_cut(scene, disk.cut_power("cut")?)?;
            compare::equal(&disk.path().join("tree"), &after.path().join("tree"))?;
        }
        let _btrfs = Image::new(scene, "btrfs", Kind::Btrfs, 256 << 20)?;
        let small = Mount::tmpfs(&scene.path("small"), 1 << 20)?;
        ensure!(std::fs::write(small.path().join("big"), vec![1; 2 << 20]).is_err(), "a full tmpfs took more");
        let view = Mount::read_only(&scene.dir("dir")?, &scene.path("view"))?;
        ensure!(std::fs::write(view.path().join("f"), "x").is_err(), "a read-only view was written");
        Ok(())
    })
}

#[test]
fn an_unprivileged_command_has_nothing_of_root() -> Result<()> {
    within(60, |scene| {
        let done = must(scene, &mut unprivileged::command(Command::new("cat").arg("/proc/self/status")))?;
        let status = done.text();
        ensure!(status.contains("CapEff:\t0000000000000000"), "{status}");
        ensure!(status.contains(&format!("Uid:\t{}", unprivileged::UID)), "{status}");
        ensure!(status.contains("Gid:\t0\t0\t0\t0"), "{status}");
        Ok(())
    })
}

#[test]
fn a_trace_names_what_a_program_changed() -> Result<()> {
    within(60, |scene| {
        let log = scene.path("log");
        must(scene, &mut strace::traced(Command::new("touch").arg(scene.path("touched")), &log))?;
        ensure!(
            strace::mutations(&log, &[])?.iter().any(|line| line.contains("touched")),
            "the touch is not in the trace"
        );
        must(scene, &mut strace::traced(Command::new("ls").arg(scene.root()), &log))?;
        ensure!(strace::mutations(&log, &[])?.is_empty(), "ls changed something: {:?}", strace::mutations(&log, &[])?);
        Ok(())
    })
}

#[test]
fn a_test_that_hangs_is_ended_with_its_processes() -> Result<()> {
    let late = within(1, |scene| {
        Running::start(scene, Command::new("sleep").arg("60"))?.finish(Duration::from_secs(50)).map(drop)
    });
    ensure!(late.is_err_and(|error| error.to_string().contains("deadline")), "it was not ended");
    Ok(())
}

#[test]
fn a_missing_binary_says_how_to_get_it() -> Result<()> {
    within(10, |scene| {
        match ferry_tests::ferry::Ferry::new(scene) {
            Ok(ferry) => ensure!(ferry.binary().is_file(), "a binary that is no file"),
            Err(error) => ensure!(error.to_string().contains("cargo build"), "{error}"),
        }
        Ok(())
    })
}
