//! The lanes of a process: one a key, worked one after the other; and what is not yet done.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use crate::heard::Heard;
use crate::ids::Position;
use crate::ports::Timer;

/// One thing to do.
#[derive(Clone, Debug)]
pub(super) enum Job {
    /// An event was heard.
    Event(Box<Heard>),
    /// An event was heard whose key cannot be told, and why; its lane is that of its aggregate.
    Unkeyed(Box<Heard>, String),
    /// A parked event is tried again; the parked work's id.
    Retry(String, Box<Heard>),
    /// A timer is due.
    Timer(Timer),
}

impl Job {
    /// The event that it is about; none for a timer.
    pub(super) fn heard(&self) -> Option<&Heard> {
        match self {
            Self::Event(heard) | Self::Unkeyed(heard, _) | Self::Retry(_, heard) => Some(heard),
            Self::Timer(_) => None,
        }
    }

    /// The event that the checkpoint must not pass before this is done.
    fn news(&self) -> Option<&Heard> {
        match self {
            Self::Event(heard) | Self::Unkeyed(heard, _) => Some(heard),
            Self::Retry(..) | Self::Timer(_) => None,
        }
    }
}

#[derive(Default)]
struct Lane {
    queue: VecDeque<Job>,
    busy: bool,
}

/// What waits, what is worked on, and how far each log is done.
#[derive(Default)]
pub(super) struct Lanes {
    lanes: HashMap<String, Lane>,
    /// Per log: events that are not done, by position and index.
    open: BTreeMap<String, BTreeSet<(Position, u32)>>,
    /// Per log: the last position read.
    read: BTreeMap<String, Position>,
    waiting: usize,
}

impl Lanes {
    /// Notes that everything up to `position` of `service` has been put into lanes.
    pub(super) fn read_up_to(&mut self, service: &str, position: Position) {
        self.read.insert(service.to_owned(), position);
    }

    /// Puts a job into its lane; answers it back when the lane is free and it can start now.
    pub(super) fn push(&mut self, key: &str, job: Job) -> Option<Job> {
        if let Some(heard) = job.news() {
            let open = self.open.entry(heard.service().to_owned()).or_default();
            open.insert((heard.position, heard.index));
        }
        self.waiting += 1;
        let lane = self.lanes.entry(key.to_owned()).or_default();
        if lane.busy {
            lane.queue.push_back(job);
            return None;
        }
        lane.busy = true;
        Some(job)
    }

    /// Notes that `job` is done or parked; answers the next one of its lane.
    pub(super) fn done(&mut self, key: &str, job: &Job) -> Option<Job> {
        self.waiting = self.waiting.saturating_sub(1);
        if let Some(heard) = job.news()
            && let Some(open) = self.open.get_mut(heard.service())
        {
            open.remove(&(heard.position, heard.index));
        }
        let lane = self.lanes.get_mut(key)?;
        if let Some(next) = lane.queue.pop_front() {
            return Some(next);
        }
        self.lanes.remove(key);
        None
    }

    /// Jobs that are not done.
    pub(super) fn len(&self) -> usize {
        self.waiting
    }

    /// True while a timer of this key is queued or worked on.
    pub(super) fn is_busy(&self, key: &str) -> bool {
        self.lanes.contains_key(key)
    }

    /// Per log: the position up to which everything is done.
    pub(super) fn checkpoints(&self) -> BTreeMap<String, Position> {
        let before_open = |service: &String, read: Position| {
            let first = self.open.get(service).and_then(BTreeSet::first);
            first.map_or(read, |(position, _)| Position(position.0.saturating_sub(1)))
        };
        self.read.iter().map(|(name, read)| (name.clone(), before_open(name, *read))).collect()
    }
}
