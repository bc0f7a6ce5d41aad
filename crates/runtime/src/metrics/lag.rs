//! How far views and processes are behind their logs, and how much work is parked. A task looks
//! once a second; what is scraped is what it saw.
//! *Invariant:* who has read everything has no lag; lag in seconds is exact to the second.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nexus_es::log::EventLog;
use nexus_es::tasks::Tasks;
use nexus_es::{Position, clock, work};
use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;

use super::{interned, names};
use crate::ports::Running;

const LOOK: Duration = Duration::from_secs(1);
/// Parked work changes rarely and is a question to a database.
const LOOK_AT_PARKED: u32 = 5;
/// Moments of a log that are remembered; beyond, every second one is forgotten.
const MOMENTS: usize = 600;

/// SQLite's and PostgreSQL's codes for it.
const NO_SUCH_TABLE: [&str; 2] = ["1", "42P01"];

type Labels = [KeyValue; 2];

/// Where one log ended when, oldest first.
#[derive(Default)]
struct Heads(VecDeque<(Instant, Position)>);

impl Heads {
    fn add(&mut self, now: Instant, head: Position) {
        if self.0.back().is_none_or(|(_, last)| *last < head) {
            self.0.push_back((now, head));
        }
        if self.0.len() > MOMENTS {
            let mut nth = 0;
            self.0.retain(|_| {
                nth += 1;
                nth % 2 == 1
            });
        }
    }

    /// Forgets what everybody has read.
    fn forget_up_to(&mut self, position: Position) {
        while self.0.len() > 1 && self.0.front().is_some_and(|(_, head)| *head <= position) {
            self.0.pop_front();
        }
    }

    /// Positions and seconds that a reader at `position` is behind.
    fn behind(&self, now: Instant, position: Position) -> (u64, f64) {
        let Some((_, head)) = self.0.back() else { return (0, 0.0) };
        let missing = self.0.iter().find(|(_, head)| *head > position);
        let seconds = missing.map(|(since, _)| now.duration_since(*since).as_secs_f64());
        (head.0.saturating_sub(position.0), seconds.unwrap_or_default())
    }
}

/// What is scraped.
#[derive(Default)]
struct Seen {
    views: Vec<(Labels, u64, f64)>,
    processes: Vec<(Labels, u64, f64)>,
    /// Number and age of the oldest.
    parked: Vec<(Labels, u64, f64)>,
}

#[derive(Default)]
struct Lag {
    heads: BTreeMap<String, Heads>,
    /// Process, source → where it is.
    processes: BTreeMap<(&'static str, String), Position>,
    seen: Seen,
}

static LAG: LazyLock<Mutex<Lag>> = LazyLock::new(Mutex::default);

fn lag() -> MutexGuard<'static, Lag> {
    LAG.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn reached(process: &'static str, source: &str, position: Position) {
    lag().processes.insert((process, source.to_owned()), position);
}

pub(super) fn ended(process: &'static str) {
    lag().processes.retain(|(name, _), _| *name != process);
}

pub(super) fn observe(meter: &Meter) {
    let counts =
        |name: &'static str, about: &'static str, of: fn(&Seen) -> &[(Labels, u64, f64)]| {
            meter
                .u64_observable_gauge(name)
                .with_description(about)
                .with_callback(move |observer| {
                    for (labels, number, _) in of(&lag().seen) {
                        observer.observe(*number, labels);
                    }
                })
                .build();
        };
    counts(names::VIEW_BEHIND, "positions that views have not read yet", |seen| &seen.views);
    counts(names::PROCESS_BEHIND, "positions that processes have not done yet", |seen| {
        &seen.processes
    });
    counts(names::PARKED, "work that waits for a person", |seen| &seen.parked);
    let seconds =
        |name: &'static str, about: &'static str, of: fn(&Seen) -> &[(Labels, u64, f64)]| {
            meter
                .f64_observable_gauge(name)
                .with_unit("s")
                .with_description(about)
                .with_callback(move |observer| {
                    for (labels, _, age) in of(&lag().seen) {
                        observer.observe(*age, labels);
                    }
                })
                .build();
        };
    seconds(names::VIEW_LAG, "age of the oldest commit not read by views", |seen| &seen.views);
    seconds(names::PROCESS_LAG, "age of the oldest commit not done by processes", |seen| {
        &seen.processes
    });
    seconds(names::PARKED_AGE, "age of the oldest parked work", |seen| &seen.parked);
}

/// Looks at the lag of `running` services and of all processes here until `tasks` are stopped.
pub fn watch(log: &Arc<dyn EventLog>, running: &[Running], tasks: &Tasks) {
    let (log, running) = (Arc::clone(log), running.to_vec());
    let stop = tasks.stopping();
    tasks.spawn("watch the lag", async move {
        let (mut looks, mut with_parked) = (0_u32, running.clone());
        loop {
            look(&*log, &running).await;
            if looks.is_multiple_of(LOOK_AT_PARKED) {
                look_at_parked(&mut with_parked).await;
            }
            looks = looks.wrapping_add(1);
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    });
}

async fn look(log: &dyn EventLog, running: &[Running]) {
    let mut views = Vec::new();
    for one in running {
        for (source, position) in one.views.positions().0 {
            views.push((one.service, source, position));
        }
    }
    let mut sources: BTreeSet<String> = views.iter().map(|(_, source, _)| source.clone()).collect();
    sources.extend(lag().processes.keys().map(|(_, source)| source.clone()));
    sources.extend(running.iter().map(|one| one.service.to_owned()));
    let mut heads = Vec::new();
    for source in sources {
        // A log that does not answer leaves the lag growing, which is what is true.
        if let Ok(head) = log.head(&source).await {
            heads.push((source, head));
        }
    }
    lag().see(Instant::now(), heads, &views);
}

impl Lag {
    fn see(
        &mut self,
        now: Instant,
        heads: Vec<(String, Position)>,
        views: &[(&'static str, String, Position)],
    ) {
        for (source, head) in heads {
            self.heads.entry(source).or_default().add(now, head);
        }
        let Self { heads, processes, seen } = self;
        let row = |who: KeyValue, source: &String, position: Position| {
            let (behind, seconds) =
                heads.get(source).map(|heads| heads.behind(now, position)).unwrap_or_default();
            ([who, KeyValue::new("nexus.source", interned(source))], behind, seconds)
        };
        let of_view = |(service, source, position): &(&'static str, String, Position)| {
            row(KeyValue::new("nexus.service", *service), source, *position)
        };
        seen.views = views.iter().map(of_view).collect();
        seen.processes = processes
            .iter()
            .map(|((process, source), position)| {
                row(KeyValue::new("nexus.process", *process), source, *position)
            })
            .collect();
        for (source, heads) in heads {
            let of_views = views.iter().filter(|(_, of, _)| of == source).map(|(.., at)| *at);
            let of_processes =
                processes.iter().filter(|((_, of), _)| of == source).map(|(_, at)| *at);
            if let Some(least) = of_views.chain(of_processes).min() {
                heads.forget_up_to(least);
            }
        }
    }
}

/// Looks in all that have such a list; who has none is not asked again.
async fn look_at_parked(running: &mut Vec<Running>) {
    let mut parked = Vec::new();
    let mut without = Vec::new();
    for one in &*running {
        let counts = match work::counts(&one.views.pool()).await {
            Ok(counts) => counts,
            Err(error) => {
                let code = error.as_database_error().and_then(|error| error.code());
                if code.is_some_and(|code| NO_SUCH_TABLE.contains(&&*code)) {
                    without.push(one.service);
                }
                continue;
            }
        };
        for (process, number, oldest_ms) in counts {
            let labels = [
                KeyValue::new("nexus.service", one.service),
                KeyValue::new("nexus.process", interned(&process)),
            ];
            let age = u64::try_from(clock::now_ms().saturating_sub(oldest_ms)).unwrap_or_default();
            let age = Duration::from_millis(age).as_secs_f64();
            parked.push((labels, u64::try_from(number).unwrap_or_default(), age));
        }
    }
    running.retain(|one| !without.contains(&one.service));
    let mut lag = lag();
    // What was parked and is no more is told as none, not left out.
    let gone = lag.seen.parked.iter().filter(|(labels, ..)| {
        !parked.iter().any(|(present, ..): &(Labels, u64, f64)| present == labels)
    });
    let gone: Vec<_> = gone.map(|(labels, ..)| (labels.clone(), 0, 0.0)).collect();
    parked.extend(gone);
    lag.seen.parked = parked;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_is_as_late_as_the_first_commit_that_it_misses() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut heads = Heads::default();
        heads.add(at(0), Position(10));
        heads.add(at(1), Position(10));
        heads.add(at(2), Position(15));
        heads.add(at(3), Position(20));
        assert_eq!(heads.behind(at(5), Position(20)), (0, 0.0));
        assert_eq!(heads.behind(at(5), Position(17)), (3, 2.0));
        assert_eq!(heads.behind(at(5), Position(10)), (10, 3.0));
        assert_eq!(heads.behind(at(5), Position(3)), (17, 5.0));
        heads.forget_up_to(Position(15));
        assert_eq!(heads.behind(at(6), Position(17)), (3, 3.0));
    }

    #[test]
    fn a_log_that_runs_away_is_remembered_within_bounds_and_from_its_beginning() {
        let start = Instant::now();
        let mut heads = Heads::default();
        for second in 0..10_000 {
            heads.add(start + Duration::from_secs(second), Position(second + 1));
        }
        assert!(heads.0.len() <= MOMENTS, "{}", heads.0.len());
        let (_, seconds) = heads.behind(start + Duration::from_secs(10_000), Position(0));
        assert!((seconds - 10_000.0).abs() < 1.0, "{seconds}");
    }

    #[test]
    fn processes_and_views_are_seen_until_they_end() {
        let mut lag = Lag::default();
        lag.processes.insert(("confirm_order", "order".to_owned()), Position(4));
        let views = [("shipping", "order".to_owned(), Position(9))];
        lag.see(Instant::now(), vec![("order".to_owned(), Position(9))], &views);
        let numbers = |rows: &[(Labels, u64, f64)]| -> Vec<u64> {
            rows.iter().map(|(_, number, _)| *number).collect()
        };
        assert_eq!((numbers(&lag.seen.processes), numbers(&lag.seen.views)), (vec![5], vec![0]));
    }
}
