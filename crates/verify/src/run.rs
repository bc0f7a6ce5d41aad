//! Reads the logs once, service by service, and feeds every check.

use std::path::PathBuf;
use std::sync::Arc;

use nexus_es::commit::Stored;
use nexus_es::{EventLog, LogError, Position};
use nexus_proto::common::v1 as proto;

use crate::SERVICES;
use crate::chain::Chain;
use crate::facts::{Fact, Place, id_of};
use crate::fulfillments::Fulfillments;
use crate::inbox::Inbox;
use crate::messages::Messages;
use crate::numbers::Numbers;
use crate::orders::Orders;
use crate::parked::Parked;
use crate::pick_lists::PickLists;
use crate::promises::Between;
use crate::report::{Invariant, Report};
use crate::shipments::Shipments;
use crate::stock::Stock;

const AT_ONCE: usize = 512;
const ORDER: &str = "order";

/// Why verifying stopped.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The log cannot be read.
    #[error("cannot read the log of {service}")]
    Log {
        /// Whose log.
        service: String,
        /// What the log says.
        #[source]
        source: LogError,
    },
    /// A file of a view database cannot be read or copied.
    #[error("cannot read {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: sqlx::Error,
    },
    /// A service has a name that no service can have.
    #[error("{0}")]
    Name(String),
}

/// Checks everything that the logs of `services` alone can show. Read them in the order of
/// [`SERVICES`]; each is read up to where it ended when its turn came. Only when all of them are
/// read is one held against another.
///
/// # Errors
/// [`VerifyError`] when a log cannot be read.
pub async fn verify_log(log: Arc<dyn EventLog>, services: &[&str]) -> Result<Report, VerifyError> {
    let mut model = Model::new();
    let mut orders_end = Position::START;
    for service in services {
        let end = each(&*log, service, Position::START, |stored| model.hear(stored)).await?;
        if *service == ORDER {
            orders_end = end;
        }
    }
    // A contact may have agreed after the log of orders was read, and been written to since.
    if services.contains(&ORDER) {
        each(&*log, ORDER, orders_end, |stored| model.hear_late(stored)).await?;
    }
    Ok(model.end(SERVICES.iter().all(|service| services.contains(service))))
}

/// Calls `hear` with each commit after `from` up to the present end; answers that end.
pub(crate) async fn each(
    log: &dyn EventLog,
    service: &str,
    from: Position,
    mut hear: impl FnMut(&Stored) + Send,
) -> Result<Position, VerifyError> {
    let failed = |source| VerifyError::Log { service: service.to_owned(), source };
    let head = log.head(service).await.map_err(failed)?;
    if head <= from {
        return Ok(from);
    }
    let mut tail = log.tail(service, from).await.map_err(failed)?;
    loop {
        for stored in tail.next(AT_ONCE).await.map_err(failed)? {
            if stored.position > head {
                return Ok(head);
            }
            hear(&stored);
            if stored.position == head {
                return Ok(head);
            }
        }
    }
}

/// Everything that is known so far.
struct Model {
    report: Report,
    chain: Chain,
    orders: Orders,
    numbers: Numbers,
    stock: Stock,
    fulfillments: Fulfillments,
    pick_lists: PickLists,
    shipments: Shipments,
    inbox: Inbox,
    messages: Messages,
    parked: Parked,
}

impl Model {
    fn new() -> Self {
        use Invariant::{
            I3, I5, I6, I12, I13, I16, I17, I18, I19, I20, I21, I23, I27, I28, Numbers as Num,
        };
        let all = [I3, I5, I6, I12, I13, I16, I17, I18, I19, I20, I21, I23, I27, I28, Num];
        Self {
            report: Report::of(&all),
            chain: Chain::default(),
            orders: Orders::default(),
            numbers: Numbers::default(),
            stock: Stock::default(),
            fulfillments: Fulfillments::default(),
            pick_lists: PickLists::default(),
            shipments: Shipments::default(),
            inbox: Inbox::default(),
            messages: Messages::default(),
            parked: Parked::default(),
        }
    }

    fn hear(&mut self, stored: &Stored) {
        let Some((place, commit)) = self.chain.hear(stored, &mut self.report) else { return };
        for_each_fact(&place, &commit, |fact| self.hear_fact(fact));
        if place.aggregate.category == "stock_ledger" {
            self.stock.end_of_commit(&place, &mut self.report);
        }
    }

    fn hear_fact(&mut self, fact: &Fact<'_>) {
        let report = &mut self.report;
        self.orders.hear_cause(fact, report);
        match fact.place.aggregate.category.as_str() {
            "order" => {
                self.numbers.hear(fact, report);
                self.orders.hear(fact, report);
            }
            "contact" => self.orders.hear(fact, report),
            "number_series" => self.numbers.hear(fact, report),
            "stock_ledger" => self.stock.hear(fact, report),
            "fulfillment" => self.fulfillments.hear(fact, report),
            "pick_list" => self.pick_lists.hear(fact, &self.fulfillments, report),
            "shipment" => {
                self.shipments.hear(fact, report);
                self.inbox.hear(fact, report);
            }
            "inbox" => self.inbox.hear(fact, report),
            "message" => self.messages.hear(fact, report),
            "work" => self.parked.hear(fact, report),
            _ => {}
        }
    }

    /// Of what came later only contacts are taken in.
    fn hear_late(&mut self, stored: &Stored) {
        let Ok(commit) = <proto::Commit as prost::Message>::decode(&*stored.bytes) else { return };
        let place =
            Place { aggregate: Arc::new(stored.aggregate.clone()), position: stored.position };
        if place.aggregate.category == "contact" {
            for_each_fact(&place, &commit, |fact| {
                self.orders.hear_contact(fact, &mut self.report);
            });
        }
    }

    /// `whole`: every log was read, so that one may be held against another.
    fn end(mut self, whole: bool) -> Report {
        let report = &mut self.report;
        self.chain.end(report);
        self.numbers.end(report);
        self.stock.end(report);
        if !whole {
            return self.report;
        }
        self.orders.end(report);
        self.inbox.end(report);
        self.messages.end(&self.orders, report);
        let between = Between {
            chain: &self.chain,
            orders: &self.orders,
            stock: &self.stock,
            fulfillments: &self.fulfillments,
            shipments: &self.shipments,
            blocked: self.parked.blocked(),
        };
        between.judge(report);
        self.report
    }
}

fn for_each_fact(place: &Place, commit: &proto::Commit, mut hear: impl FnMut(&Fact<'_>)) {
    let commit_id = id_of(&commit.commit_id).unwrap_or_default();
    for entry in &commit.entries {
        let Some(cause) = &entry.cause else { continue };
        for event in &entry.events {
            hear(&Fact { place, commit_id, cause, event });
        }
    }
}
