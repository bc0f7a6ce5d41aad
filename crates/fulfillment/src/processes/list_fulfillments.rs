//! When a pick list is generated, mark the fulfilments on it as listed; when it is cancelled, make
//! them ready again. A fulfilment that two lists want stays with the first one.

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt, stream};
use nexus_es::process::{Process, Trouble};
use nexus_es::{Aggregate, HandleError, Heard};
use tracing::info;

use super::{AT_ONCE, cause};
use crate::SERVICE;
use crate::domain::fulfillment::{Command, Refusal};
use crate::domain::pick_list::{self, Event, Part, PickList};
use crate::floor::{Floor, trouble};

const NAME: &str = "list_fulfillments";

pub(crate) struct ListFulfillments(pub(crate) Floor);

#[async_trait]
impl Process for ListFulfillments {
    fn name(&self) -> &'static str {
        NAME
    }

    fn sources(&self) -> &[&'static str] {
        &[SERVICE]
    }

    fn key(&self, heard: &Heard) -> Option<String> {
        let ours = matches!(heard.event_type(), "pick_list.Generated" | "pick_list.Cancelled");
        ours.then(|| heard.aggregate.id.clone())
    }

    async fn act(&self, heard: &Heard) -> Result<(), Trouble> {
        let event = PickList::decode(&heard.payload);
        match event.map_err(|error| Trouble::Hopeless(error.to_string()))? {
            Event::Generated { parts, .. } => {
                let listing = parts.into_iter().map(|part| self.list(heard, part));
                stream::iter(listing).buffer_unordered(AT_ONCE).try_collect().await
            }
            Event::Cancelled { reason, fulfillment_ids } => {
                let freeing =
                    fulfillment_ids.into_iter().map(|id| self.unlist(heard, id, reason.clone()));
                stream::iter(freeing).buffer_unordered(AT_ONCE).try_collect().await
            }
            _ => Ok(()),
        }
    }
}

impl ListFulfillments {
    async fn list(&self, heard: &Heard, part: Part) -> Result<(), Trouble> {
        let id = part.fulfillment_id.as_str();
        let pick_list_id = heard.aggregate.id.as_str();
        let command = Command::List { pick_list_id: pick_list_id.to_owned() };
        let listed = cause(heard, NAME, &format!("list {id}"), &part.order_id);
        let reason = match self.0.fulfillments.execute(id, command, listed).await {
            Ok(_) => return Ok(()),
            Err(HandleError::Refused(Refusal::ListedElsewhere { .. })) => {
                "it stands on another pick list"
            }
            Err(HandleError::Refused(Refusal::Past(_))) => "its order was cancelled",
            Err(error) => return Err(trouble(error)),
        };
        info!("fulfilment {id} leaves pick list {pick_list_id}: {reason}");
        let (fulfillment_id, reason) = (id.to_owned(), reason.to_owned());
        let command = pick_list::Command::WithdrawPart { fulfillment_id, reason };
        let leave = cause(heard, NAME, &format!("leave {id}"), &part.order_id);
        let left = self.0.pick_lists.execute(pick_list_id, command, leave).await;
        left.map(drop).map_err(trouble)
    }

    async fn unlist(&self, heard: &Heard, id: String, reason: String) -> Result<(), Trouble> {
        let read = self.0.fulfillments.read(&id, |state| state.opened.order_id.clone()).await;
        let (_, order_id) = read.map_err(trouble)?;
        let command = Command::Unlist { pick_list_id: heard.aggregate.id.clone(), reason };
        let cause = cause(heard, NAME, &format!("unlist {id}"), &order_id);
        self.0.fulfillments.execute(&id, command, cause).await.map(drop).map_err(trouble)
    }
}
