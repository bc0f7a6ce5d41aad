//! What the rooms of shipping share.

use std::sync::Arc;

use nexus_es::process::Trouble;
use nexus_es::views::Views;
use nexus_es::{Cause, HandleError, Handler, Heard, Receipt, clock};
use nexus_runtime::{Ports, telemetry};

use crate::config::Config;
use crate::courier::Couriers;
use crate::domain::cash_claim::CashClaim;
use crate::domain::courier_account::CourierAccount;
use crate::domain::manifest::Manifest;
use crate::domain::shipment::{self, Shipment};
use crate::opener::Opener;

pub(crate) struct Parts {
    pub(crate) ports: Ports,
    pub(crate) config: Config,
    pub(crate) views: Arc<Views>,
    pub(crate) couriers: Couriers,
    pub(crate) accounts: Opener,
    pub(crate) account_handler: Handler<CourierAccount>,
    pub(crate) shipments: Handler<Shipment>,
    pub(crate) manifests: Handler<Manifest>,
    /// The cash of an order goes on one parcel only.
    pub(crate) cash_claims: Handler<CashClaim>,
}

impl Parts {
    pub(crate) fn new(
        ports: Ports,
        config: Config,
        views: Arc<Views>,
    ) -> Result<Self, reqwest::Error> {
        let account_handler = Handler::new(Arc::clone(&ports.log));
        Ok(Self {
            couriers: Couriers::new(&config)?,
            accounts: Opener::new(
                account_handler.clone(),
                Arc::clone(&ports.vault),
                config.ingress_url.clone(),
            ),
            account_handler,
            shipments: Handler::new(Arc::clone(&ports.log)),
            manifests: Handler::new(Arc::clone(&ports.log)),
            cash_claims: Handler::new(Arc::clone(&ports.log)),
            ports,
            config,
            views,
        })
    }

    /// The shipment as it stands now.
    pub(crate) async fn shipment(&self, id: &str) -> Result<Shipment, Trouble> {
        let read = self.shipments.read(id, Shipment::clone).await;
        read.map(|(_, state)| state).map_err(|error| trouble(&error))
    }

    /// Records what a process learned about a shipment.
    pub(crate) async fn record(
        &self,
        id: &str,
        command: shipment::Command,
        cause: Cause,
    ) -> Result<Receipt, Trouble> {
        self.shipments.execute(id, command, cause).await.map_err(|error| trouble(&error))
    }
}

/// What follows from `heard` when `process` does `action`.
pub(crate) fn cause_for(heard: &Heard, process: &str, action: &str) -> Cause {
    heard.cause_for(process, action, clock::now_ms(), telemetry::current_traceparent())
}

fn trouble<R: std::fmt::Debug>(error: &HandleError<R>) -> Trouble {
    match error {
        HandleError::Contended | HandleError::Unknown(_) | HandleError::Unavailable(_) => {
            Trouble::Retry(error.to_string())
        }
        HandleError::Refused(_)
        | HandleError::KeyReused
        | HandleError::TooLarge { .. }
        | HandleError::BadId(_)
        | HandleError::Load(_)
        | HandleError::Panicked(_) => Trouble::Hopeless(error.to_string()),
    }
}
