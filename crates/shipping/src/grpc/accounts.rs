//! Courier accounts: credentials are taken and never given back.

use std::time::Instant;

use aws_lc_rs::rand;
use nexus_es::commit::sha256;
use nexus_proto::shipping::v1 as proto;
use nexus_runtime::caller::Caller;
use nexus_runtime::page::Page;
use nexus_runtime::reply::reply;
use nexus_runtime::{Violations, status};
use tonic::{Response, Status};

use super::{Shipping, database, refusals};
use crate::courier::CallError;
use crate::domain::courier_account::{
    Amendment, Command, CourierAccount, Credentials, Event, Mode, Opening, Webhook,
};
use crate::domain::{CourierKind, LabelFormat, Sealed};
use crate::opener::OpenError;
use crate::views::accounts;

const NAME_MAX: usize = 100;
const KEY_MAX: usize = 500;
const LOCATION_MAX: usize = 100;
const HEADER: &str = "x-nexus-webhook-secret";
const HEADER_MAX: usize = 64;
const LAST: usize = 4;
/// Bytes of a token or secret: 256 random bits.
const SECRET_BYTES: usize = 32;
const HINT_DOWN: &str = "check that the courier works and that this machine reaches the internet";

impl Shipping {
    #[expect(clippy::unused_async, reason = "every rpc is answered the same way")]
    pub(super) async fn list_couriers(
        &self,
        _: &Caller,
        _: proto::ListCouriersRequest,
    ) -> Result<Response<proto::ListCouriersResponse>, Status> {
        let couriers = CourierKind::ALL.map(|kind| {
            let is_bosta = kind == CourierKind::Bosta;
            let formats = LabelFormat::ALL.map(|format| format.name().to_owned());
            proto::Courier {
                courier: kind.name().to_owned(),
                name: if is_bosta { "Bosta" } else { "Any courier, numbers typed in" }.to_owned(),
                needs_credentials: is_bosta,
                creates_awb: is_bosta,
                label_formats: if is_bosta { formats.to_vec() } else { vec![] },
            }
        });
        Ok(Response::new(proto::ListCouriersResponse { couriers: couriers.to_vec() }))
    }

    pub(super) async fn create_courier_account(
        &self,
        caller: &Caller,
        body: proto::CreateCourierAccountRequest,
    ) -> Result<Response<proto::CourierAccount>, Status> {
        const RPC: &str = "CreateCourierAccount";
        let wish = OpenWish::parse(&body)?;
        let id = caller.new_id(RPC);
        let opening = self.opening(&id, wish).await?;
        let command = Command::Open(Box::new(opening));
        let opened = self.parts.account_handler.execute_then(
            &id,
            command,
            caller.cause(RPC, &body),
            secret_of,
        );
        let (receipt, secret) = opened.await.map_err(|error| refusals::account(&id, error))?;
        let card = self.account_after(&id, &receipt).await?;
        let mut account = self.account_out(card).await?;
        if let Some(secret) = secret {
            let secret = self.parts.accounts.secret(&secret).await;
            account.webhook_secret =
                Some(secret.map_err(|error| status::broken("the secret cannot be read", error))?);
        }
        Ok(reply(&receipt, account))
    }

    async fn opening(&self, id: &str, wish: OpenWish) -> Result<Opening, Status> {
        let broken = |error| status::broken("the credentials cannot be sealed", error);
        let (token, secret) = (random_text()?, random_text()?);
        let accounts = &self.parts.accounts;
        let sealed = match &wish.api_key {
            Some(key) => Some(accounts.seal_credentials(id, key, false).await.map_err(broken)?),
            None => None,
        };
        Ok(Opening {
            courier: wish.courier,
            name: wish.name,
            mode: wish.mode,
            credentials: Credentials { sealed, last4: last4(wish.api_key.as_deref()) },
            webhook: Webhook {
                token_sha256: sha256(token.as_bytes()),
                token: accounts.seal_token(id, &token).await.map_err(broken)?,
                secret_sha256: sha256(secret.as_bytes()),
                secret: Some(accounts.seal_secret(id, &secret).await.map_err(broken)?),
                header: wish.header,
            },
            pickup_location: wish.pickup_location,
        })
    }

    pub(super) async fn list_courier_accounts(
        &self,
        _: &Caller,
        body: proto::ListCourierAccountsRequest,
    ) -> Result<Response<proto::ListCourierAccountsResponse>, Status> {
        let page = Page::parse(body.page_size, &body.page_token)?;
        self.wait_for(&body.min_position).await?;
        let listed = accounts::list(&self.parts.views.pool(), &body.courier, &page).await;
        let (cards, next_page_token) = listed.map_err(database)?;
        let mut courier_accounts = vec![];
        for card in cards {
            courier_accounts.push(self.account_out(card).await?);
        }
        let answer = proto::ListCourierAccountsResponse { courier_accounts, next_page_token };
        Ok(Response::new(answer))
    }

    pub(super) async fn get_courier_account(
        &self,
        _: &Caller,
        body: proto::GetCourierAccountRequest,
    ) -> Result<Response<proto::CourierAccount>, Status> {
        self.wait_for(&body.min_position).await?;
        let id = &body.courier_account_id;
        let card = accounts::find(&self.parts.views.pool(), id).await.map_err(database)?;
        let card = card.ok_or_else(|| status::not_found("courier account", id))?;
        self.account_out(card).await.map(Response::new)
    }

    pub(super) async fn amend_courier_account(
        &self,
        caller: &Caller,
        body: proto::AmendCourierAccountRequest,
    ) -> Result<Response<proto::CourierAccount>, Status> {
        let amendment = amendment(&body)?;
        let command = Command::Amend(amendment);
        let cause = caller.checked_cause(&self.parts.views, "AmendCourierAccount", &body).await?;
        self.change_account(&body.courier_account_id, command, cause).await
    }

    pub(super) async fn rotate_credentials(
        &self,
        caller: &Caller,
        body: proto::RotateCredentialsRequest,
    ) -> Result<Response<proto::CourierAccount>, Status> {
        let id = &body.courier_account_id;
        let mut violations = Violations::default();
        let given = body.credentials.as_ref().map(|given| given.api_key.as_str());
        let key = violations.text("credentials.api_key", given.unwrap_or_default(), KEY_MAX);
        violations.done()?;
        let sealed = self.parts.accounts.seal_credentials(id, &key, true).await;
        let sealed =
            sealed.map_err(|error| status::broken("the credentials cannot be sealed", error))?;
        let credentials = Credentials { sealed: Some(sealed), last4: last4(Some(&key)) };
        let cause = caller.checked_cause(&self.parts.views, "RotateCredentials", &body).await?;
        self.change_account(id, Command::RotateCredentials(credentials), cause).await
    }

    async fn change_account(
        &self,
        id: &str,
        command: Command,
        cause: nexus_es::Cause,
    ) -> Result<Response<proto::CourierAccount>, Status> {
        let changed = self.parts.account_handler.execute(id, command, cause).await;
        let receipt = changed.map_err(|error| refusals::account(id, error))?;
        let card = self.account_after(id, &receipt).await?;
        Ok(reply(&receipt, self.account_out(card).await?))
    }

    pub(super) async fn test_courier_account(
        &self,
        _: &Caller,
        body: proto::TestCourierAccountRequest,
    ) -> Result<Response<proto::TestCourierAccountResponse>, Status> {
        let id = &body.courier_account_id;
        let opened = match self.parts.accounts.open(id).await {
            Ok(opened) => opened,
            Err(OpenError::NotFound) => return Err(status::not_found("courier account", id)),
            Err(error) => return Err(status::broken("the account cannot be read", error)),
        };
        let began = Instant::now();
        let courier = self.parts.couriers.of(opened.courier);
        let told = courier.test_connection(&opened.account).await;
        let latency_ms = u32::try_from(began.elapsed().as_millis()).unwrap_or(u32::MAX);
        let answer = match told {
            Ok(account) => proto::TestCourierAccountResponse {
                ok: true,
                latency_ms,
                account,
                ..Default::default()
            },
            Err(error) => {
                let (problem, hint) = explained(&error);
                proto::TestCourierAccountResponse {
                    latency_ms,
                    problem: Some(problem),
                    hint: Some(hint),
                    ..Default::default()
                }
            }
        };
        Ok(Response::new(answer))
    }
}

fn explained(error: &CallError) -> (String, String) {
    match error {
        CallError::Refused(problem) => (problem.detail.clone(), problem.hint.clone()),
        CallError::Busy { .. } => (error.to_string(), "try again in some minutes".to_owned()),
        CallError::ReferenceTaken | CallError::NotFound | CallError::Unanswered { .. } => {
            (error.to_string(), HINT_DOWN.to_owned())
        }
    }
}

/// The sealed webhook secret of the request that opened the account.
fn secret_of(_: &CourierAccount, events: &[Event]) -> Option<Sealed> {
    events.iter().find_map(|event| match event {
        Event::Opened(opening) => opening.webhook.secret.clone(),
        Event::Amended(_) | Event::CredentialsRotated(_) => None,
    })
}

struct OpenWish {
    courier: CourierKind,
    name: String,
    mode: Mode,
    api_key: Option<String>,
    pickup_location: String,
    header: String,
}

impl OpenWish {
    fn parse(body: &proto::CreateCourierAccountRequest) -> Result<Self, Status> {
        let mut violations = Violations::default();
        let courier = violations.one_of("courier", &body.courier, &["bosta", "manual"]);
        let courier = CourierKind::parse(&courier).unwrap_or_default();
        let mode = violations.one_of("mode", &body.mode, &["sandbox", "live"]);
        let key = body.credentials.as_ref().map(|given| given.api_key.as_str()).unwrap_or_default();
        let api_key = match courier {
            CourierKind::Bosta => Some(violations.text("credentials.api_key", key, KEY_MAX)),
            CourierKind::Manual if key.is_empty() => None,
            CourierKind::Manual => {
                violations.add("credentials", "a manual account has none: leave them out");
                None
            }
        };
        let place = body.pickup_location.as_deref().unwrap_or_default();
        let wish = Self {
            courier,
            name: violations.text("name", &body.name, NAME_MAX),
            mode: Mode::parse(&mode).unwrap_or_default(),
            api_key,
            pickup_location: violations.optional_text("pickup_location", place, LOCATION_MAX),
            header: header(&mut violations, body.webhook_header.as_deref())
                .unwrap_or_else(|| HEADER.to_owned()),
        };
        violations.done()?;
        Ok(wish)
    }
}

fn amendment(body: &proto::AmendCourierAccountRequest) -> Result<Amendment, Status> {
    let mut violations = Violations::default();
    let name = body.name.as_ref().map(|name| violations.text("name", name, NAME_MAX));
    let mode = body.mode.as_ref().map(|mode| {
        let mode = violations.one_of("mode", mode, &["sandbox", "live"]);
        Mode::parse(&mode).unwrap_or_default()
    });
    let place = body.pickup_location.as_ref();
    let pickup_location =
        place.map(|place| violations.optional_text("pickup_location", place, LOCATION_MAX));
    let webhook_header = header(&mut violations, body.webhook_header.as_deref());
    violations.done()?;
    Ok(Amendment { name, mode, pickup_location, webhook_header })
}

/// The name of a header, in lower case.
fn header(violations: &mut Violations, given: Option<&str>) -> Option<String> {
    let name = given?.trim().to_lowercase();
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"-_".contains(&b);
    if name.is_empty() || name.len() > HEADER_MAX || !name.bytes().all(is_token) {
        let rule = format!("must be 1 to {HEADER_MAX} letters, digits, '-' or '_'");
        violations.add("webhook_header", rule);
    }
    Some(name)
}

fn last4(key: Option<&str>) -> String {
    let letters: Vec<char> = key.unwrap_or_default().chars().collect();
    // Of a short key the last four would be too much.
    let shown = if letters.len() >= 2 * LAST { LAST } else { letters.len() / 4 };
    letters.iter().skip(letters.len() - shown).collect()
}

pub(super) fn random_text() -> Result<String, Status> {
    let mut bytes = [0; SECRET_BYTES];
    rand::fill(&mut bytes).map_err(|_| status::unavailable("the machine gave no random bytes"))?;
    Ok(hex::encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_key_is_not_shown_by_its_end() {
        assert_eq!(last4(Some("abcdefgh1234")), "1234");
        assert_eq!(last4(Some("abcd")), "d");
        assert_eq!(last4(None), "");
    }
}
