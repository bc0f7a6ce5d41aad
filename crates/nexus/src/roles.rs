//! One function a role: what it is wired from. `nexus up` calls them all, `nexus serve` one.

use std::sync::Arc;

use anyhow::Context;
use axum::Router;
use nexus_gateway::{Keys, Readiness};
use nexus_runtime::{Ports, Role, Running};
use tonic::service::RoutesBuilder;

use crate::config::Services;

/// What a role is wired on.
pub(crate) struct Place<'a> {
    pub(crate) ports: Ports,
    pub(crate) services: &'a Services,
    /// Where the gateway is among the roles.
    pub(crate) keys: Option<&'a Arc<Keys>>,
    pub(crate) readiness: Arc<dyn Readiness>,
}

/// A role that runs, and what it serves over HTTP.
pub(crate) struct Wired {
    pub(crate) running: Running,
    pub(crate) http: Option<Router>,
}

impl From<Running> for Wired {
    fn from(running: Running) -> Self {
        Self { running, http: None }
    }
}

/// Starts `role` on `place` and adds its rpcs to `routes`.
pub(crate) async fn wire(
    role: Role,
    place: Place<'_>,
    routes: &mut RoutesBuilder,
) -> anyhow::Result<Wired> {
    let wired = match role {
        Role::Order => order(place, routes).await,
        Role::Inventory => inventory(place, routes).await,
        Role::Fulfillment => fulfillment(place, routes).await,
        Role::Shipping => shipping(place, routes).await,
        Role::Notification => notification(place, routes).await,
        Role::Gateway => gateway(place, routes).await,
        Role::Ingress => ingress(place).await,
    };
    wired.with_context(|| format!("{role} does not start"))
}

async fn order(place: Place<'_>, routes: &mut RoutesBuilder) -> anyhow::Result<Wired> {
    Ok(nexus_order::run(place.ports, place.services.order.clone(), routes).await?.into())
}

async fn inventory(place: Place<'_>, routes: &mut RoutesBuilder) -> anyhow::Result<Wired> {
    Ok(nexus_inventory::run(place.ports, place.services.inventory.clone(), routes).await?.into())
}

async fn fulfillment(place: Place<'_>, routes: &mut RoutesBuilder) -> anyhow::Result<Wired> {
    let config = place.services.fulfillment.clone();
    Ok(nexus_fulfillment::run(place.ports, config, routes).await?.into())
}

async fn shipping(place: Place<'_>, routes: &mut RoutesBuilder) -> anyhow::Result<Wired> {
    Ok(nexus_shipping::run(place.ports, place.services.shipping.clone(), routes).await?.into())
}

async fn notification(place: Place<'_>, routes: &mut RoutesBuilder) -> anyhow::Result<Wired> {
    let config = place.services.notification.clone();
    Ok(nexus_notification::run(place.ports, config, routes).await?.into())
}

async fn gateway(place: Place<'_>, routes: &mut RoutesBuilder) -> anyhow::Result<Wired> {
    let keys = place.keys.context("the API keys were not read")?;
    let running = nexus_gateway::run(&place.ports, keys, routes).await?;
    let http = nexus_gateway::router(&place.ports, keys, place.readiness)?;
    Ok(Wired { running, http: Some(http) })
}

async fn ingress(place: Place<'_>) -> anyhow::Result<Wired> {
    let (http, running) = nexus_ingress::run(place.ports, place.services.ingress.clone()).await?;
    Ok(Wired { running, http: Some(http) })
}
