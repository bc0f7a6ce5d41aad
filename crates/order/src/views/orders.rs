//! Orders as they are listed, found and read.
//! *Invariant:* follows the order log only, so that every row is a fold of one order's events.

mod queries;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use nexus_es::seal::Vault;
use nexus_es::views::{Changes, View, ViewError};
use nexus_es::{Decider, Heard};
use nexus_runtime::time::parse_rfc3339;
use prost::Message;
use sqlx::{AnyConnection, AssertSqlSafe, Row};

use super::document::{OrderDocument, PersonDocument, PersonNote};
use super::sql::{self, Value};
use super::terms;
use crate::domain::order::{Amendment, Event, Order, Placed};
use crate::personal;
use crate::wire::SERVICE;

pub(crate) use queries::{Found, Wanted, by_id, list, resolve};

/// The key of those who wait for an order.
pub(crate) fn key(order_id: &str) -> String {
    format!("order:{order_id}")
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
    let ids: Vec<_> = ids.difference(&begun).map(|id| (*id).clone()).collect();
    let mut documents = BTreeMap::new();
    if ids.is_empty() {
        return Ok(documents);
    }
    let places = sql::places(0, ids.len());
    let text = format!("SELECT order_id, document FROM orders WHERE order_id IN ({places})");
    let mut query = sqlx::query(AssertSqlSafe(text));
    for id in ids {
        query = query.bind(id);
    }
    for row in query.fetch_all(&mut *tx).await? {
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
        sql::insert(tx, into, 7, conflict, rows.collect()).await?;
        let terms = self.terms.into_iter();
        let rows = terms.map(|(id, term)| vec![Value::Text(term), Value::Text(id)]).collect();
        let nothing = "ON CONFLICT (term, order_id) DO NOTHING";
        sql::insert(tx, "order_terms (term, order_id)", 2, nothing, rows).await?;
        write_persons(tx, self.persons).await?;
        for contact_id in self.erased {
            for table in ["order_persons", "person_terms"] {
                let text = format!("DELETE FROM {table} WHERE contact_id = $1");
                let query = sqlx::query(AssertSqlSafe(text)).bind(contact_id.clone());
                query.execute(&mut *tx).await?;
            }
        }
        Ok(())
    }
}

fn row(id: &str, document: &mut OrderDocument) -> Option<Vec<Value>> {
    document.compute();
    let bytes = document.encode_to_vec();
    let order = document.order.as_ref()?;
    let contact = order.contact.as_ref().map(|contact| contact.contact_id.clone());
    Some(vec![
        Value::Text(id.to_owned()),
        Value::Text(order.number.clone()),
        Value::Number(number_value(&order.number)),
        Value::Text(order.status.clone()),
        Value::Text(contact.unwrap_or_default()),
        Value::Number(parse_rfc3339(&order.created_at).unwrap_or_default()),
        Value::Bytes(bytes),
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
            let contact_id = person.contact_id.clone();
            term_rows.push(vec![
                Value::Text(term),
                Value::Text(id.clone()),
                Value::Text(contact_id),
            ]);
        }
        let bytes = Value::Bytes(person.document.encode_to_vec());
        rows.push(vec![Value::Text(id), Value::Text(person.contact_id), bytes]);
    }
    let conflict = "ON CONFLICT (order_id) DO UPDATE SET person = excluded.person";
    sql::insert(tx, "order_persons (order_id, contact_id, person)", 3, conflict, rows).await?;
    let nothing = "ON CONFLICT (term, order_id) DO NOTHING";
    sql::insert(tx, "person_terms (term, order_id, contact_id)", 3, nothing, term_rows).await
}
