//! Reading settings: each has a default, unknown or wrong ones are named, not guessed.

use std::fmt::Display;
use std::str::FromStr;

/// A setting that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadSetting {
    /// Its value does not parse.
    #[error("{name} is \"{value}\": {why}")]
    Value {
        /// The variable.
        name: String,
        /// What it says.
        value: String,
        /// Why that is wrong.
        why: String,
    },
    /// No setting has this name.
    #[error("{name} is not a setting of {service}; it knows: {known}")]
    Unknown {
        /// The variable.
        name: String,
        /// Whose prefix it has.
        service: String,
        /// The settings there are.
        known: String,
    },
}

/// A setting that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// The variable.
    pub name: String,
    /// What it is unless said.
    pub default: String,
    /// What was said, if anything.
    pub given: Option<String>,
}

/// The settings of one service out of all that were given.
pub struct Settings {
    service: String,
    prefix: String,
    found: Vec<(String, String)>,
    known: Vec<Known>,
}

impl Settings {
    /// Those of `given` that begin with `NEXUS_<SERVICE>_`.
    pub fn of(service: &str, given: impl IntoIterator<Item = (String, String)>) -> Self {
        Self::beginning(service, &format!("NEXUS_{}_", service.to_uppercase()), given)
    }

    /// Those of `given` that begin with `NEXUS_`, whoever's they are.
    pub fn all(given: impl IntoIterator<Item = (String, String)>) -> Self {
        Self::beginning("Nexus", "NEXUS_", given)
    }

    fn beginning(
        service: &str,
        prefix: &str,
        given: impl IntoIterator<Item = (String, String)>,
    ) -> Self {
        let ours = given.into_iter().filter(|(name, _)| name.starts_with(prefix)).collect();
        Self {
            service: service.to_owned(),
            prefix: prefix.to_owned(),
            found: ours,
            known: Vec::new(),
        }
    }

    /// The value of `NEXUS_<SERVICE>_<field>`, or `default`.
    ///
    /// # Errors
    /// [`BadSetting::Value`] when it is set and does not parse.
    pub fn get<T: FromStr + Display>(&mut self, field: &str, default: T) -> Result<T, BadSetting>
    where
        T::Err: Display,
    {
        let name = format!("{}{field}", self.prefix);
        let found = self.found.iter().find(|(found, _)| *found == name);
        let given = found.map(|(_, value)| value.clone());
        let default_text = default.to_string();
        self.known.push(Known { name: name.clone(), default: default_text, given: given.clone() });
        let Some(value) = given else { return Ok(default) };
        value.parse().map_err(|why: T::Err| BadSetting::Value { name, value, why: why.to_string() })
    }

    /// All that were set are known.
    ///
    /// # Errors
    /// [`BadSetting::Unknown`] names the first that is not.
    pub fn done(&self) -> Result<(), BadSetting> {
        let asked = |name: &str| self.known.iter().any(|known| known.name == name);
        let stray = self.found.iter().find(|(name, _)| !asked(name));
        let names = self.known.iter().map(|known| known.name.as_str());
        match stray {
            None => Ok(()),
            Some((name, _)) => Err(BadSetting::Unknown {
                name: name.clone(),
                service: self.service.clone(),
                known: names.collect::<Vec<_>>().join(", "),
            }),
        }
    }

    /// Every setting that was asked for so far.
    #[must_use]
    pub fn known(&self) -> &[Known] {
        &self.known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(pairs: &[(&str, &str)]) -> Settings {
        let pairs = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        Settings::of("order", pairs)
    }

    #[test]
    fn a_setting_has_its_value_or_its_default() {
        let mut found = settings(&[("NEXUS_ORDER_BLOCK", "50"), ("NEXUS_SHIPPING_X", "1")]);
        assert_eq!(found.get("BLOCK", 100_u32).unwrap(), 50);
        assert_eq!(found.get("PREFIX", "NX-".to_owned()).unwrap(), "NX-");
        found.done().unwrap();
        let told: Vec<_> =
            found.known().iter().map(|known| (&*known.name, &*known.default)).collect();
        assert_eq!(told, [("NEXUS_ORDER_BLOCK", "100"), ("NEXUS_ORDER_PREFIX", "NX-")]);
    }

    #[test]
    fn a_wrong_or_unknown_setting_is_named() {
        let mut wrong = settings(&[("NEXUS_ORDER_BLOCK", "many")]);
        assert!(wrong.get("BLOCK", 1_u32).unwrap_err().to_string().contains("NEXUS_ORDER_BLOCK"));
        let unknown = settings(&[("NEXUS_ORDER_BLOK", "5")]).done().unwrap_err();
        assert!(unknown.to_string().contains("NEXUS_ORDER_BLOK"));
    }
}
