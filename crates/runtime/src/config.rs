//! Reading settings from the environment: unknown or wrong ones are named, not guessed.

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

/// The settings of one service out of an environment.
pub struct Settings {
    service: String,
    prefix: String,
    found: Vec<(String, String)>,
    known: Vec<String>,
}

impl Settings {
    /// Those variables of `environment` that begin with `NEXUS_<SERVICE>_`.
    pub fn of(service: &str, environment: impl IntoIterator<Item = (String, String)>) -> Self {
        let prefix = format!("NEXUS_{}_", service.to_uppercase());
        let ours = environment.into_iter().filter(|(name, _)| name.starts_with(&prefix)).collect();
        Self { service: service.to_owned(), prefix, found: ours, known: Vec::new() }
    }

    /// The value of `NEXUS_<SERVICE>_<field>`, or `default`.
    ///
    /// # Errors
    /// [`BadSetting::Value`] when it is set and does not parse.
    pub fn get<T: FromStr>(&mut self, field: &str, default: T) -> Result<T, BadSetting>
    where
        T::Err: Display,
    {
        let name = format!("{}{field}", self.prefix);
        self.known.push(name.clone());
        let Some((_, value)) = self.found.iter().find(|(found, _)| *found == name) else {
            return Ok(default);
        };
        value.parse().map_err(|why: T::Err| BadSetting::Value {
            name,
            value: value.clone(),
            why: why.to_string(),
        })
    }

    /// All that were set are known.
    ///
    /// # Errors
    /// [`BadSetting::Unknown`] names the first that is not.
    pub fn done(self) -> Result<(), BadSetting> {
        let stray = self.found.iter().find(|(name, _)| !self.known.contains(name));
        match stray {
            None => Ok(()),
            Some((name, _)) => Err(BadSetting::Unknown {
                name: name.clone(),
                service: self.service,
                known: self.known.join(", "),
            }),
        }
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
    }

    #[test]
    fn a_wrong_or_unknown_setting_is_named() {
        let mut wrong = settings(&[("NEXUS_ORDER_BLOCK", "many")]);
        assert!(wrong.get("BLOCK", 1_u32).unwrap_err().to_string().contains("NEXUS_ORDER_BLOCK"));
        let unknown = settings(&[("NEXUS_ORDER_BLOK", "5")]).done().unwrap_err();
        assert!(unknown.to_string().contains("NEXUS_ORDER_BLOK"));
    }
}
