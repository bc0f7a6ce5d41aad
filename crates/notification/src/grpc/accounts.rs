//! Channel accounts. *Invariant:* a secret goes in and never comes out; only the webhook's address,
//! and once the word that the channel must echo, are shown.

use std::time::Instant;

use aws_lc_rs::rand;
use nexus_es::commit::sha256;
use nexus_es::{Receipt, clock};
use nexus_proto::common::v1::Sealed;
use nexus_proto::notification::v1 as proto;
use nexus_runtime::caller::Caller;
use nexus_runtime::page::Page;
use nexus_runtime::reply::reply;
use nexus_runtime::time::rfc3339;
use nexus_runtime::{Violations, status};
use tonic::{Request, Response, Status};

use super::{MAX_NAME, Notification, OF_ACCOUNTS, only, unreadable};
use crate::channel::Check;
use crate::domain::channel_account::{
    Amendment, ChannelAccount, Command, Credentials, Opening, Refusal, RotationGrace,
};
use crate::domain::{self, ChannelKind, Mode};
use crate::parts::{WEBHOOK_TOKEN, account_key, credentials_context, secret_bytes};
use crate::processes::pace::millis;
use crate::views::accounts::{self, Account};
use crate::wire::sealed_from_proto;

const MAX_SECRET: usize = 1000;
const TOKEN_BYTES: usize = 32;
const SHOWN: usize = 4;

impl Notification {
    pub(super) async fn open_account(
        &self,
        request: Request<proto::CreateChannelAccountRequest>,
    ) -> Result<Response<proto::ChannelAccount>, Status> {
        let caller = Caller::of(&request)?;
        only(&caller, &OF_ACCOUNTS)?;
        let request = request.into_inner();
        let id = caller.new_id("CreateChannelAccount");
        let cause = caller.cause("CreateChannelAccount", &request);
        let mut violations = Violations::default();
        violations.one_of("channel", &request.channel, &[ChannelKind::WhatsApp.as_str()]);
        let name = violations.text("name", &request.name, MAX_NAME);
        let mode = mode(&mut violations, &request.mode);
        let secrets = secrets(&mut violations, request.credentials);
        violations.done()?;
        let secrets = proto::SealedChannelCredentials { verify_token: token()?, ..secrets };
        let webhook_token = token()?;
        let sealed = self.seal(&id, WEBHOOK_TOKEN, webhook_token.as_bytes()).await?;
        let opening = Opening {
            channel: ChannelKind::WhatsApp,
            name,
            mode,
            credentials: self.credentials(&id, &secrets, false).await?,
            webhook_token_sha256: sha256(webhook_token.as_bytes()),
            webhook_token: sealed_from_proto(sealed),
        };
        let (receipt, account) = self.execute(&id, Command::Open(opening), cause).await?;
        let mut answer = self.answer(&id, &receipt, account).await?;
        // Secrets of the first time when this is a repeat: the answer may have been lost.
        let stored = accounts::get(&self.0.views, &id).await.map_err(unreadable)?;
        answer.verify_token = match stored {
            Some(stored) => self.secrets(&stored).await?.map(|secrets| secrets.verify_token),
            None => None,
        };
        Ok(reply(&receipt, answer))
    }

    pub(super) async fn amend_account(
        &self,
        request: Request<proto::AmendChannelAccountRequest>,
    ) -> Result<Response<proto::ChannelAccount>, Status> {
        let caller = Caller::of(&request)?;
        only(&caller, &OF_ACCOUNTS)?;
        let request = request.into_inner();
        let cause = caller.cause("AmendChannelAccount", &request);
        let mut violations = Violations::default();
        let name = request.name.map(|name| violations.text("name", &name, MAX_NAME));
        let mode = request.mode.map(|word| mode(&mut violations, &word));
        violations.done()?;
        let command = Command::Amend(Amendment { name, mode, enabled: request.enabled });
        let id = request.channel_account_id;
        let (receipt, account) = self.execute(&id, command, cause).await?;
        Ok(reply(&receipt, self.answer(&id, &receipt, account).await?))
    }

    pub(super) async fn rotate_credentials(
        &self,
        request: Request<proto::RotateChannelCredentialsRequest>,
    ) -> Result<Response<proto::ChannelAccount>, Status> {
        let caller = Caller::of(&request)?;
        only(&caller, &OF_ACCOUNTS)?;
        let request = request.into_inner();
        let cause = caller.cause("RotateChannelCredentials", &request);
        let mut violations = Violations::default();
        let secrets = secrets(&mut violations, request.credentials);
        violations.done()?;
        let id = request.channel_account_id;
        let present = self.account(&id).await?;
        let present = self.secrets(&present).await?.unwrap_or_default();
        // The channel keeps echoing the word that it was set up with.
        let verify_token = present.verify_token.clone();
        let secrets = proto::SealedChannelCredentials { verify_token, ..secrets };
        let credentials = self.credentials(&id, &secrets, true).await?;
        let previous_until_ms =
            clock::now_ms().saturating_add(millis(self.0.config.rotation_grace));
        let grace = RotationGrace { previous_until_ms };
        let command = Command::RotateCredentials(credentials, grace);
        let (receipt, account) = self.execute(&id, command, cause).await?;
        Ok(reply(&receipt, self.answer(&id, &receipt, account).await?))
    }

    pub(super) async fn read_account(
        &self,
        request: proto::GetChannelAccountRequest,
    ) -> Result<proto::ChannelAccount, Status> {
        let position = self.reach(&request.min_position).await?;
        let account = self.account(&request.channel_account_id).await?;
        self.shown(account, position).await
    }

    pub(super) async fn listed_accounts(
        &self,
        request: proto::ListChannelAccountsRequest,
    ) -> Result<proto::ListChannelAccountsResponse, Status> {
        let page = Page::parse(request.page_size, &request.page_token)?;
        let position = self.reach(&request.min_position).await?;
        let after = page.after.as_deref().and_then(<[String]>::first).cloned();
        let after = after.unwrap_or_default();
        let rows = accounts::list(&self.0.views.pool(), &after, page.limit()).await;
        let mut rows = rows.map_err(unreadable)?;
        let next_page_token = page.cut(&mut rows, |account| vec![account.id.clone()]);
        let mut channel_accounts = Vec::with_capacity(rows.len());
        for account in rows {
            channel_accounts.push(self.shown(account, position.clone()).await?);
        }
        Ok(proto::ListChannelAccountsResponse { channel_accounts, next_page_token })
    }

    pub(super) async fn test_account(
        &self,
        request: Request<proto::TestChannelAccountRequest>,
    ) -> Result<proto::TestChannelAccountResponse, Status> {
        only(&Caller::of(&request)?, &OF_ACCOUNTS)?;
        let request = request.into_inner();
        let account = self.account(&request.channel_account_id).await?;
        let secrets = self.secrets(&account).await?.unwrap_or_default();
        let begun = Instant::now();
        let check = self.0.channel.test_connection(account.mode, &secrets).await;
        let latency_ms = u32::try_from(begun.elapsed().as_millis()).unwrap_or(u32::MAX);
        let nothing = proto::TestChannelAccountResponse { latency_ms, ..Default::default() };
        Ok(match check {
            Check::Works { account } => {
                proto::TestChannelAccountResponse { ok: true, account, ..nothing }
            }
            Check::Fails { problem, hint } => proto::TestChannelAccountResponse {
                problem: Some(problem),
                hint: Some(hint),
                ..nothing
            },
        })
    }

    async fn execute(
        &self,
        id: &str,
        command: Command,
        cause: nexus_es::Cause,
    ) -> Result<(Receipt, Option<domain::channel_account::Account>), Status> {
        let read = |account: &ChannelAccount, _: &[_]| account.account().cloned();
        let done = self.0.accounts.execute_then(id, command, cause, read).await;
        done.map_err(|error| {
            status::of(error, |no| match no {
                Refusal::NotOpened => status::not_found("channel account", id),
            })
        })
    }

    /// The account as the command left it; times and address come from the view.
    async fn answer(
        &self,
        id: &str,
        receipt: &Receipt,
        account: Option<domain::channel_account::Account>,
    ) -> Result<proto::ChannelAccount, Status> {
        let position = self.seen(receipt).await?;
        let mut row = self.account(id).await?;
        if let Some(account) = account {
            row.name = account.name;
            row.mode = account.mode;
            row.enabled = account.enabled;
            row.credentials_last4 = account.credentials.last4;
            row.phone_number_id = account.credentials.phone_number_id;
        }
        self.shown(row, position).await
    }

    async fn account(&self, id: &str) -> Result<Account, Status> {
        let account = accounts::get(&self.0.views, id).await.map_err(unreadable)?;
        account.ok_or_else(|| status::not_found("channel account", id))
    }

    async fn secrets(
        &self,
        account: &Account,
    ) -> Result<Option<proto::SealedChannelCredentials>, Status> {
        let secrets = self.0.credentials(account).await;
        secrets.map_err(|error| status::broken("the secrets cannot be opened now", error))
    }

    async fn shown(
        &self,
        account: Account,
        position: String,
    ) -> Result<proto::ChannelAccount, Status> {
        let token = self.0.ports.vault.open(&account.webhook_token, WEBHOOK_TOKEN).await;
        let token = token.map_err(|error| status::broken("the vault cannot be read now", error))?;
        let token = token.map(|token| String::from_utf8_lossy(&token).into_owned());
        let webhook_url = token.map_or_else(String::new, |token| {
            let ingress = self.0.config.ingress_url.trim_end_matches('/');
            format!("{ingress}/whatsapp-webhook/{token}")
        });
        Ok(proto::ChannelAccount {
            channel_account_id: account.id,
            channel: account.channel,
            name: account.name,
            mode: account.mode.as_str().to_owned(),
            credentials_last4: account.credentials_last4,
            webhook_url,
            verify_token: None,
            phone_number_id: account.phone_number_id,
            enabled: account.enabled,
            created_at: rfc3339(account.created_at_ms),
            updated_at: rfc3339(account.updated_at_ms),
            position,
        })
    }

    async fn credentials(
        &self,
        id: &str,
        secrets: &proto::SealedChannelCredentials,
        rotated: bool,
    ) -> Result<Credentials, Status> {
        let sealed = self.seal(id, credentials_context(rotated), &secret_bytes(secrets)).await?;
        Ok(Credentials {
            sealed: sealed_from_proto(sealed),
            last4: last4(&secrets.access_token),
            phone_number_id: secrets.phone_number_id.clone(),
        })
    }

    async fn seal(&self, id: &str, context: &str, clear: &[u8]) -> Result<Sealed, Status> {
        let sealed = self.0.ports.vault.seal(&account_key(id), context, clear).await;
        sealed.map_err(|error| status::broken("the vault cannot be written now", error))
    }
}

fn mode(violations: &mut Violations, text: &str) -> Mode {
    violations.one_of("mode", text, &[Mode::Sandbox.as_str(), Mode::Live.as_str()]);
    Mode::parse(text).unwrap_or(Mode::Sandbox)
}

fn secrets(
    violations: &mut Violations,
    credentials: Option<proto::ChannelCredentials>,
) -> proto::SealedChannelCredentials {
    let given = credentials.unwrap_or_default();
    let phone_number_id =
        violations.text("credentials.phone_number_id", &given.phone_number_id, MAX_NAME);
    // It becomes part of an address.
    if !phone_number_id.bytes().all(|byte| byte.is_ascii_digit()) {
        violations.add("credentials.phone_number_id", "must be digits only");
    }
    let business = given.business_account_id.unwrap_or_default();
    proto::SealedChannelCredentials {
        access_token: violations.text("credentials.access_token", &given.access_token, MAX_SECRET),
        app_secret: violations.text("credentials.app_secret", &given.app_secret, MAX_SECRET),
        verify_token: String::new(),
        phone_number_id,
        business_account_id: violations.optional_text(
            "credentials.business_account_id",
            &business,
            MAX_NAME,
        ),
    }
}

/// The end of a secret; nothing of a short one, which it would give away.
fn last4(secret: &str) -> String {
    let letters: Vec<char> = secret.chars().collect();
    let is_long = letters.len() >= 2 * SHOWN;
    let tail = letters.iter().skip(letters.len().saturating_sub(SHOWN));
    if is_long { tail.collect() } else { "****".to_owned() }
}

/// A token that nobody can guess, fit for an address.
fn token() -> Result<String, Status> {
    let mut bytes = [0; TOKEN_BYTES];
    rand::fill(&mut bytes).map_err(|_| status::unavailable("no random bytes now, try again"))?;
    Ok(hex::encode(bytes))
}
