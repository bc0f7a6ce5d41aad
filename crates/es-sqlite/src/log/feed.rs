//! The newest commits of each service in memory, so that tails near the head read no file.
//! *Invariant:* the ring holds every commit of its service after `before`, up to the head.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nexus_es::Position;
use nexus_es::commit::Stored;
use tokio::sync::watch;

/// What one service's ring may hold.
const RING_COMMITS: usize = 4_096;
const RING_BYTES: usize = 2 * 1024 * 1024;

/// The feeds of all services.
#[derive(Clone, Debug)]
pub(super) struct Feeds(Arc<Mutex<HashMap<String, Arc<Feed>>>>);

/// The newest commits of one service.
#[derive(Debug)]
pub(super) struct Feed {
    ring: Mutex<Ring>,
    head: watch::Sender<Position>,
}

#[derive(Debug)]
struct Ring {
    commits: VecDeque<Stored>,
    bytes: usize,
    before: Position,
}

/// What a feed knows about what comes after a position.
pub(super) enum Found {
    /// The next commits.
    Commits(Vec<Stored>),
    /// There is nothing yet.
    Nothing,
    /// The ring no longer reaches back that far.
    Older,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Feeds {
    pub(super) fn new(heads: Vec<(String, Position)>) -> Self {
        let feed = |(service, head)| (service, Arc::new(Feed::new(head)));
        Self(Arc::new(Mutex::new(heads.into_iter().map(feed).collect())))
    }

    /// The feed of `service`; one that has no commit yet starts at the beginning.
    pub(super) fn of(&self, service: &str) -> Arc<Feed> {
        let mut feeds = lock(&self.0);
        if let Some(feed) = feeds.get(service) {
            return feed.clone();
        }
        let feed = Arc::new(Feed::new(Position::START));
        feeds.insert(service.to_owned(), feed.clone());
        feed
    }

    /// Shows commits that are on disk, in the order of their positions.
    pub(super) fn show(&self, commits: Vec<Stored>) {
        let mut moved: Vec<(Arc<Feed>, Position)> = Vec::new();
        let mut feeds: HashMap<String, usize> = HashMap::new();
        for stored in commits {
            let position = stored.position;
            let known = feeds.get(&stored.aggregate.service).and_then(|at| moved.get_mut(*at));
            if let Some((feed, head)) = known {
                lock(&feed.ring).push(stored);
                *head = position;
            } else {
                let feed = self.of(&stored.aggregate.service);
                feeds.insert(stored.aggregate.service.clone(), moved.len());
                lock(&feed.ring).push(stored);
                moved.push((feed, position));
            }
        }
        // Waking is done once a service, after its commits are in the ring.
        for (feed, head) in moved {
            feed.head.send_replace(head);
        }
    }
}

impl Feed {
    fn new(head: Position) -> Self {
        let ring = Ring { commits: VecDeque::new(), bytes: 0, before: head };
        Self { ring: Mutex::new(ring), head: watch::Sender::new(head) }
    }

    /// Changes whenever the head does.
    pub(super) fn moved(&self) -> watch::Receiver<Position> {
        self.head.subscribe()
    }

    pub(super) fn head(&self) -> Position {
        *self.head.borrow()
    }

    pub(super) fn after(&self, after: Position, max: usize) -> Found {
        let ring = lock(&self.ring);
        if after < ring.before {
            return Found::Older;
        }
        let from = ring.commits.partition_point(|stored| stored.position <= after);
        let commits: Vec<_> = ring.commits.iter().skip(from).take(max).cloned().collect();
        if commits.is_empty() { Found::Nothing } else { Found::Commits(commits) }
    }
}

impl Ring {
    fn push(&mut self, stored: Stored) {
        self.bytes += stored.bytes.len();
        self.commits.push_back(stored);
        while self.bytes > RING_BYTES || self.commits.len() > RING_COMMITS {
            let Some(oldest) = self.commits.pop_front() else { break };
            self.bytes -= oldest.bytes.len();
            self.before = oldest.position;
        }
    }
}
