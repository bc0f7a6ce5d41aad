//! Names on the wire: the stream of a service, the subject of an aggregate.
//! *Invariant:* one aggregate has one subject, and every writer guards it by that very text.

use nexus_es::AggregateId;

/// The stream of a service.
pub(crate) fn stream_of(service: &str) -> String {
    service.to_uppercase()
}

/// What the stream of a service takes in.
pub(crate) fn all_of(service: &str) -> String {
    format!("evt.{service}.*.*")
}

/// The subject of an aggregate.
pub(crate) fn of(aggregate: &AggregateId) -> String {
    format!("evt.{}.{}.{}", aggregate.service, aggregate.category, aggregate.id)
}

/// The aggregate of a subject, or what is wrong with it.
pub(crate) fn aggregate_of(subject: &str) -> Result<AggregateId, String> {
    let mut tokens = subject.split('.');
    let parts = (tokens.next(), tokens.next(), tokens.next(), tokens.next(), tokens.next());
    let (Some("evt"), Some(service), Some(category), Some(id), None) = parts else {
        return Err(format!("the subject {subject} names no aggregate"));
    };
    AggregateId::new(service, category, id).map_err(|bad| bad.to_string())
}

/// Any text as one token of a subject, that [`text_of`] reads back: what a key of a bucket may not
/// hold stands as `=` and two digits a byte.
pub(crate) fn token(text: &str) -> String {
    let mut token = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_".contains(&byte) {
            token.push(char::from(byte));
        } else {
            token.push('=');
            token.push_str(&hex::encode([byte]));
        }
    }
    // A token of nothing is none.
    if token.is_empty() { "=".to_owned() } else { token }
}

/// The text that [`token`] made a token of; none if it made no such token.
pub(crate) fn text_of(token: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(token.len());
    let mut rest = if token == "=" { "" } else { token };
    while let Some(first) = rest.chars().next() {
        if first == '=' {
            bytes.extend(hex::decode(rest.get(1..3)?).ok()?);
            rest = rest.get(3..)?;
        } else {
            bytes.extend(first.to_string().into_bytes());
            rest = rest.get(first.len_utf8()..)?;
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_names_the_aggregate_it_was_made_from() {
        let mona = AggregateId::new("order", "phone_claim", "a1=~").unwrap();
        assert_eq!(of(&mona), "evt.order.phone_claim.a1=~");
        assert_eq!(aggregate_of(&of(&mona)).unwrap(), mona);
        for bad in ["evt.order.order", "evt.order.order.a.b", "x.order.order.a", "evt.o.r.\u{e9}"] {
            assert!(aggregate_of(bad).is_err(), "{bad}");
        }
    }
    #[test]
    fn any_text_becomes_one_token_and_comes_back() {
        for text in ["", "=", "ali", "order.confirm", "never made", "a/b>*", "\u{e9}\0", "=3d"] {
            let token = token(text);
            let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_=".contains(&b);
            assert!(!token.is_empty() && token.bytes().all(plain), "{token}");
            assert_eq!(text_of(&token).as_deref(), Some(text));
        }
        assert_eq!(text_of("a=x"), None);
    }
}
