//! Waits until the order shows what a call led to: `settled`.

use std::time::Duration;

use futures::{StreamExt, stream};
use nexus_es::Positions;
use nexus_proto::order::v1 as order;
use tokio::time::Instant;

use super::Api;
use crate::SERVICE;
use crate::domain::fulfillment::{Fulfillment, Stage};
use crate::views::fulfillments;

const AT_ONCE: usize = 16;

/// A stage that an order's part should show.
pub(super) struct Consequence {
    pub(super) order_id: String,
    pub(super) fulfillment_id: String,
    pub(super) stage: &'static str,
}

/// Whether all is shown, and where it stands.
pub(super) struct Settled {
    pub(super) settled: bool,
    pub(super) positions: Positions,
}

impl Api {
    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.settle
    }

    /// Waits until the orders show all of `wanted`, at most until `deadline`.
    pub(super) async fn settled(&self, wanted: Vec<Consequence>, deadline: Instant) -> Settled {
        let waiting = wanted.into_iter().map(|one| self.shown(one, deadline));
        let answers: Vec<_> = stream::iter(waiting).buffer_unordered(AT_ONCE).collect().await;
        let own = self.floor.views.positions();
        let start = Settled { settled: true, positions: own };
        answers.into_iter().fold(start, |all, one| match one {
            Some((settled, positions)) => Settled {
                settled: all.settled && settled,
                positions: all.positions.merged(&positions),
            },
            None => Settled { settled: false, ..all },
        })
    }

    async fn shown(&self, wanted: Consequence, deadline: Instant) -> Option<(bool, Positions)> {
        let left = deadline.saturating_duration_since(Instant::now());
        let patience = left.max(Duration::from_millis(1));
        // An exception is no stage of a part: the whole order shows it.
        let part_id =
            if wanted.stage == "exception" { String::new() } else { wanted.fulfillment_id };
        let asked = order::AwaitOrderRequest {
            order_id: wanted.order_id.clone(),
            part_id,
            stage: wanted.stage.to_owned(),
            timeout_ms: u32::try_from(patience.as_millis()).unwrap_or(u32::MAX),
            min_position: String::new(),
        };
        let channels = &self.floor.channels;
        let request = channels.question(asked, SERVICE, &wanted.order_id);
        let mut orders = channels.order();
        // The order's own patience, and the way there and back.
        let bound = patience + Duration::from_millis(500);
        let answer = tokio::time::timeout(bound, orders.await_order(request)).await.ok()?;
        match answer {
            Ok(answer) => {
                let answer = answer.into_inner();
                let positions = Positions::parse(&answer.position).unwrap_or_default();
                Some((answer.settled, positions))
            }
            Err(no) => {
                tracing::warn!("the order cannot be asked whether it is settled: {:?}", no.code());
                None
            }
        }
    }

    /// Waits until the ledger has answered for a picked fulfilment, and says what its order should
    /// show then; none when there is no answer in time.
    pub(super) async fn outcome_of_pick(
        &self,
        order_id: String,
        fulfillment_id: String,
        deadline: Instant,
    ) -> Option<Consequence> {
        let patience = deadline.saturating_duration_since(Instant::now());
        let key = fulfillments::key(&fulfillment_id);
        let handler = &self.floor.fulfillments;
        let stage = self.floor.views.until(&key, patience, || async {
            let read = handler.read(&fulfillment_id, after_pick).await;
            read.map(|(_, stage)| stage)
        });
        let stage = stage.await.ok().flatten()?;
        Some(Consequence { order_id, fulfillment_id, stage })
    }
}

fn after_pick(state: &Fulfillment) -> Option<&'static str> {
    match state.stage {
        Stage::Unknown | Stage::Ready => None,
        Stage::Listed => state.dispute.as_ref().map(|_| "exception"),
        Stage::Picked => Some("picked"),
        Stage::Packed | Stage::HandedOver => Some("packed"),
        Stage::Withdrawn => Some("cancelled"),
    }
}
