//! The templates the account has, and whether a message fits one of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::App;
use super::refusal::Refusal;
use crate::failure::Error;
use crate::store::{Batch, Store, locked};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Template {
    pub(super) name: String,
    pub(super) language: String,
    pub(super) body_variables: i64,
    #[serde(default = "approved")]
    pub(super) status: String,
}

fn approved() -> String {
    "APPROVED".into()
}

/// By name and language; written through to the file.
#[derive(Debug)]
pub(super) struct Templates(Mutex<BTreeMap<(String, String), Template>>);

impl Templates {
    /// Those stored, and what an account of this product would have had approved; one already there
    /// stays as it is.
    pub(super) async fn open(store: &Store) -> Result<Self, Error> {
        let names = ["order_shipped", "order_out_for_delivery", "order_delivered"];
        let mut batch = Batch::default();
        batch.rows(
            "INSERT INTO template (name, language, body_variables, status) ",
            names.iter().flat_map(|name| [(name, "ar"), (name, "en")]),
            |mut row, (name, language)| {
                row.push_bind(*name).push_bind(language).push_bind(3).push_bind(approved());
            },
            " ON CONFLICT DO NOTHING",
        );
        store.write(batch).await?;
        let query = "SELECT name, language, body_variables, status FROM template";
        let rows: Vec<(String, String, i64, String)> =
            sqlx::query_as(query).fetch_all(&store.pool).await?;
        let known = rows.into_iter().map(|(name, language, body_variables, status)| {
            let template =
                Template { name: name.clone(), language: language.clone(), body_variables, status };
            ((name, language), template)
        });
        Ok(Self(Mutex::new(known.collect())))
    }

    pub(super) async fn put(&self, store: &Store, template: Template) -> Result<(), Error> {
        sqlx::query(
            "INSERT INTO template (name, language, body_variables, status) \
             VALUES ($1, $2, $3, $4) ON CONFLICT (name, language) DO UPDATE SET \
             body_variables = excluded.body_variables, status = excluded.status",
        )
        .bind(&template.name)
        .bind(&template.language)
        .bind(template.body_variables)
        .bind(&template.status)
        .execute(&store.pool)
        .await?;
        let key = (template.name.clone(), template.language.clone());
        locked(&self.0).insert(key, template);
        Ok(())
    }

    /// By name, then language.
    pub(super) fn all(&self) -> Vec<Template> {
        locked(&self.0).values().cloned().collect()
    }

    /// The approved template a message names, or the code the real one refuses with.
    pub(super) fn approved(&self, name: &str, language: &str) -> Result<Template, Refusal> {
        let key = (name.to_owned(), language.to_owned());
        let Some(found) = locked(&self.0).get(&key).cloned() else {
            let details = format!("template name ({name}) does not exist in {language}");
            return Err(Refusal::new(
                132_001,
                "Template name does not exist in the translation",
                details,
            )
            .with_status(StatusCode::NOT_FOUND));
        };
        match found.status.as_str() {
            "PAUSED" => Err(Refusal::new(132_015, "Template is paused", "low quality")),
            "DISABLED" => Err(Refusal::new(132_016, "Template is disabled", "paused too often")),
            _ => Ok(found),
        }
    }
}

/// `GET /{version}/{account}/message_templates`.
pub(super) async fn list(State(app): State<Arc<App>>) -> Json<Value> {
    let rows: Vec<_> = app
        .templates
        .all()
        .into_iter()
        .map(|template| {
            json!({"name": template.name, "language": template.language,
                   "status": template.status, "category": "UTILITY"})
        })
        .collect();
    Json(json!({"data": rows}))
}

impl Template {
    /// The body's texts, if they are as many as the template has variables and printable.
    pub(super) fn texts(&self, components: Option<&Value>) -> Result<Vec<String>, Refusal> {
        let none = Vec::new();
        let components = match components {
            None | Some(Value::Null) => &none,
            Some(Value::Array(components)) => components,
            Some(_) => return Err(Refusal::invalid("template.components must be an array")),
        };
        let mut texts = Vec::new();
        for component in components {
            let parameters = component.get("parameters").and_then(Value::as_array);
            match component.get("type").and_then(Value::as_str) {
                Some("body") => {
                    for parameter in parameters.into_iter().flatten() {
                        texts.push(parameter_text(parameter)?);
                    }
                }
                // These templates have no header, and any url suffix fits their button.
                Some("header") if parameters.is_some_and(|list| !list.is_empty()) => {
                    let details = "header: number of params does not match the expected 0";
                    return Err(mismatch(details));
                }
                Some("header" | "button") => {}
                _ => return Err(Refusal::invalid("component type must be header, body or button")),
            }
        }
        if i64::try_from(texts.len()) != Ok(self.body_variables) {
            return Err(mismatch(&format!(
                "body: number of localizable_params ({}) does not match the expected number of \
                 params ({})",
                texts.len(),
                self.body_variables
            )));
        }
        Ok(texts)
    }
}

fn mismatch(details: &str) -> Refusal {
    Refusal::new(
        132_000,
        "Number of parameters does not match the expected number of params",
        details,
    )
}

fn parameter_text(parameter: &Value) -> Result<String, Refusal> {
    let text = match parameter.get("type").and_then(Value::as_str) {
        Some("text") => parameter.get("text").and_then(Value::as_str),
        Some("currency") => parameter.pointer("/currency/fallback_value").and_then(Value::as_str),
        Some("date_time") => parameter.pointer("/date_time/fallback_value").and_then(Value::as_str),
        _ => {
            let details = "parameter type must be text, currency or date_time";
            return Err(Refusal::new(132_012, "Template parameter format does not match", details));
        }
    };
    let Some(text) = text.filter(|text| !text.trim().is_empty()) else {
        return Err(Refusal::missing("parameter text"));
    };
    if text.contains(['\n', '\r', '\t']) || text.contains("     ") {
        let details = "a parameter cannot have new lines, tabs or more than 4 spaces in a row";
        return Err(Refusal::new(132_018, "Template parameters are not valid", details));
    }
    Ok(text.to_owned())
}
