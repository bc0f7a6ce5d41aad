//! Courier webhooks as they came, against the updates that were recorded from them.

use std::collections::HashMap;

use nexus_proto::ingress::v1::InboxReceived;
use nexus_proto::shipping::v1::ShipmentTrackingRecorded;

use crate::facts::{Fact, Id, Place, id_in};
use crate::report::{Invariant, Report};

/// An update that was recorded from a webhook.
struct Recorded {
    body_hash: Vec<u8>,
    place: Place,
}

#[derive(Default)]
pub(crate) struct Inbox {
    recorded: HashMap<Id, Recorded>,
    unmatched: u64,
}

impl Inbox {
    pub(crate) fn hear(&mut self, fact: &Fact<'_>, report: &mut Report) {
        match fact.kind() {
            "shipment.TrackingRecorded" => {
                if let Some(told) = fact.read(report) {
                    self.recorded(fact, told, report);
                }
            }
            "inbox.Received" => {
                if let Some(received) = fact.read(report) {
                    self.received(fact, &received, report);
                }
            }
            _ => {}
        }
    }

    fn recorded(&mut self, fact: &Fact<'_>, told: ShipmentTrackingRecorded, report: &mut Report) {
        if told.source != "webhook" {
            return;
        }
        let Some(inbox) = id_in(&told.inbox_event_id) else {
            let what = "an update from a webhook does not name the webhook".to_owned();
            return report.violated(Invariant::I23, fact.place, what);
        };
        let recorded = Recorded { body_hash: told.body_hash, place: fact.place.clone() };
        let twice = self.recorded.insert(inbox, recorded).is_some();
        report.expect(Invariant::I23, !twice, fact.place, || {
            format!("the webhook {inbox:032x} is logged a second time")
        });
    }

    /// Read after shipping's log, so that what was recorded is already known.
    fn received(&mut self, fact: &Fact<'_>, received: &InboxReceived, report: &mut Report) {
        if received.kind != "courier" {
            return;
        }
        let by_event = self.recorded.remove(&fact.id());
        let Some(recorded) = by_event.or_else(|| self.recorded.remove(&fact.commit_id)) else {
            self.unmatched += 1;
            return;
        };
        let same = recorded.body_hash == received.body_hash;
        report.expect(Invariant::I23, same, &recorded.place, || {
            "the update names another body than its webhook had".to_owned()
        });
    }

    pub(crate) fn end(&self, report: &mut Report) {
        for (inbox, recorded) in &self.recorded {
            let what = format!("it was recorded from the webhook {inbox:032x}, which never came");
            report.violated(Invariant::I23, &recorded.place, what);
        }
        if self.unmatched > 0 {
            let note = format!("{} webhooks belong to no shipment so far", self.unmatched);
            report.note(Invariant::I23, note);
        }
    }
}
