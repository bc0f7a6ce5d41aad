//! Runs one process: takes its lease, follows its logs, works its lanes, keeps its checkpoint.

use std::collections::{BTreeMap, HashMap};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, error, info, warn};

use super::lanes::{Job, Lanes};
use super::{Ground, Process, Trouble};
use crate::clock::now_ms;
use crate::commit::Stored;
use crate::handle::{Aggregate, Handler};
use crate::heard::Heard;
use crate::ids::{Position, derived_id, new_id};
use crate::log::LogError;
use crate::ports::Timer;
use crate::tasks::panic_text;
use crate::work::{self, Command, WorkItem};
use crate::{Actor, Cause, Decider};

const LEASE: Duration = Duration::from_secs(5);
const RENEW: Duration = Duration::from_millis(1500);
const SAVE: Duration = Duration::from_millis(200);
const TIMER_POLL: Duration = Duration::from_millis(200);
const READ_BATCH: usize = 256;
/// Beyond so many open jobs no more is read.
const MAX_OPEN: usize = 4096;
const RESTART: Duration = Duration::from_millis(500);

/// Starts a process. It runs until the ground's tasks are shut down; only while it has its lease.
pub fn start(process: Arc<dyn Process>, ground: Ground) {
    let tasks = ground.tasks.clone();
    let owner = new_id().to_string();
    tasks.spawn("process", async move {
        let stop = ground.tasks.stopping();
        let name = process.name();
        loop {
            match ground.leases.acquire(name, &owner, LEASE).await {
                Ok(Some(_)) => {
                    let term = stop.child_token();
                    if let Err(error) = run(&process, &ground, &owner, term.clone()).await {
                        warn!(process = name, "process {name} begins again: {error}");
                    }
                    term.cancel();
                }
                Ok(None) => {}
                Err(error) => warn!(process = name, "no lease for process {name}: {error}"),
            }
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(RESTART) => {}
            }
        }
        if let Err(error) = ground.leases.release(name, &owner).await {
            warn!(process = name, "cannot give up the lease of {name}: {error}");
        }
    });
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Ended jobs: lane, job, and whether the key is blocked from now on.
struct Ended {
    key: String,
    job: Job,
    parked: bool,
}

struct Runner<'a> {
    process: &'a Arc<dyn Process>,
    ground: &'a Ground,
    lanes: Lanes,
    /// Blocked keys: their parked events in order, by place, with the work's id.
    blocked: HashMap<String, BTreeMap<(String, Position, u32), String>>,
    permits: Arc<Semaphore>,
    ended: mpsc::UnboundedSender<Ended>,
    term: CancellationToken,
}

async fn run(
    process: &Arc<dyn Process>,
    ground: &Ground,
    owner: &str,
    term: CancellationToken,
) -> Result<(), Failure> {
    let name = process.name();
    let (ended, mut endings) = mpsc::unbounded_channel();
    let permits = Arc::new(Semaphore::new(ground.patience.concurrency));
    let mut runner = Runner {
        process,
        ground,
        lanes: Lanes::default(),
        blocked: blocked(process.name(), ground).await?,
        permits,
        ended,
        term: term.clone(),
    };
    let mut arrivals = follow_all(process, ground, &term).await?;
    let mut renew = tokio::time::interval(RENEW);
    let mut save = tokio::time::interval(SAVE);
    let mut poll = tokio::time::interval(TIMER_POLL);
    let mut saved = BTreeMap::new();
    info!(process = name, "process {name} is active");
    loop {
        tokio::select! {
            biased;
            () = term.cancelled() => break,
            Some(ended) = endings.recv() => runner.end(ended),
            Some(arrived) = arrivals.recv(), if runner.lanes.len() < MAX_OPEN => {
                let (service, commits) = arrived?;
                runner.hear(service, &commits).await?;
            }
            _ = renew.tick() => {
                if ground.leases.acquire(name, owner, LEASE).await?.is_none() {
                    return Err("another replica took the lease".into());
                }
            }
            _ = poll.tick(), if process.uses_timers() => {
                for timer in ground.timers.due(name, now_ms(), READ_BATCH).await? {
                    if !runner.lanes.is_busy(&timer.key) {
                        runner.push(timer.key.clone(), Job::Timer(timer));
                    }
                }
            }
            _ = save.tick() => save_checkpoints(ground, name, &runner.lanes, &mut saved).await?,
        }
    }
    save_checkpoints(ground, name, &runner.lanes, &mut saved).await
}

async fn save_checkpoints(
    ground: &Ground,
    name: &str,
    lanes: &Lanes,
    saved: &mut BTreeMap<String, Position>,
) -> Result<(), Failure> {
    let now = lanes.checkpoints();
    for (service, position) in &now {
        if saved.get(service) != Some(position) {
            ground.checkpoints.save(name, service, *position).await?;
        }
    }
    *saved = now;
    Ok(())
}

/// The keys that are blocked by parked work, read when the view has caught up.
async fn blocked(
    process: &str,
    ground: &Ground,
) -> Result<HashMap<String, BTreeMap<(String, Position, u32), String>>, Failure> {
    let head = ground.log.head(ground.service).await?;
    let wanted = crate::Positions::one(ground.service, head);
    ground.views.wait_for(&wanted, Duration::from_secs(600)).await?;
    let mut blocked: HashMap<_, BTreeMap<_, _>> = HashMap::new();
    for parked in work::list(&ground.views.pool(), Some(process)).await? {
        let place = (parked.source, Position(parked.position), parked.index);
        blocked.entry(parked.key).or_default().insert(place, parked.id);
    }
    Ok(blocked)
}

type Arrival = Result<(&'static str, Vec<Stored>), LogError>;

/// Tails the process's logs from its checkpoints, and its own service's log for what is decided
/// about parked work.
async fn follow_all(
    process: &Arc<dyn Process>,
    ground: &Ground,
    term: &CancellationToken,
) -> Result<mpsc::Receiver<Arrival>, Failure> {
    let (sender, arrivals) = mpsc::channel(2);
    let mut sources: Vec<&'static str> = process.sources().to_vec();
    if !sources.contains(&ground.service) {
        sources.push(ground.service);
    }
    for source in sources {
        let from = ground.checkpoints.load(process.name(), source).await?;
        let mut tail = ground.log.tail(source, from).await?;
        let (sender, term) = (sender.clone(), term.clone());
        ground.tasks.spawn("process tail", async move {
            loop {
                let next = tokio::select! {
                    () = term.cancelled() => return,
                    next = tail.next(READ_BATCH) => next,
                };
                let failed = next.is_err();
                let sent = sender.send(next.map(|commits| (source, commits))).await;
                if failed || sent.is_err() {
                    return;
                }
            }
        });
    }
    Ok(arrivals)
}

impl Runner<'_> {
    async fn hear(&mut self, service: &str, commits: &[Stored]) -> Result<(), Failure> {
        for commit in commits {
            match Heard::of(commit) {
                Ok(heard) => {
                    for heard in heard {
                        self.hear_one(heard).await?;
                    }
                }
                // It cannot be parked as an event, it is none; verify names it too.
                Err(error) => error!(
                    process = self.process.name(),
                    position = commit.position.0,
                    "process {} skips undecodable commit {} of {service}: {error}",
                    self.process.name(),
                    commit.position,
                ),
            }
            self.lanes.read_up_to(service, commit.position);
        }
        Ok(())
    }

    async fn hear_one(&mut self, heard: Heard) -> Result<(), Failure> {
        let own = heard.service() == self.ground.service;
        if own && heard.aggregate.category == WorkItem::CATEGORY {
            return self.hear_work(&heard).await;
        }
        if self.process.sources().contains(&heard.service())
            && let Some(key) = self.process.key(&heard)
        {
            self.push(key, Job::Event(Box::new(heard)));
        }
        Ok(())
    }

    /// Somebody decided about parked work, perhaps ours.
    async fn hear_work(&mut self, heard: &Heard) -> Result<(), Failure> {
        let id = heard.aggregate.id.as_str();
        let Some((key, place)) = self.blocked.iter().find_map(|(key, parked)| {
            parked
                .iter()
                .find(|(_, work)| *work == id)
                .map(|(place, _)| (key.clone(), place.clone()))
        }) else {
            return Ok(());
        };
        match WorkItem::decode(&heard.payload) {
            Ok(work::Event::Retried) => self.retry(&key, &place, id.to_owned()).await?,
            Ok(work::Event::Skipped { .. }) => self.unblock(&key, id).await?,
            _ => {}
        }
        Ok(())
    }

    async fn retry(
        &mut self,
        key: &str,
        place: &(String, Position, u32),
        work: String,
    ) -> Result<(), Failure> {
        let (service, position, index) = place;
        let before = Position(position.0.saturating_sub(1));
        let mut tail = self.ground.log.tail(service, before).await?;
        let commits = tokio::time::timeout(LEASE, tail.next(1)).await??;
        let heard = commits.first().map(Heard::of).transpose()?.unwrap_or_default();
        let event = heard.into_iter().find(|h| h.position == *position && h.index == *index);
        let event = event.ok_or("the parked event is not in the log")?;
        self.push(key.to_owned(), Job::Retry(work, Box::new(event)));
        Ok(())
    }

    /// One piece of a blocked key is settled: the next one behind it is tried, or the key is free.
    async fn unblock(&mut self, key: &str, work: &str) -> Result<(), Failure> {
        let Some(parked) = self.blocked.get_mut(key) else { return Ok(()) };
        parked.retain(|_, id| id != work);
        let next = parked.iter().next().map(|(place, id)| (place.clone(), id.clone()));
        match next {
            Some((place, id)) => self.retry(key, &place, id).await,
            None => {
                self.blocked.remove(key);
                Ok(())
            }
        }
    }

    fn push(&mut self, key: String, job: Job) {
        if let Some(job) = self.lanes.push(&key, job) {
            self.work_on(key, job);
        }
    }

    fn end(&mut self, ended: Ended) {
        let Ended { key, job, parked } = ended;
        let mut unblocked = None;
        match &job {
            Job::Event(heard) | Job::Retry(_, heard) if parked => {
                let place = (heard.service().to_owned(), heard.position, heard.index);
                let id = work_id(self.process.name(), heard);
                self.blocked.entry(key.clone()).or_default().insert(place, id);
            }
            Job::Retry(id, _) => unblocked = Some(id.clone()),
            Job::Event(_) | Job::Timer(_) => {}
        }
        if let Some(next) = self.lanes.done(&key, &job) {
            self.work_on(key.clone(), next);
        }
        if let Some(id) = unblocked {
            // Settled: what waited behind it is retried through the log, by the same road.
            if let Some(waiting) = self.blocked.get_mut(&key) {
                waiting.retain(|_, work| *work != id);
                let next = waiting.values().next().cloned();
                if waiting.is_empty() {
                    self.blocked.remove(&key);
                }
                self.ask_for_retry(next);
            }
        }
    }

    fn ask_for_retry(&self, work: Option<String>) {
        let Some(id) = work else { return };
        let handler =
            Handler::<WorkItem>::in_service(self.ground.service, Arc::clone(&self.ground.log));
        let cause = own_cause(self.ground.service, &["retry behind", &id, &new_id().to_string()]);
        self.ground.tasks.spawn("retry behind", async move {
            if let Err(error) = handler.execute(&id, Command::Retry, cause).await {
                error!("cannot retry parked work {id}: {error}");
            }
        });
    }

    fn work_on(&self, key: String, job: Job) {
        let behind = matches!(job, Job::Event(_)) && self.blocked.contains_key(&key);
        let worker = Worker {
            process: Arc::clone(self.process),
            ground: self.ground.clone(),
            permits: Arc::clone(&self.permits),
            term: self.term.clone(),
        };
        let ended = self.ended.clone();
        self.ground.tasks.spawn("process job", async move {
            if let Some(parked) = worker.work(&key, &job, behind).await {
                // A runner that has ended begins again from its checkpoint.
                drop(ended.send(Ended { key, job, parked }));
            }
        });
    }
}

struct Worker {
    process: Arc<dyn Process>,
    ground: Ground,
    permits: Arc<Semaphore>,
    term: CancellationToken,
}

impl Worker {
    /// Works until the job is done (false), parked (true), or the term is over (`None`).
    async fn work(&self, key: &str, job: &Job, behind: bool) -> Option<bool> {
        if behind {
            let cause = "waits behind parked work of the same key".to_owned();
            return self.park(key, job, cause, 0).await.then_some(true);
        }
        let patience = self.ground.patience;
        let mut attempts = 0;
        loop {
            let trouble = match self.attempt(job).await? {
                Ok(()) => return self.resolve(job).await.then_some(false),
                Err(trouble) => trouble,
            };
            let wait = match trouble {
                Trouble::NotYet(wait, _) => wait,
                Trouble::Hopeless(cause) => {
                    if let Job::Timer(timer) = job {
                        self.give_up(timer, &cause).await;
                        return Some(false);
                    }
                    return self.park(key, job, cause, attempts + 1).await.then_some(true);
                }
                Trouble::Retry(cause) => {
                    attempts += 1;
                    if attempts >= patience.attempts {
                        return self.park(key, job, cause, attempts).await.then_some(true);
                    }
                    let name = self.process.name();
                    warn!(process = name, attempts, "process {name} tries {key} again: {cause}");
                    back_off(patience.back_off_min, patience.back_off_max, attempts)
                }
            };
            tokio::select! {
                () = self.term.cancelled() => return None,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// One attempt; `None` when the term is over.
    async fn attempt(&self, job: &Job) -> Option<Result<(), Trouble>> {
        let acting = async {
            let _permit = self.permits.acquire().await;
            match job {
                Job::Event(heard) | Job::Retry(_, heard) => {
                    let span = (self.ground.span)(self.process.name(), heard);
                    self.process.act(heard).instrument(span).await
                }
                Job::Timer(timer) => self.wake(timer).await,
            }
        };
        let guarded = AssertUnwindSafe(acting).catch_unwind();
        let ended = tokio::select! {
            () = self.term.cancelled() => return None,
            ended = guarded => ended,
        };
        Some(ended.unwrap_or_else(|panic| {
            Err(Trouble::Retry(format!("it panicked: {}", panic_text(&*panic))))
        }))
    }

    async fn wake(&self, timer: &Timer) -> Result<(), Trouble> {
        let again = self.process.wake(timer).await?;
        let settled = match again {
            None => self.ground.timers.cancel(&timer.process, &timer.key).await,
            Some(due_at_ms) => {
                let next = Timer { due_at_ms, ..timer.clone() };
                self.ground.timers.set(next).await
            }
        };
        settled.map_err(|error| Trouble::Retry(error.to_string()))
    }

    async fn resolve(&self, job: &Job) -> bool {
        let Job::Retry(id, _) = job else { return true };
        let command = || Command::Resolve;
        self.record(id, command, "resolve").await
    }

    /// A timer that nothing can be done about: it is said once and fires no more.
    async fn give_up(&self, timer: &Timer, cause: &str) {
        let (name, key, due) = (self.process.name(), timer.key.as_str(), timer.due_at_ms);
        match self.ground.timers.cancel(&timer.process, key).await {
            Ok(()) => error!(
                process = name,
                "process {name} gives up the timer of {key}, due at {due}: {cause}"
            ),
            // It stays due, fires again, and is given up then.
            Err(error) => warn!(process = name, "cannot cancel the timer of {key}: {error}"),
        }
    }

    /// Sets the job aside as an event. False when the term ended first.
    async fn park(&self, key: &str, job: &Job, cause: String, attempts: u32) -> bool {
        let name = self.process.name();
        let (Job::Event(heard) | Job::Retry(_, heard)) = job else {
            error!(process = name, attempts, "the timer of {key} stays due: {cause}");
            return true;
        };
        if attempts > 0 {
            error!(process = name, attempts, "process {name} parks {key}: {cause}");
        }
        let parked = nexus_proto::work::v1::WorkParked {
            process: name.to_owned(),
            key: key.to_owned(),
            source: heard.service().to_owned(),
            position: heard.position.0,
            index: heard.index,
            event_id: heard.event_id.as_bytes().to_vec(),
            event_type: heard.event_type().to_owned(),
            cause,
            attempts,
        };
        let id = work_id(name, heard);
        self.record(&id, || Command::Park(parked.clone()), "park").await
    }

    /// Writes a decision about work into the log, until it takes it.
    async fn record(&self, id: &str, command: impl Fn() -> Command, what: &str) -> bool {
        let log = Arc::clone(&self.ground.log);
        let handler = Handler::<WorkItem>::in_service(self.ground.service, log);
        let cause = own_cause(self.ground.service, &[what, id, &new_id().to_string()]);
        let mut tries = 1;
        loop {
            match handler.execute(id, command(), cause.clone()).await {
                Ok(_) => return true,
                Err(error) => error!("cannot {what} work {id}: {error}"),
            }
            let patience = self.ground.patience;
            let wait = back_off(patience.back_off_min, patience.back_off_max, tries);
            tries += 1;
            tokio::select! {
                () = self.term.cancelled() => return false,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }
}

/// The id of parked work: the same event of the same process is the same work.
fn work_id(process: &str, heard: &Heard) -> String {
    derived_id(&["work", process, &heard.event_id.to_string()]).to_string()
}

fn own_cause(service: &str, parts: &[&str]) -> Cause {
    let now = now_ms();
    let command_id = derived_id(parts);
    Cause {
        occurred_at_ms: now,
        learned_at_ms: now,
        command_id,
        request_hash: Vec::new(),
        story: command_id.to_string(),
        causation_id: None,
        actor: Actor::service(service),
        traceparent: String::new(),
    }
}

/// Doubles from `min` to `max`, less up to a quarter, so that many do not come back at once.
fn back_off(min: Duration, max: Duration, attempts: u32) -> Duration {
    let full = min.saturating_mul(1 << attempts.saturating_sub(1).min(16)).min(max);
    let spread = f64::from(new_id().as_bytes().last().copied().unwrap_or_default()) / 255.0;
    full.mul_f64(1.0 - spread / 4.0)
}
