//! Settings of the order service, each with a default that works.

use nexus_runtime::config::{BadSetting, Settings};

/// How the order service is set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// `NEXUS_ORDER_NUMBER_PREFIX`: what order numbers begin with.
    pub number_prefix: String,
    /// `NEXUS_ORDER_NUMBER_BLOCK`: how many numbers are leased at once.
    pub number_block: u64,
    /// `NEXUS_ORDER_COUNTRY`: ISO 3166-1 alpha-2; whose national phone spellings are understood.
    pub country: String,
    /// `NEXUS_ORDER_LANGUAGE`: `ar` or `en`, for contacts that named none.
    pub language: String,
    /// `NEXUS_ORDER_CONFIRM_DEADLINE_MS`: how long stock may take to answer.
    pub confirm_deadline_ms: i64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            number_prefix: "NX-".to_owned(),
            number_block: 100,
            country: "EG".to_owned(),
            language: "ar".to_owned(),
            confirm_deadline_ms: 30_000,
        }
    }
}

impl Config {
    /// Reads what was given, the defaults for the rest.
    ///
    /// # Errors
    /// [`BadSetting`] names the setting that is unknown or wrong.
    pub fn read(settings: &mut Settings) -> Result<Self, BadSetting> {
        let base = Self::default();
        let config = Self {
            number_prefix: settings.get("NUMBER_PREFIX", base.number_prefix)?,
            number_block: settings.get("NUMBER_BLOCK", base.number_block)?,
            country: settings.get("COUNTRY", base.country)?,
            language: settings.get("LANGUAGE", base.language)?,
            confirm_deadline_ms: settings.get("CONFIRM_DEADLINE_MS", base.confirm_deadline_ms)?,
        };
        settings.done()?;
        let wrong = |field: &str, value: &str, why: &str| BadSetting::Value {
            name: format!("NEXUS_ORDER_{field}"),
            value: value.to_owned(),
            why: why.to_owned(),
        };
        let prefix = &config.number_prefix;
        if prefix.to_uppercase() != *prefix || prefix.ends_with(|c: char| c.is_ascii_digit()) {
            return Err(wrong("NUMBER_PREFIX", prefix, "capital letters, ending in no digit"));
        }
        if config.number_block == 0 {
            return Err(wrong("NUMBER_BLOCK", "0", "at least 1"));
        }
        if config.country.parse::<phonenumber::country::Id>().is_err() {
            return Err(wrong("COUNTRY", &config.country, "two letters of ISO 3166-1"));
        }
        if !["ar", "en"].contains(&config.language.as_str()) {
            return Err(wrong("LANGUAGE", &config.language, "ar or en"));
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, value: &str) -> Result<Config, BadSetting> {
        Config::read(&mut Settings::of("order", [(name.to_owned(), value.to_owned())]))
    }

    #[test]
    fn a_setting_that_cannot_work_is_refused_by_name() {
        for (field, value) in
            [("NUMBER_PREFIX", "A1"), ("NUMBER_BLOCK", "0"), ("COUNTRY", "XX"), ("LANGUAGE", "fr")]
        {
            let name = format!("NEXUS_ORDER_{field}");
            assert!(read(&name, value).unwrap_err().to_string().contains(&name));
        }
        assert_eq!(read("NEXUS_ORDER_NUMBER_PREFIX", "SHOP-").unwrap().number_prefix, "SHOP-");
    }
}
