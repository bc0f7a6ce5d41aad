//! Reads a webhook of the Cloud API: receipts and stop words.
//! *Invariant:* whatever the body says, reading it cannot fail: what is not understood is left out.

use serde::Deserialize;
use serde_json::Value;

use super::codes::{meaning, verdict};
use super::{ApiError, handle};
use crate::channel::Verdict;
use crate::domain::message::No;

/// What one webhook told.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) receipts: Vec<ReceiptTold>,
    /// Senders, in E.164, who asked not to be written to.
    pub(crate) stops: Vec<String>,
    /// Updates that were not understood.
    pub(crate) skipped: usize,
}

/// One receipt as the channel wrote it.
#[derive(Debug)]
pub(crate) struct ReceiptTold {
    pub(crate) provider_id: String,
    pub(crate) callback_data: Option<String>,
    pub(crate) at_ms: Option<i64>,
    pub(crate) status: Status,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Sent,
    Delivered,
    Read,
    Failed { no: No, verdict: Verdict },
}

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    entry: Vec<Value>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    changes: Vec<Value>,
}

#[derive(Deserialize)]
struct Change {
    #[serde(default)]
    value: ChangeValue,
}

#[derive(Default, Deserialize)]
struct ChangeValue {
    #[serde(default)]
    statuses: Vec<Value>,
    #[serde(default)]
    messages: Vec<Value>,
}

#[derive(Deserialize)]
struct RawStatus {
    id: String,
    status: String,
    #[serde(default)]
    timestamp: Value,
    #[serde(default)]
    biz_opaque_callback_data: Option<String>,
    #[serde(default)]
    errors: Vec<ApiError>,
}

#[derive(Deserialize)]
struct Inbound {
    from: String,
    #[serde(default)]
    text: Option<Text>,
    #[serde(default)]
    button: Option<Text>,
}

#[derive(Deserialize)]
struct Text {
    #[serde(alias = "text")]
    body: String,
}

/// Reads all updates of a body; a part that does not parse spoils no other.
pub(crate) fn read(body: &[u8]) -> Told {
    let mut told = Told::default();
    let Ok(body) = serde_json::from_slice::<Body>(body) else {
        told.skipped += 1;
        return told;
    };
    for entry in body.entry {
        let Some(entry) = part::<Entry>(entry, &mut told) else { continue };
        for change in entry.changes {
            let Some(change) = part::<Change>(change, &mut told) else { continue };
            for status in change.value.statuses {
                let Some(status) = part::<RawStatus>(status, &mut told) else { continue };
                match receipt(status) {
                    Some(receipt) => told.receipts.push(receipt),
                    None => told.skipped += 1,
                }
            }
            for message in change.value.messages {
                if let Ok(inbound) = serde_json::from_value::<Inbound>(message)
                    && is_stop(&inbound)
                    && let Some(phone) = phone(&inbound.from)
                {
                    told.stops.push(phone);
                }
            }
        }
    }
    told
}

fn part<T: serde::de::DeserializeOwned>(value: Value, told: &mut Told) -> Option<T> {
    let parsed = serde_json::from_value(value).ok();
    told.skipped += usize::from(parsed.is_none());
    parsed
}

fn receipt(raw: RawStatus) -> Option<ReceiptTold> {
    let status = match raw.status.as_str() {
        "sent" => Status::Sent,
        "delivered" => Status::Delivered,
        "read" | "played" => Status::Read,
        "failed" => failed(raw.errors.first()),
        _ => return None,
    };
    let seconds = match &raw.timestamp {
        Value::String(text) => text.parse::<i64>().ok(),
        Value::Number(number) => number.as_i64(),
        _ => None,
    };
    let at_ms = seconds.and_then(|seconds| seconds.checked_mul(1000));
    let callback_data = raw.biz_opaque_callback_data;
    Some(ReceiptTold { provider_id: handle(&raw.id), callback_data, at_ms, status })
}

fn failed(error: Option<&ApiError>) -> Status {
    let Some(error) = error else {
        let reason = "FAILED_WITHOUT_REASON".to_owned();
        let no = No { code: String::new(), reason, detail: String::new() };
        return Status::Failed { no, verdict: Verdict::Final };
    };
    let (reason, hint) = meaning(error.code);
    let no =
        No { code: error.code.to_string(), reason: reason.to_owned(), detail: hint.to_owned() };
    Status::Failed { no, verdict: verdict(error.code, error.is_transient) }
}

fn is_stop(inbound: &Inbound) -> bool {
    let text = inbound.text.as_ref().or(inbound.button.as_ref());
    let Some(Text { body }) = text else { return false };
    let word: String = body
        .chars()
        .filter(|c| c.is_alphanumeric() || c.is_whitespace())
        .map(fold_letter)
        .collect::<String>()
        .to_lowercase();
    let words =
        ["stop", "unsubscribe", "stop promotions", "ايقاف", "توقف", "الغاء", "الغاء الاشتراك"];
    words.contains(&word.split_whitespace().collect::<Vec<_>>().join(" ").as_str())
}

/// Alef with hamza or madda is written without as often as with.
fn fold_letter(letter: char) -> char {
    match letter {
        'أ' | 'إ' | 'آ' => 'ا',
        other => other,
    }
}

/// E.164 of a sender, which comes as digits without `+`.
fn phone(from: &str) -> Option<String> {
    let digits = from.trim_start_matches('+');
    let fits = (7..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    fits.then(|| format!("+{digits}"))
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn with_value(value: &str) -> Told {
        let body =
            format!(r#"{{"entry":[{{"changes":[{{"field":"messages","value":{value}}}]}}]}}"#);
        read(body.as_bytes())
    }

    fn inbound(text: &str) -> Vec<String> {
        let value =
            format!(r#"{{"messages":[{{"from":"201065685435","text":{{"body":"{text}"}}}}]}}"#);
        with_value(&value).stops
    }

    #[test]
    fn a_thousand_updates_of_one_body_are_all_read() {
        let status = r#"{"id":"wamid.1","status":"sent","timestamp":"1790000001"}"#;
        let told = with_value(&format!(r#"{{"statuses":[{}]}}"#, vec![status; 1000].join(",")));
        assert_eq!((told.receipts.len(), told.skipped), (1000, 0));
        assert_eq!(told.receipts[0].at_ms, Some(1_790_000_001_000));
    }

    /// In base64 the id spells a phone: `HBgM` and then 201065685435.
    #[test]
    fn the_channels_own_id_is_known_by_its_hash_only() {
        let status = r#"{"id":"wamid.HBgMMjAxMDY1Njg1NDM1FQ","status":"read"}"#;
        let told = with_value(&format!(r#"{{"statuses":[{status}]}}"#));
        assert_eq!(told.receipts[0].provider_id, handle("wamid.HBgMMjAxMDY1Njg1NDM1FQ"));
        assert!(!told.receipts[0].provider_id.contains("MjAxMDY1Njg1NDM1"));
    }

    #[test]
    fn an_update_that_is_not_understood_spoils_no_other() {
        let told = with_value(
            r#"{"statuses":[7,{"id":"w","status":"paused"},{"id":"w","status":"read"},{}]}"#,
        );
        assert_eq!((told.receipts.len(), told.skipped), (1, 3));
        assert_eq!(told.receipts[0].status, Status::Read);
        assert_eq!(read(b"[]").receipts.len() + read(b"\"x\"").receipts.len(), 0);
    }

    #[test]
    fn a_failure_names_code_and_reason_and_no_words_of_the_channel() {
        let told = with_value(
            r#"{"statuses":[{"id":"w","status":"failed","errors":[
            {"code":131026,"title":"t","error_data":{"details":"d"}}]}]}"#,
        );
        let Status::Failed { no, verdict } = &told.receipts[0].status else { panic!("{told:?}") };
        assert_eq!((no.code.as_str(), no.reason.as_str()), ("131026", "UNDELIVERABLE"));
        assert_eq!(*verdict, Verdict::Final);
    }

    #[test]
    fn stop_is_understood_in_english_and_arabic_and_only_alone() {
        for word in ["STOP", " stop. ", "إيقاف", "ايقاف", "أيقاف", "توقف", "إلغاء الاشتراك"]
        {
            assert_eq!(inbound(word), ["+201065685435"], "{word}");
        }
        for word in ["شكرا", "do not stop by before noon", ""] {
            assert!(inbound(word).is_empty(), "{word}");
        }
    }

    /// Webhooks that others recorded, from the folder that `NEXUS_TEST_DATA` names, when it does.
    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test finds its data by it")]
    fn real_webhooks_are_all_read() {
        let Ok(folder) = std::env::var("NEXUS_TEST_DATA") else { return };
        let folder = std::path::Path::new(&folder).join("whatsapp");
        let mut receipts = Vec::new();
        for name in ["message_status", "message", "template_status_update"] {
            let file = std::fs::read(folder.join(format!("{name}.json"))).unwrap();
            let bodies: BTreeMap<String, Value> = serde_json::from_slice(&file).unwrap();
            for (case, body) in bodies {
                let told = read(body.to_string().as_bytes());
                assert_eq!(told.skipped, 0, "{name} {case}");
                receipts.extend(told.receipts.into_iter().map(|receipt| (case.clone(), receipt)));
            }
        }
        assert_eq!(receipts.len(), 7);
        for (case, receipt) in receipts {
            let as_named = match case.as_str() {
                "sent" | "with_tracker" => receipt.status == Status::Sent,
                "delivered" => receipt.status == Status::Delivered,
                "failed" => matches!(&receipt.status, Status::Failed { no, verdict }
                    if no.code == "130472" && *verdict == Verdict::Final),
                _ => receipt.status == Status::Read,
            };
            assert!(as_named, "{case}: {receipt:?}");
        }
    }
}
