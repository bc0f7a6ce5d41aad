//! Reading orders: one by id or number, pages of a filter or a search.

use nexus_es::views::Pool;
use std::sync::Arc;

use nexus_es::views::Views;
use nexus_es::views::rows::{self, Value};
use nexus_runtime::page::Page;
use prost::Message;
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};

use super::super::document::{OrderDocument, PersonDocument};
use super::super::terms::{self, Range};

/// A row: the order and its person, unless erased.
#[derive(Clone)]
pub(crate) struct Found {
    pub(crate) order_id: String,
    pub(crate) created_at_ms: i64,
    pub(crate) document: OrderDocument,
    pub(crate) person: Option<PersonDocument>,
}

/// Which orders are wanted; empty fields do not matter.
#[derive(Default)]
pub(crate) struct Wanted {
    pub(crate) status: String,
    pub(crate) warehouse: String,
    pub(crate) contact_id: String,
    pub(crate) created_after_ms: Option<i64>,
    pub(crate) created_before_ms: Option<i64>,
    /// Ranges of terms, of which one must hold; `None`: no search.
    pub(crate) terms: Option<Vec<Range>>,
}

const SELECT: &str = "SELECT o.order_id, o.created_at_ms, o.document, p.person FROM orders o \
    LEFT JOIN order_persons p ON p.order_id = o.order_id";

fn decoded<M: Message + Default>(bytes: &[u8]) -> Result<M, sqlx::Error> {
    M::decode(bytes).map_err(|error| sqlx::Error::Decode(Box::new(error)))
}

fn found(row: &AnyRow) -> Result<Found, sqlx::Error> {
    let document: Vec<u8> = row.try_get(2)?;
    let person: Option<Vec<u8>> = row.try_get(3)?;
    Ok(Found {
        order_id: row.try_get(0)?,
        created_at_ms: row.try_get(1)?,
        document: decoded(&document)?,
        person: person.map(|bytes| decoded(&bytes)).transpose()?,
    })
}

/// The order with this id. Several ask for it after each of its events, and get what the first of
/// them read.
pub(crate) async fn by_id(views: &Views, order_id: &str) -> Result<Option<Found>, sqlx::Error> {
    let found = views.cached(&super::key(order_id), read(&views.pool(), order_id)).await?;
    Ok(Arc::unwrap_or_clone(found))
}

async fn read(pool: &Pool, order_id: &str) -> Result<Option<Found>, sqlx::Error> {
    let text = format!("{SELECT} WHERE o.order_id = $1");
    let row =
        sqlx::query(AssertSqlSafe(text)).bind(order_id.to_owned()).fetch_optional(pool).await?;
    row.as_ref().map(found).transpose()
}

/// The id of the order that `name` means: a number with or without prefix and `#`.
pub(crate) async fn resolve(pool: &Pool, name: &str) -> Result<Option<String>, sqlx::Error> {
    let folded = terms::fold(name);
    let bare = folded.trim_start_matches('#').trim();
    // Digits alone name the number whatever its prefix; -1 is nobody's.
    let value: i64 = bare.parse().unwrap_or(-1);
    let row = sqlx::query(
        "SELECT order_id FROM orders WHERE number = $1 OR number_value = $2 \
         ORDER BY number = $1 DESC, created_at_ms DESC LIMIT 1",
    )
    .bind(bare.to_uppercase())
    .bind(value)
    .fetch_optional(pool)
    .await?;
    row.map(|row| row.try_get(0)).transpose()
}

/// A condition that grows, with its values.
#[derive(Default)]
struct Filter {
    conditions: Vec<String>,
    values: Vec<Value>,
}

impl Filter {
    /// Adds `condition`, in which each `?` stands for the next of `values`.
    fn and(&mut self, condition: &str, values: impl IntoIterator<Item = Value>) {
        let mut text = String::new();
        let mut values = values.into_iter();
        for (nth, piece) in condition.split('?').enumerate() {
            if nth > 0 {
                self.values.extend(values.next());
                text.push_str(&format!("${}", self.values.len()));
            }
            text.push_str(piece);
        }
        self.conditions.push(text);
    }

    /// The WHERE clause.
    fn clause(&self) -> String {
        if self.conditions.is_empty() {
            return String::new();
        }
        format!("WHERE {}", self.conditions.join(" AND "))
    }
}

fn filter(wanted: Wanted, page: &Page) -> Filter {
    let mut filter = Filter::default();
    if !wanted.status.is_empty() {
        filter.and("o.status = ?", [Value::Text(wanted.status)]);
    }
    if !wanted.contact_id.is_empty() {
        filter.and("o.contact_id = ?", [Value::Text(wanted.contact_id)]);
    }
    if !wanted.warehouse.is_empty() {
        let serves = "o.order_id IN (SELECT order_id FROM order_terms WHERE term = ?)";
        filter.and(serves, [Value::Text(terms::warehouse(&wanted.warehouse))]);
    }
    if let Some(after) = wanted.created_after_ms {
        filter.and("o.created_at_ms >= ?", [Value::Number(after)]);
    }
    if let Some(before) = wanted.created_before_ms {
        filter.and("o.created_at_ms < ?", [Value::Number(before)]);
    }
    if let Some(ranges) = wanted.terms {
        search(&mut filter, ranges);
    }
    if let Some([at, id]) = page.after.as_deref() {
        let at = at.parse().unwrap_or(i64::MAX);
        filter.and(
            "(o.created_at_ms < ? OR (o.created_at_ms = ? AND o.order_id < ?))",
            [Value::Number(at), Value::Number(at), Value::Text(id.clone())],
        );
    }
    filter
}

fn search(filter: &mut Filter, ranges: Vec<Range>) {
    let (mut selects, mut values) = (Vec::new(), Vec::new());
    for (from, to) in ranges {
        for table in ["order_terms", "person_terms"] {
            selects.push(format!("SELECT order_id FROM {table} WHERE term >= ? AND term < ?"));
            values.extend([Value::Text(from.clone()), Value::Text(to.clone())]);
        }
    }
    if selects.is_empty() {
        filter.and("1 = 0", []);
    } else {
        filter.and(&format!("o.order_id IN ({})", selects.join(" UNION ")), values);
    }
}

/// A page of the orders that are wanted, the newest first, and the token of the next.
pub(crate) async fn list(
    pool: &Pool,
    wanted: Wanted,
    page: &Page,
) -> Result<(Vec<Found>, String), sqlx::Error> {
    let filter = filter(wanted, page);
    let text = format!(
        "{SELECT} {} ORDER BY o.created_at_ms DESC, o.order_id DESC LIMIT {}",
        filter.clause(),
        page.limit(),
    );
    let query = filter.values.into_iter().fold(sqlx::query(AssertSqlSafe(text)), rows::bind);
    let rows = query.fetch_all(pool).await?;
    let mut rows = rows.iter().map(found).collect::<Result<Vec<_>, _>>()?;
    let next = page.cut(&mut rows, |row| vec![row.created_at_ms.to_string(), row.order_id.clone()]);
    Ok((rows, next))
}

/// The ids of all orders of a contact, oldest first.
pub(crate) async fn of_contact(pool: &Pool, contact_id: &str) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT order_id FROM orders WHERE contact_id = $1 ORDER BY created_at_ms, order_id",
    )
    .bind(contact_id.to_owned())
    .fetch_all(pool)
    .await
}
