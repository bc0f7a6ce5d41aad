//! The resource as it was: folded from the log, for answers to repeated requests.

use std::sync::Arc;

use nexus_es::log::EventLog;
use nexus_es::seal::Vault;
use nexus_es::views::ViewError;
use nexus_es::{Aggregate, AggregateId, Heard, Version};
use nexus_proto::order::v1 as proto;

use crate::domain::contact::{self, Contact};
use crate::domain::order::{Event, Order, Placed};
use crate::personal;
use crate::views::document::{OrderDocument, PersonDocument};
use crate::views::{contacts, orders};
use crate::wire::SERVICE;

/// Reads the past of orders and contacts.
#[derive(Clone)]
pub(crate) struct History {
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) vault: Arc<Vault>,
}

fn broken(error: impl std::fmt::Display) -> ViewError {
    ViewError::Port(error.to_string())
}

impl History {
    async fn heard<A: Aggregate>(&self, id: &str) -> Result<Vec<(Heard, A::Event)>, ViewError> {
        let aggregate = AggregateId::new(SERVICE, A::CATEGORY, id).map_err(broken)?;
        let mut all = Vec::new();
        for stored in self.log.load(&aggregate, Version::NONE).await.map_err(broken)? {
            for heard in Heard::of(&stored).map_err(broken)? {
                let event = A::decode(&heard.payload).map_err(broken)?;
                all.push((heard, event));
            }
        }
        Ok(all)
    }

    /// The order as it stood once it was at `version` and `enough`.
    pub(crate) async fn order(
        &self,
        id: &str,
        version: Version,
        enough: impl Fn(&OrderDocument) -> bool,
    ) -> Result<(OrderDocument, Option<PersonDocument>), ViewError> {
        let mut document = OrderDocument::default();
        let mut placed: Option<Box<Placed>> = None;
        let mut reached = Version::NONE;
        for (heard, event) in self.heard::<Order>(id).await? {
            if heard.version > reached && reached >= version && enough(&document) {
                break;
            }
            reached = heard.version;
            document.take_in(&heard, &event);
            match (event, &mut placed) {
                (Event::Created(first), _) => placed = Some(first),
                (Event::NoteAdded(note), Some(placed)) => placed.notes.push(note),
                (Event::Amended(amendment), Some(placed)) => placed.amend(&amendment),
                _ => {}
            }
        }
        document.compute();
        let person = match placed {
            Some(placed) => orders::person_of(&self.vault, &placed).await?,
            None => None,
        };
        Ok((document, person))
    }

    /// All that happened to the contact.
    pub(crate) async fn of_contact(
        &self,
        id: &str,
    ) -> Result<Vec<(Heard, contact::Event)>, ViewError> {
        self.heard::<Contact>(id).await
    }

    /// The contact as it stood at `version`.
    pub(crate) async fn contact(
        &self,
        id: &str,
        version: Version,
    ) -> Result<proto::Contact, ViewError> {
        let mut contact = proto::Contact::default();
        let mut card = None;
        for (heard, event) in self.heard::<Contact>(id).await? {
            if heard.version > version {
                break;
            }
            contacts::take_in(&mut contact, &heard, &event);
            card = contacts::card_of(&event).cloned().or(card);
        }
        let person = match card {
            Some(card) => {
                personal::open_profile(&self.vault, &card.profile).await.map_err(broken)?
            }
            None => None,
        };
        Ok(contacts::with_person(contact, person))
    }
}
