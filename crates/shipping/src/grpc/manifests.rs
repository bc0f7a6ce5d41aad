//! Hand-over sessions: labels are scanned into the load, and only what was scanned leaves.

use bytes::Bytes;
use nexus_es::{Cause, Receipt, clock, derived_id};
use nexus_proto::shipping::v1 as proto;
use nexus_runtime::caller::Caller;
use nexus_runtime::page::Page;
use nexus_runtime::reply::reply;
use nexus_runtime::{Violations, money, status};
use tonic::{Response, Status};

use super::{Shipping, database, refusals};
use crate::document;
use crate::domain::manifest::{Command, Event, Manifest, Misfit, Parcel, Scan};
use crate::domain::shipment;
use crate::views::manifests::{self, ManifestCard};
use crate::views::shipments::{self, Card, Wanted};

const NUMBER_MAX: usize = 64;
const ID_MAX: usize = 64;
/// Parcels that are missing from a load are listed up to here.
const MISSING: u32 = 500;

impl Shipping {
    pub(super) async fn create_manifest(
        &self,
        caller: &Caller,
        body: proto::CreateManifestRequest,
    ) -> Result<Response<proto::Manifest>, Status> {
        const RPC: &str = "CreateManifest";
        let mut violations = Violations::default();
        let account = violations.text("courier_account_id", &body.courier_account_id, ID_MAX);
        violations.done()?;
        let read =
            self.parts.account_handler.read(&account, |state| state.now().map(|now| now.courier));
        let (_, courier) = read.await.map_err(|error| refusals::account(&account, error))?;
        let courier = courier.ok_or_else(|| status::not_found("courier account", &account))?;
        let id = caller.new_id(RPC);
        let command = Command::Open { account, courier };
        let opened = self.parts.manifests.execute(&id, command, caller.cause(RPC, &body)).await;
        let receipt = opened.map_err(|error| refusals::manifest(&id, error))?;
        let card = self.manifest_after(&id, &receipt).await?;
        Ok(reply(&receipt, self.manifest_out(card).await?))
    }

    pub(super) async fn list_manifests(
        &self,
        _: &Caller,
        body: proto::ListManifestsRequest,
    ) -> Result<Response<proto::ListManifestsResponse>, Status> {
        let page = Page::parse(body.page_size, &body.page_token)?;
        self.wait_for(&body.min_position).await?;
        let listed = manifests::list(&self.parts.views.pool(), &body.status, &page).await;
        let (cards, next_page_token) = listed.map_err(database)?;
        let mut found = vec![];
        for card in cards {
            found.push(self.manifest_out(card).await?);
        }
        Ok(Response::new(proto::ListManifestsResponse { manifests: found, next_page_token }))
    }

    pub(super) async fn get_manifest(
        &self,
        _: &Caller,
        body: proto::GetManifestRequest,
    ) -> Result<Response<proto::Manifest>, Status> {
        self.wait_for(&body.min_position).await?;
        let id = &body.manifest_id;
        let card = manifests::find(&self.parts.views.pool(), id).await.map_err(database)?;
        let card = card.ok_or_else(|| status::not_found("manifest", id))?;
        self.manifest_out(card).await.map(Response::new)
    }

    pub(super) async fn scan_manifest(
        &self,
        caller: &Caller,
        body: proto::ScanManifestRequest,
    ) -> Result<Response<proto::Manifest>, Status> {
        let mut violations = Violations::default();
        let number = violations.text("tracking_number", &body.tracking_number, NUMBER_MAX);
        violations.done()?;
        let id = &body.manifest_id;
        let account = self.manifest(id).await?.account().unwrap_or_default().to_owned();
        let scan = self.scanned(&account, &number).await?;
        let cause = caller.checked_cause(&self.parts.views, "ScanManifest", &body).await?;
        let told =
            self.parts.manifests.execute_then(id, Command::Scan(scan), cause, |_, events| {
                events.first().map(result_of)
            });
        let (receipt, result) = told.await.map_err(|error| refusals::manifest(id, error))?;
        let card = self.manifest_after(id, &receipt).await?;
        let mut shown = self.manifest_out(card).await?;
        let result = result.unwrap_or(ACCEPTED);
        shown.scan = Some(proto::ManifestScan {
            result: result.to_owned(),
            tracking_number: number,
            message: message_of(result).to_owned(),
        });
        Ok(reply(&receipt, shown))
    }

    pub(super) async fn close_manifest(
        &self,
        caller: &Caller,
        body: proto::CloseManifestRequest,
    ) -> Result<Response<proto::Document>, Status> {
        let id = &body.manifest_id;
        let cause = caller.checked_cause(&self.parts.views, "CloseManifest", &body).await?;
        let now = clock::now_ms();
        let state = self.manifest(id).await?;
        let page = page_of(id, &state, now);
        let pdf = match state.document() {
            Some(_) => Bytes::new(),
            None => Bytes::from(document::pdf(&page)),
        };
        let sha256 = match state.document() {
            Some(stored) => stored.to_vec(),
            None => {
                let stored = self.parts.ports.blobs.put(pdf).await;
                let hash =
                    stored.map_err(|error| status::broken("the PDF cannot be kept", error))?;
                hex::decode(hash).unwrap_or_default()
            }
        };
        let command = Command::Close { at_ms: now, document_sha256: sha256 };
        let told = self.parts.manifests.execute_then(id, command, cause.clone(), |state, _| {
            (state.document().unwrap_or_default().to_vec(), state.parcels().to_vec())
        });
        let (receipt, (stored, parcels)) =
            told.await.map_err(|error| refusals::manifest(id, error))?;
        self.hand_over_all(id, &parcels, &cause, now).await?;
        let pdf = self.parts.ports.blobs.get(&hex::encode(stored)).await;
        let pdf = pdf.map_err(|error| status::broken("the PDF cannot be read", error))?;
        let pdf = pdf.ok_or_else(|| status::unavailable("the PDF is gone"))?;
        self.see(&receipt).await;
        let document = proto::Document {
            pdf: pdf.to_vec(),
            content_type: "application/pdf".to_owned(),
            filename: format!("manifest-{id}.pdf"),
            position: self.position(),
        };
        Ok(reply(&receipt, document))
    }

    /// Closing is recorded first: asked again after a crash, this hands over what is left.
    async fn hand_over_all(
        &self,
        id: &str,
        parcels: &[Parcel],
        cause: &Cause,
        now: i64,
    ) -> Result<(), Status> {
        for parcel in parcels {
            let command = shipment::Command::HandOver {
                at_ms: now,
                manifest_id: id.to_owned(),
                tracking_number: None,
            };
            let shipment = parcel.shipment_id.as_str();
            let read = self
                .parts
                .shipments
                .read(shipment, |state| state.plan().map(|plan| plan.order_id.clone()));
            let story = read.await.ok().and_then(|(_, order_id)| order_id).unwrap_or_default();
            let cause = Cause {
                command_id: derived_id(&["manifest", id, shipment]),
                request_hash: Vec::new(),
                story,
                ..cause.clone()
            };
            match self.parts.shipments.execute(shipment, command, cause).await {
                Ok(receipt) => self.see(&receipt).await,
                // It changed since it was scanned; the list of the load shows it.
                Err(nexus_es::HandleError::Refused(no)) => {
                    tracing::warn!("shipment {shipment} of manifest {id} stays: {no}");
                }
                Err(error) => return Err(refusals::shipment(shipment, "hand it over", error)),
            }
        }
        Ok(())
    }

    async fn manifest(&self, id: &str) -> Result<Manifest, Status> {
        let read = self.parts.manifests.read(id, Manifest::clone).await;
        let (_, state) = read.map_err(|error| refusals::manifest(id, error))?;
        if state.account().is_none() {
            return Err(status::not_found("manifest", id));
        }
        Ok(state)
    }

    /// What a scanned label is.
    async fn scanned(&self, account: &str, number: &str) -> Result<Scan, Status> {
        let wanted = Wanted { tracking_number: number.to_owned(), ..Wanted::default() };
        let page = Page::parse(1, "")?;
        let found = shipments::list(&self.parts.views.pool(), &wanted, &page).await;
        let (cards, _) = found.map_err(database)?;
        let misfit = |misfit| Ok(Scan::Misfit { tracking_number: number.to_owned(), misfit });
        let Some(card) = cards.into_iter().next() else { return misfit(Misfit::UnknownLabel) };
        let shown = card.shown.clone().unwrap_or_default();
        if shown.courier_account_id != account {
            return misfit(Misfit::OtherCourier);
        }
        if shown.status != "awb_live" {
            return misfit(Misfit::NotReady);
        }
        Ok(Scan::Ready(Parcel {
            shipment_id: shown.shipment_id,
            tracking_number: number.to_owned(),
            order_number: shown.order_number,
            cod: card.cod,
            currency: shown.cod.map(|cod| cod.currency).unwrap_or_default(),
        }))
    }

    async fn manifest_after(&self, id: &str, receipt: &Receipt) -> Result<ManifestCard, Status> {
        self.see(receipt).await;
        let mut card = ManifestCard::default();
        for (heard, event) in self.history::<Manifest>(id, receipt.version).await? {
            card.take_in(id, heard.cause.learned_at_ms, &event);
        }
        Ok(card)
    }

    async fn manifest_out(&self, card: ManifestCard) -> Result<proto::Manifest, Status> {
        let mut shown = card.shown.unwrap_or_default();
        if shown.status == "open" {
            let wanted = Wanted {
                status: "awb_live".to_owned(),
                account: shown.courier_account_id.clone(),
                ..Wanted::default()
            };
            let page = Page::parse(MISSING, "")?;
            let waiting = shipments::list(&self.parts.views.pool(), &wanted, &page).await;
            let (cards, _) = waiting.map_err(database)?;
            let missing = cards.into_iter().filter_map(|card: Card| card.shown).filter(|waiting| {
                shown.parcels.iter().all(|parcel| parcel.shipment_id != waiting.shipment_id)
            });
            shown.missing = missing.map(parcel_of).collect();
        }
        shown.position = self.position();
        Ok(shown)
    }
}

const ACCEPTED: &str = "ACCEPTED";

fn result_of(event: &Event) -> &'static str {
    match event {
        Event::ScanRefused { misfit, .. } => misfit.name(),
        Event::Opened { .. } | Event::Scanned(_) | Event::Closed { .. } => ACCEPTED,
    }
}

fn message_of(result: &str) -> &'static str {
    match result {
        "ALREADY_SCANNED" => "this parcel is in the load already",
        "UNKNOWN_LABEL" => "no parcel of ours has this label: put it aside",
        "OTHER_COURIER" => "this parcel goes by another courier account: put it aside",
        "NOT_READY" => "this parcel may not leave now: look at its shipment",
        _ => "into the load",
    }
}

fn parcel_of(shipment: proto::Shipment) -> proto::ManifestParcel {
    proto::ManifestParcel {
        shipment_id: shipment.shipment_id,
        tracking_number: shipment.tracking_number,
        order_number: shipment.order_number,
        cod: shipment.cod,
    }
}

/// The lines of the printed list: no names, only numbers and cash.
fn page_of(id: &str, state: &Manifest, now: i64) -> Vec<String> {
    let currency =
        state.parcels().first().map(|parcel| parcel.currency.clone()).unwrap_or_default();
    let total: i64 = state.parcels().iter().map(|parcel| parcel.cod).sum();
    let mut lines = vec![
        format!("Manifest {id}"),
        format!("Courier: {}", state.courier().name()),
        format!("Closed: {}", nexus_runtime::time::rfc3339(now)),
        format!("Parcels: {}", state.parcels().len()),
        format!("Cash on delivery: {} {currency}", money::format_amount(total, &currency)),
        String::new(),
    ];
    for (nth, parcel) in state.parcels().iter().enumerate() {
        let cash = money::format_amount(parcel.cod, &parcel.currency);
        lines.push(format!(
            "{:>4}  {:<20}  order {:<16}  {cash} {}",
            nth + 1,
            parcel.tracking_number,
            parcel.order_number,
            parcel.currency
        ));
    }
    lines.extend([String::new(), "Received by: ______________________   Signature:".to_owned()]);
    lines
}
