//! What the API said no with, as a sentence.

use std::fmt;

use reqwest::{Method, Response};
use serde_json::Value;

use super::{rows, text};

/// Why a call brought nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// The API said no.
    #[error("{0}")]
    Refused(Box<Problem>),
    /// There was no answer, or none that could be read.
    #[error("{call} got no answer")]
    NoAnswer {
        call: String,
        #[source]
        source: reqwest::Error,
    },
}

impl CallError {
    pub(super) fn no_answer(method: &Method, path: &str, source: reqwest::Error) -> Self {
        Self::NoAnswer { call: format!("{method} {path}"), source }
    }

    /// The refusal, unless the world broke.
    pub(crate) fn refusal(self) -> Result<Problem, Self> {
        match self {
            Self::Refused(problem) if problem.status < 500 => Ok(*problem),
            Self::Refused(_) | Self::NoAnswer { .. } => Err(self),
        }
    }

    /// True for 409: the state does not allow it, or it is there already.
    pub(crate) fn is_conflict(&self) -> bool {
        matches!(self, Self::Refused(problem) if problem.status == 409)
    }
}

/// One `application/problem+json`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Problem {
    pub(crate) call: String,
    pub(crate) status: u16,
    pub(crate) reason: String,
    pub(crate) detail: String,
    pub(crate) violations: Vec<String>,
}

impl Problem {
    pub(super) async fn read(method: &Method, path: &str, response: Response) -> Self {
        let status = response.status().as_u16();
        let body = response.json::<Value>().await.unwrap_or_default();
        Self::of(format!("{method} {path}"), status, &body)
    }

    fn of(call: String, status: u16, body: &Value) -> Self {
        let violations = rows(body, "field_violations").iter();
        Self {
            call,
            status,
            reason: text(body, "reason").to_owned(),
            detail: text(body, "detail").to_owned(),
            violations: violations
                .map(|one| format!("{} {}", text(one, "field"), text(one, "description")))
                .collect(),
        }
    }

    /// What is wrong, without the call.
    pub(crate) fn sentence(&self) -> String {
        let mut sentence = match self.detail.as_str() {
            "" => format!("answered {}", self.status),
            detail => detail.to_owned(),
        };
        let more = self.violations.iter().filter(|one| !self.detail.contains(one.as_str()));
        let more: Vec<_> = more.map(String::as_str).collect();
        if !more.is_empty() {
            sentence.push_str(": ");
            sentence.push_str(&more.join("; "));
        }
        sentence
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.call, self.sentence())?;
        if self.reason.is_empty() { Ok(()) } else { write!(f, " ({})", self.reason) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_problem_reads_as_a_sentence() {
        let body = json!({
            "detail": "the request has 1 mistake", "reason": "INVALID_ARGUMENT",
            "field_violations": [{"field": "lines[0].units", "description": "must be at least 1"}],
        });
        let problem = Problem::of("POST /v1/orders".to_owned(), 400, &body);
        assert_eq!(
            problem.to_string(),
            "POST /v1/orders: the request has 1 mistake: lines[0].units must be at least 1 \
             (INVALID_ARGUMENT)"
        );
    }

    #[test]
    fn what_the_detail_says_already_is_not_said_twice() {
        let body = json!({
            "detail": "sku is required",
            "field_violations": [
                {"field": "sku", "description": "is required"},
                {"field": "name", "description": "is too long"},
            ],
        });
        let problem = Problem::of("POST /v1/products".to_owned(), 400, &body);
        assert_eq!(problem.sentence(), "sku is required: name is too long");
    }

    #[test]
    fn an_answer_without_words_still_says_its_number() {
        let problem = Problem::of("GET /v1/x".to_owned(), 502, &Value::Null);
        assert_eq!(problem.to_string(), "GET /v1/x: answered 502");
        assert!(CallError::Refused(Box::new(problem)).refusal().is_err());
    }
}
