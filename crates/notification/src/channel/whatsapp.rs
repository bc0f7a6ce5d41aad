//! WhatsApp's Cloud API: template messages out, codes told apart, webhooks read.

pub(crate) mod codes;
pub(crate) mod webhook;

use async_trait::async_trait;
use nexus_es::commit::sha256;
use nexus_proto::notification::v1::SealedChannelCredentials;
use nexus_runtime::metrics;
use nexus_runtime::telemetry::outgoing;
use serde::Deserialize;
use serde_json::{Value, json};
use tracing::debug;

use super::{Channel, Check, Outcome, Outgoing, Refused, Verdict};
use crate::domain::Mode;
use crate::domain::message::No;
use codes::{meaning, verdict};

const VERSION: &str = "v23.0";
/// More than this is no answer of the API.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// The Cloud API behind two base addresses, which come from configuration only.
pub(crate) struct WhatsApp {
    http: reqwest::Client,
    live: String,
    sandbox: String,
}

#[derive(Deserialize)]
struct Accepted {
    #[serde(default)]
    messages: Vec<AcceptedMessage>,
}

#[derive(Deserialize)]
struct AcceptedMessage {
    id: String,
}

#[derive(Deserialize)]
struct Failure {
    error: ApiError,
}

/// An error as the API writes it, in answers and in webhooks.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct ApiError {
    pub(crate) code: i64,
    #[serde(default)]
    pub(crate) is_transient: bool,
}

#[derive(Deserialize)]
struct PhoneNumber {
    #[serde(default)]
    verified_name: Option<String>,
    #[serde(default)]
    display_phone_number: Option<String>,
}

/// An answer as it came: status and at most [`MAX_ANSWER_BYTES`].
struct Answer {
    status: u16,
    body: Vec<u8>,
}

impl WhatsApp {
    /// An adapter over `http`, whose clients have time limits.
    pub(crate) fn new(http: reqwest::Client, live: &str, sandbox: &str) -> Self {
        let clean = |url: &str| url.trim_end_matches('/').to_owned();
        Self { http, live: clean(live), sandbox: clean(sandbox) }
    }

    fn url(&self, mode: Mode, phone_number_id: &str) -> String {
        let base = match mode {
            Mode::Live => &self.live,
            Mode::Sandbox => &self.sandbox,
        };
        format!("{base}/{VERSION}/{phone_number_id}")
    }
}

async fn answer(
    request: reqwest::RequestBuilder,
    template: &'static str,
) -> Result<Answer, reqwest::Error> {
    let mut response = outgoing::send(request, template).await?;
    let status = response.status().as_u16();
    let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
    debug!(
        http.status = status,
        fb.trace_id = header("x-fb-trace-id"),
        fb.usage = header("x-business-use-case-usage"),
        "the channel answers HTTP {status}",
    );
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_ANSWER_BYTES {
            body.clear();
            break;
        }
    }
    Ok(Answer { status, body })
}

#[async_trait]
impl Channel for WhatsApp {
    async fn send(&self, outgoing: &Outgoing) -> Outcome {
        let credentials = &outgoing.credentials;
        let url = format!("{}/messages", self.url(outgoing.mode, &credentials.phone_number_id));
        let request =
            self.http.post(url).bearer_auth(&credentials.access_token).json(&template(outgoing));
        let outcome = match answer(request, "/{version}/{phone_number_id}/messages").await {
            Ok(answer) => outcome(&answer),
            // Nothing was sent when there was no connection.
            Err(error) if error.is_connect() => refused(
                Verdict::Retry { attempts: crate::domain::message::MAX_ATTEMPTS },
                "",
                "UNREACHABLE",
                "the channel cannot be reached",
            ),
            Err(error) if error.is_timeout() => Outcome::Unknown { reason: "timeout" },
            Err(_) => Outcome::Unknown { reason: "reset" },
        };
        metrics::channel_sent("whatsapp", name(&outcome));
        outcome
    }

    async fn test_connection(&self, mode: Mode, credentials: &SealedChannelCredentials) -> Check {
        let url = self.url(mode, &credentials.phone_number_id);
        let fields = [("fields", "verified_name,display_phone_number")];
        let request = self.http.get(url).bearer_auth(&credentials.access_token).query(&fields);
        let fails = |problem: String, hint: &str| Check::Fails { problem, hint: hint.to_owned() };
        match answer(request, "/{version}/{phone_number_id}").await {
            Ok(answer) if answer.status == 200 => {
                let phone = serde_json::from_slice::<PhoneNumber>(&answer.body).ok();
                let account = phone.and_then(|p| p.verified_name.or(p.display_phone_number));
                Check::Works { account }
            }
            Ok(answer) => match serde_json::from_slice::<Failure>(&answer.body) {
                Ok(Failure { error }) => {
                    let (reason, hint) = meaning(error.code);
                    fails(format!("WhatsApp answers {} ({reason})", error.code), hint)
                }
                Err(_) => fails(
                    format!("the channel answers HTTP {}", answer.status),
                    "try again in a minute; if it stays, check the address in the configuration",
                ),
            },
            Err(error) => {
                debug!("test of a channel account failed: {}", error.without_url());
                fails(
                    "the channel cannot be reached".to_owned(),
                    "check the network and the address in the configuration",
                )
            }
        }
    }
}

/// An outcome as a label.
fn name(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Accepted { .. } => "accepted",
        Outcome::Unknown { .. } => "unknown",
        Outcome::Refused(Refused { verdict, .. }) => match verdict {
            Verdict::Retry { .. } => "retry",
            Verdict::SlowDown | Verdict::Pair => "slow_down",
            Verdict::StopTemplate => "template_stopped",
            Verdict::StopChannel => "channel_stopped",
            Verdict::Final => "refused",
        },
    }
}

/// The body of a template message: variables by position, in the provider's order.
fn template(outgoing: &Outgoing) -> Value {
    let parameters: Vec<_> = outgoing
        .content
        .variables
        .iter()
        .map(|variable| json!({ "type": "text", "text": one_line(&variable.value) }))
        .collect();
    let mut template = json!({
        "name": outgoing.provider_template,
        "language": { "code": outgoing.provider_language, "policy": "deterministic" },
    });
    if let (Some(template), false) = (template.as_object_mut(), parameters.is_empty()) {
        let body = json!([{ "type": "body", "parameters": parameters }]);
        template.insert("components".to_owned(), body);
    }
    json!({
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": outgoing.content.phone,
        "type": "template",
        "template": template,
        "biz_opaque_callback_data": outgoing.callback_data,
    })
}

/// Parameters may hold no line breaks, tabs, or more than four spaces in a row (132018).
fn one_line(value: &str) -> String {
    value.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What we know a message by. The channel's own id spells the recipient's phone in base64, so it is
/// personal; its random part keeps the phone from being guessed back out of the hash.
fn handle(wamid: &str) -> String {
    hex::encode(sha256(wamid.as_bytes()))
}

fn outcome(answer: &Answer) -> Outcome {
    if (200..300).contains(&answer.status) {
        return match serde_json::from_slice::<Accepted>(&answer.body) {
            Ok(Accepted { messages }) => match messages.into_iter().find(|m| !m.id.is_empty()) {
                Some(message) => Outcome::Accepted { provider_id: handle(&message.id) },
                None => Outcome::Unknown { reason: "unreadable" },
            },
            Err(_) => Outcome::Unknown { reason: "unreadable" },
        };
    }
    if let Ok(Failure { error }) = serde_json::from_slice::<Failure>(&answer.body) {
        let verdict = verdict(error.code, error.is_transient || answer.status >= 500);
        let (reason, hint) = meaning(error.code);
        return refused(verdict, &error.code.to_string(), reason, hint);
    }
    // Not the API itself but something before it.
    let code = format!("HTTP {}", answer.status);
    match answer.status {
        429 => refused(Verdict::SlowDown, &code, "RATE_LIMITED", "it is tried again by itself"),
        401 | 403 => refused(
            Verdict::StopChannel,
            &code,
            "TOKEN_INVALID",
            "check the access token in Settings → Integrations",
        ),
        408 => Outcome::Unknown { reason: "timeout" },
        status if status >= 500 => Outcome::Unknown { reason: "server error" },
        _ => refused(
            Verdict::Final,
            &code,
            "UNREADABLE_ANSWER",
            "check the channel's address in the configuration",
        ),
    }
}

fn refused(verdict: Verdict, code: &str, reason: &str, detail: &str) -> Outcome {
    let no = No { code: code.to_owned(), reason: reason.to_owned(), detail: detail.to_owned() };
    Outcome::Refused(Refused { no, verdict })
}

#[cfg(test)]
mod tests {
    use nexus_proto::notification::v1::{MessageContent, MessageVariable};

    use super::*;

    fn answered(status: u16, body: &str) -> Outcome {
        outcome(&Answer { status, body: body.as_bytes().to_vec() })
    }

    #[test]
    fn the_arabic_template_is_written_as_the_contract_says() {
        let variable =
            |value: &str| MessageVariable { name: String::new(), value: value.to_owned() };
        let outgoing = Outgoing {
            mode: Mode::Live,
            credentials: SealedChannelCredentials::default(),
            provider_template: "order_shipped".to_owned(),
            provider_language: "ar".to_owned(),
            content: MessageContent {
                phone: "+201065685435".to_owned(),
                variables: vec![variable("سارة"), variable("ORD-1001"), variable("51\n08002 ")],
                body: String::new(),
            },
            callback_data: "ship-1~shipped~whatsapp~1".to_owned(),
        };
        let expected = json!({
            "messaging_product": "whatsapp", "recipient_type": "individual",
            "to": "+201065685435", "type": "template",
            "template": {
                "name": "order_shipped",
                "language": { "code": "ar", "policy": "deterministic" },
                "components": [{ "type": "body", "parameters": [
                    { "type": "text", "text": "سارة" },
                    { "type": "text", "text": "ORD-1001" },
                    { "type": "text", "text": "51 08002" },
                ]}],
            },
            "biz_opaque_callback_data": "ship-1~shipped~whatsapp~1",
        });
        assert_eq!(template(&outgoing), expected);
    }

    #[test]
    fn an_accepted_message_answers_its_handle() {
        let body = r#"{"messaging_product":"whatsapp","contacts":[{"input":"+20","wa_id":"20"}],
            "messages":[{"id":"wamid.1","message_status":"held_for_quality_assessment"}]}"#;
        let accepted = Outcome::Accepted { provider_id: handle("wamid.1") };
        assert_eq!(answered(200, body), accepted);
    }

    #[test]
    fn what_cannot_be_read_after_success_is_unknown_and_not_refused() {
        for body in ["", "<html>", r#"{"messages":[]}"#, r#"{"messages":[{"id":""}]}"#] {
            assert_eq!(answered(200, body), Outcome::Unknown { reason: "unreadable" }, "{body}");
        }
        assert_eq!(answered(502, "bad gateway"), Outcome::Unknown { reason: "server error" });
    }

    #[test]
    fn a_code_decides_not_the_http_status() {
        let error = |code: i64| format!(r#"{{"error":{{"message":"x","code":{code}}}}}"#);
        let verdict = |status, code| match answered(status, &error(code)) {
            Outcome::Refused(refused) => refused.verdict,
            other => panic!("{other:?}"),
        };
        assert_eq!(verdict(400, 130_429), Verdict::SlowDown);
        assert_eq!(verdict(400, 131_056), Verdict::Pair);
        assert_eq!(verdict(500, 131_026), Verdict::Final);
        assert_eq!(verdict(400, 190), Verdict::StopChannel);
        assert_eq!(verdict(400, 999_999), Verdict::Final);
        assert!(matches!(verdict(503, 999_999), Verdict::Retry { .. }));
    }
}
