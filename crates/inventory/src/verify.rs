//! Whether a log of inventory keeps its books: what `nexus verify` asks, commit by commit.
//! *Invariant:* reading changes nothing, and each event costs what its own lines cost.

use std::collections::{BTreeMap, HashMap};

use nexus_es::commit::BadCommit;
use nexus_es::{Aggregate, Decider, Heard, Stored};

use crate::domain::Sku;
use crate::domain::stock_ledger::{Account, Shelf, StockLedger, postings};

/// The ledgers of a log, as far as it was read.
#[derive(Default)]
pub struct Verifier {
    ledgers: BTreeMap<String, Book>,
    violations: Vec<String>,
}

#[derive(Default)]
struct Book {
    ledger: StockLedger,
    /// Units that came through the doors, less those that left.
    balance: HashMap<Sku, i64>,
}

impl Verifier {
    /// Reads the next commit of inventory's log; commits of other aggregates are passed over.
    ///
    /// # Errors
    /// [`BadCommit`] when the bytes are not a commit.
    pub fn take_in(&mut self, stored: &Stored) -> Result<(), BadCommit> {
        if stored.aggregate.category != StockLedger::CATEGORY {
            return Ok(());
        }
        let book = self.ledgers.entry(stored.aggregate.id.clone()).or_default();
        for heard in Heard::of(stored)? {
            let wrong = match StockLedger::decode(&heard.payload) {
                Ok(event) => book.take_in(&event),
                Err(error) => vec![error.to_string()],
            };
            let at = |wrong| {
                let aggregate = &stored.aggregate;
                format!("{aggregate} at {} ({}): {wrong}", stored.position, heard.event_type())
            };
            self.violations.extend(wrong.into_iter().map(at));
        }
        Ok(())
    }

    /// Everything that was wrong on the way, and that is wrong with the books at the end.
    #[must_use]
    pub fn finish(self) -> Vec<String> {
        let mut violations = self.violations;
        for (warehouse, book) in &self.ledgers {
            let wrong = book.ledger.audit();
            violations.extend(wrong.into_iter().map(|wrong| format!("I18 {warehouse}: {wrong}")));
        }
        violations
    }
}

impl Book {
    fn take_in(&mut self, event: &<StockLedger as Decider>::Event) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut sums: BTreeMap<Sku, i64> = BTreeMap::new();
        for posting in postings(event) {
            let sum = sums.entry(posting.sku.clone()).or_default();
            if posting.account.is_physical() {
                *sum = sum.saturating_add(posting.delta);
            }
            let outside = [Account::Supplier, Account::Customer, Account::Difference];
            if outside.contains(&posting.account) {
                let balance = self.balance.entry(posting.sku).or_default();
                *balance = balance.saturating_sub(posting.delta);
            }
        }
        self.ledger = std::mem::take(&mut self.ledger).evolve(event);
        for (sku, sum) in sums {
            let shelf = self.ledger.shelf(&sku);
            let on_hand = shelf.map_or(0, Shelf::on_hand);
            let balance = self.balance.get(&sku).copied().unwrap_or_default();
            if sum != 0 || i64::try_from(on_hand) != Ok(balance) {
                wrong.push(format!(
                    "I17 {sku}: {on_hand} on hand, {balance} came and did not leave"
                ));
            }
            wrong.extend(shelf.and_then(|shelf| oversold(&sku, shelf)));
        }
        wrong
    }
}

fn oversold(sku: &Sku, shelf: &Shelf) -> Option<String> {
    let (held, there) = (shelf.held, shelf.in_bins);
    (held > there).then(|| format!("I19 {sku}: {held} are promised, {there} lie in bins"))
}

#[cfg(test)]
mod tests {
    use nexus_es::{Actor, AggregateId, Cause, Commit, Entry, Position, Version, new_id};

    use super::*;
    use crate::domain::stock_ledger::Event;
    use crate::domain::{BinUnits, SkuUnits};

    fn stored(nth: u64, event: &Event) -> Stored {
        let aggregate = AggregateId::new("inventory", "stock_ledger", "MAIN").unwrap();
        let cause = Cause {
            occurred_at_ms: 1,
            learned_at_ms: 1,
            command_id: new_id(),
            request_hash: Vec::new(),
            story: String::new(),
            causation_id: None,
            actor: Actor::service("test"),
            traceparent: String::new(),
        };
        let events = vec![(new_id(), StockLedger::encode(event))];
        let commit = Commit {
            commit_id: new_id(),
            aggregate: aggregate.clone(),
            number: nth,
            previous_sha256: Vec::new(),
            entries: vec![Entry { cause, events }],
        };
        let bytes = commit.encode();
        Stored { aggregate, version: Version(nth), position: Position(nth), bytes }
    }

    fn found(events: &[Event]) -> Vec<String> {
        let mut verifier = Verifier::default();
        for (event, nth) in events.iter().zip(1..) {
            verifier.take_in(&stored(nth, event)).unwrap();
        }
        verifier.finish()
    }

    fn received(units: u32) -> Event {
        let line = BinUnits { sku: "MUG".into(), bin: "A".into(), lot: "".into(), units };
        Event::Received { receipt: "D1".into(), lines: vec![line] }
    }

    fn reserved(units: u32) -> Event {
        let lines = vec![SkuUnits { sku: "MUG".into(), units }];
        Event::Reserved { reservation: "ali/1".into(), order: "ali".into(), lines }
    }

    #[test]
    fn books_in_order_show_nothing() {
        assert_eq!(found(&[received(5), reserved(5)]), Vec::<String>::new());
    }

    #[test]
    fn a_promise_of_more_than_there_is_is_named() {
        let found = found(&[received(5), reserved(6)]);
        assert!(found.iter().any(|wrong| wrong.contains("I19 MUG: 6 are promised, 5 lie")));
    }

    #[test]
    fn units_that_left_without_being_there_are_named() {
        let lost = Event::Adjusted {
            sku: "MUG".into(),
            bin: "A".into(),
            lot: "".into(),
            delta: -6,
            reason: "?".into(),
        };
        let found = found(&[received(5), lost]);
        assert!(
            found.iter().any(|wrong| wrong.contains("I17 MUG: 0 on hand, -1 came")),
            "{found:?}"
        );
    }
}
