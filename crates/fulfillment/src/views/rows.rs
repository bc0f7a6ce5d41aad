//! Lists with filters and pages: a statement that names only the filters that were given.

use nexus_es::views::Pool;
use sqlx::any::{AnyArguments, AnyRow};
use sqlx::{Any, AssertSqlSafe};

enum Bound {
    Text(String),
    Number(i64),
}

/// One list statement while it is put together.
pub(super) struct Rows {
    select: &'static str,
    conditions: Vec<String>,
    bound: Vec<Bound>,
}

impl Rows {
    pub(super) fn new(select: &'static str) -> Self {
        Self { select, conditions: vec![], bound: vec![] }
    }

    /// Only rows whose `column` is `value`; an empty value filters nothing.
    pub(super) fn filter(mut self, column: &str, value: &str) -> Self {
        if !value.is_empty() {
            self.bound.push(Bound::Text(value.to_owned()));
            self.conditions.push(format!("{column} = ${}", self.bound.len()));
        }
        self
    }

    /// Only rows after the last one of the page before, in the order of `time` and `id`.
    /// `comparison` is `>` for the oldest first, `<` for the newest first.
    pub(super) fn after(
        mut self,
        last: Option<&[String]>,
        (time, id): (&str, &str),
        comparison: &str,
    ) -> Self {
        let Some([last_time, last_id]) = last else { return self };
        self.bound.push(Bound::Number(last_time.parse().unwrap_or_default()));
        let t = self.bound.len();
        self.bound.push(Bound::Text(last_id.clone()));
        let i = self.bound.len();
        self.conditions.push(format!(
            "({time} {comparison} ${t} OR ({time} = ${t} AND {id} {comparison} ${i}))"
        ));
        self
    }

    pub(super) async fn fetch(
        self,
        pool: &Pool,
        order: &str,
        limit: i64,
    ) -> Result<Vec<AnyRow>, sqlx::Error> {
        let conditions = match self.conditions.as_slice() {
            [] => String::new(),
            some => format!(" WHERE {}", some.join(" AND ")),
        };
        let limit_at = self.bound.len() + 1;
        let text = format!("{}{conditions} ORDER BY {order} LIMIT ${limit_at}", self.select);
        // The text holds column names of ours and placeholders only.
        let query = sqlx::query::<Any>(AssertSqlSafe(text));
        let bind = |query: sqlx::query::Query<'static, Any, AnyArguments>, bound| match bound {
            Bound::Text(text) => query.bind(text),
            Bound::Number(number) => query.bind(number),
        };
        self.bound.into_iter().fold(query, bind).bind(limit).fetch_all(pool).await
    }
}
