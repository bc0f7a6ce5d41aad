//! The settings of ingress.

use std::time::Duration;

use nexus_runtime::config::{BadSetting, Settings};

/// Every setting, its default, and its variable.
#[derive(Clone, Debug)]
pub struct Config {
    /// Webhooks handled at once; more are asked to come again (`NEXUS_INGRESS_MAX_IN_FLIGHT`).
    pub max_in_flight: usize,
    /// How long a body may take to arrive (`NEXUS_INGRESS_BODY_LIMIT_SECONDS`).
    pub body_limit: Duration,
    /// How long a token that is not known yet waits for the logs to be read
    /// (`NEXUS_INGRESS_VIEW_LIMIT_SECONDS`).
    pub view_limit: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_in_flight: 1024,
            body_limit: Duration::from_secs(10),
            view_limit: Duration::from_secs(2),
        }
    }
}

impl Config {
    /// Reads what was given, the defaults for the rest.
    ///
    /// # Errors
    /// [`BadSetting`] names the setting that is unknown or wrong.
    pub fn read(settings: &mut Settings) -> Result<Self, BadSetting> {
        let default = Self::default();
        let body = settings.get("BODY_LIMIT_SECONDS", default.body_limit.as_secs())?;
        let view = settings.get("VIEW_LIMIT_SECONDS", default.view_limit.as_secs())?;
        let config = Self {
            max_in_flight: settings.get("MAX_IN_FLIGHT", default.max_in_flight)?,
            body_limit: Duration::from_secs(body),
            view_limit: Duration::from_secs(view),
        };
        settings.done()?;
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_taken_and_an_unknown_one_is_named() {
        let read = |name: &str, value: &str| {
            let given = [(name.to_owned(), value.to_owned())];
            Config::read(&mut Settings::of("ingress", given))
        };
        let config = read("NEXUS_INGRESS_MAX_IN_FLIGHT", "7").unwrap();
        assert_eq!(config.max_in_flight, 7);
        let unknown = read("NEXUS_INGRESS_MAX", "7").unwrap_err().to_string();
        assert!(unknown.contains("NEXUS_INGRESS_MAX"));
    }
}
