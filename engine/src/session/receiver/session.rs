//! One session of the receiver: admit, welcome, take lanes as they come, run the threads, end.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{mpsc as lanes, oneshot};
use tokio::task::{JoinHandle, JoinSet};

use crate::delta::{Anchors, session_key};
use crate::plan::{Excludes, XattrPolicy};
use crate::session::crew::Crew;
use crate::session::error::SessionError;
use crate::session::fate::{EXPLANATION, Fate, lock};
use crate::session::sender::random;
use crate::tunnel::{Inbox, Outbox};
use crate::types::{Bounds, Epoch, LeafKey, Options, Outcome, RootAttrs, SessionKey, Token, limits};
use crate::volume::{self, Lock, Volume, keeps_selinux};
use crate::wire::{FEATURE_BASELINE, FEATURE_ZSTD, Hello, Message, PassKind, Refuse, RefuseReason, Report, Welcome};

use super::alike::Alike;
use super::basis::{self, BasisQueue, Question};
use super::batches::Batches;
use super::cache::{LeafCache, OpenedCache};
use super::context::Receiving;
use super::ctimes::{Ctimes, Terms};
use super::generator::{Generator, Order};
use super::inodes::Inodes;
use super::ledger::Ledger;
use super::links::Links;
use super::registry::{Registry, Slot};
use super::single::{self, Opened, Single};
use super::writer::{LaneQueue, Writer};

/// How long the last words to a peer may take, and how long it may take to go.
const LEAVE_DEADLINE: Duration = Duration::from_secs(2);

/// Messages without credit that a sender has reason to send before it hears of the first: the begin and end of a pass.
const UNCREDITED_MAX: u32 = 2;

/// A lane that was admitted to a session.
pub type AdmittedLane = (Outbox, Inbox);

/// How a session ended.
pub struct SessionEnd {
    pub result: Result<Report, SessionError>,
    /// The sender said that it has the report.
    pub goodbye: bool,
}

/// A volume made ready for a session.
struct Ready {
    volume: Arc<Volume>,
    /// Held until the session's last thread is gone.
    lock: Lock,
    options: Options,
    excludes: Excludes,
    notes: Vec<String>,
    empty: bool,
    missing: bool,
    single: Option<Single>,
    copies_root: bool,
    cache: LeafCache,
    ctimes: Ctimes,
    /// The key of what is remembered.
    leaf_key: Option<LeafKey>,
}

/// Serves one session from its hello to its end.
pub async fn run(
    registry: &Registry,
    slot: &Slot,
    fate: Fate,
    control: Outbox,
    inbox: Inbox,
    hello: Hello,
) -> SessionEnd {
    let ended = |error| SessionEnd { result: Err(error), goodbye: false };
    let mut ready = match prepare(registry, slot, &hello) {
        Ok(ready) => ready,
        Err(refuse) => {
            let error = SessionError::Refused { reason: refuse.reason, text: refuse.text.clone() };
            refuse_politely(control, inbox, refuse).await;
            return ended(error);
        }
    };
    let (epoch, token, nonce, leaf_key) = match (random::<8>(), random::<16>(), random::<16>(), random::<32>()) {
        (Ok(epoch), Ok(token), Ok(nonce), Ok(leaf_key)) => {
            (Epoch(u64::from_be_bytes(epoch)), Token(token), nonce, ready.leaf_key.unwrap_or(LeafKey(leaf_key)))
        }
        _ => return ended(SessionError::Internal("the system gives no random bytes")),
    };
    let (admit, admitted) = lanes::channel(limits::LANES_MAX);
    let lanes_allowed = hello.lanes.min(limits::LANES_MAX as u8);
    registry.expect_lanes(epoch, token, lanes_allowed, admit);
    let welcome = Welcome {
        features: (hello.features & FEATURE_ZSTD) | if ready.ctimes.remembers() { FEATURE_BASELINE } else { 0 },
        epoch,
        token,
        nonce,
        leaf_key,
        lanes: lanes_allowed,
        empty: ready.empty,
        nothing_deleted: hello.options.delete && !ready.options.delete,
        notes: ready.notes.clone(),
        baseline: ready.ctimes.given(),
    };
    let key = session_key(&hello.nonce, &nonce, epoch);
    let receiving = receiving(registry, slot, &hello, &mut ready, &fate, &control, (epoch, leaf_key, key));
    for note in &ready.notes {
        receiving.tally.note(note);
    }
    let _ = control.post(Message::Welcome(welcome).encode());
    receiving.tally.touch();
    let end = converse(registry, &receiving, ready.excludes, inbox, admitted).await;
    receiving.tally.touch();
    registry.forget_lanes(epoch);
    drop(ready.lock);
    end
}

/// What the threads of the session share.
#[expect(clippy::too_many_arguments, reason = "the session's parts, put together once")]
fn receiving(
    registry: &Registry,
    slot: &Slot,
    hello: &Hello,
    ready: &mut Ready,
    fate: &Fate,
    control: &Outbox,
    (epoch, leaf_key, session_key): (Epoch, LeafKey, SessionKey),
) -> Arc<Receiving> {
    Arc::new(Receiving {
        fate: fate.clone(),
        xattrs: xattr_policy(&ready.options, &registry.bounds),
        volume: Arc::clone(&ready.volume),
        options: ready.options.clone(),
        bounds: registry.bounds.clone(),
        epoch,
        leaf_key,
        anchors: Anchors::new(&leaf_key),
        session_key,
        control: control.clone(),
        ledger: Ledger::default(),
        batches: Batches::default(),
        links: Links::default(),
        inodes: Inodes::default(),
        alike: Alike::default(),
        basis: BasisQueue::new(fate),
        cache: std::mem::take(&mut ready.cache),
        ctimes: std::mem::take(&mut ready.ctimes),
        tally: slot.tally_of(&hello.run),
        peer: Mutex::default(),
        progress: Arc::clone(&registry.progress),
        takes_compressed: hello.features & FEATURE_ZSTD != 0,
        copies_root: ready.copies_root,
        empty: ready.empty,
        missing: ready.missing,
        single: ready.single.take(),
        unasked: AtomicBool::new(false),
        uncredited: AtomicU32::new(0),
        reported: AtomicBool::new(false),
        pass: Mutex::new(PassKind::Transfer),
        seeks_moves: AtomicBool::new(false),
        newcomers: AtomicU64::new(0),
        refuses_clear: slot.refuses_clear(),
        blocked: AtomicBool::new(false),
        incomplete: AtomicBool::new(false),
        mistrusts_deltas: AtomicBool::new(false),
        compares_again: AtomicBool::new(false),
        told_of_room: AtomicBool::new(false),
        temporaries: AtomicU64::new(0),
        written: AtomicU64::new(0),
    })
}

/// The sender wants to know more of a basis.
fn asked(receiving: &Receiving, question: Question) -> Result<(), SessionError> {
    if receiving.basis.ask(question) {
        return Ok(());
    }
    Err(SessionError::Protocol("it asks about a file that is not compared, or too much at once".to_owned()))
}

/// What a peer is told that a session failed with `error`; nothing when it knows, or does not listen any more.
fn farewell(error: &SessionError) -> Farewell {
    match error {
        SessionError::Link(_) => Farewell::Gone,
        SessionError::Aborted { .. } => Farewell::Silent,
        error => Farewell::Say(Message::Abort { outcome: error.outcome(), text: error.sentence() }.encode()),
    }
}

enum Farewell {
    Gone,
    Silent,
    Say(Vec<u8>),
}

/// Ends the control connection: everything said is delivered, a failure is told.
async fn leave(control: Outbox, farewell: Option<Farewell>, mut follower: JoinHandle<()>) {
    let gone = matches!(farewell, Some(Farewell::Gone));
    if let Some(Farewell::Say(abort)) = farewell {
        let _ = control.post(abort);
    }
    if !gone {
        let _ = tokio::time::timeout(LEAVE_DEADLINE, control.clone().finish()).await;
        // What the peer still sends is read, or a reset would destroy what it was told last.
        let _ = tokio::time::timeout(LEAVE_DEADLINE, &mut follower).await;
    }
    follower.abort();
    control.kill();
}

/// Answers a hello or a lane with a refusal, and closes.
pub async fn refuse_politely(outbox: Outbox, inbox: Inbox, refuse: Refuse) {
    let _ = outbox.post(Message::Refuse(refuse).encode());
    let _ = tokio::time::timeout(LEAVE_DEADLINE, outbox.clone().finish()).await;
    let _ = tokio::time::timeout(LEAVE_DEADLINE, inbox.read_away()).await;
    outbox.kill();
}

/// Opens the volume and settles what this session may do.
fn prepare(registry: &Registry, slot: &Slot, hello: &Hello) -> Result<Ready, Refuse> {
    let unusable = |text: String| Refuse { reason: RefuseReason::Unusable, text };
    let Opened { volume, missing, single, mut notes } = single::open(slot, hello)?;
    let lock = volume
        .lock()
        .map_err(|e| unusable(format!("cannot lock the volume {}: {e}", slot.name)))?
        .ok_or_else(|| busy(&format!("another process receives into the volume {}", slot.name)))?;
    let excludes = Excludes::new(&hello.options.excludes)
        .map_err(|e| Refuse { reason: RefuseReason::Malformed, text: e.to_string() })?;
    let mut options = hello.options.clone().bounded(&registry.bounds);
    let (empty, copies_root) = match &single {
        Some(single) => {
            options = single::options(options, hello.source);
            if !options.dry_run {
                single.clear(&volume).map_err(|e| unusable(format!("cannot use the volume {}: {e}", slot.name)))?;
            }
            (false, false)
        }
        None => {
            let (copies_root, root_note) = root_attributes(&volume, options.root_attrs);
            notes.extend(root_note);
            (
                volume.is_empty().map_err(|e| unusable(format!("cannot list the volume {}: {e}", slot.name)))?,
                copies_root,
            )
        }
    };
    if hello.options.delete && !options.delete {
        notes.push("the receiver was started with --no-delete: nothing is deleted".to_owned());
    }
    if hello.options.xattrs && registry.bounds.no_xattrs {
        notes.push("the receiver was started with --no-xattrs: extended attributes are not set".to_owned());
    }
    let keeps_owners = options.owner == crate::types::OwnerPolicy::Keep && volume.block_device().is_none();
    if !volume.privilege().chown && keeps_owners {
        notes.push(format!(
            "the receiver runs as uid {} without CAP_CHOWN: foreign owners cannot be kept and are counted as loss",
            volume.privilege().euid
        ));
    }
    let OpenedCache { cache, key: leaf_key, notes: more } =
        LeafCache::open(&registry.state, slot.name.as_str(), &volume, &options);
    notes.extend(more);
    let terms = Terms {
        hello,
        options: &options,
        bounds: &registry.bounds,
        xattrs: xattr_policy(&options, &registry.bounds),
        copies_root,
        empty: empty || missing,
    };
    let mut ctimes = Ctimes::default();
    if cache.keeps() {
        let opened = Ctimes::open(&registry.state, slot.name.as_str(), &volume, &terms);
        notes.extend(opened.1);
        ctimes = opened.0;
    }
    Ok(Ready {
        volume: Arc::new(volume),
        lock,
        options,
        excludes,
        notes,
        empty: empty && !missing,
        missing,
        single,
        copies_root,
        cache,
        ctimes,
        leaf_key,
    })
}

/// Which extended attributes this session copies.
fn xattr_policy(options: &Options, bounds: &Bounds) -> XattrPolicy {
    XattrPolicy { enabled: options.xattrs, selinux: keeps_selinux(options.selinux), no_setuid: bounds.no_setuid }
}

pub fn busy(text: &str) -> Refuse {
    Refuse { reason: RefuseReason::Busy, text: text.to_owned() }
}

/// Whether the root directory gets the source's attributes, and what to say if that is not what one expects.
fn root_attributes(volume: &Volume, asked: RootAttrs) -> (bool, Option<String>) {
    match asked {
        RootAttrs::Copy => (true, None),
        RootAttrs::Keep => (false, None),
        RootAttrs::Auto => {
            let group_owned = volume
                .root()
                .status()
                .is_ok_and(|s| s.owner.uid() == 0 && s.owner.gid() != 0 && s.mode.bits() & 0o2000 != 0);
            if volume.privilege().chown && !group_owned {
                return (true, None);
            }
            let why = if group_owned { "it is a group-owned setgid directory" } else { "we may not change owners" };
            (false, Some(format!("the root directory's own attributes are left as they are: {why} (--root-attrs)")))
        }
    }
}

/// Runs the threads and tasks until the report or the first failure, and waits for all of them.
async fn converse(
    registry: &Registry,
    receiving: &Arc<Receiving>,
    excludes: Excludes,
    inbox: Inbox,
    admitted: lanes::Receiver<AdmittedLane>,
) -> SessionEnd {
    let fate = receiving.fate.clone();
    let crew = Arc::new(Crew::new(&fate));
    let mut tasks = JoinSet::new();
    let (orders, to_follow) = mpsc::channel();
    let (tell, mut told) = oneshot::channel();
    let generator = Generator::new(Arc::clone(receiving), to_follow, excludes);
    crew.spawn("ferry-generate", move || {
        volume::stand_alone();
        let report = generator.run()?;
        let _ = tell.send(report);
        Ok(())
    });
    let basis = Arc::clone(receiving);
    crew.spawn("ferry-basis", move || basis::run(&basis));
    let (said_goodbye, mut goodbye) = oneshot::channel();
    let follower = tokio::spawn(follow(inbox, Arc::clone(receiving), orders, said_goodbye));
    tasks.spawn(take_lanes(admitted, Arc::clone(receiving), Arc::clone(&crew)));

    let report = tokio::select! {
        biased;
        report = &mut told => report.ok(),
        () = fate.ended() => None,
        signal = registry.stop.wait() => { fate.fail(SessionError::Stopped(signal)); None }
    };
    let mut parted = false;
    if report.is_some() {
        parted = tokio::time::timeout(limits::GOODBYE_DEADLINE, &mut goodbye).await.is_ok_and(|said| said.is_ok());
    }
    fate.conclude();
    let result = match (report, fate.take_error()) {
        (Some(report), _) => Ok(report),
        (None, Some(error)) => Err(error),
        (None, None) => Err(SessionError::Internal("the session ended without a report")),
    };
    let leaving = leave(receiving.control.clone(), result.as_ref().err().map(farewell), follower);
    match &result {
        // The older sender may live still, and must hear that it is not to come back; the newer one does not wait for that.
        Err(SessionError::TakenOver) => drop(tokio::spawn(leaving)),
        _ => leaving.await,
    }
    tasks.shutdown().await;
    if let Some(crew) = Arc::into_inner(crew) {
        crew.all_gone().await;
    }
    SessionEnd { result, goodbye: parted }
}

/// What the sender says on control.
async fn follow(
    mut inbox: Inbox,
    receiving: Arc<Receiving>,
    orders: mpsc::Sender<Order>,
    said_goodbye: oneshot::Sender<()>,
) {
    loop {
        let next = async {
            let frame = inbox.recv().await?;
            Ok::<_, SessionError>((Message::decode(&frame)?, frame.len()))
        };
        let (message, encoded) = match next.await {
            Ok(next) => next,
            Err(_) if receiving.reported.load(Relaxed) => return,
            Err(error) => return receiving.fate.fail(error),
        };
        let order = match message {
            Message::Pass(pass) => Order::Pass(pass),
            Message::Batch(batch) => Order::Batch(batch),
            Message::PassEnd(end) => Order::PassEnd(end),
            Message::Finish { problems, listed } => Order::Finish { problems, listed },
            Message::Problem(problem) => {
                lock(&receiving.peer).push(problem);
                continue;
            }
            Message::Ask(ask) => match asked(&receiving, Question::Pages(ask)) {
                Ok(()) => continue,
                Err(error) => return receiving.fate.fail(error),
            },
            Message::Sketch(sketch) => match asked(&receiving, Question::Sketch(sketch)) {
                Ok(()) => continue,
                Err(error) => return receiving.fate.fail(error),
            },
            Message::Goodbye => {
                let _ = said_goodbye.send(());
                return;
            }
            Message::Abort { outcome, text } => return receiving.fate.fail(SessionError::Aborted { outcome, text }),
            _ => {
                let what = "it sent a message that only receivers send".to_owned();
                return receiving.fate.fail(SessionError::Protocol(what));
            }
        };
        if let Order::Batch(batch) = &order
            && !receiving.batches.arrive(batch.id, batch.entries.len(), encoded)
        {
            let what = "it sent more batches than its credit".to_owned();
            return receiving.fate.fail(SessionError::Protocol(what));
        }
        if !matches!(order, Order::Batch(_)) && receiving.uncredited.fetch_add(1, Relaxed) >= UNCREDITED_MAX {
            let what = "it did not wait for the end of a pass".to_owned();
            return receiving.fate.fail(SessionError::Protocol(what));
        }
        // After the end of the session nobody takes orders; they are read away.
        let _ = orders.send(order);
    }
}

/// Lanes as they come, until the session ends.
async fn take_lanes(mut admitted: lanes::Receiver<AdmittedLane>, receiving: Arc<Receiving>, crew: Arc<Crew>) {
    let mut readers = JoinSet::new();
    while let Some((outbox, inbox)) = admitted.recv().await {
        let queue = Arc::new(LaneQueue::new(&receiving.fate));
        let writer = Writer {
            receiving: Arc::clone(&receiving),
            queue: Arc::clone(&queue),
            lane: outbox,
            taken: 0,
            acknowledged: 0,
        };
        crew.spawn("ferry-write", move || writer.run());
        readers.spawn(read_lane(inbox, queue, Arc::clone(&receiving)));
    }
    // The channel closes with the session; until then lanes are read by their own tasks.
    std::future::pending::<()>().await;
}

/// What comes on a lane, into its writer's queue.
async fn read_lane(mut inbox: Inbox, queue: Arc<LaneQueue>, receiving: Arc<Receiving>) {
    loop {
        inbox.reuse(queue.spare.take());
        match inbox.recv().await {
            Ok(frame) => {
                if queue.push(frame) {
                    continue;
                }
                let what = "it sent more content on a data connection than its credit".to_owned();
                return receiving.fate.fail(SessionError::Protocol(what));
            }
            Err(error) => {
                // The sender says on control why it closes; its last word may be on the way.
                tokio::time::sleep(EXPLANATION).await;
                if !receiving.reported.load(Relaxed) {
                    receiving.fate.fail(error);
                }
                return;
            }
        }
    }
}

/// How a slot's volume ended, for its report.
pub fn outcome_of(end: &SessionEnd) -> (Outcome, Option<String>) {
    match &end.result {
        Ok(report) => (report.outcome, (!report.text.is_empty()).then(|| report.text.clone())),
        Err(error) => (error.outcome(), Some(error.sentence())),
    }
}
