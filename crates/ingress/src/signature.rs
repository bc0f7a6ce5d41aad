//! Whether a webhook is authentic: constant time, over the bytes as they came.

use aws_lc_rs::hmac;
use nexus_es::commit::sha256;
use subtle::ConstantTimeEq;

/// True when `presented` is the secret with this SHA-256, bare or behind `Bearer`.
pub(crate) fn is_secret(presented: &[u8], secret_sha256: &[u8]) -> bool {
    let bearer =
        presented.split_at_checked(7).filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"Bearer "));
    let bare = bearer.map_or(presented, |(_, secret)| secret.trim_ascii());
    // An account without a secret is open to nobody.
    let is_set = !secret_sha256.is_empty();
    let is_whole = sha256(presented).ct_eq(secret_sha256);
    let is_bare = sha256(bare).ct_eq(secret_sha256);
    is_set & bool::from(is_whole | is_bare)
}

/// True when `header` is `sha256=` and the HMAC of `body` with `app_secret`.
pub(crate) fn is_signed(header: &[u8], body: &[u8], app_secret: &str) -> bool {
    let Some(signature) = header.strip_prefix(b"sha256=") else { return false };
    let Ok(signature) = hex::decode(signature) else { return false };
    if app_secret.is_empty() {
        return false;
    }
    let key = hmac::Key::new(hmac::HMAC_SHA256, app_secret.as_bytes());
    hmac::verify(&key, body, &signature).is_ok()
}

/// True when both are the same word, told in a time that depends on their length only.
pub(crate) fn is_word(presented: &str, word: &str) -> bool {
    !word.is_empty() && bool::from(presented.as_bytes().ct_eq(word.as_bytes()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PLAIN: &[u8] = br#"{"object":"whatsapp_business_account"}"#;
    const ESCAPED: &[u8] = br#"{"name":"\u0633\u0627\u0631\u0629"}"#;
    const PLAIN_SIGNED: &str =
        "sha256=0bf7374433906636bed1653bc7c64affb42fa5da9a39e251ab95c2e3a9c06923";
    const ESCAPED_SIGNED: &str =
        "sha256=2cd7363d24a3ddaecd8bd3cdbb4eaeb513f6d164e1c603feff6d8eeb108263c8";
    const UTF8_SIGNED: &str =
        "sha256=42407756b282e98f0db9eb2601dbccdfca41e032d8a85a4966d9b0183e495600";

    #[test]
    fn the_vectors_of_the_contract_hold() {
        assert!(is_signed(PLAIN_SIGNED.as_bytes(), PLAIN, "app-secret"));
        assert!(is_signed(ESCAPED_SIGNED.as_bytes(), ESCAPED, "app-secret"));
        let utf8 = r#"{"name":"سارة"}"#.as_bytes();
        assert!(is_signed(UTF8_SIGNED.as_bytes(), utf8, "app-secret"));
    }

    #[test]
    fn a_body_that_was_written_again_is_refused() {
        let parsed: serde_json::Value = serde_json::from_slice(ESCAPED).unwrap();
        let rewritten = serde_json::to_vec(&parsed).unwrap();
        assert!(!is_signed(ESCAPED_SIGNED.as_bytes(), &rewritten, "app-secret"));
    }

    #[test]
    fn a_forged_cut_or_missing_signature_is_refused() {
        let cut = PLAIN_SIGNED.strip_suffix("23").unwrap();
        for header in ["", "sha256=", cut, ESCAPED_SIGNED, "sha1=00", "sha256=zz"] {
            assert!(!is_signed(header.as_bytes(), PLAIN, "app-secret"), "{header}");
        }
        assert!(!is_signed(PLAIN_SIGNED.as_bytes(), PLAIN, "other"));
        assert!(!is_signed(PLAIN_SIGNED.as_bytes(), PLAIN, ""));
    }

    #[test]
    fn a_secret_is_taken_bare_or_as_bearer_and_nothing_else_is() {
        let known = sha256(b"s3cret");
        for good in ["s3cret", "Bearer s3cret", "bearer  s3cret"] {
            assert!(is_secret(good.as_bytes(), &known), "{good}");
        }
        for bad in ["", "Bearer ", "s3cre", "s3crets", "Basic s3cret", "Bearer s3cret x"] {
            assert!(!is_secret(bad.as_bytes(), &known), "{bad}");
        }
        assert!(!is_secret(b"", &sha256(b"x")));
        assert!(!is_secret(b"s3cret", &[]));
    }

    proptest! {
        #[test]
        fn no_changed_byte_keeps_its_signature(at in 0..PLAIN.len(), flip in 1_u8..=255) {
            let mut body = PLAIN.to_vec();
            body[at] ^= flip;
            prop_assert!(!is_signed(PLAIN_SIGNED.as_bytes(), &body, "app-secret"));
        }
    }
}
