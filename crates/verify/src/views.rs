//! View databases against the logs: rebuilt equals live, and a row for every courier update.
//! *Invariant:* live files are only read: everything is tried on a copy.

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

/// How one service's views are built.
pub struct ViewsOf {
    /// The service.
    pub service: &'static str,
    /// What builds them.
    pub build: Build,
}

/// Compares the view databases in `views_dir` with the logs. `services` are the logs that views may
/// be built from.
///
/// # Errors
/// [`VerifyError`] when a log or a file cannot be read.
pub async fn verify_views(
    log: Arc<dyn EventLog>,
    services: &[&str],
    views_dir: &Path,
    views: &[ViewsOf],
) -> Result<Report, VerifyError> {
    let mut report = Report::of(&[Invariant::I23, Invariant::I29]);
    let work = tempfile::tempdir().map_err(files::failed(views_dir))?;
    for (nth, of) in views.iter().enumerate() {
        let place = place(of.service, Position::START)?;
        let equal = Equal { log: &*log, services, views_dir, of, place: &place };
        for again in 0..TRIES {
            let dir = work.path().join(format!("{nth}-{again}"));
            if equal.holds(&dir, &mut report, again + 1 == TRIES).await? {
                break;
            }
        }
    }
    let dir = work.path().join("logs");
    if let Some(copy) = files::copy_live(views_dir, SHIPPING, &dir).await? {
        logged_once(&*log, &copy, &mut report).await?;
    }
    Ok(report)
}

struct Equal<'a> {
    log: &'a dyn EventLog,
    services: &'a [&'a str],
    views_dir: &'a Path,
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
    ) -> Result<bool, VerifyError> {
        let service = self.of.service;
        let (live_dir, fresh_dir) = (dir.join("live"), dir.join("fresh"));
        if files::copy_live(self.views_dir, service, &live_dir).await?.is_none() {
            report.note(Invariant::I29, format!("{service} has no view database yet"));
            return Ok(true);
        }
        std::fs::create_dir_all(&fresh_dir).map_err(files::failed(&fresh_dir))?;
        let before = self.heads().await?;
        let built = |dir| (self.of.build)(dir);
        let (live, fresh) = (built(live_dir).await, built(fresh_dir).await);
        let moved = self.heads().await? != before;
        let equal = matches!((&live, &fresh), (Ok(live), Ok(fresh)) if live == fresh);
        if equal {
            report.count(Invariant::I29);
            return Ok(true);
        }
        if moved && !last_try {
            return Ok(false);
        }
        if moved {
            report.in_flight(Invariant::I29);
            return Ok(true);
        }
        report.expect(Invariant::I29, false, self.place, || match (live, fresh) {
            (Ok(live), Ok(fresh)) => {
                format!("the views of {service} are {live}, built anew they are {fresh}")
            }
            (Err(why), _) => format!("the views of {service} cannot be brought up to date: {why}"),
            (_, Err(why)) => format!("the views of {service} cannot be built anew: {why}"),
        });
        Ok(true)
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
