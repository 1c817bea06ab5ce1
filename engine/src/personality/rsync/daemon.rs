//! `rsync --daemon`: receives volumes into the modules of rsyncd.conf, through rsync's port.
//!
//! Stays in the foreground and serves as the user it was started as, in the file system it was started in: `uid`, `gid`
//! that name somebody else are refused, `use chroot` is not needed, for nothing outside of a module is ever touched. A
//! mistake in the configuration ends it before it listens.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use super::asked::{DaemonAsked, PORT};
use super::conf::{Conf, Host, ModuleConf, secrets};
use super::ending::{self, Code, Ending, User};
use super::run::{self, Teller, no_runtime};
use crate::personality::files;
use crate::session::{self, Door, Progress, ReceiveRun};
use crate::tunnel::{self, Allowed, Module, Password, PortDoor, PortModule};
use crate::types::{Bounds, RunId, StatePlace, VolumeName};
use crate::volume::places;

/// Where the configuration is, unless it is named.
const CONFIG: &str = "/etc/rsyncd.conf";

/// What is served.
struct Served {
    modules: Vec<PortModule>,
    volumes: Vec<(VolumeName, PathBuf)>,
}

/// Serves until it is stopped.
pub fn run(asked: &DaemonAsked, teller: &Arc<Teller>) -> ExitCode {
    if let Err(ending) = start_log() {
        return teller.end(&ending);
    }
    let progress = Arc::new(Progress::default());
    let served = run::block_on(teller, |stop| {
        let progress = Arc::clone(&progress);
        let teller = Arc::clone(teller);
        async move {
            let (run, listens) = prepare(asked, &teller).await?;
            teller.say(&format!("rsyncd: ferry listens on {listens}"));
            Ok(session::receive(run, progress, stop).await)
        }
    });
    match served {
        Ok(Ok(report)) => teller.end(&Ending::of(&report, run::user())),
        Ok(Err(ending)) => teller.end(&ending),
        Err(error) => teller.end(&no_runtime(&error)),
    }
}

async fn prepare(asked: &DaemonAsked, teller: &Teller) -> Result<(ReceiveRun, String), Ending> {
    let syntax = |text: String| Ending::with(Code::Syntax, text);
    let path = asked.config.as_deref().unwrap_or(Path::new(CONFIG));
    let text = files::read(path).map_err(|error| syntax(error.to_string()))?;
    let conf = Conf::parse(&text).map_err(|error| syntax(format!("{}: {error}", files::shown(path))))?;
    for note in &conf.notes {
        teller.say(&format!("rsyncd: {}: {note}", files::shown(path)));
    }
    let mut served = Served { modules: Vec::new(), volumes: Vec::new() };
    for module in &conf.modules {
        let wrong =
            |what: String| syntax(format!("{}: line {}: [{}]: {what}", files::shown(path), module.line, module.name));
        if module.read_only {
            teller.say(&format!("rsyncd: [{}] is read only and not served: ferry only receives", module.name));
            continue;
        }
        served.add(module, teller).await.map_err(wrong)?;
    }
    if served.modules.is_empty() {
        return Err(syntax(format!(
            "{} has no module that may be written; add [NAME], path and read only = no",
            files::shown(path)
        )));
    }
    let places = served.volumes.iter().map(|(name, path)| (name.as_str(), path.as_path()));
    places::all_apart(places).map_err(|error| syntax(error.to_string()))?;
    let port = asked.port.or(conf.port).unwrap_or(PORT);
    let address = asked.address.as_deref().or(conf.address.as_deref());
    let door = bind(address, port, &served.modules)?;
    let listens = door.local_addr().map_or_else(|_| format!("port {port}"), |address| address.to_string());
    let run: RunId = run::run_id().ok_or_else(|| Ending::with(Code::FileIo, "internal error: this run has no name"))?;
    let run = ReceiveRun {
        run,
        door: Door::Port(door),
        volumes: served.volumes,
        // A sender that is root does not know that this side is not, and what that loses is no failure.
        bounds: Bounds { accept_loss: ending::accepted(run::user()), ..Bounds::default() },
        state: StatePlace::None,
        once: false,
        idle_exit: None,
        ticket_expires: None,
    };
    Ok((run, listens))
}

impl Served {
    async fn add(&mut self, conf: &ModuleConf, teller: &Teller) -> Result<(), String> {
        serves_as(conf, run::user())?;
        let module = Module::new(&conf.name).map_err(|error| error.to_string())?;
        let volume = module.volume().map_err(|error| error.to_string())?;
        places::source(&conf.path).map_err(|error| error.to_string())?;
        let users = users(conf)?;
        let allowed = allowed(conf, teller).await?;
        self.volumes.push((volume.clone(), conf.path.clone()));
        self.modules.push(PortModule { module, volume, users, allowed });
        Ok(())
    }
}

/// Files are written as whoever runs this; a configuration that names another is not followed in silence.
fn serves_as(conf: &ModuleConf, user: User) -> Result<(), String> {
    let names = |said: &Option<String>, ours: u32| {
        said.as_deref().is_none_or(|said| said == ours.to_string() || (ours == 0 && said == "root") || said == "*")
    };
    // Whoever is not root cannot become anybody else, and rsync does not try.
    if user.uid == 0 && !(names(&conf.uid, user.uid) && names(&conf.gid, user.gid)) {
        let text = "uid and gid name another user than the one this runs as; start it as that user, or write root";
        return Err(text.to_owned());
    }
    Ok(())
}

/// The passwords of the users that may come in.
fn users(conf: &ModuleConf) -> Result<Vec<(String, Password)>, String> {
    if conf.users.is_empty() {
        return Ok(Vec::new());
    }
    let path = conf.secrets.as_deref().ok_or("auth users without a secrets file; add secrets file = FILE")?;
    let text = files::read_secret(path).map_err(|error| error.to_string())?;
    let known = secrets(&text).map_err(|error| format!("{}: {error}", files::shown(path)))?;
    let password = |user: &String| Some((user.clone(), Password::new(known.get(user)?.as_bytes())?));
    let users: Vec<(String, Password)> = conf.users.iter().filter_map(password).collect();
    // With none the module would be open to everybody.
    if users.is_empty() {
        return Err(format!("{} has no password of any of the auth users; add USER:PASSWORD", files::shown(path)));
    }
    Ok(users)
}

async fn allowed(conf: &ModuleConf, teller: &Teller) -> Result<Allowed, String> {
    let Some(hosts) = &conf.hosts else { return Ok(Allowed::Everybody) };
    let mut networks = Vec::new();
    for host in hosts {
        match host {
            Host::All => return Ok(Allowed::Everybody),
            Host::Network(ip, bits) => networks.push((*ip, *bits)),
            // It is the loopback whether or not somebody can look it up.
            Host::Name(name) if name.eq_ignore_ascii_case("localhost") => {
                networks.extend([(IpAddr::from([127, 0, 0, 1]), 32), (IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]), 128)]);
            }
            Host::Name(name) => {
                let host = tunnel::Host::parse(name).map_err(|error| error.to_string())?;
                match tunnel::resolve(&host).await {
                    Ok(found) => networks.extend(found.into_iter().map(|ip| (ip, if ip.is_ipv4() { 32 } else { 128 }))),
                    Err(error) => {
                        teller.say(&format!(
                            "rsyncd: [{}] lets nobody in as {name}, which has no address: {error}",
                            conf.name
                        ));
                    }
                }
            }
        }
    }
    Ok(Allowed::Networks(networks))
}

/// Listens on the address, or on all of both families; of IPv4 alone where the system has no IPv6.
fn bind(address: Option<&str>, port: u16, modules: &[PortModule]) -> Result<PortDoor, Ending> {
    let text = |host: &str| if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    let bound = match address {
        Some(address) => PortDoor::bind(&text(address), modules.to_vec()),
        None => PortDoor::bind(&text("::"), modules.to_vec()).or_else(|error| match &error {
            tunnel::BindError::Listen { source, .. } if source.kind() != std::io::ErrorKind::AddrInUse => {
                PortDoor::bind(&text("0.0.0.0"), modules.to_vec())
            }
            _ => Err(error),
        }),
    };
    bound.map_err(|error| {
        let cause = std::error::Error::source(&error).map_or_else(String::new, |cause| format!(": {cause}"));
        Ending::with(Code::Socket, format!("{error}{cause}; name a free port with --port"))
    })
}

/// Sessions as they come and go, on standard output: a container's log.
fn start_log() -> Result<(), Ending> {
    let said = std::env::var("FERRY_LOG").ok().filter(|value| !value.is_empty());
    let directives = said.as_deref().unwrap_or("warn,ferry_engine::session=info");
    let filter = tracing_subscriber::EnvFilter::try_new(directives)
        .map_err(|error| Ending::with(Code::Syntax, format!("FERRY_LOG={directives} is no filter: {error}")))?;
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_target(false)
        .with_writer(std::io::stdout);
    // Fails only when something else logs already, which in this process nothing does.
    let _ = tracing::subscriber::set_global_default(subscriber.finish());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conf(text: &str) -> ModuleConf {
        Conf::parse(&format!("[m]\npath = /m\n{text}")).unwrap().modules.remove(0)
    }

    #[test]
    fn another_user_than_ours_is_not_passed_over() {
        let root = User { uid: 0, gid: 0 };
        for (text, fine) in [
            ("", true),
            ("uid = root\ngid = root", true),
            ("uid = 0\ngid = 0", true),
            ("uid = nobody", false),
            ("gid = 99", false),
        ] {
            assert_eq!(serves_as(&conf(text), root).is_ok(), fine, "{text}");
        }
        assert!(serves_as(&conf("uid = root\ngid = root"), User { uid: 1000, gid: 0 }).is_ok());
    }

    #[test]
    fn users_without_a_password_are_an_error_and_never_an_open_module() {
        assert_eq!(users(&conf("")), Ok(Vec::new()));
        assert!(users(&conf("auth users = root")).is_err());
        assert!(users(&conf("auth users = root\nsecrets file = /nonexistent")).is_err());
    }

    #[tokio::test]
    async fn hosts_become_networks() {
        let teller = Teller::new();
        assert_eq!(allowed(&conf(""), &teller).await, Ok(Allowed::Everybody));
        assert_eq!(allowed(&conf("hosts allow = 10.0.0.1, *"), &teller).await, Ok(Allowed::Everybody));
        let local = allowed(&conf("hosts allow = ::1, 127.0.0.1, localhost"), &teller).await.unwrap();
        let inside = |text: &str| local.contains(text.parse().unwrap());
        assert!(inside("127.0.0.1") && inside("::1") && !inside("10.0.0.1") && !inside("127.0.0.2"));
    }
}
