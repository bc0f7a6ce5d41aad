//! Takes the channel's receipts out of the ingress log into their messages, and stop words to
//! order.
//! *Invariant:* a receipt moves only a message of the account it came in for; in any order and
//! however often it comes, the message ends where it would have ended in order.

use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt;
use nexus_es::process::{Process, Trouble};
use nexus_es::{Cause, Heard, clock};
use nexus_proto::ingress::v1::InboxReceived;
use nexus_proto::order::v1::{FindContactRequest, RecordConsentRequest};
use nexus_runtime::{status, telemetry};
use prost::Message as _;
use tracing::debug;

use crate::channel::whatsapp::webhook::{self, ReceiptTold, Status};
use crate::domain::message::{Command, Message, News, Receipt};
use crate::domain::{ChannelKind, parse_callback_data};
use crate::parts::{Parts, broken, handling};
use crate::processes::pace::again;
use crate::views::messages;
use crate::wire::SERVICE;

pub(crate) const NAME: &str = "apply_receipt";
const INGRESS: &str = "ingress";
const RECEIVED: &str = "inbox.Received";
/// What ingress sealed the body as.
const BODY: &str = "inbox.Received.body";
/// One webhook may carry a thousand receipts.
const AT_ONCE: usize = 16;

pub(crate) struct ApplyReceipt(pub(crate) Arc<Parts>);

#[async_trait]
impl Process for ApplyReceipt {
    fn name(&self) -> &'static str {
        NAME
    }

    fn sources(&self) -> &[&'static str] {
        &[INGRESS]
    }

    fn key(&self, heard: &Heard) -> Option<String> {
        if heard.event_type() != RECEIVED {
            return None;
        }
        let concerns = InboxReceived::decode(heard.payload.bytes.as_slice())
            .map_or(true, |received| received.kind == "channel");
        // Receipts commute, so each webhook has a lane of its own.
        concerns.then(|| heard.event_id.to_string())
    }

    async fn act(&self, heard: &Heard) -> Result<(), Trouble> {
        let received = InboxReceived::decode(heard.payload.bytes.as_slice())
            .map_err(|error| Trouble::Hopeless(format!("the event does not decode: {error}")))?;
        let Some(body) = &received.body else { return Ok(()) };
        let body = self.0.ports.vault.open(body, BODY).await;
        // A month's key that was deleted takes its webhooks with it.
        let Some(body) = body.map_err(|error| broken("opening a webhook", &error))? else {
            return Ok(());
        };
        let told = webhook::read(&body);
        if told.skipped > 0 {
            debug!(skipped = told.skipped, "a webhook held {} unknown updates", told.skipped);
        }
        let account = received.account_id.as_str();
        let mut work = Vec::with_capacity(told.receipts.len());
        for (nth, receipt) in told.receipts.iter().enumerate() {
            work.push(self.apply(heard, account, nth, receipt));
        }
        let done: Vec<_> = futures::stream::iter(work).buffer_unordered(AT_ONCE).collect().await;
        done.into_iter().collect::<Result<(), Trouble>>()?;
        for (nth, phone) in told.stops.iter().enumerate() {
            self.withdraw(heard, nth, phone).await?;
        }
        Ok(())
    }
}

impl ApplyReceipt {
    async fn apply(
        &self,
        heard: &Heard,
        account: &str,
        nth: usize,
        told: &ReceiptTold,
    ) -> Result<(), Trouble> {
        let Some((id, attempt)) = self.message_of(told).await? else { return Ok(()) };
        let Some((order, attempts)) = self.standing(&id, account).await? else { return Ok(()) };
        let now_ms = clock::now_ms();
        let news = match &told.status {
            Status::Sent => News::Sent,
            Status::Delivered => News::Delivered,
            Status::Read => News::Read,
            Status::Failed { no, verdict } => {
                let again = again(*verdict, attempts, now_ms, &self.0.ports, &self.0.config);
                let (retry_at_ms, limit) = (again.retry_at_ms, again.limit);
                News::Failed { no: no.clone(), retry_at_ms, limit }
            }
        };
        let receipt = Receipt {
            id: heard.event_id.to_string(),
            attempt,
            provider_id: told.provider_id.clone(),
            at_ms: told.at_ms.unwrap_or(heard.cause.occurred_at_ms),
            news,
        };
        let mut cause = self.cause(heard, &format!("receipt {nth}"));
        cause.story = order;
        let handled = self.0.messages.execute(&id, Command::Receive(receipt), cause).await;
        handled.map(drop).map_err(handling("applying a receipt"))
    }

    /// The message and attempt a receipt is about; by our own data, else by the channel's id.
    async fn message_of(&self, told: &ReceiptTold) -> Result<Option<(String, u32)>, Trouble> {
        if let Some(data) = &told.callback_data {
            let ours = parse_callback_data(data);
            return Ok(ours.map(|(id, attempt)| (id.to_owned(), attempt)));
        }
        let found = messages::by_provider_id(&self.0.views.pool(), &told.provider_id).await;
        let found = found.map_err(|error| broken("reading the messages", &error))?;
        Ok(found.map(|id| (id, 0)))
    }

    /// The order of a message that went out from `account`, and its attempts.
    async fn standing(&self, id: &str, account: &str) -> Result<Option<(String, u32)>, Trouble> {
        let owned = account.to_owned();
        let read = move |message: &Message| {
            let request = message.request().filter(|request| request.account == owned)?;
            (message.attempts() > 0).then(|| (request.order.clone(), message.attempts()))
        };
        let known = self.0.messages.read(id, read.clone()).await;
        let (_, known) = known.map_err(handling("reading a message"))?;
        if known.is_some() {
            return Ok(known);
        }
        // Another replica may have sent it since this one read it last.
        self.0.messages.forget(id);
        let known = self.0.messages.read(id, read).await;
        known.map(|(_, known)| known).map_err(handling("reading a message"))
    }

    /// The customer does not want to be written to any more.
    async fn withdraw(&self, heard: &Heard, nth: usize, phone: &str) -> Result<(), Trouble> {
        let channels = &self.0.ports.channels;
        let find = FindContactRequest { phone: phone.to_owned(), ..FindContactRequest::default() };
        let find = channels.question(find, SERVICE, &heard.cause.story);
        let contact = match channels.order().find_contact(find).await {
            Ok(contact) => contact.into_inner(),
            Err(status) if status.code() == tonic::Code::NotFound => return Ok(()),
            Err(status) => return Err(status::trouble("looking a contact up", &status)),
        };
        let request = RecordConsentRequest {
            contact_id: contact.contact_id,
            channel: ChannelKind::WhatsApp.as_str().to_owned(),
            granted: false,
            source: "STOP message".to_owned(),
        };
        let cause = self.cause(heard, &format!("stop {nth}"));
        let recorded = channels.order().record_consent(channels.request(request, &cause)).await;
        recorded.map(drop).map_err(|status| status::trouble("withdrawing a consent", &status))
    }

    fn cause(&self, heard: &Heard, action: &str) -> Cause {
        heard.cause_for(NAME, action, clock::now_ms(), telemetry::current_traceparent())
    }
}
