//! The settings of inventory.

use std::time::Duration;

use nexus_runtime::config::{BadSetting, Settings};

/// Every setting, its default, and its variable.
#[derive(Clone, Debug)]
pub struct Config {
    /// How long a call waits for the read models to show what it changed or asked for
    /// (`NEXUS_INVENTORY_VIEW_PATIENCE_MS`).
    pub view_patience: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self { view_patience: Duration::from_secs(2) }
    }
}

impl Config {
    /// Reads what was given, the defaults for the rest.
    ///
    /// # Errors
    /// [`BadSetting`] names the setting that is unknown or wrong.
    pub fn read(settings: &mut Settings) -> Result<Self, BadSetting> {
        let view_patience = Duration::from_millis(settings.get("VIEW_PATIENCE_MS", 2_000)?);
        settings.done()?;
        Ok(Self { view_patience })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_counts_and_a_misspelt_one_is_refused() {
        let of = |name: &str| {
            let given = [(name.to_owned(), "5".to_owned())];
            Config::read(&mut Settings::of(crate::SERVICE, given))
        };
        let patience = of("NEXUS_INVENTORY_VIEW_PATIENCE_MS").unwrap().view_patience;
        assert_eq!(patience, Duration::from_millis(5));
        assert!(of("NEXUS_INVENTORY_VIEW_PATIENCE").is_err());
    }
}
