//! What the customer is told: milestones, languages, channels, and the three aggregates.

#![deny(clippy::wildcard_enum_match_arm, clippy::match_wildcard_for_single_variants)]

pub(crate) mod channel_account;
pub(crate) mod message;
pub(crate) mod template;

use std::fmt;

/// A moment of a shipment that the customer is told of. Ordered as a shipment meets them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Milestone {
    Shipped,
    OutForDelivery,
    Delivered,
}

impl Milestone {
    pub(crate) const ALL: [Self; 3] = [Self::Shipped, Self::OutForDelivery, Self::Delivered];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Shipped => "shipped",
            Self::OutForDelivery => "out_for_delivery",
            Self::Delivered => "delivered",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|milestone| milestone.as_str() == text)
    }
}

/// The language a customer reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Language {
    Ar,
    En,
}

impl Language {
    pub(crate) const ALL: [Self; 2] = [Self::Ar, Self::En];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Ar => "ar",
            Self::En => "en",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|language| language.as_str() == text)
    }
}

/// A way to reach the customer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ChannelKind {
    WhatsApp,
}

impl ChannelKind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::WhatsApp => "whatsapp",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        (text == "whatsapp").then_some(Self::WhatsApp)
    }
}

/// Which of a channel's servers an account belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Mode {
    Sandbox,
    Live,
}

impl Mode {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Sandbox => "sandbox",
            Self::Live => "live",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Sandbox, Self::Live].into_iter().find(|mode| mode.as_str() == text)
    }
}

/// Ciphertext of the vault, carried through the domain unopened.
#[derive(Clone, PartialEq, Eq, Default)]
pub(crate) struct SealedValue {
    pub(crate) key_id: String,
    pub(crate) nonce: Vec<u8>,
    pub(crate) ciphertext: Vec<u8>,
}

impl fmt::Debug for SealedValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealedValue({})", self.key_id)
    }
}

/// Names the one message of a shipment's milestone on a channel: never two for the same.
pub(crate) fn message_id(shipment: &str, milestone: Milestone, channel: ChannelKind) -> String {
    format!("{shipment}~{}~{}", milestone.as_str(), channel.as_str())
}

/// The shipment that a message is about, out of its id.
pub(crate) fn shipment_of(message_id: &str) -> &str {
    message_id.split_once('~').map_or(message_id, |(shipment, _)| shipment)
}

/// What the channel echoes in receipts: the message and the attempt.
pub(crate) fn callback_data(message_id: &str, attempt: u32) -> String {
    format!("{message_id}~{attempt}")
}

/// Message and attempt out of echoed callback data; `None` when it is not ours.
pub(crate) fn parse_callback_data(text: &str) -> Option<(&str, u32)> {
    let (message_id, attempt) = text.rsplit_once('~')?;
    let mut parts = message_id.split('~');
    let (shipment, milestone, channel) = (parts.next()?, parts.next()?, parts.next()?);
    let ours = !shipment.is_empty()
        && parts.next().is_none()
        && Milestone::parse(milestone).is_some()
        && ChannelKind::parse(channel).is_some();
    ours.then_some(())?;
    Some((message_id, attempt.parse().ok()?))
}

/// Names the template of a milestone in a language on a channel.
pub(crate) fn template_id(
    channel: ChannelKind,
    milestone: Milestone,
    language: Language,
) -> String {
    format!("{}~{}~{}", channel.as_str(), milestone.as_str(), language.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callback_data_reads_back_and_that_of_others_is_not_ours() {
        let id = message_id("0199-a", Milestone::OutForDelivery, ChannelKind::WhatsApp);
        assert_eq!(shipment_of(&id), "0199-a");
        assert_eq!(parse_callback_data(&callback_data(&id, 2)), Some((id.as_str(), 2)));
        for foreign in ["", "some data", "a~shipped~whatsapp~x", "a~sold~whatsapp~1", "~~~1"] {
            assert_eq!(parse_callback_data(foreign), None, "{foreign}");
        }
    }
}
