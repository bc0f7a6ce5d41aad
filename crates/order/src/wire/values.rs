//! Values that several events share.

use nexus_proto::common::v1 as common;
use nexus_proto::order::v1 as proto;

use crate::domain::pricing::{Line, Method, Payment, Totals};
use crate::domain::{
    AllocatedLine, Allocation, Consent, Note, Region, SealedValue, Shortage, Visibility,
};

pub(crate) fn sealed_to(value: &SealedValue) -> common::Sealed {
    common::Sealed {
        key_id: value.key_id.clone(),
        nonce: value.nonce.clone(),
        ciphertext: value.ciphertext.clone(),
    }
}

pub(crate) fn sealed_from(message: common::Sealed) -> SealedValue {
    let common::Sealed { key_id, nonce, ciphertext } = message;
    SealedValue { key_id, nonce, ciphertext }
}

pub(super) fn consent_to(consent: &Consent) -> proto::ConsentFact {
    proto::ConsentFact {
        channel: consent.channel.clone(),
        granted: consent.granted,
        source: consent.source.clone(),
    }
}

pub(super) fn consent_from(message: proto::ConsentFact) -> Consent {
    let proto::ConsentFact { channel, granted, source } = message;
    Consent { channel, granted, source }
}

pub(super) fn region_to(region: &Region) -> proto::Region {
    proto::Region {
        country: region.country.clone(),
        governorate: region.governorate.clone(),
        city: region.city.clone(),
    }
}

pub(super) fn region_from(message: proto::Region) -> Region {
    let proto::Region { country, governorate, city } = message;
    Region { country, governorate, city }
}

pub(super) fn line_to(line: &Line) -> proto::OrderLineFact {
    proto::OrderLineFact {
        line_id: line.line_id.clone(),
        sku: line.sku.clone(),
        name: line.name.clone(),
        units: line.units,
        unit_price: line.unit_price,
        discount: line.discount,
        tax_rate: line.tax_rate,
        line_total: line.line_total,
        tax: line.tax,
    }
}

pub(super) fn line_from(message: proto::OrderLineFact) -> Line {
    Line {
        line_id: message.line_id,
        sku: message.sku,
        name: message.name,
        units: message.units,
        unit_price: message.unit_price,
        discount: message.discount,
        tax_rate: message.tax_rate,
        line_total: message.line_total,
        tax: message.tax,
    }
}

pub(super) fn totals_to(totals: &Totals) -> proto::OrderTotalsFact {
    proto::OrderTotalsFact {
        goods: totals.goods,
        discount: totals.discount,
        shipping: totals.shipping,
        tax: totals.tax,
        total: totals.total,
        cod_due: totals.cod_due,
    }
}

pub(super) fn totals_from(message: proto::OrderTotalsFact) -> Totals {
    let proto::OrderTotalsFact { goods, discount, shipping, tax, total, cod_due } = message;
    Totals { goods, discount, shipping, tax, total, cod_due }
}

pub(super) fn payment_to(payment: Payment) -> proto::OrderPaymentFact {
    proto::OrderPaymentFact { method: payment.method.word().to_owned(), paid: payment.paid }
}

pub(super) fn payment_from(message: &proto::OrderPaymentFact) -> Option<Payment> {
    Some(Payment { method: Method::parse(&message.method)?, paid: message.paid })
}

pub(super) fn note_to(note: &Note) -> proto::OrderNoteFact {
    proto::OrderNoteFact {
        note_id: note.note_id.clone(),
        text: Some(sealed_to(&note.text)),
        visibility: note.visibility.word().to_owned(),
    }
}

pub(super) fn note_from(message: proto::OrderNoteFact) -> Option<Note> {
    Some(Note {
        note_id: message.note_id,
        text: sealed_from(message.text?),
        visibility: Visibility::parse(&message.visibility)?,
    })
}

pub(crate) fn allocation_to(allocation: &Allocation) -> common::Allocation {
    let lines = allocation.lines.iter().map(|line| common::AllocatedLine {
        line_id: line.line_id.clone(),
        sku: line.sku.clone(),
        units: line.units,
    });
    common::Allocation { warehouse: allocation.warehouse.clone(), lines: lines.collect() }
}

pub(crate) fn allocation_from(message: common::Allocation) -> Allocation {
    let lines = message.lines.into_iter().map(|line| AllocatedLine {
        line_id: line.line_id,
        sku: line.sku,
        units: line.units,
    });
    Allocation { lines: lines.collect(), warehouse: message.warehouse }
}

pub(crate) fn shortage_to(shortage: &Shortage) -> common::Shortage {
    common::Shortage {
        sku: shortage.sku.clone(),
        asked: shortage.asked,
        available: shortage.available,
    }
}

pub(crate) fn shortage_from(message: common::Shortage) -> Shortage {
    let common::Shortage { sku, asked, available } = message;
    Shortage { sku, asked, available }
}
