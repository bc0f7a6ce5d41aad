//! Takes messages to the channel: intent first, then the call, then its outcome.
//! *Invariant:* one call an attempt that was recorded before; a call that was cut off counts as
//! lost; the messages of a shipment go one after the other, and none after a later milestone's.

use std::sync::Arc;

use async_trait::async_trait;
use nexus_es::ports::Timer;
use nexus_es::process::{Process, Trouble};
use nexus_es::{Actor, Cause, Decider, HandleError, Heard, clock, derived_id};
use nexus_proto::notification::v1::MessageContent;
use nexus_runtime::telemetry;
use prost::Message as _;
use tracing::{error, info};
use uuid::Uuid;

use crate::channel::{Outcome, Outgoing, Refused, Verdict};
use crate::domain::message::{Ages, Command, Event, Message, Request, Step};
use crate::domain::{ChannelKind, Milestone, callback_data, message_id, shipment_of};
use crate::parts::{Parts, broken, handling, has_consent};
use crate::processes::pace::{again, millis};
use crate::views::accounts::{self, Account};
use crate::views::messages::CONTENT;
use crate::views::shipments::off_course;
use crate::wire::{SERVICE, sealed_to_proto};

pub(crate) const NAME: &str = "send_message";
/// A consent that was read so long ago is read again before a message goes out.
const CONSENT_MS: i64 = 30_000;

pub(crate) struct SendMessage(pub(crate) Arc<Parts>);

/// One message on its way.
struct Letter<'a> {
    id: &'a str,
    request: Request,
    /// The event that leads to what is done now.
    causation: Option<Uuid>,
}

/// What is left to do for one message.
enum Left {
    Nothing,
    Until(i64),
}

#[async_trait]
impl Process for SendMessage {
    fn name(&self) -> &'static str {
        NAME
    }

    fn sources(&self) -> &[&'static str] {
        &[SERVICE]
    }

    fn key(&self, heard: &Heard) -> Option<String> {
        let concerns = ["message.Requested", "message.AttemptFailed", "message.SendUnknown"];
        let key = || shipment_of(&heard.aggregate.id).to_owned();
        concerns.contains(&heard.event_type()).then(key)
    }

    async fn act(&self, heard: &Heard) -> Result<(), Trouble> {
        let shipment = shipment_of(&heard.aggregate.id);
        self.0.catch_up(&heard.aggregate.id, heard.version).await?;
        let Some(due_at_ms) = self.advance(shipment, Some(heard)).await? else { return Ok(()) };
        let (process, key) = (NAME.to_owned(), shipment.to_owned());
        let timer = Timer { process, key, due_at_ms, payload: Vec::new() };
        let set = self.0.ports.timers.set(timer).await;
        set.map_err(|error| broken("setting a timer", &error))
    }

    async fn wake(&self, timer: &Timer) -> Result<Option<i64>, Trouble> {
        match self.advance(&timer.key, None).await {
            // A timer cannot be parked: it comes back after a while, until it works or is old news.
            Err(Trouble::Hopeless(cause)) => {
                error!("the messages of shipment {} do not go out: {cause}", timer.key);
                let pause = self.0.ports.scaled(self.0.config.stopped);
                Ok(Some(clock::now_ms() + millis(pause)))
            }
            due => due,
        }
    }

    fn uses_timers(&self) -> bool {
        true
    }
}

impl SendMessage {
    /// Does what is due for a shipment, earlier milestones first; answers when the next is due.
    async fn advance(&self, shipment: &str, heard: Option<&Heard>) -> Result<Option<i64>, Trouble> {
        for milestone in Milestone::ALL {
            let id = message_id(shipment, milestone, ChannelKind::WhatsApp);
            let causation = heard.filter(|heard| heard.aggregate.id == id).map(|h| h.event_id);
            loop {
                let later_told = self.later_told(shipment, milestone).await?;
                let (ages, now_ms) = (self.ages(), clock::now_ms());
                let read = move |message: &Message| {
                    let step = message.step(now_ms, later_told, ages);
                    (message.request().cloned(), step)
                };
                let (_, (request, step)) =
                    self.0.messages.read(&id, read).await.map_err(handling("reading a message"))?;
                let Some(request) = request else { break };
                match self.take(&Letter { id: &id, request, causation }, step).await? {
                    Some(Left::Nothing) => break,
                    // The later ones wait behind it: the customer must not hear them first.
                    Some(Left::Until(due)) => return Ok(Some(due)),
                    None => {}
                }
            }
        }
        Ok(None)
    }

    fn ages(&self) -> Ages {
        let stale = self.0.ports.scaled(self.0.config.stale_after);
        Ages { stale_ms: millis(stale), max_ms: millis(self.0.config.max_age) }
    }

    async fn later_told(&self, shipment: &str, milestone: Milestone) -> Result<bool, Trouble> {
        for later in Milestone::ALL.into_iter().filter(|later| *later > milestone) {
            let id = message_id(shipment, later, ChannelKind::WhatsApp);
            let told = self.0.messages.read(&id, Message::is_told).await;
            if told.map_err(handling("reading a message"))?.1 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Takes one step; `None` when there may be another one at once.
    async fn take(&self, letter: &Letter<'_>, step: Step) -> Result<Option<Left>, Trouble> {
        match step {
            Step::Nothing => Ok(Some(Left::Nothing)),
            Step::Wait { until_ms } => Ok(Some(Left::Until(until_ms))),
            Step::Interrupted { attempt } => {
                self.lose(letter, attempt, "interrupted").await?;
                Ok(None)
            }
            Step::Supersede => {
                self.suppress(letter, "SUPERSEDED", "a later milestone is told").await?;
                Ok(Some(Left::Nothing))
            }
            Step::Expire => {
                self.suppress(letter, "OUT_OF_DATE", "it waited too long to be news").await?;
                Ok(Some(Left::Nothing))
            }
            Step::Send => self.send(letter).await,
        }
    }

    async fn send(&self, letter: &Letter<'_>) -> Result<Option<Left>, Trouble> {
        if !self.may_still_be_told(letter).await? {
            return Ok(Some(Left::Nothing));
        }
        let account_id = letter.request.account.as_str();
        let account = accounts::get(&self.0.views, account_id).await;
        let account = account.map_err(|error| broken("reading an account", &error))?;
        let Some(account) = account else {
            self.suppress(letter, "NO_ACCOUNT", "the channel account is gone").await?;
            return Ok(Some(Left::Nothing));
        };
        let now_ms = clock::now_ms();
        if let Some(until_ms) = self.0.rests.until(account_id, account.rotations, now_ms) {
            return Ok(Some(Left::Until(until_ms)));
        }
        if !account.enabled {
            let pause = self.0.ports.scaled(self.0.config.stopped);
            return Ok(Some(Left::Until(now_ms + millis(pause))));
        }
        let Some(content) = self.content(letter).await? else {
            self.suppress(letter, "ERASED", "the contact was erased").await?;
            return Ok(Some(Left::Nothing));
        };
        let credentials = self.0.credentials(&account).await;
        let credentials = credentials.map_err(|error| broken("opening the secrets", &error))?;
        let Some(credentials) = credentials else {
            self.suppress(letter, "NO_ACCOUNT", "the secrets of the account are gone").await?;
            return Ok(Some(Left::Nothing));
        };
        let Some(attempt) = self.intend(letter).await? else { return Ok(None) };
        let outgoing = Outgoing {
            mode: account.mode,
            credentials,
            provider_template: letter.request.provider_template.clone(),
            provider_language: letter.request.provider_language.clone(),
            content,
            callback_data: callback_data(letter.id, attempt),
        };
        let outcome = self.0.channel.send(&outgoing).await;
        self.record(letter, &account, attempt, outcome).await?;
        Ok(None)
    }

    /// Records the intent; `None` when another runner had the same intent, or a receipt was faster.
    async fn intend(&self, letter: &Letter<'_>) -> Result<Option<u32>, Trouble> {
        let account = letter.request.account.clone();
        let attempts = self.0.messages.read(letter.id, Message::attempts).await;
        let (_, attempts) = attempts.map_err(handling("reading a message"))?;
        let cause = self.cause(letter, "attempt", attempts + 1);
        let attempted = |_: &Message, events: &[Event]| match events.first() {
            Some(Event::Attempted { attempt, .. }) => Some(*attempt),
            _ => None,
        };
        let command = Command::Attempt { account };
        match self.0.messages.execute_then(letter.id, command, cause, attempted).await {
            // A repeat is somebody else's attempt, perhaps in flight: the step will say so.
            Ok((receipt, _)) if receipt.replayed => Ok(None),
            Ok((_, attempt)) => Ok(attempt),
            Err(HandleError::Refused(_)) => Ok(None),
            Err(error) => Err(handling("recording the intent")(error)),
        }
    }

    async fn record(
        &self,
        letter: &Letter<'_>,
        account: &Account,
        attempt: u32,
        outcome: Outcome,
    ) -> Result<(), Trouble> {
        match outcome {
            Outcome::Accepted { provider_id } => {
                let at_ms = clock::now_ms();
                let command = Command::Accept { attempt, provider_id, at_ms };
                self.execute(letter, "accept", attempt, command).await
            }
            Outcome::Unknown { reason } => self.lose(letter, attempt, reason).await,
            Outcome::Refused(refused) => self.refused(letter, account, attempt, refused).await,
        }
    }

    async fn refused(
        &self,
        letter: &Letter<'_>,
        account: &Account,
        attempt: u32,
        refused: Refused,
    ) -> Result<(), Trouble> {
        let Refused { no, verdict } = refused;
        let now_ms = clock::now_ms();
        let again = again(verdict, attempt, now_ms, &self.0.ports, &self.0.config);
        let account_id = letter.request.account.as_str();
        match (verdict, again.retry_at_ms) {
            (Verdict::StopChannel, Some(until_ms)) => {
                self.0.rests.rest(account_id, account.rotations, until_ms);
                error!(
                    channel_account.id = account_id,
                    code = no.code,
                    "channel account {account_id} cannot send ({}): {}",
                    no.reason,
                    no.detail,
                );
            }
            (Verdict::StopTemplate, _) => {
                let template = &letter.request.provider_template;
                error!(
                    template = template,
                    code = no.code,
                    "template {template} cannot be used ({}): {}",
                    no.reason,
                    no.detail,
                );
            }
            (Verdict::SlowDown, Some(until_ms)) => {
                self.0.rests.rest(account_id, account.rotations, until_ms);
                info!(channel_account.id = account_id, "channel account {account_id} slows down");
            }
            _ => {}
        }
        let command = match again.retry_at_ms {
            Some(retry_at_ms) => {
                Command::RefuseAttempt { attempt, no, retry_at_ms, limit: again.limit }
            }
            None => Command::Fail { attempt, no },
        };
        self.execute(letter, "refused", attempt, command).await
    }

    async fn lose(&self, letter: &Letter<'_>, attempt: u32, reason: &str) -> Result<(), Trouble> {
        let grace = self.0.ports.scaled(self.0.config.grace);
        let resend_at_ms = clock::now_ms().saturating_add(millis(grace));
        let reason = reason.to_owned();
        let command = Command::LoseAnswer { attempt, reason, resend_at_ms };
        self.execute(letter, "lose", attempt, command).await
    }

    async fn suppress(
        &self,
        letter: &Letter<'_>,
        reason: &str,
        detail: &str,
    ) -> Result<(), Trouble> {
        let (reason, detail) = (reason.to_owned(), detail.to_owned());
        let command = Command::Suppress { request: None, reason, detail };
        self.execute(letter, "suppress", 0, command).await
    }

    /// Whether shipment, consent and contact still stand; the last two are read again when a while
    /// has passed since.
    async fn may_still_be_told(&self, letter: &Letter<'_>) -> Result<bool, Trouble> {
        let request = &letter.request;
        let off_course = off_course(&self.0.views.pool(), &request.shipment).await;
        if let Some(status) = off_course.map_err(|error| broken("reading a shipment", &error))? {
            let detail = format!("the shipment is {status} by now");
            return self.suppress(letter, "SUPERSEDED", &detail).await.map(|()| false);
        }
        if clock::now_ms() - request.milestone_at_ms < CONSENT_MS {
            return Ok(true);
        }
        let recipient = self.0.recipient(&request.order).await?;
        let no = if recipient.erased {
            Some(("ERASED", "the contact was erased"))
        } else if !has_consent(&recipient, request.channel.as_str()) {
            Some(("NO_CONSENT", "the contact withdrew the consent before it was sent"))
        } else {
            None
        };
        match no {
            None => Ok(true),
            Some((reason, detail)) => self.suppress(letter, reason, detail).await.map(|()| false),
        }
    }

    async fn content(&self, letter: &Letter<'_>) -> Result<Option<MessageContent>, Trouble> {
        let Some(sealed) = &letter.request.content else { return Ok(None) };
        let clear = self.0.ports.vault.open(&sealed_to_proto(sealed), CONTENT).await;
        let clear = clear.map_err(|error| broken("opening a message", &error))?;
        Ok(clear.and_then(|clear| MessageContent::decode(clear.as_slice()).ok()))
    }

    async fn execute(
        &self,
        letter: &Letter<'_>,
        action: &str,
        attempt: u32,
        command: Command,
    ) -> Result<(), Trouble> {
        let cause = self.cause(letter, action, attempt);
        match self.0.messages.execute(letter.id, command, cause).await {
            // A receipt was faster: what it told stands.
            Ok(_) | Err(HandleError::Refused(_)) => Ok(()),
            Err(error) => Err(handling("recording an outcome")(error)),
        }
    }

    fn cause(&self, letter: &Letter<'_>, action: &str, attempt: u32) -> Cause {
        let now = clock::now_ms();
        let attempt = attempt.to_string();
        Cause {
            occurred_at_ms: now,
            learned_at_ms: now,
            command_id: derived_id(&[NAME, Message::CATEGORY, letter.id, action, &attempt]),
            request_hash: Vec::new(),
            story: letter.request.order.clone(),
            causation_id: letter.causation.or_else(|| letter.request.cause.parse().ok()),
            actor: Actor::service(SERVICE),
            traceparent: telemetry::current_traceparent(),
        }
    }
}
