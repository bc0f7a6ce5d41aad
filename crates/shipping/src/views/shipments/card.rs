//! One shipment as it is shown: a pure fold of its events, used by the view and by replays.

use nexus_proto::common::v1 as common;
use nexus_proto::shipping::v1 as proto;
use nexus_runtime::money::format_amount;
use nexus_runtime::time::rfc3339;

use crate::domain::shipment::{Event, Plan, Problem, Recorded};
use crate::domain::tracking::TrackingStatus;
use crate::wire::sealed_out;

/// What is shown of a shipment, and what it takes to show it. Stored in the view as it is.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Card {
    #[prost(message, optional, tag = "1")]
    pub(crate) shown: Option<proto::Shipment>,
    #[prost(message, optional, tag = "2")]
    pub(crate) public_token: Option<common::Sealed>,
    #[prost(string, tag = "3")]
    pub(crate) public_token_sha256: String,
    #[prost(message, optional, tag = "4")]
    pub(crate) recipient: Option<common::Sealed>,
    #[prost(string, tag = "5")]
    pub(crate) language: String,
    #[prost(int64, tag = "6")]
    pub(crate) cod: i64,
    #[prost(int64, tag = "7")]
    pub(crate) created_ms: i64,
    #[prost(string, tag = "8")]
    currency: String,
    /// Why a void is asked for, while it is.
    #[prost(string, optional, tag = "9")]
    pub(crate) void_reason: Option<String>,
    /// The code of the last refused void.
    #[prost(message, optional, tag = "10")]
    pub(crate) void_problem: Option<proto::AwbProblem>,
}

impl Card {
    pub(super) fn account(&self) -> &str {
        self.shown.as_ref().map(|shown| shown.courier_account_id.as_str()).unwrap_or_default()
    }

    /// The card after `event`, which happened at `at_ms`.
    pub(crate) fn take_in(&mut self, shipment_id: &str, at_ms: i64, event: &Event) {
        if self.shown.is_none() {
            self.created_ms = at_ms;
        }
        if let Event::Planned(plan) = event {
            self.plan(plan);
        }
        let currency = self.currency.clone();
        let shown = self.shown.get_or_insert_default();
        if shown.created_at.is_empty() {
            shown.created_at = rfc3339(at_ms);
            shown.shipment_id = shipment_id.to_owned();
        }
        shown.updated_at = rfc3339(at_ms);
        match event {
            Event::CodCollected { collected, .. } => {
                shown.cod_collected = Some(money(*collected, &currency));
            }
            Event::VoidRequested { reason } => {
                self.void_reason = Some(reason.clone());
                self.void_problem = None;
            }
            Event::VoidRefused(problem) => {
                self.void_reason = None;
                self.void_problem = Some(problem_out(problem));
                shown.warning = Some(format!("the courier keeps the AWB: {}", problem.detail));
            }
            Event::Voided { .. } => {
                self.void_reason = None;
                "voided".clone_into(&mut shown.status);
                shown.tracking_status.clear();
            }
            other => show(shown, other),
        }
    }

    fn plan(&mut self, plan: &Plan) {
        self.public_token = Some(sealed_out(&plan.public_token));
        self.public_token_sha256 = hex::encode(&plan.public_token_sha256);
        self.recipient = Some(sealed_out(&plan.recipient));
        self.language = plan.language.clone();
        self.cod = plan.cod;
        self.currency = plan.currency.clone();
        let parcel = &plan.parcel;
        let contents = parcel.contents.iter();
        let contents =
            contents.map(|(sku, units)| common::SkuUnits { sku: sku.clone(), units: *units });
        let shown = self.shown.get_or_insert_default();
        shown.order_id = plan.order_id.clone();
        shown.order_number = plan.order_number.clone();
        shown.fulfillment_id = plan.fulfillment_id.clone();
        shown.courier_account_id = plan.account.clone();
        plan.courier.name().clone_into(&mut shown.courier);
        "planned".clone_into(&mut shown.status);
        shown.cod = Some(money(plan.cod, &plan.currency));
        shown.parcel =
            Some(proto::ShipmentParcel {
                parcel_id: parcel.parcel_id.clone(),
                r#box: Some(parcel.box_type.clone()).filter(|name| !name.is_empty()),
                weight_grams: parcel.weight_grams,
                dimensions_mm: parcel
                    .dimensions_mm
                    .map(|(length, width, height)| common::Dimensions { length, width, height }),
                contents: contents.collect(),
            });
    }
}

fn show(shown: &mut proto::Shipment, event: &Event) {
    let status = &mut shown.status;
    match event {
        Event::AwbRequested { .. } => {
            "awb_requested".clone_into(status);
            shown.awb_problem = None;
            shown.warning = None;
            shown.awb.clear();
            shown.tracking_number.clear();
            shown.tracking_url.clear();
            shown.tracking_status.clear();
        }
        Event::AwbIssued { awb, .. } => {
            "awb_live".clone_into(status);
            shown.awb_problem = None;
            shown.awb = awb.awb.clone();
            shown.tracking_number = awb.tracking_number.clone();
            shown.tracking_url = awb.tracking_url.clone();
            TrackingStatus::LabelCreated.name().clone_into(&mut shown.tracking_status);
        }
        Event::AwbRefused { problem, .. } => {
            "awb_failed".clone_into(status);
            shown.awb_problem = Some(problem_out(problem));
        }
        Event::AwbUnknown { .. } => "awb_unknown".clone_into(status),
        Event::AwbSurplusFound { surplus, .. } => {
            let surplus = surplus.join(", ");
            shown.warning = Some(format!("the courier had more than one AWB: {surplus} is voided"));
        }
        Event::LabelPrinted { copy, .. } => shown.label_copies = *copy,
        Event::HandedOver(told) => {
            "handed_over".clone_into(status);
            shown.handed_over_at = Some(rfc3339(told.at_ms));
            shown.manifest_id = Some(told.manifest_id.clone()).filter(|id| !id.is_empty());
            if told.by_courier {
                let warning = "the courier has the parcel, nobody scanned it at hand-over";
                shown.warning = Some(warning.to_owned());
            }
        }
        Event::TrackingRecorded { recorded, .. } => track(shown, recorded),
        Event::Dispatched { .. } => {
            shown.warning.take_if(|warning| warning.starts_with(LEDGER));
        }
        Event::DispatchFailed { detail, .. } => shown.warning = Some(format!("{LEDGER}{detail}")),
        Event::Planned(_)
        | Event::AwbLookedUp { .. }
        | Event::LabelStored(_)
        | Event::VoidRequested { .. }
        | Event::Voided { .. }
        | Event::VoidRefused(_)
        | Event::CodCollected { .. }
        | Event::Closed { .. } => {}
    }
}

const LEDGER: &str = "the warehouse's books refuse to ship it: ";

fn track(shown: &mut proto::Shipment, recorded: &Recorded) {
    let update = &recorded.update;
    if !recorded.warning.is_empty() {
        shown.warning = Some(recorded.warning.clone());
    }
    if !update.confirmed || update.awb != shown.awb || shown.tracking_status.is_empty() {
        return;
    }
    recorded.tracking.name().clone_into(&mut shown.tracking_status);
    shown.delivery_attempts = shown.delivery_attempts.max(update.attempt.unwrap_or_default());
    if !update.exception_reason.is_empty() && !recorded.late {
        shown.exception_reason = Some(update.exception_reason.clone());
    }
    let own = update.reading.status();
    if recorded.tracking == TrackingStatus::Delivered && own == Some(TrackingStatus::Delivered) {
        shown.delivered_at = Some(rfc3339(update.occurred_at_ms));
    }
    let open = if shown.handed_over_at.is_some() { "handed_over" } else { "awb_live" };
    let status = if recorded.tracking.is_terminal() { "closed" } else { open };
    status.clone_into(&mut shown.status);
}

pub(crate) fn problem_out(problem: &Problem) -> proto::AwbProblem {
    proto::AwbProblem {
        code: problem.code.clone(),
        detail: problem.detail.clone(),
        hint: problem.hint.clone(),
        field: Some(problem.field.clone()).filter(|field| !field.is_empty()),
    }
}

fn money(amount: i64, currency: &str) -> common::Money {
    common::Money { amount: format_amount(amount, currency), currency: currency.to_owned() }
}
