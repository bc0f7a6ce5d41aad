//! The settings of this service.

use std::time::Duration;

use nexus_runtime::config::{BadSetting, Settings};

use crate::SERVICE;

/// The settings of this service, `NEXUS_FULFILLMENT_<FIELD>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `SETTLE_MS`: how long a call waits for its consequences in the order before it answers
    /// `settled: false`; 2,000 unless said.
    pub settle: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self { settle: Duration::from_secs(2) }
    }
}

impl Config {
    /// The settings that the environment gives, defaults for the others.
    ///
    /// # Errors
    /// [`BadSetting`] names one that is unknown or wrong.
    pub fn from_env() -> Result<Self, BadSetting> {
        Self::from_vars(std::env::vars())
    }

    fn from_vars(vars: impl IntoIterator<Item = (String, String)>) -> Result<Self, BadSetting> {
        let mut settings = Settings::of(SERVICE, vars);
        let settle_ms: u32 = settings.get("SETTLE_MS", 2000)?;
        settings.done()?;
        Ok(Self { settle: Duration::from_millis(u64::from(settle_ms)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_patience_of_calls_can_be_set_and_strays_are_named() {
        let var = |name: &str, value: &str| [(name.to_owned(), value.to_owned())];
        let set = Config::from_vars(var("NEXUS_FULFILLMENT_SETTLE_MS", "50")).unwrap();
        assert_eq!(set.settle, Duration::from_millis(50));
        let stray = Config::from_vars(var("NEXUS_FULFILLMENT_SETLE_MS", "50")).unwrap_err();
        assert!(stray.to_string().contains("NEXUS_FULFILLMENT_SETLE_MS"));
    }
}
