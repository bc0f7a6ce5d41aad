//! Orders as they are listed, found and read.
//! *Invariant:* follows the order log only, so that every row is a fold of one order's events.

mod queries;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use nexus_es::seal::Vault;
use nexus_es::views::rows::{self, Value};
use nexus_es::views::{Changes, View, ViewError};
use nexus_es::{Decider, Heard};
use nexus_runtime::time::parse_rfc3339;
use prost::Message;
use sqlx::{AnyConnection, Row};

use super::document::{OrderDocument, PersonDocument, PersonNote};
use super::terms;
use crate::domain::order::{Amendment, Event, Order, Placed};
use crate::personal;
use crate::wire::SERVICE;

pub(crate) use queries::{Found, Wanted, by_id, list, of_contact, resolve};

/// The key of those who wait for an order.
pub(crate) fn key(order_id: &str) -> String {
    format!("order:{order_id}")
}

/// The key of those who wait for the outcome of an order's confirmation.
pub(crate) fn outcome_key(order_id: &str) -> String {
    format!("outcome:{order_id}")
}

pub(crate) struct OrdersView {
    vault: Arc<Vault>,
}

impl OrdersView {
    pub(crate) fn new(vault: Arc<Vault>) -> Self {
        Self { vault }
    }
}

/// The person of one order, as far as this batch knows it.
struct Person {
    contact_id: String,
    document: PersonDocument,
}

/// What a batch changes.
#[derive(Default)]
struct Batch {
    documents: BTreeMap<String, OrderDocument>,
    persons: BTreeMap<String, Person>,
    /// Order, term.
    terms: BTreeSet<(String, String)>,
    erased: BTreeSet<String>,
}

#[async_trait]
impl View for OrdersView {
    fn name(&self) -> &'static str {
        "orders"
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
        let mut batch = Batch { documents: known(tx, heard).await?, ..Batch::default() };
        for heard in heard {
            if let Some(event) = heard.event::<Order>()? {
                self.take_in(tx, &mut batch, heard, &event).await?;
                changes.add(key(&heard.aggregate.id));
            } else if heard.event_type() == "contact.Erased" {
                batch.erased.insert(heard.aggregate.id.clone());
                changes.forget();
            }
        }
        for (id, document) in &batch.documents {
            if document.attempt > 0 && document.shows_outcome_of(document.attempt) {
                changes.add(outcome_key(id));
            }
        }
        batch.write(tx).await
    }
}

/// The documents of the orders in `heard` that began before this batch.
async fn known(
    tx: &mut AnyConnection,
    heard: &[Heard],
) -> Result<BTreeMap<String, OrderDocument>, ViewError> {
    let orders = || heard.iter().filter(|heard| heard.aggregate.category == Order::CATEGORY);
    let begun: BTreeSet<_> =
        orders().filter(|heard| heard.number == 1).map(|heard| &heard.aggregate.id).collect();
    let ids: BTreeSet<_> = orders().map(|heard| &heard.aggregate.id).collect();
    let ids = ids.difference(&begun).map(|id| Value::from(id.as_str())).collect();
    let select = "SELECT order_id, document FROM orders WHERE order_id IN (*)";
    let mut documents = BTreeMap::new();
    for row in rows::fetch_in(tx, select, &[], ids).await? {
        let bytes: Vec<u8> = row.try_get(1)?;
        documents.insert(row.try_get(0)?, decode(&bytes)?);
    }
    Ok(documents)
}

fn decode<M: Message + Default>(bytes: &[u8]) -> Result<M, ViewError> {
    M::decode(bytes).map_err(|error| ViewError::Damaged(format!("a row does not decode: {error}")))
}

impl OrdersView {
    async fn take_in(
        &self,
        tx: &mut AnyConnection,
        batch: &mut Batch,
        heard: &Heard,
        event: &Event,
    ) -> Result<(), ViewError> {
        let id = &heard.aggregate.id;
        batch.documents.entry(id.clone()).or_default().take_in(heard, event);
        match event {
            Event::Created(placed) => {
                batch.add_terms(id, placed_terms(placed));
                if let Some(document) = person_of(&self.vault, placed).await? {
                    let contact_id = placed.contact_id.clone();
                    batch.persons.insert(id.clone(), Person { contact_id, document });
                }
            }
            Event::Amended(amendment) => {
                let skus = amendment.lines.iter().filter_map(|line| terms::text(&line.sku));
                batch.add_terms(id, skus);
                self.amend_person(tx, batch, id, amendment).await?;
            }
            Event::NoteAdded(note) => {
                let text = personal::open_note(&self.vault, &note.text).await;
                let Some(text) = text? else { return Ok(()) };
                if let Some(person) = batch.person(tx, id).await? {
                    let note_id = note.note_id.clone();
                    person.document.notes.push(PersonNote { note_id, text });
                }
            }
            Event::Confirmed { allocation, .. } => {
                batch
                    .add_terms(id, allocation.iter().map(|part| terms::warehouse(&part.warehouse)));
            }
            Event::PartProgressed(fact) => {
                batch.add_terms(id, terms::text(&fact.tracking_number));
            }
            _ => {}
        }
        Ok(())
    }
}

impl OrdersView {
    async fn amend_person(
        &self,
        tx: &mut AnyConnection,
        batch: &mut Batch,
        id: &str,
        amendment: &Amendment,
    ) -> Result<(), ViewError> {
        let Some(person) = batch.person(tx, id).await? else { return Ok(()) };
        if let Some(sealed) = &amendment.recipient {
            let opened = personal::open_recipient(&self.vault, sealed).await;
            person.document.recipient = opened?;
        }
        for note in &amendment.notes {
            let text = personal::open_note(&self.vault, &note.text).await;
            let text = text?.unwrap_or_default();
            let note_id = note.note_id.clone();
            person.document.notes.push(PersonNote { note_id, text });
        }
        Ok(())
    }
}

/// The person of an order, opened; `None` when the contact was erased.
pub(crate) async fn person_of(
    vault: &Vault,
    placed: &Placed,
) -> Result<Option<PersonDocument>, ViewError> {
    let recipient = personal::open_recipient(vault, &placed.recipient).await;
    let Some(recipient) = recipient? else { return Ok(None) };
    let mut notes = Vec::with_capacity(placed.notes.len());
    for note in &placed.notes {
        let text = personal::open_note(vault, &note.text).await?;
        let note_id = note.note_id.clone();
        notes.push(PersonNote { note_id, text: text.unwrap_or_default() });
    }
    Ok(Some(PersonDocument { recipient: Some(recipient), notes }))
}

async fn stored_person(tx: &mut AnyConnection, id: &str) -> Result<Option<Person>, ViewError> {
    let row = sqlx::query("SELECT contact_id, person FROM order_persons WHERE order_id = $1")
        .bind(id.to_owned())
        .fetch_optional(&mut *tx)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let bytes: Vec<u8> = row.try_get(1)?;
    Ok(Some(Person { contact_id: row.try_get(0)?, document: decode(&bytes)? }))
}

fn placed_terms(placed: &Placed) -> Vec<String> {
    let skus = placed.lines.iter().map(|line| line.sku.as_str());
    let texts = skus.chain([placed.number.as_str(), placed.external_reference.as_str()]);
    let mut all: Vec<_> = texts.filter_map(terms::text).collect();
    all.push(terms::number(number_value(&placed.number)));
    all
}

/// The number without its prefix.
fn number_value(number: &str) -> i64 {
    let digits = number.rfind(|c: char| !c.is_ascii_digit()).map_or(0, |at| at + 1);
    number.get(digits..).and_then(|digits| digits.parse().ok()).unwrap_or_default()
}

impl Batch {
    fn add_terms(&mut self, order_id: &str, terms: impl IntoIterator<Item = String>) {
        self.terms.extend(terms.into_iter().map(|term| (order_id.to_owned(), term)));
    }

    /// The person of an order, read once a batch.
    async fn person(
        &mut self,
        tx: &mut AnyConnection,
        id: &str,
    ) -> Result<Option<&mut Person>, ViewError> {
        if !self.persons.contains_key(id)
            && let Some(person) = stored_person(tx, id).await?
        {
            self.persons.insert(id.to_owned(), person);
        }
        Ok(self.persons.get_mut(id))
    }

    async fn write(mut self, tx: &mut AnyConnection) -> Result<(), ViewError> {
        self.persons.retain(|_, person| !self.erased.contains(&person.contact_id));
        let rows = self.documents.iter_mut().filter_map(|(id, document)| row(id, document));
        let conflict = "ON CONFLICT (order_id) DO UPDATE SET status = excluded.status, \
            document = excluded.document";
        let into =
            "orders (order_id, number, number_value, status, contact_id, created_at_ms, document)";
        rows::insert(tx, into, conflict, rows.collect()).await?;
        let terms = self.terms.into_iter();
        let rows = terms.map(|(id, term)| [term.into(), id.into()]).collect();
        let nothing = "ON CONFLICT (term, order_id) DO NOTHING";
        rows::insert(tx, "order_terms (term, order_id)", nothing, rows).await?;
        write_persons(tx, self.persons).await?;
        let erased: Vec<_> = self.erased.into_iter().map(Value::from).collect();
        for table in ["order_persons", "person_terms"] {
            let text = format!("DELETE FROM {table} WHERE contact_id IN (*)");
            rows::execute_in(tx, &text, &[], erased.clone()).await?;
        }
        Ok(())
    }
}

fn row(id: &str, document: &mut OrderDocument) -> Option<[Value; 7]> {
    document.compute();
    let bytes = document.encode_to_vec();
    let order = document.order.as_ref()?;
    let contact = order.contact.as_ref().map(|contact| contact.contact_id.clone());
    Some([
        id.into(),
        order.number.clone().into(),
        number_value(&order.number).into(),
        order.status.clone().into(),
        contact.unwrap_or_default().into(),
        parse_rfc3339(&order.created_at).unwrap_or_default().into(),
        bytes.into(),
    ])
}

async fn write_persons(
    tx: &mut AnyConnection,
    persons: BTreeMap<String, Person>,
) -> Result<(), ViewError> {
    let (mut rows, mut term_rows) = (Vec::new(), Vec::new());
    for (id, person) in persons {
        let recipient = person.document.recipient.clone().unwrap_or_default();
        let found_by: BTreeSet<_> = terms::name(&recipient.name)
            .into_iter()
            .chain(terms::phone_term(&recipient.phone))
            .collect();
        for term in found_by {
            let contact_id = person.contact_id.as_str();
            term_rows.push([term.into(), id.as_str().into(), contact_id.into()]);
        }
        let bytes = person.document.encode_to_vec();
        rows.push([id.into(), person.contact_id.into(), bytes.into()]);
    }
    let conflict = "ON CONFLICT (order_id) DO UPDATE SET person = excluded.person";
    rows::insert(tx, "order_persons (order_id, contact_id, person)", conflict, rows).await?;
    let nothing = "ON CONFLICT (term, order_id) DO NOTHING";
    rows::insert(tx, "person_terms (term, order_id, contact_id)", nothing, term_rows).await?;
    Ok(())
}
