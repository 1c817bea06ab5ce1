//! Tunnels and what stands at their ends: configurations as the operator renders them, the shared certificate, our stunnel
//! and Debian's, a plain server behind and a plain client before. It refuses to know how a tunnel is made.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::command::{Running, must, run, until};
use crate::ferry::Ferry;
use crate::ports;
use crate::scene::Scene;

/// How long a plain client waits for each piece of an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Whose stunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The binary under test, called `stunnel`.
    Ours,
    /// Debian's.
    Stock,
}

/// The certificates of a test, made once a process: RSA keys take a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// What the operator gives both sides.
    Shared,
    /// Of the same name and form, with another key: left over from an earlier migration.
    Stale,
}

/// Makes the directory `name` with `tls.crt`, `tls.key` and `ca.crt`, self-signed as the operator makes them.
///
/// # Errors
/// When openssl fails.
pub fn certificates(scene: &Scene, name: &str, which: Which) -> Result<PathBuf> {
    static MADE: [OnceLock<(Vec<u8>, Vec<u8>)>; 2] = [OnceLock::new(), OnceLock::new()];
    let (slot, bits) = match which {
        Which::Shared => (&MADE[0], "rsa:4096"),
        Which::Stale => (&MADE[1], "rsa:2048"),
    };
    let dir = scene.dir(name)?;
    let (certificate, key) = (dir.join("tls.crt"), dir.join("tls.key"));
    if let Some((certificate_bytes, key_bytes)) = slot.get() {
        std::fs::write(&certificate, certificate_bytes)?;
        std::fs::write(&key, key_bytes)?;
    } else {
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-newkey", bits, "-nodes", "-days", "3650", "-subj", "/CN=openshift.io"]);
        openssl
            .args(["-addext", "basicConstraints=critical,CA:TRUE"])
            .arg("-keyout")
            .arg(&key)
            .arg("-out")
            .arg(&certificate);
        must(scene, &mut openssl)?;
        // Another test may have been faster: either pair is as good.
        let _ = slot.set((std::fs::read(&certificate)?, std::fs::read(&key)?));
        let (certificate_bytes, key_bytes) = slot.get().context("nothing was made")?;
        std::fs::write(&certificate, certificate_bytes)?;
        std::fs::write(&key, key_bytes)?;
    }
    std::fs::copy(&certificate, dir.join("ca.crt"))?;
    Ok(dir)
}

/// The server's configuration, as all versions render it.
#[must_use]
pub fn server_conf(certificates: &Path, accept: u16, connect: u16) -> String {
    let dir = certificates.display();
    format!(
        "foreground = yes\npid =\nsocket = l:TCP_NODELAY=1\nsocket = r:TCP_NODELAY=1\ndebug = 7\nsslVersion = TLSv1.2\n\
         [rsync]\naccept = {accept}\nconnect = {connect}\nkey = {dir}/tls.key\ncert = {dir}/tls.crt\nTIMEOUTclose = 0\n"
    )
}

/// The client's configuration of 1.6 to 1.8 with `foreground`, so that a test holds on to the process.
#[must_use]
pub fn client_conf(certificates: &Path, accept: u16, connect: &str) -> String {
    format!(" foreground = yes\n{}", client_conf_1_6(certificates, accept, connect))
}

/// The client's configuration of 1.6 to 1.8, to the letter.
#[must_use]
pub fn client_conf_1_6(certificates: &Path, accept: u16, connect: &str) -> String {
    let dir = certificates.display();
    format!(
        "\n pid =\n sslVersion = TLSv1.2\n client = yes\n syslog = no\n output = /dev/stdout\n [rsync]\n debug = 7\n \
         accept = {accept}\n cert = {dir}/tls.crt\n key = {dir}/tls.key\n connect = {connect}\n"
    )
}

/// The client's configuration of 1.4.0, to the letter.
#[must_use]
pub fn client_conf_1_4(certificates: &Path, accept: u16, connect: &str) -> String {
    let dir = certificates.display();
    format!(
        "foreground = yes\npid =\nsslVersion = TLSv1.2\nclient = yes\nsyslog = no\n[rsync]\naccept = {accept}\n\
         CAFile = {dir}/ca.crt\ncert = {dir}/tls.crt\nconnect = {connect}\nverify = 2\nkey = {dir}/tls.key\n"
    )
}

/// The client's configuration of 1.5, to the letter.
#[must_use]
pub fn client_conf_1_5(certificates: &Path, accept: u16, connect: &str) -> String {
    let dir = certificates.display();
    format!(
        "pid =\nsslVersion = TLSv1.2\nclient = yes\nsyslog = no\noutput = /dev/stdout\n[rsync]\ndebug = 7\n\
         accept = localhost:{accept}\nCAFile = {dir}/ca.crt\ncert = {dir}/tls.crt\nconnect = {connect}\nverify = 2\n\
         key = {dir}/tls.key\n"
    )
}

/// `conf` by way of a proxy, as the versions that know proxies render it.
#[must_use]
pub fn by_proxy(conf: &str, proxy: u16, credentials: Option<(&str, &str)>) -> String {
    let mut changed = String::new();
    for line in conf.lines() {
        match line.split_once("connect = ") {
            Some((_, to)) => {
                let _ = writeln!(changed, "protocol = connect\nconnect = 127.0.0.1:{proxy}\nprotocolHost = {to}");
                if let Some((user, password)) = credentials {
                    let _ = writeln!(changed, "protocolUsername = {user}\nprotocolPassword = {password}");
                }
            }
            None => {
                let _ = writeln!(changed, "{line}");
            }
        }
    }
    changed
}

/// The command of a stunnel with this configuration, and its file.
///
/// # Errors
/// When the file cannot be written or the binary is missing.
pub fn command(scene: &Scene, whose: Whose, conf: &str) -> Result<(Command, PathBuf)> {
    let file = scene.fresh("stunnel", ".conf");
    std::fs::write(&file, conf)?;
    let mut command = match whose {
        Whose::Stock => Command::new("stunnel4"),
        Whose::Ours => Command::new(called(scene, "stunnel")?),
    };
    command.arg(&file).env_remove("FERRY_LOG");
    Ok((command, file))
}

/// The binary under test by another name.
///
/// # Errors
/// When it is missing.
pub fn called(scene: &Scene, name: &str) -> Result<PathBuf> {
    let link = scene.dir("bin")?.join(name);
    if !link.exists() {
        std::os::unix::fs::symlink(Ferry::new(scene)?.binary(), &link)?;
    }
    Ok(link)
}

/// Starts a stunnel that stays in the foreground and waits until it listens on `port`.
///
/// # Errors
/// When it ends or does not listen.
pub fn start<'s>(scene: &'s Scene, whose: Whose, conf: &str, port: u16) -> Result<Running<'s>> {
    let (mut command, _) = command(scene, whose, conf)?;
    start_command(scene, &mut command, port)
}

/// Starts a command that will listen on `port`, in whatever network namespace.
///
/// # Errors
/// When it ends or does not listen.
pub fn start_command<'s>(scene: &'s Scene, command: &mut Command, port: u16) -> Result<Running<'s>> {
    let mut running = Running::start(scene, command).context("is stunnel4 installed?")?;
    let pid = running.pid();
    running.wait_for(Duration::from_secs(20), |_, _| ports::is_listening_where(pid, port).then_some(()))?;
    Ok(running)
}

/// `command` after some words of shell in namespaces of its own, as options of unshare.
#[must_use]
pub fn apart(unshare: &[&str], before: &str, command: &Command) -> Command {
    let mut wrapped = Command::new("unshare");
    wrapped.args(unshare).args(["--", "sh", "-c", &format!("{before}; exec \"$@\""), "sh"]);
    wrapped.arg(command.get_program()).args(command.get_args());
    wrapped
}

/// Processes whose command line names `file`: a daemon that left its parent.
#[must_use]
pub fn daemons_of(file: &Path) -> Vec<u32> {
    let named = |pid: &u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).split('\0').any(|word| Path::new(word) == file)
    };
    let pids = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(named).collect()
}

/// Sends a signal to a process that is no child of ours.
///
/// # Errors
/// When it is gone.
pub fn signal(pid: u32, signal: Signal) -> Result<()> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).context("no such pid")?;
    kill_process(pid, signal).context("cannot signal it")
}

/// Waits until a process that is no child of ours is gone; one that nobody has waited for is gone too.
///
/// # Errors
/// When it is not within `limit`.
pub fn await_end(pid: u32, limit: Duration) -> Result<()> {
    until(limit, &format!("process {pid} ends"), || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        Ok(stat.rsplit(')').next().is_none_or(|rest| rest.trim_start().starts_with(['Z', 'X']) || rest.is_empty()))
    })
}

/// Processor time a process has used, in hundredths of a second.
///
/// # Errors
/// When it is gone.
pub fn cpu_ticks(pid: u32) -> Result<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let mut fields = stat.rsplit(')').next().context("no stat")?.split_ascii_whitespace().skip(11);
    let mut next = || fields.next().and_then(|field| field.parse::<u64>().ok()).context("no times");
    Ok(next()? + next()?)
}

/// A plain server behind a tunnel: what it does with each connection is told to it.
#[derive(Debug)]
pub struct Plain {
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
    stop: Arc<AtomicBool>,
    met: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl Plain {
    /// Starts one.
    ///
    /// # Errors
    /// When no port is free.
    pub fn start(serve: fn(TcpStream) -> std::io::Result<()>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let (stop, met) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (inner_stop, inner_met) = (Arc::clone(&stop), Arc::clone(&met));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if inner_stop.load(Ordering::Relaxed) {
                    break;
                }
                inner_met.fetch_add(1, Ordering::Relaxed);
                std::thread::spawn(move || {
                    let _ = stream.set_read_timeout(Some(PATIENCE));
                    let _ = stream.set_write_timeout(Some(PATIENCE));
                    // What breaks is seen at the other end.
                    let _ = serve(stream);
                });
            }
        });
        Ok(Self { port, stop, met, thread: Some(thread) })
    }

    /// How many connections it met.
    #[must_use]
    pub fn met(&self) -> usize {
        self.met.load(Ordering::Relaxed)
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // One more connection wakes the listener up to see that it is over.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Sends back what comes, as it comes, and ends when the other side does.
///
/// # Errors
/// What the socket said.
pub fn echo(mut stream: TcpStream) -> std::io::Result<()> {
    let mut from = stream.try_clone()?;
    std::io::copy(&mut from, &mut stream)?;
    stream.shutdown(Shutdown::Write)
}

/// A plain client's connection.
///
/// # Errors
/// When nobody listens.
pub fn dial(port: u16) -> Result<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", port)).with_context(|| format!("nobody at port {port}"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Says `words`, stays, and returns what came until the other side ended.
///
/// # Errors
/// When the connection breaks.
pub fn ask(port: u16, words: &[u8]) -> Result<String> {
    let mut stream = dial(port)?;
    stream.write_all(words)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// What comes back for `words` from `address` in the network namespace of the process `pid`, until the other side ended.
///
/// # Errors
/// When it takes longer than half a minute.
pub fn ask_inside(scene: &Scene, pid: u32, address: &str, port: u16, words: &str) -> Result<String> {
    let mut asking = Command::new("nsenter");
    asking.arg(format!("--net=/proc/{pid}/ns/net")).args(["bash", "-c"]);
    asking.arg(format!("exec 3<>/dev/tcp/{address}/{port}; echo '{words}' >&3; cat <&3"));
    Ok(run(scene, &mut asking, PATIENCE)?.text())
}

/// Whether bytes go through and come back.
///
/// # Errors
/// When they do not.
pub fn must_echo(port: u16) -> Result<()> {
    let mut stream = dial(port)?;
    stream.write_all(b"there and back")?;
    let mut answer = [0; 14];
    stream.read_exact(&mut answer).context("nothing came back")?;
    ensure!(&answer == b"there and back", "something else came back: {}", answer.escape_ascii());
    Ok(())
}
