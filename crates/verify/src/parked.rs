//! Work that was set aside and waits for a person: it explains why a consequence is missing.

use std::collections::{HashMap, HashSet};

use nexus_proto::work::v1::WorkParked;

use crate::facts::Fact;
use crate::report::Report;

/// Open work, by aggregate, with what it blocks.
#[derive(Default)]
pub(crate) struct Parked {
    open: HashMap<(String, String), [String; 2]>,
}

impl Parked {
    pub(crate) fn hear(&mut self, fact: &Fact<'_>, report: &mut Report) {
        let name = || (fact.place.aggregate.service.clone(), fact.of().to_owned());
        match fact.kind() {
            "work.Parked" => {
                if let Some(parked) = fact.read::<WorkParked>(report) {
                    self.open.insert(name(), [parked.key, fact.cause.story.clone()]);
                }
            }
            "work.Resolved" | "work.Skipped" => {
                self.open.remove(&name());
            }
            _ => {}
        }
    }

    /// The keys and stories that wait for a person.
    pub(crate) fn blocked(&self) -> HashSet<&str> {
        self.open.values().flatten().map(String::as_str).collect()
    }
}
