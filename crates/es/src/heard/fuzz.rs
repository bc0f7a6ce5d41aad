//! Positions as strangers write them: `min_position`, `Last-Event-ID`.

use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn no_text_brings_the_reader_down(text in "\\PC{0,60}|([a-z:,0-9]{0,40})") {
        if let Ok(read) = Positions::parse(&text) {
            prop_assert_eq!(&Positions::parse(&read.to_string()).unwrap(), &read);
            prop_assert!(read.covers(&read));
            prop_assert!(read.clone().merged(&read).covers(&read));
        }
    }

    #[test]
    fn what_was_written_is_read(
        parts in prop::collection::btree_map("[a-z]{1,9}", any::<u64>(), 0..6),
    ) {
        let mut positions = Positions::default();
        for (service, position) in parts {
            positions.advance(&service, Position(position));
        }
        prop_assert_eq!(Positions::parse(&positions.to_string()).unwrap(), positions);
    }
}
