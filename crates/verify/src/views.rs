//! View databases against the logs: rebuilt equals live, and a row for every courier update.
//! *Invariant:* live databases are only read: everything is tried on a copy.

mod files;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::future::BoxFuture;
use nexus_es::{AggregateId, EventLog, Position, Stored};
use nexus_proto::common::v1 as proto;
use prost::Message;

use crate::facts::{Id, Place, id_in, id_of};
use crate::report::{Invariant, Report};
use crate::run::{VerifyError, each};
use files::Copied;

const SHIPPING: &str = "shipping";
/// How often equality is tried again while the log grows under it.
const TRIES: u32 = 3;

/// Opens or makes a service's views in the folder, waits until they have caught up with the logs,
/// ends them, and answers their digest (`Views::content_hash`).
pub type Build = Box<dyn Fn(PathBuf) -> BoxFuture<'static, Result<String, String>> + Send + Sync>;

/// Copies a service's live views into the folder, as a file; false when there are none yet. Why it
/// could not is told, and is no violation.
pub type CopyInto = Box<dyn Fn(PathBuf) -> BoxFuture<'static, Result<bool, String>> + Send + Sync>;

/// Where the live views of a service are.
pub enum Live {
    /// Files in this folder.
    Files(PathBuf),
    /// Elsewhere: what copies them knows.
    Elsewhere(CopyInto),
}

/// How one service's views are looked at.
pub struct ViewsOf {
    /// The service.
    pub service: &'static str,
    /// Where they are.
    pub live: Live,
    /// What builds them.
    pub build: Build,
}

impl ViewsOf {
    /// A copy of the live ones in `dir`, or why there is none.
    async fn copy(&self, dir: &Path) -> Result<Result<Copied, String>, VerifyError> {
        let service = self.service;
        let nothing = || Err(format!("{service} (no view database is there)"));
        match &self.live {
            Live::Files(live) => {
                Ok(files::copy_live(live, service, dir).await?.map_or_else(nothing, Ok))
            }
            Live::Elsewhere(copy_into) => Ok(match copy_into(dir.to_owned()).await {
                Ok(true) => files::copied(dir, service)?.map_or_else(nothing, Ok),
                Ok(false) => nothing(),
                Err(why) => Err(format!("{service} ({why})")),
            }),
        }
    }
}

/// Compares view databases with the logs, and says which it could not look at. `services` are the
/// logs that views may be built from.
///
/// # Errors
/// [`VerifyError`] when a log or a file cannot be read.
pub async fn verify_views(
    log: Arc<dyn EventLog>,
    services: &[&str],
    views: &[ViewsOf],
) -> Result<Report, VerifyError> {
    let mut report = Report::of(&[Invariant::I23, Invariant::I29]);
    let work = tempfile::tempdir().map_err(files::failed(&std::env::temp_dir()))?;
    let mut unseen = Vec::new();
    for (nth, of) in views.iter().enumerate() {
        let place = place(of.service, Position::START)?;
        let equal = Equal { log: &*log, services, of, place: &place };
        for again in 0..TRIES {
            let dir = work.path().join(format!("{nth}-{again}"));
            match equal.holds(&dir, &mut report, again + 1 == TRIES).await? {
                Judged::Yes => break,
                Judged::NotYet => {}
                Judged::Unseen(why) => {
                    unseen.push(why);
                    break;
                }
            }
        }
        let dir = work.path().join(format!("{nth}-logs"));
        if of.service == SHIPPING
            && let Ok(copy) = of.copy(&dir).await?
        {
            logged_once(&*log, &copy, &mut report).await?;
        }
    }
    if !unseen.is_empty() {
        report.note(Invariant::I29, format!("not looked at: {}", unseen.join(", ")));
    }
    Ok(report)
}

/// Whether views could be judged.
enum Judged {
    Yes,
    /// The log grew meanwhile.
    NotYet,
    /// Nobody can say; why.
    Unseen(String),
}

struct Equal<'a> {
    log: &'a dyn EventLog,
    services: &'a [&'a str],
    of: &'a ViewsOf,
    place: &'a Place,
}

impl Equal<'_> {
    /// Brings a copy of the live file up to date and builds another one from nothing; answers
    /// whether they could be judged.
    async fn holds(
        &self,
        dir: &Path,
        report: &mut Report,
        last_try: bool,
    ) -> Result<Judged, VerifyError> {
        let service = self.of.service;
        let (live_dir, fresh_dir) = (dir.join("live"), dir.join("fresh"));
        if let Err(why) = self.of.copy(&live_dir).await? {
            return Ok(Judged::Unseen(why));
        }
        std::fs::create_dir_all(&fresh_dir).map_err(files::failed(&fresh_dir))?;
        let before = self.heads().await?;
        let built = |dir| (self.of.build)(dir);
        let (live, fresh) = (built(live_dir).await, built(fresh_dir).await);
        let moved = self.heads().await? != before;
        let equal = matches!((&live, &fresh), (Ok(live), Ok(fresh)) if live == fresh);
        if equal {
            report.count(Invariant::I29);
            return Ok(Judged::Yes);
        }
        if moved && !last_try {
            return Ok(Judged::NotYet);
        }
        if moved {
            report.in_flight(Invariant::I29);
            return Ok(Judged::Yes);
        }
        report.expect(Invariant::I29, false, self.place, || match (live, fresh) {
            (Ok(live), Ok(fresh)) => {
                format!("the views of {service} are {live}, built anew they are {fresh}")
            }
            (Err(why), _) => format!("the views of {service} cannot be brought up to date: {why}"),
            (_, Err(why)) => format!("the views of {service} cannot be built anew: {why}"),
        });
        Ok(Judged::Yes)
    }

    async fn heads(&self) -> Result<Vec<Position>, VerifyError> {
        let mut heads = Vec::new();
        for service in self.services {
            let failed = |source| VerifyError::Log { service: (*service).to_owned(), source };
            heads.push(self.log.head(service).await.map_err(failed)?);
        }
        Ok(heads)
    }
}

fn place(service: &str, position: Position) -> Result<Place, VerifyError> {
    let named = AggregateId::new(service, "views", "all");
    let aggregate = named.map_err(|bad| VerifyError::Name(bad.to_string()))?;
    Ok(Place { aggregate: Arc::new(aggregate), position })
}

/// Every courier update up to where the views have read is one row of `awb_status_logs`, and every
/// row is one update.
async fn logged_once(
    log: &dyn EventLog,
    copy: &Copied,
    report: &mut Report,
) -> Result<(), VerifyError> {
    let (seen_to, ids) = copy.status_logs().await?;
    let mut rows = HashSet::new();
    let end = place(SHIPPING, seen_to)?;
    for text in ids {
        let fresh = id_in(&text).is_some_and(|id| rows.insert(id));
        report.expect(Invariant::I23, fresh, &end, || {
            format!("the row {text} of awb_status_logs is there twice, or names no event")
        });
    }
    each(log, SHIPPING, Position::START, |stored| {
        if stored.position <= seen_to {
            for (id, place) in updates(stored) {
                let logged = rows.remove(&id);
                report.expect(Invariant::I23, logged, &place, || {
                    format!("the update {id:032x} has no row in awb_status_logs")
                });
            }
        }
    })
    .await?;
    if let Some(row) = rows.iter().next() {
        let what = format!("the row {row:032x} of awb_status_logs stands for no update");
        report.violated(Invariant::I23, &end, what);
    }
    Ok(())
}

/// The ids of the courier updates in a commit.
fn updates(stored: &Stored) -> Vec<(Id, Place)> {
    if stored.aggregate.category != "shipment" {
        return Vec::new();
    }
    let commit = proto::Commit::decode(&*stored.bytes).unwrap_or_default();
    let events = commit.entries.iter().flat_map(|entry| &entry.events);
    let place = Place { aggregate: Arc::new(stored.aggregate.clone()), position: stored.position };
    events
        .filter(|event| event.r#type == "shipment.TrackingRecorded")
        .filter_map(|event| Some((id_of(&event.event_id)?, place.clone())))
        .collect()
}
