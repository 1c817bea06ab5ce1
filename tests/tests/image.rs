//! The transfer image as independent tools see it: what is in it, who runs it, how large it is, that it is the same twice, that a
//! registry takes it, and that its programs start in it.

use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use ferry_tests::command::{Running, must, until};
use ferry_tests::pods::container::{Container, ContainerSpec, Sandbox};
use ferry_tests::pods::image::{Built, Root, checkout};
use ferry_tests::pods::network::Namespace;
use ferry_tests::pods::security::Security;
use ferry_tests::scene::{Scene, within};
use ferry_tests::{Context, Result, ensure, ports};
use serde_json::Value;

/// Compressed, as a registry holds it.
const IMAGE_MAX: u64 = 20 << 20;
/// Everything that is no directory.
const ENTRIES: [&str; 14] = [
    "bin -> usr/bin",
    "blockrsync -> usr/bin/ferry",
    "proxy -> usr/bin/ferry",
    "usr/bin/bash 755",
    "usr/bin/ferry 755",
    "usr/bin/nc -> ferry",
    "usr/bin/rsync -> ferry",
    "usr/bin/sleep -> ferry",
    "usr/bin/stunnel -> ferry",
    "usr/bin/touch -> ferry",
    "usr/share/common-licenses/GPL-3 644",
    "usr/share/doc/bash-static/SOURCE 644",
    "usr/share/doc/bash-static/copyright 644",
    "usr/share/doc/ferry/LICENSE 644",
];

#[test]
fn it_holds_one_static_ferry_a_static_bash_and_licences_and_nothing_else() -> Result<()> {
    let built = Built::get()?;
    within(60, move |scene| {
        let bundle = scene.path("bundle");
        built.unpack(scene, &bundle)?;
        let root = bundle.join("rootfs");
        let mut found = Vec::new();
        for entry in walkdir::WalkDir::new(&root).min_depth(1).sort_by_file_name() {
            let entry = entry?;
            let (path, kind) = (entry.path().strip_prefix(&root)?.display().to_string(), entry.file_type());
            if kind.is_symlink() {
                found.push(format!("{path} -> {}", std::fs::read_link(entry.path())?.display()));
            } else if kind.is_file() {
                let mode = entry.metadata()?.permissions().mode() & 0o7777;
                found.push(format!("{path} {mode:o}"));
                let start = std::fs::read(entry.path())?.get(..2).unwrap_or_default().to_vec();
                ensure!(start != b"#!", "{path} is a script");
            }
        }
        ensure!(found == ENTRIES, "in the image: {found:#?}");
        for point in ["etc/rsync-secret", "etc/stunnel/certs", "mnt", "usr/share/rsync", "usr/share/rsync-stunnel-mgmt"]
        {
            ensure!(root.join(point).is_dir(), "there is no {point} to mount on");
        }
        Ok(())
    })
}

#[test]
fn it_runs_as_nobody_by_number_bears_its_full_name_and_is_small() -> Result<()> {
    let built = Built::get()?;
    within(30, move |scene| {
        let archive = format!("oci-archive:{}", built.archive.display());
        let config = must(scene, Command::new("skopeo").args(["inspect", "--config", &archive]))?.text();
        let config: Value = serde_json::from_str(&config)?;
        let text = |pointer: &str| config.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        ensure!(text("/config/User") == "65534:65534", "{config}");
        ensure!(text("/os") == "linux" && text("/architecture") == "amd64", "{config}");
        ensure!(config.pointer("/config/Env/0").and_then(Value::as_str) == Some("PATH=/usr/bin:/bin"), "{config}");
        let index: Value = serde_json::from_slice(&std::fs::read(built.layout.join("index.json"))?)?;
        let name = index.pointer("/manifests/0/annotations/org.opencontainers.image.ref.name").and_then(Value::as_str);
        ensure!(name == Some(concat!("localhost/ferry-transfer:", env!("CARGO_PKG_VERSION"))), "{index}");
        let len = std::fs::metadata(&built.archive)?.len();
        ensure!(len < IMAGE_MAX, "the image has {len} bytes");
        Ok(())
    })
}

#[test]
fn the_same_sources_give_the_same_bytes_and_a_date_may_be_set() -> Result<()> {
    let built = Built::get()?;
    within(120, move |scene| {
        let first = std::fs::read(&built.archive)?;
        let build = |epoch: Option<&str>, out: &Path| -> Result<Vec<u8>> {
            let mut command = Command::new(checkout().join("sidecar-images/build"));
            command.args(["transfer", "--out"]).arg(out).env("FERRY_PROFILE", "dev").env_remove("SOURCE_DATE_EPOCH");
            if let Some(epoch) = epoch {
                command.env("SOURCE_DATE_EPOCH", epoch);
            }
            must(scene, &mut command)?;
            Ok(std::fs::read(out.join("transfer.tar"))?)
        };
        ensure!(build(None, &scene.path("again"))? == first, "two builds differ");
        let dated = build(Some("1700000000"), &scene.path("dated"))?;
        ensure!(dated != first, "SOURCE_DATE_EPOCH changes nothing");
        let archive = format!("oci-archive:{}", scene.path("dated/transfer.tar").display());
        let said = must(scene, Command::new("skopeo").args(["inspect", &archive]))?.text();
        ensure!(said.contains("2023-11-14T22:13:20Z"), "{said}");
        Ok(())
    })
}

#[test]
fn nothing_but_an_earlier_image_is_written_over() -> Result<()> {
    Built::get()?;
    within(60, |scene| {
        let kept = scene.dir("out/transfer")?.join("kept");
        std::fs::write(&kept, "mine")?;
        let mut command = Command::new(checkout().join("sidecar-images/build"));
        command.args(["transfer", "--out"]).arg(scene.path("out")).env("FERRY_PROFILE", "dev");
        let refused = must(scene, &mut command).err().context("it wrote over a directory that is no image")?;
        ensure!(format!("{refused:#}").contains("no image layout"), "{refused:#}");
        ensure!(std::fs::read_to_string(&kept)? == "mine");
        Ok(())
    })
}

#[test]
fn a_registry_takes_it_and_gives_it_back() -> Result<()> {
    let built = Built::get()?;
    within(60, move |scene| {
        let port = ports::free()?;
        let file = scene.path("registry.yml");
        let storage = scene.dir("registry")?;
        let lines = format!(
            "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: 127.0.0.1:{port}\n",
            storage.display()
        );
        std::fs::write(&file, lines)?;
        let _registry = Running::start(scene, Command::new("docker-registry").arg("serve").arg(&file))?;
        until(Duration::from_secs(20), "the registry answers", || Ok(TcpStream::connect(("127.0.0.1", port)).is_ok()))?;
        let reference = format!("docker://127.0.0.1:{port}/migration/ferry-transfer:1");
        let copy = |from: &str, to: &str| {
            let mut command = Command::new("skopeo");
            command.args(["--insecure-policy", "copy", "--quiet", "--src-tls-verify=false", "--dest-tls-verify=false"]);
            must(scene, command.args([from, to])).map(drop)
        };
        copy(&format!("oci-archive:{}", built.archive.display()), &reference)?;
        let back = scene.path("back");
        copy(&reference, &format!("oci:{}:back", back.display()))?;
        let digest = |index: &Path| -> Result<String> {
            let index: Value = serde_json::from_slice(&std::fs::read(index)?)?;
            let digest = index.pointer("/manifests/0/digest").and_then(Value::as_str);
            Ok(digest.context("an index names a digest")?.to_owned())
        };
        let (there, here) = (digest(&back.join("index.json"))?, digest(&built.layout.join("index.json"))?);
        ensure!(there == here, "the registry gave {there} for {here}");
        Ok(())
    })
}

/// One command in a container of the image; its exit code and what it printed.
fn inside(scene: &Scene, security: Security, command: &[&str]) -> Result<(i32, String)> {
    let root = Root::ours(scene)?;
    let namespace = Namespace::new(scene)?;
    let etc = scene.fresh("etc", "");
    std::fs::create_dir(&etc)?;
    for name in ["hosts", "resolv.conf", "hostname"] {
        std::fs::write(etc.join(name), "")?;
    }
    let spec = ContainerSpec {
        name: "inside",
        command: command.iter().map(|word| (*word).to_owned()).collect(),
        env: vec![("id-0123".to_owned(), "kept".to_owned())],
        volumes: Vec::new(),
        devices: Vec::new(),
        security,
    };
    let sandbox = Sandbox { network: namespace.path(), etc };
    let mut container = Container::start(scene, &root, &sandbox, &spec)?;
    until(Duration::from_secs(20), "the container ends", || Ok(container.exit()?.is_some()))?;
    Ok((container.exit()?.unwrap_or(-1), container.log()?))
}

#[test]
fn its_programs_start_with_a_read_only_root_and_as_anybody() -> Result<()> {
    Built::get()?;
    within(60, |scene| {
        for security in [Security::RootDropped, Security::Restricted] {
            let said = inside(scene, security, &["/usr/bin/ferry", "--version"])?;
            ensure!(said == (0, format!("ferry {}\n", env!("CARGO_PKG_VERSION"))), "{security:?}: {said:?}");
            // What the wrappers need of the shell: its clock, its trap, and names of the environment that are no identifiers.
            let script = "trap 'echo trapped' EXIT SIGINT SIGTERM; [ $SECONDS -lt 5 ] && type -P ferry && exit 7";
            let said = inside(scene, security, &["/bin/bash", "-c", script])?;
            ensure!(said == (7, "/usr/bin/ferry\ntrapped\n".to_owned()), "{security:?}: {said:?}");
        }
        Ok(())
    })
}
