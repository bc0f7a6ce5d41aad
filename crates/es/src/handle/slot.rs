//! One aggregate in use: its queue, its state, and the worker that decides batches.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt;
use tracing::{Instrument, Span, debug};
use uuid::Uuid;

use super::{Aggregate, HandleError, LoadError, Receipt, load, shared};
use crate::commit::{Cause, Commit, Entry, sha256};
use crate::ids::{AggregateId, Position, Version, new_id};
use crate::log::{Append, AppendError, Appended, EventLog, LogError};
use crate::measure::{self, AppendOutcome};
use crate::tasks::panic_text;

/// A batch is closed at so many commands, or so many bytes of events.
const MAX_BATCH: usize = 64;
const MAX_BATCH_BYTES: usize = 256 * 1024;
/// Conflicts in a row before the caller is told to try again.
const MAX_CONFLICTS: u32 = 10;
/// Resends of a commit whose outcome is unknown before the caller is told so.
const MAX_RESENDS: u32 = 3;
const BACK_OFF: Duration = Duration::from_millis(20);

type Answer<'a, A> = Result<
    (Receipt, &'a A, &'a [<A as crate::Decider>::Event]),
    HandleError<<A as crate::Decider>::Refusal>,
>;
type Reply<A> = Box<dyn for<'a> FnOnce(Answer<'a, A>) + Send>;

/// How new the state that is read must be.
#[derive(Clone, Copy, Debug)]
pub(super) enum Freshness {
    /// What is kept will do, however old.
    Kept,
    /// It holds all commits up to this place in the log.
    Since(Position),
    /// It holds all commits that were acknowledged before it was asked for, whoever wrote them.
    Newest,
}

/// A command that waits for its turn; without a command it only reads.
pub(super) struct Pending<A: Aggregate> {
    pub(super) command: Option<A::Command>,
    /// For what only reads.
    pub(super) freshness: Freshness,
    pub(super) cause: Option<Cause>,
    pub(super) span: Span,
    pub(super) answer: Reply<A>,
}

/// An aggregate's state and what the next commit must follow.
pub(super) struct Loaded<A: Aggregate> {
    pub(super) state: A,
    pub(super) version: Version,
    pub(super) position: Position,
    pub(super) number: u64,
    pub(super) last_sha256: Vec<u8>,
    /// The story of the last entry and the trace it was decided in.
    pub(super) last_trace: Option<(String, String)>,
    /// Command id → where its entry stands and its request hash.
    pub(super) commands: HashMap<Uuid, (Version, Vec<u8>)>,
}

impl<A: Aggregate> Default for Loaded<A> {
    fn default() -> Self {
        Self {
            state: A::default(),
            version: Version::NONE,
            position: Position::START,
            number: 0,
            last_sha256: Vec::new(),
            last_trace: None,
            commands: HashMap::new(),
        }
    }
}

impl<A: Aggregate> Loaded<A> {
    /// Notes where a command's entry stands, so that its repeat is answered from there.
    pub(super) fn remember(&mut self, cause: &Cause, version: Version) {
        if !cause.traceparent.is_empty() {
            self.last_trace = Some((cause.story.clone(), cause.traceparent.clone()));
        }
        if A::REMEMBERS_COMMANDS {
            self.commands.insert(cause.command_id, (version, cause.request_hash.clone()));
        }
    }
}

struct Inner<A: Aggregate> {
    queue: Vec<Pending<A>>,
    working: bool,
    loaded: Option<Loaded<A>>,
}

pub(super) struct Slot<A: Aggregate>(Mutex<Inner<A>>);

impl<A: Aggregate> Default for Slot<A> {
    fn default() -> Self {
        Self(Mutex::new(Inner { queue: Vec::new(), working: false, loaded: None }))
    }
}

/// What became of one command of a batch.
enum Decided<A: Aggregate> {
    Events(Vec<A::Event>),
    Refused(A::Refusal),
    KeyReused,
    Replayed(Version),
    /// Same command id earlier in this very batch.
    Twin,
    Read(Freshness),
}

impl<A: Aggregate> Decided<A> {
    fn has_events(&self) -> bool {
        matches!(self, Self::Events(events) if !events.is_empty())
    }

    /// True for a no, for no news, and for a reader who wants the newest: nothing of it is stored,
    /// so that no expected version shows that the state, which reaches up to `position`, is that.
    /// What was decided once stands as it was. In a log of this process `alone` whoever reads a
    /// state that is kept reads the newest.
    fn rests_on_newer_than(&self, position: Position, alone: bool) -> bool {
        match self {
            Self::Refused(_) => true,
            Self::Events(events) => events.is_empty(),
            Self::Read(Freshness::Newest) => !alone,
            Self::Read(Freshness::Since(wanted)) => !alone && position < *wanted,
            Self::Read(Freshness::Kept) | Self::KeyReused | Self::Replayed(_) | Self::Twin => false,
        }
    }
}

impl<A: Aggregate> Slot<A> {
    /// Queues `pending` and makes sure that somebody works on the queue. The work runs in a task of
    /// its own, so that a caller who goes away does not tear a commit.
    pub(super) fn submit(
        slot: &Arc<Self>,
        log: &Arc<dyn EventLog>,
        aggregate: &AggregateId,
        pending: Pending<A>,
    ) {
        {
            let mut inner = slot.lock();
            inner.queue.push(pending);
            if std::mem::replace(&mut inner.working, true) {
                return;
            }
        }
        let (slot, log, aggregate) = (Arc::clone(slot), Arc::clone(log), aggregate.clone());
        let work = async move { slot.work(&*log, &aggregate).await };
        #[expect(clippy::disallowed_methods, reason = "ends with its queue; panics are caught")]
        drop(tokio::spawn(work.in_current_span()));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner<A>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn work(&self, log: &dyn EventLog, aggregate: &AggregateId) {
        loop {
            let (mut batch, loaded) = {
                let mut inner = self.lock();
                if inner.queue.is_empty() {
                    inner.working = false;
                    return;
                }
                let take = inner.queue.len().min(MAX_BATCH);
                (inner.queue.drain(..take).collect::<Vec<_>>(), inner.loaded.take())
            };
            let done = AssertUnwindSafe(run(log, aggregate, &mut batch, loaded)).catch_unwind();
            match done.await {
                Ok(loaded) => {
                    let mut inner = self.lock();
                    inner.loaded = loaded;
                    // What did not fit into the commit goes first in the next one.
                    batch.append(&mut inner.queue);
                    inner.queue = batch;
                }
                Err(panic) => {
                    let why = panic_text(&*panic).to_owned();
                    for pending in batch {
                        (pending.answer)(Err(HandleError::Panicked(why.clone())));
                    }
                }
            }
        }
    }
}

/// Decides and appends one batch; leaves in `batch` what did not fit. Answers the state to keep.
async fn run<A: Aggregate>(
    log: &dyn EventLog,
    aggregate: &AggregateId,
    batch: &mut Vec<Pending<A>>,
    mut loaded: Option<Loaded<A>>,
) -> Option<Loaded<A>> {
    // What was kept from the last batch may have been overtaken by another writer. Most aggregates
    // that are not kept are new: with nothing known, commands are decided as if there was nothing,
    // which the expected version, or a look at the log before a no, proves or refutes.
    let mut cached = loaded.is_some();
    let mut guess = loaded.is_none() && batch.iter().all(|pending| pending.command.is_some());
    for attempt in 0..MAX_CONFLICTS {
        cached |= guess;
        let mut current = match loaded.take() {
            Some(current) => current,
            None if std::mem::take(&mut guess) => Loaded::default(),
            None => match load::<A>(log, aggregate, None).await {
                Ok(current) => current,
                Err(error) => {
                    fail_load(batch, error);
                    return None;
                }
            },
        };
        join_stories(&current, batch);
        let (decided, entries) = decide_batch(&mut current, batch);
        let Some((append, number)) = commit_of(aggregate, &current, entries) else {
            let (position, alone) = (current.position, !log.is_shared());
            let unsure = |decided: &Decided<A>| decided.rests_on_newer_than(position, alone);
            if std::mem::take(&mut cached) && decided.iter().any(unsure) {
                match current.catch_up(log, aggregate).await {
                    Ok(false) => {}
                    Ok(true) => {
                        loaded = Some(current);
                        continue;
                    }
                    Err(error) => {
                        fail_load(batch, error);
                        return None;
                    }
                }
            }
            answer(log, aggregate, &current, batch, decided).await;
            return Some(current);
        };
        let bytes = append.bytes.clone();
        match append_resolved(log, append).await {
            Ok(appended) => {
                settle(&mut current, batch, &decided, appended, number, sha256(&bytes));
                answer(log, aggregate, &current, batch, decided).await;
                return Some(current);
            }
            Err(AppendError::Conflict) => {
                cached = false;
                debug!(attempt, "{aggregate} has moved on, deciding again");
                tokio::time::sleep(jittered(attempt)).await;
            }
            Err(error) => {
                fail_append(batch, &decided, error);
                return None;
            }
        }
    }
    fail_each(batch, batch.len(), || HandleError::Contended);
    None
}

/// The commit was not acknowledged, and deciding again would not help.
fn fail_append<A: Aggregate>(
    batch: &mut Vec<Pending<A>>,
    decided: &[Decided<A>],
    error: AppendError,
) {
    match error {
        AppendError::TooLarge { bytes } => fail_too_large(batch, decided, bytes),
        AppendError::Unknown(source) => {
            let source = shared(source);
            fail_each(batch, decided.len(), || HandleError::Unknown(Arc::clone(&source)));
        }
        AppendError::Unavailable(source) => {
            let source = shared(source);
            fail_each(batch, decided.len(), || HandleError::Unavailable(Arc::clone(&source)));
        }
        AppendError::Conflict => fail_each(batch, decided.len(), || HandleError::Contended),
    }
}

/// Fails the commands whose events are too large together. Whatever only asked stays in the batch
/// and is decided again, on the state without these events.
fn fail_too_large<A: Aggregate>(batch: &mut Vec<Pending<A>>, decided: &[Decided<A>], bytes: usize) {
    let undecided = batch.split_off(decided.len());
    for (pending, decided) in std::mem::take(batch).into_iter().zip(decided) {
        if decided.has_events() {
            (pending.answer)(Err(HandleError::TooLarge { bytes }));
        } else {
            batch.push(pending);
        }
    }
    batch.extend(undecided);
}

/// The spans of commands go on with the trace in which their story was last told here: what comes
/// from outside later (a scan, a webhook) begins a trace of its own.
fn join_stories<A: Aggregate>(current: &Loaded<A>, batch: &[Pending<A>]) {
    let Some((story, traceparent)) = &current.last_trace else { return };
    for pending in batch {
        let same = |cause: &Cause| cause.story == *story && cause.traceparent != *traceparent;
        if pending.cause.as_ref().is_some_and(same) {
            measure::tell(|meter| meter.continues(&pending.span, traceparent));
        }
    }
}

/// Decides as many commands of the batch as fit into one commit, moving the state along. On any
/// failure to append, the moved state must be thrown away. Answers what became of each command, and
/// the entries of those that made something happen.
fn decide_batch<A: Aggregate>(
    current: &mut Loaded<A>,
    batch: &[Pending<A>],
) -> (Vec<Decided<A>>, Vec<Entry>) {
    let mut decided = Vec::with_capacity(batch.len());
    let mut entries = Vec::new();
    let mut fresh: HashMap<Uuid, &[u8]> = HashMap::new();
    let mut size = 0;
    for pending in batch {
        let (Some(command), Some(cause)) = (&pending.command, &pending.cause) else {
            decided.push(Decided::Read(pending.freshness));
            continue;
        };
        let known = current
            .commands
            .get(&cause.command_id)
            .map(|(version, hash)| (Some(*version), hash.as_slice()))
            .or_else(|| fresh.get(&cause.command_id).map(|hash| (None, *hash)));
        match known {
            Some((_, hash)) if hash != cause.request_hash => decided.push(Decided::KeyReused),
            Some((Some(version), _)) => decided.push(Decided::Replayed(version)),
            Some((None, _)) => decided.push(Decided::Twin),
            None => match current.state.decide(command) {
                Err(refusal) => decided.push(Decided::Refused(refusal)),
                Ok(events) => {
                    let encoded: Vec<_> = events.iter().map(A::encode).collect();
                    let bytes: usize = encoded.iter().map(|event| event.bytes.len() + 64).sum();
                    if size > 0 && size + bytes > MAX_BATCH_BYTES {
                        return (decided, entries);
                    }
                    size += bytes;
                    if !events.is_empty() {
                        fresh.insert(cause.command_id, &cause.request_hash);
                        let events = encoded.into_iter().map(|event| (new_id(), event)).collect();
                        entries.push(Entry { cause: cause.clone(), events });
                    }
                    let state = std::mem::take(&mut current.state);
                    current.state = events.iter().fold(state, A::evolve);
                    decided.push(Decided::Events(events));
                }
            },
        }
    }
    (decided, entries)
}

/// The commit that stores what was decided; none when nothing happened.
fn commit_of<A: Aggregate>(
    aggregate: &AggregateId,
    current: &Loaded<A>,
    entries: Vec<Entry>,
) -> Option<(Append, u64)> {
    let traceparent = entries.first()?.cause.traceparent.clone();
    let number = current.number + 1;
    let commit = Commit {
        commit_id: new_id(),
        aggregate: aggregate.clone(),
        number,
        previous_sha256: current.last_sha256.clone(),
        entries,
    };
    let append = Append {
        aggregate: aggregate.clone(),
        expected: current.version,
        commit_id: commit.commit_id,
        bytes: commit.encode(),
        traceparent,
    };
    Some((append, number))
}

/// Appends, and resolves an unknown outcome by sending the identical commit again.
async fn append_resolved(log: &dyn EventLog, append: Append) -> Result<Appended, AppendError> {
    let mut resends = 0;
    let mut uncertain = false;
    loop {
        let began = Instant::now();
        let answer = log.append(append.clone()).await;
        let (outcome, took) = (AppendOutcome::of(&answer), began.elapsed());
        measure::tell(|meter| meter.appended(&append.aggregate.service, outcome, took));
        match answer {
            // Once an outcome was unknown, "unavailable" says nothing about the first sending.
            Err(AppendError::Unknown(source)) if resends == MAX_RESENDS => {
                return Err(AppendError::Unknown(source));
            }
            Err(AppendError::Unavailable(source)) if uncertain && resends == MAX_RESENDS => {
                return Err(AppendError::Unknown(source));
            }
            Err(AppendError::Unknown(_)) => uncertain = true,
            Err(AppendError::Unavailable(_)) if uncertain => {}
            other => return other,
        }
        tokio::time::sleep(jittered(resends)).await;
        resends += 1;
    }
}

/// The commit is in the log: the state that was decided is now the state.
fn settle<A: Aggregate>(
    current: &mut Loaded<A>,
    batch: &[Pending<A>],
    decided: &[Decided<A>],
    appended: Appended,
    number: u64,
    sha256: Vec<u8>,
) {
    current.version = appended.version;
    current.position = appended.position;
    current.number = number;
    current.last_sha256 = sha256;
    for (pending, decided) in batch.iter().zip(decided) {
        if let Some(cause) = pending.cause.as_ref().filter(|_| decided.has_events()) {
            current.remember(cause, appended.version);
        }
    }
}

/// Tells every decided command its outcome and takes it off the batch.
async fn answer<A: Aggregate>(
    log: &dyn EventLog,
    aggregate: &AggregateId,
    current: &Loaded<A>,
    batch: &mut Vec<Pending<A>>,
    decided: Vec<Decided<A>>,
) {
    let now = Receipt { version: current.version, position: current.position, replayed: false };
    let answered: Vec<_> = batch.drain(..decided.len()).collect();
    for (pending, decided) in answered.into_iter().zip(decided) {
        match decided {
            Decided::Events(events) => (pending.answer)(Ok((now, &current.state, &events))),
            Decided::Read(_) => (pending.answer)(Ok((now, &current.state, &[]))),
            Decided::Refused(refusal) => (pending.answer)(Err(HandleError::Refused(refusal))),
            Decided::KeyReused => (pending.answer)(Err(HandleError::KeyReused)),
            Decided::Twin => replay(log, aggregate, current.version, pending).await,
            Decided::Replayed(version) => replay(log, aggregate, version, pending).await,
        }
    }
}

/// Answers a repeated command with the state and the events of the first time.
async fn replay<A: Aggregate>(
    log: &dyn EventLog,
    aggregate: &AggregateId,
    version: Version,
    pending: Pending<A>,
) {
    let command_id = pending.cause.as_ref().map(|cause| cause.command_id).unwrap_or_default();
    let past = async {
        let past = load::<A>(log, aggregate, Some(version)).await?;
        let events = events_of::<A>(log, aggregate, version, command_id).await?;
        Ok::<_, LoadError>((past, events))
    };
    match past.await {
        Ok((past, events)) => {
            let receipt = Receipt { version, position: past.position, replayed: true };
            (pending.answer)(Ok((receipt, &past.state, &events)));
        }
        Err(error) => (pending.answer)(Err(load_error(&Arc::new(error)))),
    }
}

async fn events_of<A: Aggregate>(
    log: &dyn EventLog,
    aggregate: &AggregateId,
    version: Version,
    command_id: Uuid,
) -> Result<Vec<A::Event>, LoadError> {
    // From the beginning: which version came before this one, only the log knows.
    let all = log.load(aggregate, Version::NONE).await?;
    let mut events = Vec::new();
    for stored in all.iter().filter(|stored| stored.version == version) {
        let commit = Commit::decode(&stored.bytes).map_err(|source| LoadError::Commit {
            aggregate: aggregate.clone(),
            version: version.0,
            source,
        })?;
        for entry in commit.entries.iter().filter(|e| e.cause.command_id == command_id) {
            for (_, payload) in &entry.events {
                events.push(
                    A::decode(payload).map_err(|source| LoadError::Event {
                        aggregate: aggregate.clone(),
                        source,
                    })?,
                );
            }
        }
    }
    Ok(events)
}

fn load_error<R: std::fmt::Debug>(error: &Arc<LoadError>) -> HandleError<R> {
    match &**error {
        LoadError::Log(LogError::Unavailable(_)) => {
            let source: Arc<dyn std::error::Error + Send + Sync> = error.clone();
            HandleError::Unavailable(source)
        }
        _ => HandleError::Load(Arc::clone(error)),
    }
}

fn fail_load<A: Aggregate>(batch: &mut Vec<Pending<A>>, error: LoadError) {
    let error = Arc::new(error);
    fail_each(batch, batch.len(), || load_error(&error));
}

fn fail_each<A: Aggregate>(
    batch: &mut Vec<Pending<A>>,
    decided: usize,
    error: impl Fn() -> HandleError<A::Refusal>,
) {
    for pending in batch.drain(..decided.min(batch.len())) {
        (pending.answer)(Err(error()));
    }
}

/// Grows with the attempt, and differs between writers that lost to each other.
fn jittered(attempt: u32) -> Duration {
    let spread = u32::from(new_id().as_bytes().last().copied().unwrap_or_default());
    BACK_OFF.mul_f64(f64::from(spread) / 255.0) * (attempt + 1).min(20)
}
