//! `X-Hub-Signature-256`: what Meta writes, escaped as Meta escapes it, and signed in that form.

use aws_lc_rs::hmac;
use serde_json::Value;

/// JSON with every non-ASCII character as `\uXXXX` in lower-case hex: the bytes that are signed.
pub(super) fn escaped(value: &Value) -> String {
    let text = value.to_string();
    let mut escaped = String::with_capacity(text.len());
    let mut units = [0_u16; 2];
    for letter in text.chars() {
        if letter.is_ascii() {
            escaped.push(letter);
        } else {
            // Non-ASCII stands only inside JSON strings, where this escape means the same.
            for unit in letter.encode_utf16(&mut units) {
                escaped.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    escaped
}

/// The header's value for a body.
pub(super) fn sign(app_secret: &str, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, app_secret.as_bytes());
    format!("sha256={}", hex::encode(hmac::sign(&key, body)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{escaped, sign};

    #[test]
    fn the_published_vectors_are_met() {
        assert_eq!(
            sign("app-secret", br#"{"object":"whatsapp_business_account"}"#),
            "sha256=0bf7374433906636bed1653bc7c64affb42fa5da9a39e251ab95c2e3a9c06923"
        );
        let arabic = escaped(&json!({"name": "سارة"}));
        assert_eq!(arabic, r#"{"name":"\u0633\u0627\u0631\u0629"}"#);
        assert_eq!(
            sign("app-secret", arabic.as_bytes()),
            "sha256=2cd7363d24a3ddaecd8bd3cdbb4eaeb513f6d164e1c603feff6d8eeb108263c8"
        );
        assert_eq!(
            sign("app-secret", r#"{"name":"سارة"}"#.as_bytes()),
            "sha256=42407756b282e98f0db9eb2601dbccdfca41e032d8a85a4966d9b0183e495600"
        );
    }

    #[test]
    fn a_letter_beyond_the_first_plane_is_two_escapes_and_reads_back() {
        let value = json!({"text": "😀 \"quoted\" \\ end"});
        let text = escaped(&value);
        assert!(text.contains(r"\ud83d\ude00"), "{text}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
    }
}
