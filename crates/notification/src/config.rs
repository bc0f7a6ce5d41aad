//! The settings of notification; the only reader of its environment.

use std::time::Duration;

use nexus_runtime::config::{BadSetting, Settings};

use crate::domain::Language;

/// Every setting, its default, and its variable. Waits are those of the real world; the ports'
/// speed divides them.
#[derive(Clone, Debug)]
pub struct Config {
    /// Base address of the Cloud API for live accounts, without version
    /// (`NEXUS_NOTIFICATION_WHATSAPP_LIVE_URL`).
    pub whatsapp_live_url: String,
    /// Base address of the sandbox, without version (`NEXUS_NOTIFICATION_WHATSAPP_SANDBOX_URL`).
    pub whatsapp_sandbox_url: String,
    /// Where the channel reaches our ingress: the beginning of the webhook's address
    /// (`NEXUS_NOTIFICATION_INGRESS_URL`).
    pub ingress_url: String,
    /// The language for contacts who have none, ar or en (`NEXUS_NOTIFICATION_DEFAULT_LANGUAGE`).
    pub default_language: String,
    /// How long one call to the channel may take before its answer counts as lost
    /// (`NEXUS_NOTIFICATION_CALL_LIMIT_SECONDS`).
    pub call_limit: Duration,
    /// How long to wait for a receipt after a lost answer before it is sent once more
    /// (`NEXUS_NOTIFICATION_GRACE_SECONDS`).
    pub grace: Duration,
    /// The first wait before a message that may pass is tried again; it doubles
    /// (`NEXUS_NOTIFICATION_BACK_OFF_MIN_SECONDS`).
    pub back_off_min: Duration,
    /// The longest such wait (`NEXUS_NOTIFICATION_BACK_OFF_MAX_SECONDS`).
    pub back_off_max: Duration,
    /// How long a stopped channel rests before one message tries it again
    /// (`NEXUS_NOTIFICATION_STOPPED_SECONDS`).
    pub stopped: Duration,
    /// A message that waits so long is out of date once a later milestone is told
    /// (`NEXUS_NOTIFICATION_STALE_AFTER_SECONDS`).
    pub stale_after: Duration,
    /// A milestone that is older is not told any more (`NEXUS_NOTIFICATION_MAX_AGE_SECONDS`). The
    /// speed does not divide it: nobody wants yesterday's news.
    pub max_age: Duration,
    /// How long webhooks signed with the app secret before a rotation are still taken
    /// (`NEXUS_NOTIFICATION_ROTATION_GRACE_SECONDS`).
    pub rotation_grace: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            whatsapp_live_url: "https://graph.facebook.com".to_owned(),
            whatsapp_sandbox_url: "http://127.0.0.1:8084".to_owned(),
            ingress_url: "http://127.0.0.1:8081".to_owned(),
            default_language: Language::Ar.as_str().to_owned(),
            call_limit: Duration::from_secs(10),
            grace: Duration::from_secs(600),
            back_off_min: Duration::from_secs(2),
            back_off_max: Duration::from_secs(300),
            stopped: Duration::from_secs(300),
            stale_after: Duration::from_secs(300),
            max_age: Duration::from_secs(24 * 3600),
            rotation_grace: Duration::from_secs(24 * 3600),
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
        let language = settings.get("DEFAULT_LANGUAGE", default.default_language)?;
        if Language::parse(&language).is_none() {
            let name = "NEXUS_NOTIFICATION_DEFAULT_LANGUAGE".to_owned();
            let why = "it must be ar or en".to_owned();
            return Err(BadSetting::Value { name, value: language, why });
        }
        let config = Self {
            whatsapp_live_url: url(settings, "WHATSAPP_LIVE_URL", default.whatsapp_live_url)?,
            whatsapp_sandbox_url: url(
                settings,
                "WHATSAPP_SANDBOX_URL",
                default.whatsapp_sandbox_url,
            )?,
            ingress_url: url(settings, "INGRESS_URL", default.ingress_url)?,
            default_language: language,
            call_limit: seconds(settings, "CALL_LIMIT_SECONDS", default.call_limit)?,
            grace: seconds(settings, "GRACE_SECONDS", default.grace)?,
            back_off_min: seconds(settings, "BACK_OFF_MIN_SECONDS", default.back_off_min)?,
            back_off_max: seconds(settings, "BACK_OFF_MAX_SECONDS", default.back_off_max)?,
            stopped: seconds(settings, "STOPPED_SECONDS", default.stopped)?,
            stale_after: seconds(settings, "STALE_AFTER_SECONDS", default.stale_after)?,
            max_age: seconds(settings, "MAX_AGE_SECONDS", default.max_age)?,
            rotation_grace: seconds(settings, "ROTATION_GRACE_SECONDS", default.rotation_grace)?,
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
    settings.get(field, default.as_secs()).map(Duration::from_secs)
}

fn url(settings: &mut Settings, field: &str, default: String) -> Result<String, BadSetting> {
    let value: String = settings.get(field, default)?;
    if value.starts_with("http://") || value.starts_with("https://") {
        return Ok(value.trim_end_matches('/').to_owned());
    }
    let name = format!("NEXUS_NOTIFICATION_{field}");
    Err(BadSetting::Value { name, value, why: "it must begin with http:// or https://".to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, value: &str) -> Result<Config, BadSetting> {
        Config::read(&mut Settings::of("notification", [(name.to_owned(), value.to_owned())]))
    }

    #[test]
    fn a_setting_is_taken_and_a_wrong_or_unknown_one_is_named() {
        let config = read("NEXUS_NOTIFICATION_GRACE_SECONDS", "30").unwrap();
        assert_eq!(config.grace, Duration::from_secs(30));
        for (name, value) in [
            ("NEXUS_NOTIFICATION_GRACE_SECONDS", "soon"),
            ("NEXUS_NOTIFICATION_WHATSAPP_LIVE_URL", "graph.facebook.com"),
            ("NEXUS_NOTIFICATION_DEFAULT_LANGUAGE", "fr"),
            ("NEXUS_NOTIFICATION_GRACES", "1"),
        ] {
            assert!(read(name, value).unwrap_err().to_string().starts_with(name), "{name}");
        }
    }
}
