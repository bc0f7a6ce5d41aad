//! When an order is cancelled, withdraw its fulfilments that are not picked yet: its units leave
//! open pick lists, and what the picker already holds of it is to be put back.

use async_trait::async_trait;
use nexus_es::process::{Process, Trouble};
use nexus_es::{HandleError, Heard};
use nexus_runtime::status;
use tonic::Code;
use tracing::info;

use super::{cause, message};
use crate::domain::fulfillment::{Command, Refusal, Stage};
use crate::domain::pick_list;
use crate::domain::{SkuUnits, by_sku};
use crate::floor::{Floor, openings, trouble};
use crate::views::fulfillments;

const NAME: &str = "withdraw_cancelled";

pub(crate) struct WithdrawCancelled(pub(crate) Floor);

#[async_trait]
impl Process for WithdrawCancelled {
    fn name(&self) -> &'static str {
        NAME
    }

    fn sources(&self) -> &[&'static str] {
        &["order"]
    }

    fn key(&self, heard: &Heard) -> Option<String> {
        let ours = matches!(heard.event_type(), "order.CancelRequested" | "order.Cancelled");
        ours.then(|| heard.aggregate.id.clone())
    }

    async fn act(&self, heard: &Heard) -> Result<(), Trouble> {
        // Both messages hold the reason in field 1.
        let cancelled: nexus_proto::order::v1::OrderCancelled = message(heard)?;
        let reason = match cancelled.reason.as_str() {
            "" => "the order was cancelled",
            reason => reason,
        };
        for id in self.fulfillments_of(&heard.aggregate.id).await? {
            self.withdraw(heard, &id, reason).await?;
        }
        Ok(())
    }
}

impl WithdrawCancelled {
    /// Those that were opened, and those whose opening is still to be heard.
    async fn fulfillments_of(&self, order_id: &str) -> Result<Vec<String>, Trouble> {
        let opened = fulfillments::of_order(&self.0.views.pool(), order_id).await;
        let mut ids = opened.map_err(|error| Trouble::Retry(error.to_string()))?;
        match self.0.order(order_id).await {
            Ok(order) => {
                let openings = openings(&order, order.attempt, &order.allocation);
                ids.extend(openings.into_iter().map(|(id, _)| id));
            }
            Err(no) if no.code() == Code::NotFound => {}
            Err(no) => return Err(status::trouble("reading the cancelled order", &no)),
        }
        ids.sort_unstable();
        ids.dedup();
        Ok(ids)
    }

    async fn withdraw(&self, heard: &Heard, id: &str, reason: &str) -> Result<(), Trouble> {
        let order_id = heard.aggregate.id.as_str();
        let read = self.0.fulfillments.read(id, |state| (state.stage, state.pick_list_id.clone()));
        let (_, (stage, pick_list_id)) = read.await.map_err(trouble)?;
        let to_put_back = match stage {
            Stage::Listed => self.leave(heard, id, &pick_list_id, reason).await?,
            _ => vec![],
        };
        let command = Command::Withdraw {
            order_id: order_id.to_owned(),
            reason: reason.to_owned(),
            to_put_back,
        };
        let cause = cause(heard, NAME, &format!("withdraw {id}"), order_id);
        match self.0.fulfillments.execute(id, command, cause).await {
            Ok(_) => Ok(()),
            Err(HandleError::Refused(Refusal::Past(stage))) => {
                // Picked goods go back by hand; the order decides what becomes of it.
                info!("fulfilment {id} is {stage}, it is not withdrawn");
                Ok(())
            }
            Err(error) => Err(trouble(error)),
        }
    }

    /// Takes the fulfilment off its pick list; answers what the picker already holds of it.
    async fn leave(
        &self,
        heard: &Heard,
        id: &str,
        pick_list_id: &str,
        reason: &str,
    ) -> Result<Vec<SkuUnits>, Trouble> {
        let fulfillment_id = id.to_owned();
        let command = pick_list::Command::WithdrawPart {
            fulfillment_id: fulfillment_id.clone(),
            reason: reason.to_owned(),
        };
        let cause = cause(heard, NAME, &format!("leave {id}"), &heard.aggregate.id);
        let left = self.0.pick_lists.execute_then(pick_list_id, command, cause, move |list, _| {
            list.to_put_back(&fulfillment_id)
        });
        match left.await {
            Ok((_, to_put_back)) => Ok(to_put_back),
            // The ledger is asked right now: afterwards it is picked, or disputed and free to go.
            Err(HandleError::Refused(pick_list::Refusal::Over(_))) => self.after_pick(id).await,
            Err(error) => Err(trouble(error)),
        }
    }

    async fn after_pick(&self, id: &str) -> Result<Vec<SkuUnits>, Trouble> {
        let read = self.0.fulfillments.read(id, |state| {
            let taken = state.picked.iter().map(|line| (line.sku.as_str(), line.picked));
            let taken = by_sku(taken).into_iter();
            let in_hand = taken.map(|(sku, units)| SkuUnits { sku: sku.to_owned(), units });
            (state.stage, state.dispute.is_some(), in_hand.collect())
        });
        match read.await.map_err(trouble)? {
            (_, (Stage::Listed, false, _)) => {
                Err(Trouble::Retry("its pick list was just completed".to_owned()))
            }
            (_, (_, _, in_hand)) => Ok(in_hand),
        }
    }
}
