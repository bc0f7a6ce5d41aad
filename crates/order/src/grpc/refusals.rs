//! The domain's no in words: the present state, the wish, the way forward.

use nexus_es::HandleError;
use nexus_runtime::status;
use tonic::Status;

use crate::domain::contact;
use crate::domain::order::Refusal;

pub(super) fn of_order(order_id: &str, error: HandleError<Refusal>) -> Status {
    status::of(error, |refusal| order(order_id, refusal))
}

fn order(order_id: &str, refusal: Refusal) -> Status {
    let facts = |status: &'static str, wish: &'static str, way: &'static str| {
        [("status", status), ("wish", wish), ("way_forward", way)]
    };
    match refusal {
        Refusal::Unknown => status::not_found("order", order_id),
        Refusal::NotConfirmable { status: now } => {
            let way = "create the order anew";
            let sentence = format!("the order is {now}, it cannot be confirmed: {way}");
            status::refused("NOT_CONFIRMABLE", sentence, &facts(now, "confirm", way))
        }
        Refusal::OnHold { names } => {
            let way = "release its holds first";
            let names = names.join(", ");
            let sentence = format!("the order is on_hold ({names}), it cannot be confirmed: {way}");
            status::refused("ON_HOLD", sentence, &facts("on_hold", "confirm", way))
        }
        Refusal::NotCancellable { status: now } => {
            let way = match now {
                "processing" => "cancel the pick list, then cancel the order",
                "picked" | "packed" => "let it go, or keep the parcel here on hold",
                "shipped" => "ask the courier to return the parcel",
                _ => "the customer can send it back",
            };
            let sentence = format!("the order is {now}, it can no longer be cancelled: {way}");
            status::refused("NOT_CANCELLABLE", sentence, &facts(now, "cancel", way))
        }
        Refusal::AmendedMeanwhile => {
            let way = "read it again and repeat what is still wanted";
            let sentence = format!("the order was amended by somebody else meanwhile: {way}");
            status::refused("AMENDED_MEANWHILE", sentence, &facts("amended", "amend", way))
        }
        Refusal::NotAmendable { status: now, what } => {
            let way = match what {
                "lines" => "cancel the order and create it anew",
                "shipping_address" => "void the shipment first, or ask the courier",
                _ => "void the shipment first",
            };
            let sentence = format!("the order is {now}, its {what} cannot be amended: {way}");
            status::refused("NOT_AMENDABLE", sentence, &facts(now, "amend", way))
        }
        Refusal::NotHoldable { status: now } => {
            let way = "nothing of it is in the house that a hold could stop";
            let sentence = format!("the order is {now}, it cannot be held: {way}");
            status::refused("NOT_HOLDABLE", sentence, &facts(now, "hold", way))
        }
        Refusal::NoSuchHold { name } => {
            let way = "see holds[] of the order";
            let sentence =
                format!("the order has no hold \"{name}\", it cannot be released: {way}");
            status::refused("NO_SUCH_HOLD", sentence, &facts("not_held", "release", way))
        }
        Refusal::Exists
        | Refusal::NotAsked { .. }
        | Refusal::CancelRequested
        | Refusal::NothingToRecall => status::internal(&refusal),
    }
}

/// Nothing personal can be written about an erased contact.
pub(super) fn erased() -> Status {
    let way = "create a new contact";
    let sentence = format!("the contact is erased, nothing can be recorded about it: {way}");
    let facts = [("status", "erased"), ("wish", "change"), ("way_forward", way)];
    status::refused("CONTACT_ERASED", sentence, &facts)
}

pub(super) fn of_contact(contact_id: &str, error: HandleError<contact::Refusal>) -> Status {
    status::of(error, |refusal| match refusal {
        contact::Refusal::Unknown => status::not_found("contact", contact_id),
        contact::Refusal::Erased => erased(),
        contact::Refusal::NothingToRecall => status::internal(&refusal),
    })
}
