//! Contacts as they are read: what is known of them, and the consents with their times.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use nexus_es::seal::Vault;
use nexus_es::views::rows::{self, Value};
use nexus_es::views::{Changes, Pool, View, ViewError};
use nexus_es::{Decider, Heard};
use nexus_proto::common::v1::Consent;
use nexus_proto::order::v1::{Contact as Resource, ContactProfile};
use nexus_runtime::time::rfc3339;
use prost::Message;
use sqlx::{AnyConnection, Row};

use crate::domain;
use crate::domain::contact::{Card, Contact, Event};
use crate::personal;
use crate::wire::SERVICE;

pub(crate) struct ContactsView {
    vault: Arc<Vault>,
}

impl ContactsView {
    pub(crate) fn new(vault: Arc<Vault>) -> Self {
        Self { vault }
    }
}

/// Takes an event into the resource without its person: a pure fold.
pub(crate) fn take_in(contact: &mut Resource, heard: &Heard, event: &Event) {
    let at = rfc3339(heard.cause.occurred_at_ms);
    let card = |contact: &mut Resource, card: &Card| {
        contact.external_reference.clone_from(&card.external_reference);
        contact.language.clone_from(&card.language);
    };
    match event {
        Event::Registered { card: registered, consents } => {
            contact.contact_id.clone_from(&heard.aggregate.id);
            contact.created_at.clone_from(&at);
            card(contact, registered);
            for said in consents {
                record(contact, said, &at);
            }
        }
        Event::Amended { card: amended, .. } => card(contact, amended),
        Event::ConsentRecorded(said) => record(contact, said, &at),
        Event::Erased { .. } => {
            contact.erased = true;
            contact.external_reference.clear();
            contact.consents.clear();
        }
    }
    contact.updated_at = at;
}

fn record(contact: &mut Resource, said: &domain::Consent, at: &str) {
    contact.consents.retain(|known| known.channel != said.channel);
    contact.consents.push(Consent {
        channel: said.channel.clone(),
        granted: said.granted,
        source: said.source.clone(),
        recorded_at: at.to_owned(),
    });
}

/// Adds the person to the resource.
pub(crate) fn with_person(mut contact: Resource, person: Option<ContactProfile>) -> Resource {
    if let Some(person) = person {
        contact.name = person.name;
        contact.phone = person.phone;
        contact.email = person.email;
        contact.addresses = person.addresses;
    }
    contact
}

pub(crate) fn card_of(event: &Event) -> Option<&Card> {
    match event {
        Event::Registered { card, .. } | Event::Amended { card, .. } => Some(card),
        Event::ConsentRecorded(_) | Event::Erased { .. } => None,
    }
}

#[async_trait]
impl View for ContactsView {
    fn name(&self) -> &'static str {
        "contacts"
    }

    fn sources(&self) -> &[&'static str] {
        &[SERVICE]
    }

    async fn apply(
        &self,
        tx: &mut AnyConnection,
        heard: &[Heard],
        changes: &mut Changes,
    ) -> Result<(), ViewError> {
        let mut documents = known(tx, heard).await?;
        let mut persons = BTreeMap::new();
        let mut erased = BTreeSet::new();
        for heard in heard {
            let Some(event) = heard.event::<Contact>()? else { continue };
            let id = heard.aggregate.id.as_str();
            let document = documents.entry(id.to_owned()).or_default();
            take_in(document, heard, &event);
            if let Some(card) = card_of(&event) {
                let opened = personal::open_profile(&self.vault, &card.profile).await?;
                // Without its key it is erased, also where a restored log does not say so.
                document.erased |= opened.is_none();
                persons.extend(opened.map(|person| (id.to_owned(), person)));
            }
            if matches!(event, Event::Erased { .. }) {
                erased.insert(id.to_owned());
                persons.remove(id);
            }
            changes.add(format!("contact:{id}"));
        }
        write(tx, documents, persons, erased).await
    }
}

/// The contacts in `heard` that were registered before this batch.
async fn known(
    tx: &mut AnyConnection,
    heard: &[Heard],
) -> Result<BTreeMap<String, Resource>, ViewError> {
    let later = heard.iter().filter(|heard| heard.number > 1);
    let later = later.filter(|heard| heard.aggregate.category == Contact::CATEGORY);
    let ids: BTreeSet<_> = later.map(|heard| heard.aggregate.id.as_str()).collect();
    let select = "SELECT contact_id, document FROM contacts WHERE contact_id IN (*)";
    let ids = ids.into_iter().map(Value::from).collect();
    let mut contacts = BTreeMap::new();
    for row in rows::fetch_in(tx, select, &[], ids).await? {
        let bytes: Vec<u8> = row.try_get(1)?;
        let contact = Resource::decode(bytes.as_slice()).map_err(|error| {
            ViewError::Damaged(format!("a contact's row does not decode: {error}"))
        })?;
        contacts.insert(row.try_get(0)?, contact);
    }
    Ok(contacts)
}

async fn write(
    tx: &mut AnyConnection,
    documents: BTreeMap<String, Resource>,
    persons: BTreeMap<String, ContactProfile>,
    erased: BTreeSet<String>,
) -> Result<(), ViewError> {
    let row = |id: String, bytes: Vec<u8>| [Value::from(id), Value::from(bytes)];
    let rows = documents.into_iter().map(|(id, document)| row(id, document.encode_to_vec()));
    let conflict = "ON CONFLICT (contact_id) DO UPDATE SET document = excluded.document";
    rows::insert(tx, "contacts (contact_id, document)", conflict, rows.collect()).await?;
    let rows = persons.into_iter().map(|(id, person)| row(id, person.encode_to_vec()));
    let conflict = "ON CONFLICT (contact_id) DO UPDATE SET person = excluded.person";
    rows::insert(tx, "contact_persons (contact_id, person)", conflict, rows.collect()).await?;
    let erased = erased.into_iter().map(Value::from).collect();
    rows::execute_in(tx, "DELETE FROM contact_persons WHERE contact_id IN (*)", &[], erased)
        .await?;
    Ok(())
}

/// The contact with this id.
pub(crate) async fn by_id(pool: &Pool, id: &str) -> Result<Option<Resource>, sqlx::Error> {
    let row = sqlx::query(
        "SELECT c.document, p.person FROM contacts c \
         LEFT JOIN contact_persons p ON p.contact_id = c.contact_id WHERE c.contact_id = $1",
    )
    .bind(id.to_owned())
    .fetch_optional(pool)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let undecodable = |error: prost::DecodeError| sqlx::Error::Decode(Box::new(error));
    let document: Vec<u8> = row.try_get(0)?;
    let person: Option<Vec<u8>> = row.try_get(1)?;
    let person = person.map(|bytes| ContactProfile::decode(bytes.as_slice())).transpose();
    let contact = Resource::decode(document.as_slice()).map_err(undecodable)?;
    Ok(Some(with_person(contact, person.map_err(undecodable)?)))
}
