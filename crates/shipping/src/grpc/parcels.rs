//! What is to be shipped: asked from the services that own it, never remembered here.

use aws_lc_rs::rand;
use nexus_es::commit::sha256;
use nexus_es::derived_id;
use nexus_proto::fulfillment::v1 as fulfillment;
use nexus_proto::order::v1 as order;
use nexus_proto::shipping::v1 as proto;
use nexus_runtime::{money, status};
use prost::Message;
use tonic::Status;

use super::Shipping;
use super::render::PUBLIC_TOKEN;
use crate::domain::CourierKind;
use crate::domain::shipment::{Parcel, Plan};
use crate::processes::create_awb::RECIPIENT;
use crate::wire::{SERVICE, sealed_in};

/// Fulfilments of one order at most.
const FULFILLMENTS: u32 = 500;
const TOKEN_BYTES: usize = 16;

/// A packed parcel, and the fulfilment it lies in.
pub(super) struct Packed {
    pub(super) shipment_id: String,
    pub(super) fulfillment: fulfillment::Fulfillment,
    pub(super) parcel: fulfillment::Parcel,
    /// It still waits for a courier.
    pub(super) is_waiting: bool,
}

/// What all shipments of an order share.
pub(super) struct Goods {
    pub(super) recipient: order::GetRecipientResponse,
    /// Cash the courier collects for the whole order, in ten-thousandths.
    pub(super) cod_due: i64,
    pub(super) currency: String,
    /// Fulfilments that the order is made of.
    pub(super) fulfillments: usize,
}

impl Shipping {
    /// The parcels that the request names, in order of their fulfilments.
    pub(super) async fn parcels(
        &self,
        body: &proto::CreateShipmentsRequest,
    ) -> Result<(String, Vec<Packed>), Status> {
        let channels = &self.parts.ports.channels;
        let mut client = channels.fulfillment();
        let fulfillments = if let Some(fulfillment_id) = &body.fulfillment_id {
            let wanted = fulfillment::GetFulfillmentRequest {
                fulfillment_id: fulfillment_id.clone(),
                min_position: String::new(),
            };
            let request = channels.question(wanted, SERVICE, "");
            vec![client.get_fulfillment(request).await?.into_inner()]
        } else {
            let order_id = self.order_id(body.order_id.as_deref().unwrap_or_default()).await?;
            let wanted = fulfillment::ListFulfillmentsRequest {
                order_id: order_id.clone(),
                page_size: FULFILLMENTS,
                ..Default::default()
            };
            let request = channels.question(wanted, SERVICE, &order_id);
            client.list_fulfillments(request).await?.into_inner().fulfillments
        };
        let order_id = fulfillments.first().map(|first| first.order_id.clone());
        let order_id = order_id.ok_or_else(|| nothing_packed("not picked yet"))?;
        let now: Vec<_> = fulfillments.iter().map(|one| one.status.clone()).collect();
        let packed: Vec<_> = fulfillments.iter().flat_map(packed).collect();
        if packed.is_empty() {
            return Err(nothing_packed(&now.join(", ")));
        }
        Ok((order_id, packed))
    }

    /// An order's id; numbers are for people.
    async fn order_id(&self, id_or_number: &str) -> Result<String, Status> {
        if id_or_number.parse::<uuid::Uuid>().is_ok() {
            return Ok(id_or_number.to_owned());
        }
        let channels = &self.parts.ports.channels;
        let wanted = order::GetOrderRequest {
            order_id: id_or_number.to_owned(),
            min_position: String::new(),
        };
        let request = channels.question(wanted, SERVICE, "");
        Ok(channels.order().get_order(request).await?.into_inner().order_id)
    }

    /// The order's money and recipient, if it may be shipped.
    pub(super) async fn goods(&self, order_id: &str) -> Result<Goods, Status> {
        let channels = &self.parts.ports.channels;
        let (mut orders, mut people) = (channels.order(), channels.order());
        let wanted = order::GetOrderForFulfillmentRequest { order_id: order_id.to_owned() };
        let asked = orders.get_order_for_fulfillment(channels.question(wanted, SERVICE, order_id));
        let wanted = order::GetRecipientRequest { order_id: order_id.to_owned() };
        let person = people.get_recipient(channels.question(wanted, SERVICE, order_id));
        let (order, recipient) = tokio::try_join!(asked, person)?;
        let (order, recipient) = (order.into_inner(), recipient.into_inner());
        may_leave(&order)?;
        if recipient.erased {
            return Err(status::refused(
                "CONTACT_ERASED",
                "the contact was erased, nobody knows where the parcel should go: cancel the order",
                &[("order_id", order_id)],
            ));
        }
        let cod = order.cod_due.clone().unwrap_or_default();
        let total = order.total.clone().unwrap_or_default();
        let currency = if cod.currency.is_empty() { total.currency } else { cod.currency };
        let cod_due = money::parse_amount(&cod.amount).unwrap_or_default();
        Ok(Goods { recipient, cod_due, currency, fulfillments: order.allocation.len() })
    }

    /// True when a hold or a cancellation keeps the order in the house.
    pub(super) async fn check_may_leave(&self, order_id: &str) -> Result<(), Status> {
        let channels = &self.parts.ports.channels;
        let wanted = order::GetOrderForFulfillmentRequest { order_id: order_id.to_owned() };
        let request = channels.question(wanted, SERVICE, order_id);
        may_leave(&channels.order().get_order_for_fulfillment(request).await?.into_inner())
    }

    /// The plan of a parcel that has none, or goes by another account from now on.
    pub(super) async fn plan(
        &self,
        packed: &Packed,
        goods: &Goods,
        account: (&str, CourierKind),
        cod: i64,
    ) -> Result<Plan, Status> {
        let recipient = &goods.recipient;
        let key_id = match recipient.key_id.as_str() {
            "" => format!("contact-{}", recipient.contact_id),
            key_id => key_id.to_owned(),
        };
        let vault = &self.parts.ports.vault;
        let broken = |error| status::broken("the recipient cannot be sealed", error);
        let clear = recipient.recipient.clone().unwrap_or_default().encode_to_vec();
        let sealed = vault.seal(&key_id, RECIPIENT, &clear).await.map_err(broken)?;
        let token = public_token()?;
        let public_token = vault.seal(&key_id, PUBLIC_TOKEN, token.as_bytes()).await;
        let parcel = packed.parcel.clone();
        let dimensions_mm = parcel.dimensions_mm.map(|d| (d.length, d.width, d.height));
        let contents = parcel.contents.into_iter().map(|content| (content.sku, content.units));
        let fulfillment = &packed.fulfillment;
        Ok(Plan {
            order_id: fulfillment.order_id.clone(),
            order_number: recipient.order_number.clone(),
            fulfillment_id: fulfillment.fulfillment_id.clone(),
            warehouse: fulfillment.warehouse.clone(),
            reservation: fulfillment.reservation.clone(),
            parcel: Parcel {
                parcel_id: parcel.parcel_id,
                box_type: parcel.r#box.unwrap_or_default(),
                weight_grams: parcel.weight_grams,
                dimensions_mm,
                contents: contents.collect(),
            },
            account: account.0.to_owned(),
            courier: account.1,
            cod,
            currency: goods.currency.clone(),
            reference: format!("nx-{}", packed.shipment_id.replace('-', "")),
            contact_id: recipient.contact_id.clone(),
            recipient: sealed_in(sealed),
            public_token_sha256: sha256(token.as_bytes()),
            public_token: sealed_in(public_token.map_err(broken)?),
            language: recipient.language.clone(),
        })
    }
}

fn packed(fulfillment: &fulfillment::Fulfillment) -> Vec<Packed> {
    let is_waiting = fulfillment.status == "packed";
    let parcels = fulfillment.parcels.clone().into_iter();
    parcels
        .map(|parcel| Packed {
            shipment_id: shipment_id(&fulfillment.fulfillment_id, &parcel.parcel_id),
            fulfillment: fulfillment.clone(),
            parcel,
            is_waiting,
        })
        .collect()
}

/// A parcel has one shipment, whoever asks for it how often.
fn shipment_id(fulfillment_id: &str, parcel_id: &str) -> String {
    derived_id(&["shipment", fulfillment_id, parcel_id]).to_string()
}

fn may_leave(order: &order::OrderForFulfillment) -> Result<(), Status> {
    let facts = [("status", order.status.as_str()), ("order_id", order.order_id.as_str())];
    if order.on_hold {
        let sentence = "the order is on hold, it cannot leave the house: release the hold first";
        return Err(status::refused("ORDER_ON_HOLD", sentence, &facts));
    }
    if ["cancelled", "cancel_pending"].contains(&order.lifecycle.as_str()) {
        let sentence = "the order is cancelled, it cannot leave the house: put the goods back";
        return Err(status::refused("ORDER_CANCELLED", sentence, &facts));
    }
    Ok(())
}

pub(super) fn nothing_packed(now: &str) -> Status {
    status::refused(
        "NOTHING_PACKED",
        format!("the fulfilment is {now}, nothing can be shipped: pack it with :pack first"),
        &[("status", now)],
    )
}

fn public_token() -> Result<String, Status> {
    let mut bytes = [0; TOKEN_BYTES];
    rand::fill(&mut bytes).map_err(|_| status::unavailable("the machine gave no random bytes"))?;
    Ok(hex::encode(bytes))
}
