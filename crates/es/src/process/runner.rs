//! Runs one process: takes its lease, follows its logs, works its lanes, keeps its checkpoint.
//! *Invariant:* a term that ends, however it ends, leaves nothing running and is begun again.

use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::blocked::{Blocked, place_of};
use super::lanes::{Job, Lanes};
use super::worker::{Worker, work_id};
use super::{Ground, Process};
use crate::Decider;
use crate::clock::now_ms;
use crate::commit::Stored;
use crate::handle::{Aggregate, Handler};
use crate::heard::{Heard, Positions};
use crate::ids::{Position, new_id};
use crate::log::LogError;
use crate::measure;
use crate::tasks::panic_text;
use crate::work::{self, Standing, WorkItem};

const LEASE: Duration = Duration::from_secs(4);
const RENEW: Duration = Duration::from_millis(1200);
/// A checkpoint that is a second old only asks a second's work again.
const SAVE: Duration = Duration::from_secs(1);
const TIMER_POLL: Duration = Duration::from_millis(200);
const READ_BATCH: usize = 256;
/// Beyond so many open jobs no more is read.
const MAX_OPEN: usize = 4096;
const RESTART: Duration = Duration::from_millis(500);
/// How long the log may take to answer a parked event.
const READ_EVENT: Duration = Duration::from_secs(2);
/// How long the views may take to list what is parked.
const VIEWS: Duration = Duration::from_secs(600);

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Starts a process. It runs until the ground's tasks are shut down; only while it has its lease.
pub fn start(process: Arc<dyn Process>, ground: Ground) {
    let tasks = ground.tasks.clone();
    let owner = new_id().to_string();
    tasks.spawn("process", async move {
        let stop = ground.tasks.stopping();
        let name = process.name();
        loop {
            match ground.leases.acquire(name, &owner, LEASE).await {
                Ok(Some(_)) => term(&process, &ground, &owner, stop.child_token()).await,
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

/// One term, from a lease to its end; says why it ended.
async fn term(process: &Arc<dyn Process>, ground: &Ground, owner: &str, term: CancellationToken) {
    let name = process.name();
    process.begin_term(now_ms());
    let running = Box::pin(run(process, ground, owner, term.clone()));
    let ended = AssertUnwindSafe(running).catch_unwind().await;
    term.cancel();
    measure::tell(|meter| meter.ended(name));
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(error)) => warn!(process = name, "process {name} begins again: {error}"),
        Err(panic) => {
            let why = panic_text(&*panic);
            error!(process = name, "process {name} panicked and begins again: {why}");
        }
    }
}

/// Ended jobs: lane, job, whether it was only parked behind another, and whether it is parked.
struct Ended {
    key: String,
    job: Job,
    behind: bool,
    parked: bool,
}

struct Runner<'a> {
    process: &'a Arc<dyn Process>,
    ground: &'a Ground,
    lanes: Lanes,
    blocked: Blocked,
    /// Decisions about parked work up to here are in `blocked` already.
    decided: Position,
    /// Parked work that is tried again, and whether that was asked for once more meanwhile.
    retrying: HashMap<String, bool>,
    worker: Worker,
    ended: mpsc::UnboundedSender<Ended>,
}

async fn run(
    process: &Arc<dyn Process>,
    ground: &Ground,
    owner: &str,
    term: CancellationToken,
) -> Result<(), Failure> {
    let name = process.name();
    let (mut runner, mut endings, again) = Runner::prepare(process, ground, term.clone()).await?;
    // The views may have taken longer than the lease lasts.
    renew(ground, name, owner).await?;
    let mut arrivals = follow_all(process, ground, &term).await?;
    for id in again {
        runner.retry(&id).await?;
    }
    let [mut renewal, mut save, mut poll] = [RENEW, SAVE, TIMER_POLL].map(every);
    let mut saved = BTreeMap::new();
    info!(process = name, "process {name} is active");
    loop {
        // What keeps the term alive comes before what there may be without end.
        tokio::select! {
            biased;
            () = term.cancelled() => break,
            _ = renewal.tick() => renew(ground, name, owner).await?,
            _ = save.tick() => save_checkpoints(ground, name, &runner.lanes, &mut saved).await?,
            _ = poll.tick(), if process.uses_timers() => runner.poll_timers().await?,
            Some(ended) = endings.recv() => runner.end(ended),
            Some(arrived) = arrivals.recv(), if runner.lanes.len() < MAX_OPEN => {
                let (service, commits) = arrived?;
                runner.hear(service, &commits).await?;
            }
        }
    }
    save_checkpoints(ground, name, &runner.lanes, &mut saved).await
}

fn every(period: Duration) -> Interval {
    let mut interval = tokio::time::interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

async fn renew(ground: &Ground, name: &str, owner: &str) -> Result<(), Failure> {
    let lease = ground.leases.acquire(name, owner, LEASE).await?;
    lease.map(|_| ()).ok_or_else(|| "another replica took the lease".into())
}

async fn save_checkpoints(
    ground: &Ground,
    name: &'static str,
    lanes: &Lanes,
    saved: &mut BTreeMap<String, Position>,
) -> Result<(), Failure> {
    let now = lanes.checkpoints();
    for (service, position) in &now {
        measure::tell(|meter| meter.reached(name, service, *position));
        if saved.get(service) != Some(position) {
            ground.checkpoints.save(name, service, *position).await?;
        }
    }
    *saved = now;
    Ok(())
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
        measure::tell(|meter| meter.reached(process.name(), source, from));
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

impl<'a> Runner<'a> {
    /// A runner that knows what is parked, where its jobs end, and the parked work that has to be
    /// tried again.
    async fn prepare(
        process: &'a Arc<dyn Process>,
        ground: &'a Ground,
        term: CancellationToken,
    ) -> Result<(Self, mpsc::UnboundedReceiver<Ended>, Vec<String>), Failure> {
        let (service, views) = (ground.service, &ground.views);
        let wanted = Positions::one(service, ground.log.head(service).await?);
        views.wait_for(&wanted, VIEWS).await?;
        // Looked at before the rows, which hold at least so much.
        let decided = views.positions().0.get(service).copied().unwrap_or_default();
        let (mut blocked, mut again) = (Blocked::default(), Vec::new());
        for skipped in work::skipped(&views.pool(), process.name()).await? {
            blocked.skip((skipped.source, Position(skipped.position), skipped.index));
        }
        for parked in work::list(&views.pool(), Some(process.name())).await? {
            let place = (parked.source, Position(parked.position), parked.index);
            // What waited behind something else, with nothing before it any more: whoever settled
            // that could not ask for this. And what was asked for and did not end.
            let left = parked.attempts == 0 && !blocked.is_behind(&parked.key, &place);
            if left || parked.retries > 0 {
                again.push(parked.id.clone());
            }
            blocked.insert(&parked.key, place, &parked.id);
        }
        let permits = Arc::new(Semaphore::new(ground.patience.concurrency));
        let worker = Worker { process: Arc::clone(process), ground: ground.clone(), permits, term };
        let (ended, endings) = mpsc::unbounded_channel();
        let (lanes, retrying) = (Lanes::default(), HashMap::new());
        let runner = Self { process, ground, lanes, blocked, decided, retrying, worker, ended };
        Ok((runner, endings, again))
    }

    async fn poll_timers(&mut self) -> Result<(), Failure> {
        if self.lanes.len() >= MAX_OPEN {
            return Ok(());
        }
        // Those that are being dealt with are due as well, and may be the oldest.
        let max = READ_BATCH + self.lanes.len();
        for timer in self.ground.timers.due(self.process.name(), now_ms(), max).await? {
            if !self.lanes.is_busy(&timer.key) {
                self.push(timer.key.clone(), Job::Timer(timer));
            }
        }
        Ok(())
    }

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
        if !self.process.sources().contains(&heard.service()) {
            return Ok(());
        }
        let (key, cause) = match catch_unwind(AssertUnwindSafe(|| self.process.key(&heard))) {
            Ok(None) => return Ok(()),
            Ok(Some(key)) => (key, None),
            Err(panic) => {
                let cause = format!("asking for its key panicked: {}", panic_text(&*panic));
                (heard.aggregate.id.clone(), Some(cause))
            }
        };
        // Heard again after a restart: it is parked already, or somebody let it be.
        if !self.blocked.is_settled(&key, &place_of(&heard)) {
            let heard = Box::new(heard);
            self.push(key, cause.map_or(Job::Event(heard.clone()), |why| Job::Unkeyed(heard, why)));
        }
        Ok(())
    }

    /// Somebody decided about parked work, perhaps ours.
    async fn hear_work(&mut self, heard: &Heard) -> Result<(), Failure> {
        let id = heard.aggregate.id.as_str();
        if heard.position <= self.decided {
            return Ok(());
        }
        match WorkItem::decode(&heard.payload) {
            Ok(work::Event::Retried) if self.knows(id).await? => self.retry(id).await?,
            Ok(work::Event::Skipped { .. }) if self.knows(id).await? => {
                if let Some((_, place)) = self.blocked.find(id) {
                    self.blocked.skip(place.clone());
                }
                let next = self.blocked.remove(id);
                self.ask_for_retry(next);
            }
            // By a retry of ours, or by one of the term before, which this one did not see end.
            Ok(work::Event::Resolved) => {
                let next = self.blocked.remove(id);
                self.ask_for_retry(next);
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether the work is ours and open. The term before may have parked it after this one asked
    /// what is parked: then only the log knows.
    async fn knows(&mut self, id: &str) -> Result<bool, Failure> {
        if self.blocked.find(id).is_some() {
            return Ok(true);
        }
        let log = Arc::clone(&self.ground.log);
        let handler = Handler::<WorkItem>::in_service(self.ground.service, log);
        let read = |item: &WorkItem| item.account().map(|(parked, at)| (parked.clone(), at));
        let (_, account) = handler.read(id, read).await?;
        let Some((parked, standing)) = account.filter(|(p, _)| p.process == self.process.name())
        else {
            return Ok(false);
        };
        let place = (parked.source, Position(parked.position), parked.index);
        match standing {
            Standing::Open => self.blocked.insert(&parked.key, place, id),
            Standing::Skipped => self.blocked.skip(place),
            Standing::Done => {}
        }
        Ok(standing == Standing::Open)
    }

    async fn retry(&mut self, id: &str) -> Result<(), Failure> {
        let Some((key, place)) = self.blocked.find(id).cloned() else { return Ok(()) };
        if let Some(once_more) = self.retrying.get_mut(id) {
            *once_more = true;
            return Ok(());
        }
        let (service, position, index) = &place;
        let before = Position(position.0.saturating_sub(1));
        let mut tail = self.ground.log.tail(service, before).await?;
        let commits = tokio::time::timeout(READ_EVENT, tail.next(1)).await??;
        let heard = commits.first().map(Heard::of).transpose()?.unwrap_or_default();
        let event = heard.into_iter().find(|h| h.position == *position && h.index == *index);
        let Some(event) = event else {
            error!("the event of parked work {id} is not at {service}:{position}");
            return Ok(());
        };
        self.retrying.insert(id.to_owned(), false);
        self.push(key, Job::Retry(id.to_owned(), Box::new(event)));
        Ok(())
    }

    fn push(&mut self, key: String, job: Job) {
        if let Some(job) = self.lanes.push(&key, job) {
            self.work_on(key, job);
        }
    }

    fn end(&mut self, ended: Ended) {
        let Ended { key, job, behind, parked } = ended;
        // What is blocked is put right first: the next job of the lane asks for it.
        let next = if parked { self.note_parked(&key, &job, behind) } else { None };
        let next = match &job {
            Job::Retry(id, heard) => {
                let once_more = self.retrying.remove(id).unwrap_or_default();
                if parked && once_more {
                    self.retrying.insert(id.clone(), false);
                    self.push(key.clone(), Job::Retry(id.clone(), heard.clone()));
                }
                if parked { next } else { self.blocked.remove(id) }
            }
            Job::Event(_) | Job::Unkeyed(..) | Job::Timer(_) => next,
        };
        self.ask_for_retry(next);
        if let Some(next) = self.lanes.done(&key, &job) {
            self.work_on(key, next);
        }
    }

    /// Answers the work itself when it was to wait behind something that is settled by now.
    fn note_parked(&mut self, key: &str, job: &Job, behind: bool) -> Option<String> {
        let heard = job.heard()?;
        let place = place_of(heard);
        if self.blocked.is_skipped(&place) {
            return None;
        }
        let id = work_id(self.process.name(), heard);
        self.blocked.insert(key, place.clone(), &id);
        (behind && !self.blocked.is_behind(key, &place)).then_some(id)
    }

    fn ask_for_retry(&self, work: Option<String>) {
        let Some(id) = work else { return };
        let worker = self.worker.clone();
        let asking = async move { worker.ask_for_retry(&id).await };
        self.ground.tasks.spawn("retry behind", asking);
    }

    fn work_on(&self, key: String, job: Job) {
        let (behind, moot) = match &job {
            Job::Event(heard) | Job::Unkeyed(heard, _) => {
                let place = place_of(heard);
                (self.blocked.is_behind(&key, &place), self.blocked.is_skipped(&place))
            }
            Job::Retry(id, _) => (false, self.blocked.find(id).is_none()),
            Job::Timer(_) => (false, false),
        };
        let (worker, ended) = (self.worker.clone(), self.ended.clone());
        self.ground.tasks.spawn("process job", async move {
            let worked = if moot { Some(false) } else { worker.work(&key, &job, behind).await };
            if let Some(parked) = worked {
                // A runner that has ended begins again from its checkpoint.
                drop(ended.send(Ended { key, job, behind, parked }));
            }
        });
    }
}
