//! Cards of the views as answers, with what is sealed in them opened.

use nexus_es::{Aggregate, AggregateId, Heard, Receipt, Version};
use nexus_proto::common::v1::Sealed;
use nexus_proto::shipping::v1 as proto;
use nexus_runtime::status;
use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};
use tonic::Status;

use super::{Shipping, database};
use crate::domain::courier_account::CourierAccount;
use crate::domain::shipment::Shipment;
use crate::views::accounts::{self, AccountCard};
use crate::views::shipments::{self, Card};
use crate::wire::SERVICE;

/// The context of a public link's token.
pub(super) const PUBLIC_TOKEN: &str = "shipment.Planned.public_token";

impl Shipping {
    /// The shipment as a command left it: replayed ones as they were then.
    pub(super) async fn shipment_after(&self, id: &str, receipt: &Receipt) -> Result<Card, Status> {
        self.see(receipt).await;
        if !receipt.replayed
            && let Some(card) =
                shipments::find(&self.parts.views.pool(), id).await.map_err(database)?
        {
            return Ok(card);
        }
        let mut card = Card::default();
        for (heard, event) in self.history::<Shipment>(id, receipt.version).await? {
            card.take_in(id, heard.cause.learned_at_ms, &event);
        }
        Ok(card)
    }

    /// The account as a command left it.
    pub(super) async fn account_after(
        &self,
        id: &str,
        receipt: &Receipt,
    ) -> Result<AccountCard, Status> {
        self.see(receipt).await;
        if !receipt.replayed
            && let Some(card) =
                accounts::find(&self.parts.views.pool(), id).await.map_err(database)?
        {
            return Ok(card);
        }
        let mut card = AccountCard::default();
        for (heard, event) in self.history::<CourierAccount>(id, receipt.version).await? {
            card.take_in(id, heard.cause.learned_at_ms, &event);
        }
        Ok(card)
    }

    /// The events of an aggregate up to `version`.
    pub(super) async fn history<A: Aggregate>(
        &self,
        id: &str,
        version: Version,
    ) -> Result<Vec<(Heard, A::Event)>, Status> {
        let aggregate = AggregateId::new(SERVICE, A::CATEGORY, id)
            .map_err(|error| status::invalid_field("id", error.to_string()))?;
        let stored = self.parts.ports.log.load(&aggregate, Version::NONE).await;
        let stored = stored.map_err(|error| status::broken("the log cannot be read", error))?;
        let mut history = vec![];
        for commit in stored.iter().filter(|commit| commit.version <= version) {
            let heard = Heard::of(commit).map_err(|error| status::internal(&error))?;
            for heard in heard {
                let event = A::decode(&heard.payload).map_err(|error| status::internal(&error))?;
                history.push((heard, event));
            }
        }
        Ok(history)
    }

    pub(super) async fn shipment_out(&self, card: Card) -> Result<proto::Shipment, Status> {
        let mut shown = card.shown.unwrap_or_default();
        let base = &self.parts.config.tracking_url;
        if let Some(sealed) = card.public_token.filter(|_| !base.is_empty()) {
            let token = self.opened(&sealed, PUBLIC_TOKEN).await?;
            if let Some(token) = token.and_then(|token| String::from_utf8(token).ok()) {
                shown.public_tracking_url = format!("{base}/{token}");
            }
        }
        shown.position = self.position();
        Ok(shown)
    }

    pub(super) async fn account_out(
        &self,
        card: AccountCard,
    ) -> Result<proto::CourierAccount, Status> {
        let mut shown = card.shown.unwrap_or_default();
        if let Some(sealed) = &card.webhook_token {
            let token = self.parts.accounts.token(sealed).await;
            let token =
                token.map_err(|error| status::broken("the account cannot be read", error))?;
            shown.webhook_url = self.parts.accounts.webhook_url(&token);
        }
        shown.position = self.position();
        Ok(shown)
    }

    /// A sealed value in clear; `None` when the person was erased.
    pub(super) async fn opened(
        &self,
        sealed: &Sealed,
        context: &str,
    ) -> Result<Option<Vec<u8>>, Status> {
        if sealed.ciphertext.is_empty() {
            return Ok(None);
        }
        let opened = self.parts.ports.vault.open(sealed, context).await;
        let opened =
            opened.map_err(|error| status::broken("a sealed value does not open", error))?;
        Ok(opened.map(|clear| clear.to_vec()))
    }

    /// A sealed raw body as a document.
    pub(super) async fn raw_out(
        &self,
        sealed: &Sealed,
        context: &str,
    ) -> Result<Option<Struct>, Status> {
        Ok(self.opened(sealed, context).await?.map(|body| document(&body)))
    }
}

/// A body as a document; one that is no object stands under `value`.
fn document(body: &[u8]) -> Struct {
    let text = || serde_json::Value::String(String::from_utf8_lossy(body).into_owned());
    let json = serde_json::from_slice(body).unwrap_or_else(|_| text());
    match value(json).kind {
        Some(Kind::StructValue(document)) => document,
        kind => Struct { fields: [("value".to_owned(), Value { kind })].into() },
    }
}

fn value(json: serde_json::Value) -> Value {
    let kind = match json {
        serde_json::Value::Null => Kind::NullValue(0),
        serde_json::Value::Bool(flag) => Kind::BoolValue(flag),
        serde_json::Value::Number(number) => match number.as_f64() {
            Some(float) => Kind::NumberValue(float),
            None => Kind::StringValue(number.to_string()),
        },
        serde_json::Value::String(text) => Kind::StringValue(text),
        serde_json::Value::Array(values) => {
            Kind::ListValue(ListValue { values: values.into_iter().map(value).collect() })
        }
        serde_json::Value::Object(fields) => Kind::StructValue(Struct {
            fields: fields.into_iter().map(|(name, field)| (name, value(field))).collect(),
        }),
    };
    Value { kind: Some(kind) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_is_no_object_stands_under_value() {
        let field = |body: &[u8], name: &str| document(body).fields.remove(name).unwrap().kind;
        assert_eq!(field(b"{\"state\":45}", "state"), Some(Kind::NumberValue(45.0)));
        assert_eq!(field(b"oops", "value"), Some(Kind::StringValue("oops".to_owned())));
    }
}
