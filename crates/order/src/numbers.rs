//! Order numbers out of leased blocks.
//! *Invariant:* a number is given out once. What is left of a block when its process ends is never
//! used; what a repeated or refused create did not use is given out next.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use nexus_es::{Actor, Cause, HandleError, Handler, clock, derived_id, new_id};

use crate::domain::number_series::{Command, NumberSeries, Refusal};
use crate::wire::SERVICE;

const SERIES: &str = "orders";

pub(crate) struct Numbers {
    handler: Handler<NumberSeries>,
    prefix: String,
    block: u64,
    /// Who leases: one name a process.
    holder: String,
    free: Mutex<BTreeSet<u64>>,
    leasing: tokio::sync::Mutex<()>,
}

impl Numbers {
    pub(crate) fn new(handler: Handler<NumberSeries>, prefix: String, block: u64) -> Self {
        Self {
            handler,
            prefix,
            block,
            holder: new_id().to_string(),
            free: Mutex::default(),
            leasing: tokio::sync::Mutex::default(),
        }
    }

    /// The next number, for a create that happens now.
    pub(crate) async fn take(&self) -> Result<Taken<'_>, HandleError<Refusal>> {
        loop {
            if let Some(value) = self.free().pop_first() {
                return Ok(Taken { numbers: self, value: Some(value) });
            }
            // One leases for all who wait.
            let _single = self.leasing.lock().await;
            if self.free().is_empty() {
                self.lease().await?;
            }
        }
    }

    async fn lease(&self) -> Result<(), HandleError<Refusal>> {
        let command = Command::Lease { holder: self.holder.clone(), size: self.block };
        let events =
            self.handler.execute_then(SERIES, command, self.cause(), |_, events| events.to_vec());
        let (_, events) = events.await?;
        for crate::domain::number_series::Event::BlockLeased { from, to, .. } in events {
            self.free().extend(from..=to);
        }
        Ok(())
    }

    fn cause(&self) -> Cause {
        let now = clock::now_ms();
        let command_id = derived_id(&["lease numbers", &new_id().to_string()]);
        Cause {
            occurred_at_ms: now,
            learned_at_ms: now,
            command_id,
            request_hash: Vec::new(),
            story: command_id.to_string(),
            causation_id: None,
            actor: Actor::service(SERVICE),
            traceparent: String::new(),
        }
    }

    fn free(&self) -> MutexGuard<'_, BTreeSet<u64>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A number that is being used.
pub(crate) struct Taken<'a> {
    numbers: &'a Numbers,
    value: Option<u64>,
}

impl Taken<'_> {
    pub(crate) fn text(&self) -> String {
        format!("{}{}", self.numbers.prefix, self.value.unwrap_or_default())
    }

    /// It certainly stands in no order: the next one may have it.
    pub(crate) fn give_back(mut self) {
        self.numbers.free().extend(self.value.take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nexus_es::memory::MemoryLog;
    use std::sync::Arc;

    fn numbers(log: &MemoryLog) -> Numbers {
        Numbers::new(Handler::new(Arc::new(log.clone())), "NX-".to_owned(), 3)
    }

    #[tokio::test]
    async fn numbers_are_dense_and_no_two_processes_share_one() {
        let log = MemoryLog::default();
        let (here, there) = (numbers(&log), numbers(&log));
        let mut taken = Vec::new();
        for _ in 0..4 {
            taken.push(here.take().await.unwrap().text());
        }
        taken.push(there.take().await.unwrap().text());
        assert_eq!(taken, ["NX-1001", "NX-1002", "NX-1003", "NX-1004", "NX-1007"]);
    }

    #[tokio::test]
    async fn two_replicas_at_once_never_give_one_number_twice() {
        let log = MemoryLog::default();
        let (here, there) = (numbers(&log), numbers(&log));
        let both = (0..100).map(|n| if n % 2 == 0 { here.take() } else { there.take() });
        let taken = futures::future::join_all(both).await;
        let texts: BTreeSet<_> = taken.into_iter().map(|it| it.unwrap().text()).collect();
        assert_eq!(texts.len(), 100);
    }

    #[tokio::test]
    async fn a_number_given_back_is_the_next() {
        let numbers = numbers(&MemoryLog::default());
        let first = numbers.take().await.unwrap();
        assert_eq!(numbers.take().await.unwrap().text(), "NX-1002");
        first.give_back();
        assert_eq!(numbers.take().await.unwrap().text(), "NX-1001");
        assert_eq!(numbers.take().await.unwrap().text(), "NX-1003");
    }

    #[tokio::test]
    async fn many_at_once_get_different_numbers() {
        let numbers = numbers(&MemoryLog::default());
        let taken = futures::future::join_all((0..50).map(|_| numbers.take())).await;
        let texts: BTreeSet<_> = taken.into_iter().map(|it| it.unwrap().text()).collect();
        assert_eq!(texts.len(), 50);
        assert_eq!(texts.last().unwrap(), "NX-1050");
    }
}
