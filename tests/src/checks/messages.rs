//! What customers were told, held against what the channel accepted.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Findings, Violation};
use crate::harness::evidence::Ledger;
use crate::harness::look::Look;

/// How a message says that it may have reached the customer more than once.
const AMBIGUOUS: [&str; 2] = ["MAYBE_SENT_TWICE", "SEND_UNKNOWN"];

/// I26: a shipment's milestone is one message, accepted by the channel at most once, or listed as
/// ambiguous; what counts as sent was accepted.
#[must_use]
pub fn check_i26(messages: &[Value], ledger: &Ledger) -> Vec<Violation> {
    let mut findings = Findings::of("I26");
    let mut told: BTreeMap<String, &Value> = BTreeMap::new();
    for message in messages {
        let name =
            ["shipment_id", "milestone", "channel"].map(|field| message.text(field)).join("~");
        findings.unless(told.insert(name.clone(), message).is_none(), || {
            format!("{name} is two messages")
        });
    }
    let mut accepted: BTreeMap<String, usize> = BTreeMap::new();
    for message in &ledger.accepted {
        let data = message.text("biz_opaque_callback_data");
        // The last part counts the attempts.
        let name = data.rsplit_once('~').map_or(data, |(name, _)| name);
        *accepted.entry(name.to_owned()).or_default() += 1;
    }
    for (name, times) in &accepted {
        let Some(message) = told.get(name) else {
            findings.unless(false, || format!("{name} was accepted and is no message of ours"));
            continue;
        };
        let listed = AMBIGUOUS.contains(&message.text("reason"));
        findings.unless(*times == 1 || listed, || {
            format!("{name} was accepted {times} times and is not listed as ambiguous")
        });
    }
    for (name, message) in told {
        let status = message.text("status");
        let sent = matches!(status, "sent" | "delivered" | "read");
        findings.unless(!sent || accepted.contains_key(&name), || {
            format!("{name} is {status}, but the channel never accepted it")
        });
    }
    findings.found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::checks::names;

    fn message(status: &str, reason: &str) -> Value {
        json!({"shipment_id": "s-1", "milestone": "shipped", "channel": "whatsapp",
               "status": status, "reason": reason})
    }

    fn accepted(attempts: &[u32]) -> Ledger {
        let rows = attempts.iter().map(|attempt| {
            json!({"biz_opaque_callback_data": format!("s-1~shipped~whatsapp~{attempt}")})
        });
        Ledger { accepted: rows.collect(), ..Ledger::default() }
    }

    #[test]
    fn i26_names_a_milestone_that_was_accepted_twice_and_not_listed() {
        assert_eq!(check_i26(&[message("read", "")], &accepted(&[1])), []);
        assert_eq!(names(&check_i26(&[message("read", "")], &accepted(&[1, 2]))), ["I26"]);
        let listed = [message("read", "MAYBE_SENT_TWICE")];
        assert_eq!(check_i26(&listed, &accepted(&[1, 2])), []);
    }

    #[test]
    fn i26_names_what_is_called_sent_and_never_was() {
        assert_eq!(names(&check_i26(&[message("sent", "")], &accepted(&[]))), ["I26"]);
        assert_eq!(check_i26(&[message("suppressed", "SUPERSEDED")], &accepted(&[])), []);
    }

    #[test]
    fn i26_names_a_milestone_that_is_two_messages() {
        let twice = [message("read", ""), message("read", "")];
        assert_eq!(names(&check_i26(&twice, &accepted(&[1]))), ["I26"]);
    }
}
