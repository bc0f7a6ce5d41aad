//! Settings of services that `up` knows better than their defaults: its own addresses. What the
//! environment says wins.

use super::Endpoints;

fn unless_set(variable: &str, setting: &mut String, ours: &str) {
    if std::env::var_os(variable).is_none() {
        ours.clone_into(setting);
    }
}

pub(crate) fn shipping(endpoints: &Endpoints) -> anyhow::Result<nexus_shipping::Config> {
    let mut config = nexus_shipping::Config::from_env()?;
    let sandbox = &mut config.bosta_sandbox_url;
    unless_set("NEXUS_SHIPPING_BOSTA_SANDBOX_URL", sandbox, &endpoints.sandbox_courier);
    unless_set("NEXUS_SHIPPING_INGRESS_URL", &mut config.ingress_url, &endpoints.ingress);
    Ok(config)
}

pub(crate) fn notification(endpoints: &Endpoints) -> anyhow::Result<nexus_notification::Config> {
    let mut config = nexus_notification::Config::from_env()?;
    let sandbox = &mut config.whatsapp_sandbox_url;
    unless_set("NEXUS_NOTIFICATION_WHATSAPP_SANDBOX_URL", sandbox, &endpoints.sandbox_whatsapp);
    unless_set("NEXUS_NOTIFICATION_INGRESS_URL", &mut config.ingress_url, &endpoints.ingress);
    Ok(config)
}
