//! What is asked of one shipment: the AWB again, its label, hand-over, void.

use nexus_es::{Cause, Receipt, clock};
use nexus_proto::shipping::v1 as proto;
use nexus_runtime::caller::Caller;
use nexus_runtime::reply::{replayed_if, reply};
use nexus_runtime::{Violations, status};
use tokio::time::Instant;
use tonic::{Response, Status};

use super::{COURIER, Shipping, database, refusals};
use crate::courier::CallError;
use crate::domain::shipment::{Command, Refusal, Shipment};
use crate::domain::{CourierKind, LabelFormat};
use crate::labels::{self, LabelError};
use crate::views::shipments::{self, Card};

const REASON_MAX: usize = 500;
const NUMBER_MAX: usize = 64;

impl Shipping {
    pub(super) async fn create_awb(
        &self,
        caller: &Caller,
        body: proto::CreateAwbRequest,
    ) -> Result<Response<proto::Shipment>, Status> {
        let cause = caller.checked_cause(&self.parts.views, "CreateAwb", &body).await?;
        self.ask_for_awb(&body.shipment_id, cause).await
    }

    pub(super) async fn create_awb_bosta(
        &self,
        caller: &Caller,
        body: proto::CreateAwbBostaRequest,
    ) -> Result<Response<proto::Shipment>, Status> {
        let id = &body.shipment_id;
        let state = self.state(id, ASK).await?;
        let courier = state.plan().map(|plan| plan.courier).unwrap_or_default();
        if courier != CourierKind::Bosta {
            let name = courier.name();
            let sentence = format!(
                "the shipment goes by a {name} account, Bosta cannot be asked for its AWB: ship \
                 it with a Bosta account, or use :create-awb"
            );
            let facts = [("courier", name), ("shipment_id", id)];
            return Err(status::refused("NOT_BOSTA", sentence, &facts));
        }
        self.ask_for_awb(
            id,
            caller.checked_cause(&self.parts.views, "CreateAwbBosta", &body).await?,
        )
        .await
    }

    async fn ask_for_awb(
        &self,
        id: &str,
        cause: Cause,
    ) -> Result<Response<proto::Shipment>, Status> {
        let deadline = Instant::now() + COURIER;
        let state = self.state(id, ASK).await?;
        let request_hash = cause.request_hash.clone();
        let receipt =
            self.execute(id, &state, Command::RequestAwb { request_hash }, cause, ASK).await?;
        self.see(&receipt).await;
        let card = match self.answered(id, deadline).await? {
            Some(card) => card,
            None => self.newest(id, &receipt).await?,
        };
        Ok(reply(&receipt, self.shipment_out(card).await?))
    }

    pub(super) async fn hand_over(
        &self,
        caller: &Caller,
        body: proto::HandOverRequest,
    ) -> Result<Response<proto::Shipment>, Status> {
        const WISH: &str = "hand it over";
        let mut violations = Violations::default();
        let number = body.tracking_number.as_ref();
        let number = number.map(|given| violations.text("tracking_number", given, NUMBER_MAX));
        violations.done()?;
        let id = &body.shipment_id;
        let cause = caller.checked_cause(&self.parts.views, "HandOver", &body).await?;
        let state = self.state(id, WISH).await?;
        let order_id = state.plan().map(|plan| plan.order_id.clone()).unwrap_or_default();
        if !state.is_handed_over() {
            self.check_may_leave(&order_id).await?;
        }
        let command = Command::HandOver {
            at_ms: clock::now_ms(),
            manifest_id: String::new(),
            tracking_number: number,
        };
        let receipt = self.execute(id, &state, command, cause, WISH).await?;
        let card = self.shipment_after(id, &receipt).await?;
        let (settled, positions) = self.settled(&order_id, id, "shipped").await;
        let mut shown = self.shipment_out(card).await?;
        shown.settled = Some(settled);
        shown.position = positions.to_string();
        Ok(reply(&receipt, shown))
    }

    pub(super) async fn void_awb(
        &self,
        caller: &Caller,
        body: proto::VoidAwbRequest,
    ) -> Result<Response<proto::Shipment>, Status> {
        const WISH: &str = "void the AWB";
        let deadline = Instant::now() + COURIER;
        let mut violations = Violations::default();
        let reason = violations.text("reason", &body.reason, REASON_MAX);
        violations.done()?;
        let id = &body.shipment_id;
        let cause = caller.checked_cause(&self.parts.views, "VoidAwb", &body).await?;
        let state = self.state(id, WISH).await?;
        let receipt =
            self.execute(id, &state, Command::RequestVoid { reason }, cause, WISH).await?;
        self.see(&receipt).await;
        let card = self.voided(id, deadline, &receipt).await?;
        if let Some(problem) = card.void_problem.clone() {
            let sentence =
                format!("the courier keeps the AWB: {}. {}", problem.detail, problem.hint);
            let facts = [("status", "awb_live"), ("code", &problem.code), ("shipment_id", id)];
            return Err(status::refused("VOID_REFUSED", sentence, &facts));
        }
        Ok(reply(&receipt, self.shipment_out(card).await?))
    }

    /// The shipment once the courier has answered the void, or when the time is over.
    async fn voided(&self, id: &str, deadline: Instant, receipt: &Receipt) -> Result<Card, Status> {
        let pool = self.parts.views.pool();
        let check = || async {
            let card = shipments::find(&pool, id).await?;
            Ok::<_, sqlx::Error>(card.filter(|card| card.void_reason.is_none()))
        };
        let patience = deadline.saturating_duration_since(Instant::now());
        let answered = self.parts.views.until(&shipments::changed(id), patience, check).await;
        match answered.map_err(database)? {
            Some(card) => Ok(card),
            None => self.newest(id, receipt).await,
        }
    }

    pub(super) async fn print_awb(
        &self,
        caller: &Caller,
        body: proto::PrintAwbRequest,
    ) -> Result<Response<proto::Document>, Status> {
        let format = match body.format.as_str() {
            "" => LabelFormat::A6,
            name => LabelFormat::parse(name)
                .ok_or_else(|| status::invalid_field("format", "must be A4 or A6"))?,
        };
        let id = &body.shipment_id;
        let cause = caller.checked_cause(&self.parts.views, "PrintAwb", &body).await?;
        let mut state = self.state(id, PRINT).await?;
        if state.awb().is_some() && state.label(format).is_none() {
            self.fetch_label(id, &state, format, &cause).await?;
            state = self.state(id, PRINT).await?;
        }
        let receipt =
            self.execute(id, &state, Command::PrintLabel { format }, cause, PRINT).await?;
        let Some(label) = state.label(format) else { return Err(no_label(id, "")) };
        let pdf = labels::read(&self.parts, label).await.map_err(|error| unprinted(id, &error))?;
        let number = state.awb().map(|awb| awb.tracking_number.clone()).unwrap_or_default();
        self.see(&receipt).await;
        let document = proto::Document {
            pdf,
            content_type: "application/pdf".to_owned(),
            filename: format!("awb-{number}.pdf"),
            position: self.position(),
        };
        Ok(replayed_if(receipt.replayed, document))
    }

    async fn fetch_label(
        &self,
        id: &str,
        state: &Shipment,
        format: LabelFormat,
        print: &Cause,
    ) -> Result<(), Status> {
        let key = print.command_id.to_string();
        let cause = Cause {
            command_id: nexus_es::derived_id(&["label", &key, format.name()]),
            story: state.plan().map(|plan| plan.order_id.clone()).unwrap_or_default(),
            ..print.clone()
        };
        let fetched = labels::fetch(&self.parts, id, state, format, cause).await;
        fetched.map_err(|error| unprinted(id, &error))
    }

    async fn state(&self, id: &str, wish: &str) -> Result<Shipment, Status> {
        let read = self.parts.shipments.read(id, Shipment::clone).await;
        let (_, state) = read.map_err(|error| refusals::shipment(id, wish, error))?;
        if state.plan().is_none() {
            return Err(status::not_found("shipment", id));
        }
        Ok(state)
    }

    /// Carries a command out in the story of the shipment's order.
    async fn execute(
        &self,
        id: &str,
        state: &Shipment,
        command: Command,
        cause: Cause,
        wish: &str,
    ) -> Result<Receipt, Status> {
        let story = state.plan().map(|plan| plan.order_id.clone()).unwrap_or_default();
        let cause = Cause { story, ..cause };
        let told = self.parts.shipments.execute(id, command, cause).await;
        told.map_err(|error: nexus_es::HandleError<Refusal>| refusals::shipment(id, wish, error))
    }
}

const ASK: &str = "ask for the AWB";
const PRINT: &str = "print the label";

fn no_label(id: &str, why: &str) -> Status {
    let sentence = format!("there is no label to print: {why}");
    status::refused("NO_LABEL", sentence, &[("shipment_id", id)])
}

fn unprinted(id: &str, error: &LabelError) -> Status {
    match error {
        LabelError::Courier(CallError::Refused(problem)) => {
            no_label(id, &format!("{}. {}", problem.detail, problem.hint))
        }
        LabelError::Courier(CallError::NotFound) => {
            no_label(id, "the courier has no such delivery")
        }
        LabelError::NoAwb => no_label(id, "the shipment has no live AWB, ask for one first"),
        LabelError::Erased => no_label(id, "the contact was erased, and the label with it"),
        LabelError::Courier(error) => {
            status::unavailable(format!("the label cannot be fetched: {error}, try again"))
        }
        LabelError::Account(_) | LabelError::Store(_) | LabelError::Record(_) => {
            status::broken("the label cannot be printed", error)
        }
    }
}
