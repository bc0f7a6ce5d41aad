//! The settings in use, to read.

use nexus_runtime::config::Known;

use super::Given;
use super::given::Origin;

/// One line a setting, sorted.
pub(super) fn listing(given: &Given, known: &[Known]) -> String {
    let mut known: Vec<_> = known.iter().collect();
    known.sort_by(|one, other| one.name.cmp(&other.name));
    let mut text = String::new();
    for setting in known {
        let value = setting.given.as_ref().unwrap_or(&setting.default);
        let place = match given.origin(&setting.name) {
            None => "default".to_owned(),
            Some(Origin::Environment) => "environment".to_owned(),
            Some(Origin::File(key)) => format!("file: {key}"),
            Some(Origin::Started) => "start".to_owned(),
        };
        text.push_str(&format!("{}={}  # {place}\n", setting.name, masked(value)));
    }
    text
}

/// A password in an address is nobody's to read.
pub(super) fn masked(value: &str) -> String {
    let Some((scheme, rest)) = value.split_once("://") else { return value.to_owned() };
    let authority = rest.split('/').next().unwrap_or_default();
    let Some((login, host)) = authority.rsplit_once('@') else { return value.to_owned() };
    let user = login.split(':').next().unwrap_or_default();
    let path = rest.strip_prefix(authority).unwrap_or_default();
    format!("{scheme}://{user}:****@{host}{path}")
}
