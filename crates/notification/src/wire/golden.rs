//! Stored bytes of every event type, as they were first written: they must decode to the same.

use nexus_es::{Aggregate, Payload};

use crate::domain::channel_account::{self, ChannelAccount};
use crate::domain::message::{self, Message, No, Request};
use crate::domain::template::{self, Template, Words};
use crate::domain::{ChannelKind, Language, Milestone, Mode, SealedValue};

const REQUESTED: &str = "\
    0a016f1201731a016322106f75745f666f725f64656c69766572792a087768617473617070320261\
    723a016142166f726465725f6f75745f666f725f64656c69766572794a026172520c0a036b657912\
    01071a0207075a01656080d8c1a28c34";
const TEMPLATE: &str = "\
    0a0964656c6976657265641202656e1a087768617473617070220f6f726465725f64656c69766572\
    65642a05656e5f555332114869207b7b66697273745f6e616d657d7d3a0a66697273745f6e616d65\
    4001";
const OPENED: &str = "\
    0a087768617473617070120453686f701a046c697665220c0a036b65791201081a0208082a046162\
    6364320201023a0c0a036b65791201091a0209094203313036";
const ROTATED: &str = "\
    0a0c0a036b65791201081a0208081204616263641a033130362009";

fn sealed(byte: u8) -> SealedValue {
    SealedValue { key_id: "key".to_owned(), nonce: vec![byte], ciphertext: vec![byte, byte] }
}

fn check<A: Aggregate>(event: &A::Event, event_type: &str, hex: &str)
where
    A::Event: PartialEq + std::fmt::Debug,
{
    let written = A::encode(event);
    assert_eq!((written.event_type.as_str(), written.schema), (event_type, 1));
    assert_eq!(hex::encode(&written.bytes), hex, "{event_type}");
    let bytes = hex::decode(hex).unwrap();
    let stored = Payload { event_type: event_type.to_owned(), schema: 1, bytes };
    assert_eq!(&A::decode(&stored).unwrap(), event);
}

fn request() -> Request {
    Request {
        order: "o".to_owned(),
        shipment: "s".to_owned(),
        contact: "c".to_owned(),
        milestone: Milestone::OutForDelivery,
        channel: ChannelKind::WhatsApp,
        language: Language::Ar,
        account: "a".to_owned(),
        provider_template: "order_out_for_delivery".to_owned(),
        provider_language: "ar".to_owned(),
        content: Some(sealed(7)),
        cause: "e".to_owned(),
        milestone_at_ms: 1_790_000_000_000,
    }
}

#[test]
fn messages_read_as_they_were_written() {
    let text = |text: &str| text.to_owned();
    let no = No { code: text("131026"), reason: text("UNDELIVERABLE"), detail: text("d") };
    let all = [
        (message::Event::Requested(request()), "message.Requested", REQUESTED),
        (
            message::Event::Attempted {
                attempt: 1,
                callback_data: text("s~shipped~whatsapp~1"),
                account: text("a"),
            },
            "message.Attempted",
            "08011214737e736869707065647e77686174736170707e311a0161",
        ),
        (
            message::Event::Sent {
                attempt: 1,
                provider_id: text("wamid.1"),
                at_ms: 5,
                receipt: text("r"),
            },
            "message.Sent",
            "0801120777616d69642e311805220172",
        ),
        (
            message::Event::SendUnknown { attempt: 1, reason: text("timeout"), resend_at_ms: 9 },
            "message.SendUnknown",
            "0801120774696d656f75741809",
        ),
        (
            message::Event::AttemptFailed {
                attempt: 1,
                code: text("130429"),
                reason: text("RATE_LIMITED"),
                retry_at_ms: 9,
            },
            "message.AttemptFailed",
            "080112063133303432391a0c524154455f4c494d495445442009",
        ),
        (
            message::Event::Delivered { at_ms: 5, receipt: text("r") },
            "message.Delivered",
            "0805120172",
        ),
        (message::Event::Read { at_ms: 5, receipt: text("r") }, "message.Read", "0805120172"),
        (
            message::Event::Failed { no, receipt: text("r") },
            "message.Failed",
            "0a06313331303236120d554e44454c4956455241424c451a0164220172",
        ),
        (
            message::Event::Suppressed { reason: text("NO_CONSENT"), detail: text("d") },
            "message.Suppressed",
            "0a0a4e4f5f434f4e53454e54120164",
        ),
    ];
    for (event, event_type, hex) in &all {
        check::<Message>(event, event_type, hex);
    }
}

#[test]
fn templates_and_accounts_read_as_they_were_written() {
    let words = Words {
        provider_language: "en_US".to_owned(),
        body: "Hi {{first_name}}".to_owned(),
        variables: vec!["first_name".to_owned()],
        ..Words::built_in(Milestone::Delivered, Language::En)
    };
    check::<Template>(&template::Event::Put(words), "template.Put", TEMPLATE);

    let credentials = channel_account::Credentials {
        sealed: sealed(8),
        last4: "abcd".to_owned(),
        phone_number_id: "106".to_owned(),
    };
    let opened = channel_account::Event::Opened(channel_account::Opening {
        channel: ChannelKind::WhatsApp,
        name: "Shop".to_owned(),
        mode: Mode::Live,
        credentials: credentials.clone(),
        webhook_token_sha256: vec![1, 2],
        webhook_token: sealed(9),
    });
    check::<ChannelAccount>(&opened, "channel_account.Opened", OPENED);
    let amended = channel_account::Event::Amended(channel_account::Amendment {
        name: Some("Store".to_owned()),
        mode: Some(Mode::Sandbox),
        enabled: Some(false),
    });
    check::<ChannelAccount>(
        &amended,
        "channel_account.Amended",
        "0a0553746f7265120773616e64626f781800",
    );
    let grace = channel_account::RotationGrace { previous_until_ms: 9 };
    let rotated = channel_account::Event::CredentialsRotated(credentials, grace);
    check::<ChannelAccount>(&rotated, "channel_account.CredentialsRotated", ROTATED);
}
