//! One session of the sender: connect, introduce, open lanes, run the threads, end.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::delta::{Anchors, session_key};
use crate::plan::{Excludes, XattrPolicy};
use crate::session::crew::Crew;
use crate::session::error::SessionError;
use crate::session::fate::{EXPLANATION, Fate, lock};
use crate::tunnel::{self, Inbox, Outbox};
use crate::types::{Compress, Moment, Outcome, Vantage};
use crate::volume::{self, keeps_selinux, moment};
use crate::wire::{FEATURE_BASELINE, FEATURE_ZSTD, Hello, Message, Report, Welcome};

use super::book::Book;
use super::context::{ChangedPaths, Sending};
use super::feed::Feed;
use super::lanes::{Lane, Manner, Wider, dial_lanes, open_lanes};
use super::passes::{Passes, Reply};
use super::reader::Reader;
use super::shrink::Shrinker;
use super::work::{LaneCredit, WorkQueue};
use super::{SendVolume, random};

/// The receiver may first have to end an older session of ours.
const WELCOME_DEADLINE: Duration = Duration::from_secs(60);

/// Runs one session to the receiver's report.
pub async fn run(job: &SendVolume) -> Result<Report, SessionError> {
    let nonce = random::<16>()?;
    // The first time it is likely that somebody listens: everything is dialled at once. Who waits for a receiver dials once.
    let early = (!job.dialled.swap(true, Relaxed)).then(|| dial_lanes(job));
    let vantage = vantage(job);
    let (control, mut inbox) = introduce(job, nonce, vantage).await?;
    let manner = if early.is_some() { Manner::Trusting } else { Manner::Careful };
    let lanes = early.unwrap_or_else(|| dial_lanes(job));
    let welcome = receive_welcome(&mut inbox).await?;
    for note in &welcome.notes {
        job.tally.note(note);
    }
    if welcome.features & !features(job.compress, vantage) != 0 {
        return Err(SessionError::Protocol("it takes up a feature that was not offered".to_owned()));
    }
    let (baseline, remembers) = baseline(&welcome);
    let lanes = open_lanes(job, &welcome, lanes, manner).await?;
    let fate = Fate::new();
    let sending = Arc::new(Sending {
        fate: fate.clone(),
        volume: Arc::clone(&job.volume),
        options: job.options.clone(),
        chown: job.chown,
        one_file_system: job.one_file_system,
        excludes: Excludes::new(&job.options.excludes)
            .map_err(|e| SessionError::Bound(format!("cannot use an exclude pattern: {e}")))?,
        xattrs: XattrPolicy {
            enabled: job.options.xattrs,
            selinux: keeps_selinux(job.options.selinux),
            no_setuid: false,
        },
        baseline,
        remembers,
        mounted: AtomicBool::new(false),
        leaf_key: welcome.leaf_key,
        anchors: Anchors::new(&welcome.leaf_key),
        compress: agreed(job.compress, &welcome),
        session_key: session_key(&nonce, &welcome.nonce, welcome.epoch),
        control: control.clone(),
        book: Book::default(),
        work: WorkQueue::new(&fate),
        changed: ChangedPaths::default(),
        restless: job.restless,
        last_chance: AtomicBool::new(false),
        waited_ns: AtomicU64::new(0),
        peer: Mutex::default(),
        reported: AtomicBool::new(false),
        tally: Arc::clone(&job.tally),
        progress: Arc::clone(&job.progress),
    });
    let result = converse(job, &sending, inbox, lanes, &welcome).await;
    match &result {
        Ok(_) => drop(control.finish().await),
        Err(error) => say_goodbye(control, error).await,
    }
    result
}

/// Tells the receiver why we go, if it still listens.
async fn say_goodbye(control: Outbox, error: &SessionError) {
    if !matches!(error, SessionError::Link(_) | SessionError::Aborted { .. }) {
        let abort = Message::Abort { outcome: error.outcome(), text: error.sentence() };
        let _ = control.post(abort.encode());
        let _ = tokio::time::timeout(Duration::from_secs(2), control.clone().finish()).await;
    }
    control.kill();
}

/// From where the source is seen, where that may make a baseline: its ctimes tell every change, and attributes are copied.
fn vantage(job: &SendVolume) -> Option<Vantage> {
    let options = &job.options;
    let wanted = options.xattrs && !options.dry_run && !job.volume.shape().is_single();
    if !wanted || !job.volume.tells_changes() {
        return None;
    }
    let selinux = keeps_selinux(options.selinux);
    let decides = (job.name.as_str(), job.instance.0, options.owner, options.excludes.as_slice(), options.root_attrs);
    let decides = format!("{decides:?} {:?} {} {selinux}", job.chown, job.one_file_system);
    job.volume.vantage(selinux, decides.as_bytes()).ok()
}

/// The baseline that a receiver gave, if our clock was not set since, and whether it wants the next one.
fn baseline(welcome: &Welcome) -> (Option<Moment>, bool) {
    let remembers = welcome.features & FEATURE_BASELINE != 0;
    let now = moment();
    let steady = |baseline: &Moment| now.is_some_and(|now| baseline.is_steady_until(&now));
    (welcome.baseline.filter(steady), remembers)
}

async fn introduce(
    job: &SendVolume,
    nonce: [u8; 16],
    vantage: Option<Vantage>,
) -> Result<(Outbox, Inbox), SessionError> {
    let mut stream = job.dial.dial().await?;
    let hello = Hello {
        features: features(job.compress, vantage),
        run: job.run.clone(),
        instance: job.instance,
        nonce,
        volume: job.name.clone(),
        source: job.volume.shape(),
        lanes: job.lanes_max,
        options: job.options.clone(),
        vantage,
    };
    tunnel::greet_with(&mut stream, &Message::Hello(hello).encode(), &job.meter).await?;
    job.connections.fetch_add(1, Relaxed);
    Ok(tunnel::open(stream, Arc::clone(&job.meter), job.pace.clone()))
}

/// What this sender can do beyond the least, and wants to.
fn features(asked: Compress, vantage: Option<Vantage>) -> u64 {
    (if asked == Compress::Off { 0 } else { FEATURE_ZSTD }) | vantage.map_or(0, |_| FEATURE_BASELINE)
}

/// How content is compressed in this session: as was asked, unless the receiver does not take it.
fn agreed(asked: Compress, welcome: &Welcome) -> Compress {
    if asked != Compress::Off && welcome.features & FEATURE_ZSTD == 0 {
        tracing::info!("the receiver does not take compressed content; sending plain");
        return Compress::Off;
    }
    asked
}

async fn receive_welcome(inbox: &mut Inbox) -> Result<Welcome, SessionError> {
    let frame = tokio::time::timeout(WELCOME_DEADLINE, inbox.recv())
        .await
        .map_err(|_| SessionError::Link(tunnel::LinkError::Silent))??;
    match Message::decode(&frame)? {
        Message::Welcome(welcome) => Ok(welcome),
        Message::Refuse(refuse) => Err(SessionError::Refused { reason: refuse.reason, text: refuse.text }),
        Message::Abort { outcome, text } => Err(SessionError::Aborted { outcome, text }),
        _ => Err(SessionError::Protocol("its first message is no answer to a hello".to_owned())),
    }
}

/// Runs the threads and tasks until the report or the first failure, and waits for all of them.
async fn converse(
    job: &SendVolume,
    sending: &Arc<Sending>,
    inbox: Inbox,
    lanes: Vec<Lane>,
    welcome: &Welcome,
) -> Result<Report, SessionError> {
    let fate = sending.fate.clone();
    let feed = Arc::new(Feed::default());
    let crew = Crew::new(&fate);
    let mut tasks = JoinSet::new();
    let mut wider = Wider::new(job, sending, welcome, lanes.len());
    let mut outboxes = Vec::new();
    for lane in lanes {
        outboxes.push(begin_lane(lane, sending, &feed, &crew, &mut tasks));
    }
    // One answer is awaited at a time; who sends more breaks the protocol, and must not fill our memory with it.
    let (replies, from_receiver) = mpsc::sync_channel(1);
    tasks.spawn(answers(inbox, Arc::clone(sending), Arc::clone(&feed), replies));
    let passes = Passes::new(
        Arc::clone(sending),
        Arc::clone(&feed),
        from_receiver,
        welcome.empty,
        job.clears_first.load(Relaxed),
    );
    let (tell, mut told) = oneshot::channel();
    crew.spawn("ferry-scan", move || {
        volume::stand_alone();
        let report = passes.run()?;
        let _ = tell.send(report);
        Ok(())
    });

    let report = loop {
        tokio::select! {
            biased;
            report = &mut told => break report.ok(),
            () = fate.ended() => break None,
            signal = job.stop.wait() => { fate.fail(SessionError::Stopped(signal)); break None }
            lane = wider.next() => outboxes.push(begin_lane(lane, sending, &feed, &crew, &mut tasks)),
        }
    };
    // Nothing more is sent on the lanes; a receiver that has reported does not read them any more.
    fate.conclude();
    for outbox in outboxes {
        if report.is_some() {
            drop(outbox.finish().await);
        } else {
            outbox.kill();
        }
    }
    crew.all_gone().await;
    tasks.shutdown().await;
    match (report, fate.take_error()) {
        (Some(report), _) => {
            let peer = std::mem::take(&mut *lock(&sending.peer));
            sending.tally.add_peer(peer, report.problems_total);
            Ok(report)
        }
        (None, Some(error)) => Err(error),
        (None, None) => Err(SessionError::Internal("the session ended without a report")),
    }
}

/// Starts a lane's reading thread, and listens to what is acknowledged on it.
fn begin_lane(lane: Lane, sending: &Arc<Sending>, feed: &Arc<Feed>, crew: &Crew, tasks: &mut JoinSet<()>) -> Outbox {
    let Lane { outbox, inbox, is_welcome } = lane;
    let credit = Arc::new(LaneCredit::default());
    let reader = Reader {
        sending: Arc::clone(sending),
        feed: Arc::clone(feed),
        lane: outbox.clone(),
        credit: Arc::clone(&credit),
        buffer: Vec::new(),
        shrinker: Mutex::new(Shrinker::new(sending.compress)),
    };
    crew.spawn("ferry-read", move || reader.run());
    tasks.spawn(acknowledgements((inbox, is_welcome), credit, Arc::clone(sending)));
    outbox
}

/// What the receiver says on control.
async fn answers(mut inbox: Inbox, sending: Arc<Sending>, feed: Arc<Feed>, replies: mpsc::SyncSender<Reply>) {
    loop {
        let next = async { Ok::<_, SessionError>(Message::decode(&inbox.recv().await?)?) };
        let handled = match next.await {
            Ok(message) => answer(message, &sending, &feed, &replies),
            Err(error) => Err(error),
        };
        if let Err(error) = handled {
            sending.broken(error);
            return;
        }
    }
}

fn answer(
    message: Message,
    sending: &Sending,
    feed: &Feed,
    replies: &mpsc::SyncSender<Reply>,
) -> Result<(), SessionError> {
    match message {
        Message::Need(need) => feed.need(sending, &need)?,
        Message::Leaves(leaves) => feed.leaves(sending, leaves)?,
        Message::Pages(pages) => feed.pages(sending, pages)?,
        Message::Signatures(signatures) => feed.signatures(sending, signatures)?,
        Message::BatchDone(id) => {
            let batch = sending
                .book
                .close(id)
                .ok_or_else(|| SessionError::Protocol("it is done with a batch that is not open".to_owned()))?;
            sending.progress.entries_done.fetch_add(batch.entries as u64, Relaxed);
            sending.progress.bytes_done.fetch_add(batch.bytes_closed(), Relaxed);
        }
        Message::PassDone { again } => reply(replies, Reply::PassDone { again })?,
        Message::Report(report) => reply(replies, Reply::Report(Box::new(report)))?,
        Message::Problem(problem) => lock(&sending.peer).push(problem),
        Message::Item(item) => sending.tally.item(&item),
        Message::Abort { outcome, text } => return Err(SessionError::Aborted { outcome, text }),
        _ => return Err(SessionError::Protocol("it sent a message that only senders send".to_owned())),
    }
    Ok(())
}

fn reply(replies: &mpsc::SyncSender<Reply>, reply: Reply) -> Result<(), SessionError> {
    match replies.try_send(reply) {
        Err(mpsc::TrySendError::Full(_)) => Err(SessionError::Protocol("it answered what was not asked".to_owned())),
        // Nobody waits for an answer any more.
        Ok(()) | Err(mpsc::TrySendError::Disconnected(_)) => Ok(()),
    }
}

/// What the receiver says on a lane: how much it has taken.
async fn acknowledgements((mut inbox, mut is_welcome): (Inbox, bool), credit: Arc<LaneCredit>, sending: Arc<Sending>) {
    loop {
        let next = async { Ok::<_, SessionError>(Message::decode(&inbox.recv().await?)?) };
        let error = match next.await {
            Ok(Message::LaneWelcome) if !is_welcome => {
                is_welcome = true;
                continue;
            }
            Ok(Message::Refuse(refuse)) if !is_welcome => {
                SessionError::Refused { reason: refuse.reason, text: refuse.text }
            }
            Ok(Message::Ack(total)) if is_welcome && credit.acknowledge(total) => continue,
            Ok(Message::Abort { outcome, text }) => SessionError::Aborted { outcome, text },
            Ok(_) => SessionError::Protocol("it sent something else than a true acknowledgement".to_owned()),
            Err(error) => error,
        };
        // The receiver says on control why it closes; its last word may be on the way.
        tokio::time::sleep(EXPLANATION).await;
        sending.broken(error);
        return;
    }
}

/// Whether an outcome of the receiver's is one that a report may carry.
pub fn is_an_end(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Clean | Outcome::Problems | Outcome::Differences | Outcome::SafetyHalt)
}
