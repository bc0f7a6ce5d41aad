//! When a shipment reaches a milestone, decide whether and in which words the customer is told.
//! *Invariant:* one message a milestone and channel, whatever is heard again; none for who has not
//! agreed, is erased, or has been told of a later milestone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use nexus_es::process::{Process, Trouble};
use nexus_es::{Cause, Heard, Positions, clock};
use nexus_proto::notification::v1::{MessageContent, MessageVariable};
use nexus_proto::order::v1::GetRecipientResponse;
use nexus_proto::shipping::v1::{ShipmentHandedOver, ShipmentTrackingRecorded};
use nexus_runtime::telemetry;
use prost::Message as _;

use crate::domain::message::{Command, Request};
use crate::domain::template::{Filled, Words};
use crate::domain::{ChannelKind, Language, Milestone, message_id, template_id};
use crate::parts::{Parts, broken, handling, has_consent, secret_bytes};
use crate::processes::pace::millis;
use crate::views::messages::CONTENT;
use crate::views::shipments::{SHIPPING, off_course};
use crate::views::{accounts, shipments, templates};
use crate::wire::sealed_from_proto;

pub(crate) const NAME: &str = "tell_customer";
const HANDED_OVER: &str = "shipment.HandedOver";
const TRACKING: &str = "shipment.TrackingRecorded";
/// How long to wait for the own view of shipping; the same events feed both.
const VIEW_PATIENCE: Duration = Duration::from_secs(2);

pub(crate) struct TellCustomer(pub(crate) Arc<Parts>);

/// A milestone that a shipment reached.
#[derive(Debug, PartialEq, Eq)]
struct Reached {
    order: String,
    milestone: Milestone,
    at_ms: i64,
}

/// Why the customer is not told.
struct NotTold {
    reason: &'static str,
    detail: String,
}

fn not_told(reason: &'static str, detail: impl Into<String>) -> NotTold {
    NotTold { reason, detail: detail.into() }
}

/// The milestone that an event tells of, if any. Late, repeated and unconfirmed updates change
/// nothing, and so tell nothing.
fn reached(heard: &Heard) -> Result<Option<Reached>, prost::DecodeError> {
    let bytes = heard.payload.bytes.as_slice();
    match heard.event_type() {
        HANDED_OVER => {
            let event = ShipmentHandedOver::decode(bytes)?;
            let milestone = Milestone::Shipped;
            Ok(Some(Reached { order: event.order_id, milestone, at_ms: event.at_ms }))
        }
        TRACKING => {
            let event = ShipmentTrackingRecorded::decode(bytes)?;
            let milestone = match event.status.as_str() {
                "out_for_delivery" => Milestone::OutForDelivery,
                "delivered" => Milestone::Delivered,
                _ => return Ok(None),
            };
            let at_ms = event.occurred_at_ms;
            Ok(event.applied.then_some(Reached { order: event.order_id, milestone, at_ms }))
        }
        _ => Ok(None),
    }
}

#[async_trait]
impl Process for TellCustomer {
    fn name(&self) -> &'static str {
        NAME
    }

    fn sources(&self) -> &[&'static str] {
        &[SHIPPING]
    }

    fn key(&self, heard: &Heard) -> Option<String> {
        // What does not decode is parked by `act`, so it gets a lane too.
        let concerns = reached(heard).map_or(true, |reached| reached.is_some());
        concerns.then(|| heard.aggregate.id.clone())
    }

    async fn act(&self, heard: &Heard) -> Result<(), Trouble> {
        let reached = reached(heard)
            .map_err(|error| Trouble::Hopeless(format!("the event does not decode: {error}")))?;
        let Some(reached) = reached else { return Ok(()) };
        let channel = ChannelKind::WhatsApp;
        let shipment = heard.aggregate.id.as_str();
        let id = message_id(shipment, reached.milestone, channel);
        if self.is_requested(&id).await? {
            return Ok(());
        }
        let command = self.decide(heard, &reached, channel).await?;
        let mut cause = self.cause(heard, reached.milestone);
        cause.story = reached.order;
        let handled = self.0.messages.execute(&id, command, cause).await;
        handled.map(drop).map_err(handling("asking for a message"))
    }
}

impl TellCustomer {
    async fn is_requested(&self, id: &str) -> Result<bool, Trouble> {
        let known = self.0.messages.read(id, |message| message.request().is_some()).await;
        known.map(|(_, known)| known).map_err(handling("reading a message"))
    }

    fn cause(&self, heard: &Heard, milestone: Milestone) -> Cause {
        let action = format!("tell {}", milestone.as_str());
        heard.cause_for(NAME, &action, clock::now_ms(), telemetry::current_traceparent())
    }

    async fn decide(
        &self,
        heard: &Heard,
        reached: &Reached,
        channel: ChannelKind,
    ) -> Result<Command, Trouble> {
        let mut request = self.bare(heard, reached, channel);
        let told = match self.out_of_date(heard, reached, channel).await? {
            Some(not_told) => Err(not_told),
            None => self.words(heard, &mut request).await?,
        };
        Ok(match told {
            Ok(()) => Command::Request(request),
            Err(NotTold { reason, detail }) => {
                Command::Suppress { request: Some(request), reason: reason.to_owned(), detail }
            }
        })
    }

    fn bare(&self, heard: &Heard, reached: &Reached, channel: ChannelKind) -> Request {
        let language = Language::parse(&self.0.config.default_language).unwrap_or(Language::Ar);
        Request {
            order: reached.order.clone(),
            shipment: heard.aggregate.id.clone(),
            contact: String::new(),
            milestone: reached.milestone,
            channel,
            language,
            account: String::new(),
            provider_template: String::new(),
            provider_language: String::new(),
            content: None,
            cause: heard.event_id.to_string(),
            milestone_at_ms: learned(heard, reached),
        }
    }

    async fn out_of_date(
        &self,
        heard: &Heard,
        reached: &Reached,
        channel: ChannelKind,
    ) -> Result<Option<NotTold>, Trouble> {
        for later in Milestone::ALL.into_iter().filter(|later| *later > reached.milestone) {
            let id = message_id(&heard.aggregate.id, later, channel);
            if self.is_requested(&id).await? {
                let detail = format!("{} was told before", later.as_str());
                return Ok(Some(not_told("SUPERSEDED", detail)));
            }
        }
        let off_course = off_course(&self.0.views.pool(), &heard.aggregate.id).await;
        if let Some(status) = off_course.map_err(|error| broken("reading a shipment", &error))? {
            let detail = format!("the shipment is {status} by now");
            return Ok(Some(not_told("SUPERSEDED", detail)));
        }
        let age_ms = clock::now_ms().saturating_sub(learned(heard, reached));
        let too_old = age_ms > millis(self.0.config.max_age);
        Ok(too_old.then(|| not_told("OUT_OF_DATE", "it was heard of too late to be news")))
    }

    /// Fills `request` with contact, account and words; `NotTold` when one of them is missing.
    async fn words(
        &self,
        heard: &Heard,
        request: &mut Request,
    ) -> Result<Result<(), NotTold>, Trouble> {
        let recipient = self.0.recipient(&request.order).await?;
        request.contact.clone_from(&recipient.contact_id);
        if let Some(language) = Language::parse(&recipient.language) {
            request.language = language;
        }
        if recipient.erased {
            return Ok(Err(not_told("ERASED", "the contact was erased")));
        }
        if !has_consent(&recipient, request.channel.as_str()) {
            let detail = "the contact has not agreed to WhatsApp messages: record the consent";
            return Ok(Err(not_told("NO_CONSENT", detail)));
        }
        let Some(phone) = phone(&recipient) else {
            return Ok(Err(not_told("NO_PHONE", "the contact has no phone in international form")));
        };
        let words = self.template(request).await?;
        request.provider_template.clone_from(&words.provider_template);
        request.provider_language.clone_from(&words.provider_language);
        if !words.enabled {
            return Ok(Err(not_told("DISABLED", "the template of this milestone is switched off")));
        }
        let values = self.values(heard, &recipient).await?;
        let filled = match words.fill(&values) {
            Ok(filled) => filled,
            Err(missing) => {
                let detail = format!("the template wants {missing}, which this order has not");
                return Ok(Err(not_told("MISSING_VARIABLE", detail)));
            }
        };
        let account = accounts::sender(&self.0.views, request.channel).await;
        let Some(account) = account.map_err(|error| broken("reading the accounts", &error))? else {
            let detail = "no channel account is enabled: add one in Settings → Integrations";
            return Ok(Err(not_told("NO_ACCOUNT", detail)));
        };
        request.account = account;
        self.seal(request, &recipient, phone, filled).await?;
        Ok(Ok(()))
    }

    async fn seal(
        &self,
        request: &mut Request,
        recipient: &GetRecipientResponse,
        phone: String,
        filled: Filled,
    ) -> Result<(), Trouble> {
        let variables = filled.variables.into_iter();
        let variables = variables.map(|(name, value)| MessageVariable { name, value }).collect();
        let content = secret_bytes(&MessageContent { phone, variables, body: filled.body });
        let own_key = format!("contact-{}", recipient.contact_id);
        let key =
            if recipient.key_id.is_empty() { own_key.as_str() } else { recipient.key_id.as_str() };
        let sealed = self.0.ports.vault.seal(key, CONTENT, &content).await;
        let sealed = sealed.map_err(|error| broken("sealing a message", &error))?;
        request.content = Some(sealed_from_proto(sealed));
        Ok(())
    }

    async fn template(&self, request: &Request) -> Result<Words, Trouble> {
        let id = template_id(request.channel, request.milestone, request.language);
        let put = templates::get(&self.0.views, &id).await;
        let put = put.map_err(|error| broken("reading a template", &error))?;
        let built_in = || Words::built_in(request.milestone, request.language);
        Ok(put.map_or_else(built_in, |(words, _)| words))
    }

    async fn values(
        &self,
        heard: &Heard,
        recipient: &GetRecipientResponse,
    ) -> Result<BTreeMap<&'static str, String>, Trouble> {
        let here = Positions::one(SHIPPING, heard.position);
        self.0
            .views
            .wait_for(&here, VIEW_PATIENCE)
            .await
            .map_err(|error| Trouble::NotYet(Duration::from_millis(100), error.to_string()))?;
        let tracking = shipments::tracking(&self.0.views.pool(), &heard.aggregate.id).await;
        let (number, url) = tracking.map_err(|error| broken("reading a shipment", &error))?;
        let name = recipient.recipient.as_ref().map(|r| r.name.clone()).unwrap_or_default();
        let first = name.split_whitespace().next().unwrap_or_default().to_owned();
        Ok(BTreeMap::from([
            ("first_name", first),
            ("name", name),
            ("order_number", recipient.order_number.clone()),
            ("tracking_number", number),
            ("tracking_url", url),
        ]))
    }
}

/// When the milestone was reached. A courier's clock may be ahead: then when we learned of it.
fn learned(heard: &Heard, reached: &Reached) -> i64 {
    reached.at_ms.min(heard.cause.occurred_at_ms)
}

/// The phone in E.164; anything else could reach a stranger.
fn phone(recipient: &GetRecipientResponse) -> Option<String> {
    let phone = recipient.recipient.as_ref()?.phone.as_str();
    let digits = phone.strip_prefix('+')?;
    let fits = (7..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    fits.then(|| phone.to_owned())
}
