//! One session of the sender: connect, introduce, open lanes, run the threads, end.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};

use crate::delta::{Anchors, session_key};
use crate::plan::{Excludes, XattrPolicy};
use crate::session::crew::Crew;
use crate::session::error::SessionError;
use crate::session::fate::{EXPLANATION, Fate, lock};
use crate::tunnel::{self, Inbox, Outbox, Stream};
use crate::types::{Moment, Outcome, Vantage, limits};
use crate::volume::{keeps_selinux, moment};
use crate::wire::{BASELINE, Hello, LaneHello, Message, Report, Welcome};

use super::book::Book;
use super::context::{ChangedPaths, Sending};
use super::feed::Feed;
use super::passes::{Passes, Reply};
use super::reader::Reader;
use super::work::{LaneCredit, WorkQueue};
use super::{SendVolume, random};

/// The receiver may first have to end an older session of ours.
const WELCOME_DEADLINE: Duration = Duration::from_secs(60);

/// How long a connection may stand before its first word: the receiver lets it go after `HANDSHAKE_DEADLINE`.
const EARLY_MAX: Duration = Duration::from_secs(5);

/// A lane as opened.
struct Lane {
    outbox: Outbox,
    inbox: Inbox,
}

/// Runs one session to the receiver's report.
pub async fn run(job: &SendVolume) -> Result<Report, SessionError> {
    let nonce = random::<16>()?;
    let vantage = vantage(job);
    let (control, mut inbox) = introduce(job, nonce, vantage).await?;
    let lanes = dial_lanes(job);
    let welcome = receive_welcome(&mut inbox).await?;
    for note in &welcome.notes {
        job.tally.note(note);
    }
    let (baseline, remembers) = baseline(&welcome, vantage)?;
    let lanes = open_lanes(job, &welcome, lanes).await?;
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
        session_key: session_key(&nonce, &welcome.nonce, welcome.epoch),
        control: control.clone(),
        book: Book::default(),
        work: WorkQueue::new(&fate),
        changed: ChangedPaths::default(),
        peer: Mutex::default(),
        reported: AtomicBool::new(false),
        tally: Arc::clone(&job.tally),
        progress: Arc::clone(&job.progress),
    });
    let result = converse(job, &sending, inbox, lanes, welcome.empty).await;
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
fn baseline(welcome: &Welcome, vantage: Option<Vantage>) -> Result<(Option<Moment>, bool), SessionError> {
    let remembers = welcome.features & BASELINE != 0;
    if remembers && vantage.is_none() {
        return Err(SessionError::Protocol("it takes up a feature that was not offered".to_owned()));
    }
    let now = moment();
    let steady = |baseline: &Moment| now.is_some_and(|now| baseline.is_steady_until(&now));
    Ok((welcome.baseline.filter(steady), remembers))
}

async fn introduce(
    job: &SendVolume,
    nonce: [u8; 16],
    vantage: Option<Vantage>,
) -> Result<(Outbox, Inbox), SessionError> {
    let mut stream = job.dial.dial().await?;
    let hello = Hello {
        features: vantage.map_or(0, |_| BASELINE),
        run: job.run.clone(),
        instance: job.instance,
        nonce,
        volume: job.name.clone(),
        source: job.volume.shape(),
        lanes: job.lanes,
        options: job.options.clone(),
        vantage,
    };
    tunnel::greet_with(&mut stream, &Message::Hello(hello).encode(), &job.meter).await?;
    job.connections.fetch_add(1, Relaxed);
    Ok(tunnel::open(stream, Arc::clone(&job.meter), job.pace.clone()))
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

/// A connection that is to become a lane, and since when it stands; given up when nobody waits for it.
struct Dialled(JoinHandle<Result<(Stream, Instant), SessionError>>);

impl Drop for Dialled {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Begins to connect the lanes while the receiver looks at the hello: two round trips less.
fn dial_lanes(job: &SendVolume) -> Vec<Dialled> {
    let dial_one = |_| {
        let dial = job.dial.clone();
        Dialled(tokio::spawn(async move { Ok((dial.dial().await?, Instant::now())) }))
    };
    (0..job.lanes).map(dial_one).collect()
}

/// Opens the lanes; the first must stand, a further one may be refused by what lies between.
async fn open_lanes(job: &SendVolume, welcome: &Welcome, dialled: Vec<Dialled>) -> Result<Vec<Lane>, SessionError> {
    let mut lanes = Vec::new();
    let mut opening = JoinSet::new();
    for (lane, dialled) in (0..welcome.lanes).zip(dialled) {
        let (dial, meter, pace) = (job.dial.clone(), Arc::clone(&job.meter), job.pace.clone());
        let hello = LaneHello { epoch: welcome.epoch, token: welcome.token, lane };
        opening.spawn(async move { open_lane(&dial, dialled, (meter, pace), hello).await });
    }
    let mut failure = None;
    while let Some(opened) = opening.join_next().await {
        match opened {
            Ok(Ok(lane)) => {
                job.connections.fetch_add(1, Relaxed);
                lanes.push(lane);
            }
            Ok(Err(error)) => {
                tracing::info!(error = %error.sentence(), "a data connection could not be opened");
                failure.get_or_insert(error);
            }
            Err(_) => return Err(SessionError::Internal("a connecting task ended without a word")),
        }
    }
    match (lanes.is_empty(), failure) {
        (true, Some(error)) => Err(error),
        _ => Ok(lanes),
    }
}

async fn open_lane(
    dial: &super::Dial,
    mut dialled: Dialled,
    (meter, pace): (Arc<tunnel::Meter>, Option<Arc<tunnel::Pace>>),
    hello: LaneHello,
) -> Result<Lane, SessionError> {
    let gone = SessionError::Internal("a connecting task ended without a word");
    let mut stream = match (&mut dialled.0).await.map_err(|_| gone)?? {
        (stream, since) if since.elapsed() < EARLY_MAX => stream,
        _ => dial.dial().await?,
    };
    tunnel::greet_with(&mut stream, &Message::LaneHello(hello).encode(), &meter).await?;
    let (outbox, mut inbox) = tunnel::open(stream, meter, pace);
    let frame = tokio::time::timeout(limits::HANDSHAKE_DEADLINE, inbox.recv())
        .await
        .map_err(|_| SessionError::Link(tunnel::LinkError::Silent))??;
    match Message::decode(&frame)? {
        Message::LaneWelcome => Ok(Lane { outbox, inbox }),
        Message::Refuse(refuse) => Err(SessionError::Refused { reason: refuse.reason, text: refuse.text }),
        _ => Err(SessionError::Protocol("its first message on a data connection is no answer".to_owned())),
    }
}

/// Runs the threads and tasks until the report or the first failure, and waits for all of them.
async fn converse(
    job: &SendVolume,
    sending: &Arc<Sending>,
    inbox: Inbox,
    lanes: Vec<Lane>,
    empty: bool,
) -> Result<Report, SessionError> {
    let fate = sending.fate.clone();
    let feed = Arc::new(Feed::default());
    let crew = Crew::new(&fate);
    let mut tasks = JoinSet::new();
    let mut outboxes = Vec::new();
    for Lane { outbox, inbox } in lanes {
        let credit = Arc::new(LaneCredit::default());
        let reader = Reader {
            sending: Arc::clone(sending),
            feed: Arc::clone(&feed),
            lane: outbox.clone(),
            credit: Arc::clone(&credit),
            buffer: Vec::new(),
        };
        crew.spawn("ferry-read", move || reader.run());
        tasks.spawn(acknowledgements(inbox, credit, Arc::clone(sending)));
        outboxes.push(outbox);
    }
    // One answer is awaited at a time; who sends more breaks the protocol, and must not fill our memory with it.
    let (replies, from_receiver) = mpsc::sync_channel(1);
    tasks.spawn(answers(inbox, Arc::clone(sending), Arc::clone(&feed), replies));
    let passes = Passes::new(Arc::clone(sending), feed, from_receiver, empty, job.clears_first.load(Relaxed));
    let (tell, mut told) = oneshot::channel();
    crew.spawn("ferry-scan", move || {
        let report = passes.run()?;
        let _ = tell.send(report);
        Ok(())
    });

    let report = tokio::select! {
        biased;
        report = &mut told => report.ok(),
        () = fate.ended() => None,
        signal = job.stop.wait() => { fate.fail(SessionError::Stopped(signal)); None }
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
async fn acknowledgements(mut inbox: Inbox, credit: Arc<LaneCredit>, sending: Arc<Sending>) {
    loop {
        let next = async { Ok::<_, SessionError>(Message::decode(&inbox.recv().await?)?) };
        let error = match next.await {
            Ok(Message::Ack(total)) if credit.acknowledge(total) => continue,
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
