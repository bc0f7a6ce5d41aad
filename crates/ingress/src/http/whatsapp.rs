//! WhatsApp sets its webhook up (GET) and posts receipts (POST), signed over the bytes as they
//! came.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use nexus_es::clock;
use nexus_es::commit::sha256;
use nexus_proto::common::v1::Sealed;
use nexus_proto::ingress::v1::{Header, HeaderList};
use nexus_proto::notification::v1::SealedChannelCredentials;
use prost::Message;
use serde::Deserialize;

use super::{Authentic, Door, No, month_key, read_body, served, vault_is_away};
use crate::domain::inbox::{Kind, Proof};
use crate::signature::{is_signed, is_word};
use crate::views::accounts::Account;
use crate::wire::HEADERS;

pub(super) const ROUTE: &str = "/whatsapp-webhook/{account_token}";
const SIGNATURE: &str = "x-hub-signature-256";

#[derive(Deserialize)]
pub(super) struct Handshake {
    #[serde(rename = "hub.mode", default)]
    mode: String,
    #[serde(rename = "hub.verify_token", default)]
    verify_token: String,
    #[serde(rename = "hub.challenge", default)]
    challenge: String,
}

pub(super) async fn get(
    State(door): State<Arc<Door>>,
    Path(token): Path<String>,
    Query(handshake): Query<Handshake>,
) -> Result<Response, No> {
    let _place = door.place()?;
    let account = door.account(Kind::Channel, &sha256(token.as_bytes())).await?;
    let secrets = door.secrets(&account).await?;
    let is_ours = secrets.iter().any(|s| is_word(&handshake.verify_token, &s.verify_token));
    if handshake.mode != "subscribe" || !is_ours {
        return Err(No::Forbidden);
    }
    Ok((StatusCode::OK, [(CONTENT_TYPE, "text/plain")], handshake.challenge).into_response())
}

pub(super) async fn post(
    State(door): State<Arc<Door>>,
    Path(token): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    served("whatsapp", ROUTE, take(&door, &token, &headers, body)).await
}

async fn take(door: &Door, token: &str, headers: &HeaderMap, body: Body) -> Result<Response, No> {
    let _place = door.place()?;
    let token_sha256 = sha256(token.as_bytes());
    let account = door.account(Kind::Channel, &token_sha256).await?;
    let body = read_body(headers, body, door.config.body_limit).await?;
    let signature = headers.get(SIGNATURE).map(|value| value.as_bytes()).unwrap_or_default();
    let secrets = door.secrets(&account).await?;
    if !secrets.iter().any(|secrets| is_signed(signature, &body, &secrets.app_secret)) {
        return Err(No::NotAuthentic);
    }
    door.keep(Authentic {
        kind: Kind::Channel,
        account: account.id,
        token_sha256,
        headers: Some(door.sealed_signature(signature).await?),
        body,
        proof: Proof::Signature,
    })
    .await
}

impl Door {
    /// The secrets of a channel account that are good now, in clear.
    async fn secrets(&self, account: &Account) -> Result<Vec<SealedChannelCredentials>, No> {
        let mut secrets = Vec::new();
        for (sealed, context) in account.secrets(clock::now_ms()) {
            let clear =
                self.vault.open(&sealed, context).await.map_err(|error| vault_is_away(&error))?;
            let clear = clear.and_then(|c| SealedChannelCredentials::decode(c.as_slice()).ok());
            secrets.extend(clear);
        }
        Ok(secrets)
    }

    /// The signature, kept so that it can be proven again.
    async fn sealed_signature(&self, signature: &[u8]) -> Result<Sealed, No> {
        let header = Header { name: SIGNATURE.to_owned(), value: signature.to_vec() };
        let list = HeaderList { headers: vec![header] }.encode_to_vec();
        let key = month_key(clock::now_ms());
        self.vault.seal(&key, HEADERS, &list).await.map_err(|error| vault_is_away(&error))
    }
}
