//! A courier posts an update. It signs nothing: a secret in a header, whose name the merchant
//! chose, is all the proof there is.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use nexus_es::commit::sha256;

use super::{Authentic, Door, No, read_body, served};
use crate::domain::inbox::{Kind, Proof};
use crate::signature::is_secret;

pub(super) const ROUTE: &str = "/tracking-webhook/{account_token}";

pub(super) async fn post(
    State(door): State<Arc<Door>>,
    Path(token): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    served("courier", ROUTE, take(&door, &token, &headers, body)).await
}

async fn take(door: &Door, token: &str, headers: &HeaderMap, body: Body) -> Result<Response, No> {
    let _place = door.place()?;
    let token_sha256 = sha256(token.as_bytes());
    let account = door.account(Kind::Courier, &token_sha256).await?;
    let body = read_body(headers, body, door.config.body_limit).await?;
    let presented = headers.get(account.header.as_str()).map(|value| value.as_bytes());
    if !is_secret(presented.unwrap_or_default(), &account.secret_sha256) {
        return Err(No::NotAuthentic);
    }
    door.keep(Authentic {
        kind: Kind::Courier,
        account: account.id,
        token_sha256,
        body,
        headers: None,
        proof: Proof::SecretHeader,
    })
    .await
}
