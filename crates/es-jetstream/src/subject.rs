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
}
