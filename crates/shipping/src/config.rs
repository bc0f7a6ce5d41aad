//! Settings of shipping: their defaults and their variables.

use std::time::Duration;

use nexus_runtime::config::{BadSetting, Settings};

/// Every setting of shipping.
#[derive(Clone, Debug)]
pub struct Config {
    /// Base URL of live Bosta, without `/api/v2`: `NEXUS_SHIPPING_BOSTA_LIVE_URL`.
    pub bosta_live_url: String,
    /// Base URL of the Bosta that accounts in mode `sandbox` use:
    /// `NEXUS_SHIPPING_BOSTA_SANDBOX_URL`.
    pub bosta_sandbox_url: String,
    /// Public base URL of the ingress; couriers post to `<it>/tracking-webhook/<token>`:
    /// `NEXUS_SHIPPING_INGRESS_URL`. Empty: none is told to the courier with a delivery.
    pub ingress_url: String,
    /// Base URL of the public tracking page, a token is put behind it:
    /// `NEXUS_SHIPPING_TRACKING_URL`. Empty: shipments show no such link.
    pub tracking_url: String,
    /// How long a courier may take to answer, in seconds: `NEXUS_SHIPPING_COURIER_TIMEOUT_S`.
    pub courier_timeout: Duration,
    /// How long a handed-over parcel may be silent before the courier is asked, in seconds:
    /// `NEXUS_SHIPPING_SILENCE_S`. Divided by the speed.
    pub silence: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            bosta_live_url: "https://app.bosta.co".to_owned(),
            bosta_sandbox_url: "https://stg-app.bosta.co".to_owned(),
            ingress_url: String::new(),
            tracking_url: String::new(),
            courier_timeout: Duration::from_secs(10),
            silence: Duration::from_secs(6 * 60 * 60),
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
        let config = Self {
            bosta_live_url: url(&settings.get("BOSTA_LIVE_URL", default.bosta_live_url)?),
            bosta_sandbox_url: url(&settings.get("BOSTA_SANDBOX_URL", default.bosta_sandbox_url)?),
            ingress_url: url(&settings.get("INGRESS_URL", default.ingress_url)?),
            tracking_url: url(&settings.get("TRACKING_URL", default.tracking_url)?),
            courier_timeout: seconds(settings, "COURIER_TIMEOUT_S", default.courier_timeout)?,
            silence: seconds(settings, "SILENCE_S", default.silence)?,
        };
        settings.done()?;
        Ok(config)
    }
}

fn seconds(
    settings: &mut Settings,
    field: &str,
    default: Duration,
) -> Result<Duration, BadSetting> {
    Ok(Duration::from_secs(settings.get(field, default.as_secs())?))
}

fn url(given: &str) -> String {
    given.trim_end_matches('/').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_taken_and_an_unknown_one_is_named() {
        let read = |name: &str, value: &str| {
            let given = [(name.to_owned(), value.to_owned())];
            Config::read(&mut Settings::of("shipping", given))
        };
        let config = read("NEXUS_SHIPPING_INGRESS_URL", "http://x:1/").unwrap();
        assert_eq!(config.ingress_url, "http://x:1");
        let error = read("NEXUS_SHIPPING_BOSTA_URL", "x").unwrap_err();
        assert!(error.to_string().contains("NEXUS_SHIPPING_BOSTA_URL"));
    }
}
