//! Pages of lists: size, opaque token.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tonic::Status;

use crate::{Violation, status};

const DEFAULT_SIZE: u32 = 50;
const MAX_SIZE: u32 = 500;

/// One page that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Rows wanted.
    pub size: u32,
    /// Sort key of the last row of the page before; `None` for the first page.
    pub after: Option<Vec<String>>,
}

impl Page {
    /// Reads `page_size` (0: the default 50, at most 500) and `page_token`.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for a size above 500 or a token that Nexus did not give out.
    pub fn parse(page_size: u32, page_token: &str) -> Result<Self, Status> {
        if page_size > MAX_SIZE {
            let description = format!("is {page_size}, at most {MAX_SIZE} are allowed");
            return Err(status::invalid(vec![violation("page_size", &description)]));
        }
        let size = if page_size == 0 { DEFAULT_SIZE } else { page_size };
        if page_token.is_empty() {
            return Ok(Self { size, after: None });
        }
        let decoded = URL_SAFE_NO_PAD.decode(page_token).ok();
        let after = decoded.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let bad =
            || status::invalid(vec![violation("page_token", "is not one that Nexus gave out")]);
        after.map(|after| Self { size, after: Some(after) }).ok_or_else(bad)
    }

    /// Rows to ask the database for: one more than wanted, to see whether there is a next page.
    #[must_use]
    pub fn limit(&self) -> i64 {
        i64::from(self.size) + 1
    }

    /// Cuts `rows` to the page and answers the token of the next one, empty at the end.
    pub fn cut<T>(&self, rows: &mut Vec<T>, key: impl Fn(&T) -> Vec<String>) -> String {
        let size = usize::try_from(self.size).unwrap_or(usize::MAX);
        if rows.len() <= size {
            return String::new();
        }
        rows.truncate(size);
        let last = rows.last().map(key).unwrap_or_default();
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(&last).unwrap_or_default())
    }
}

fn violation(field: &str, description: &str) -> Violation {
    Violation { field: field.to_owned(), description: description.to_owned() }
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_leads_to_the_next_page_and_a_made_up_one_is_refused() {
        let page = Page::parse(2, "").unwrap();
        let mut rows = vec!["a", "b", "c"];
        let token = page.cut(&mut rows, |row| vec![(*row).to_owned()]);
        assert_eq!(rows, ["a", "b"]);
        assert_eq!(Page::parse(2, &token).unwrap().after, Some(vec!["b".to_owned()]));
        assert!(Page::parse(2, "nonsense").is_err());
        assert!(Page::parse(501, "").is_err());
    }
}
