//! The settings of this service.

use std::time::Duration;

use nexus_runtime::config::{BadSetting, Settings};

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
    /// Reads what was given, the defaults for the rest.
    ///
    /// # Errors
    /// [`BadSetting`] names the setting that is unknown or wrong.
    pub fn read(settings: &mut Settings) -> Result<Self, BadSetting> {
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
        let read = |name: &str, value: &str| {
            let given = [(name.to_owned(), value.to_owned())];
            Config::read(&mut Settings::of(crate::SERVICE, given))
        };
        let set = read("NEXUS_FULFILLMENT_SETTLE_MS", "50").unwrap();
        assert_eq!(set.settle, Duration::from_millis(50));
        let stray = read("NEXUS_FULFILLMENT_SETLE_MS", "50").unwrap_err();
        assert!(stray.to_string().contains("NEXUS_FULFILLMENT_SETLE_MS"));
    }
}
