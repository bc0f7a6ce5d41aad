//! Labels for addresses of all scripts.

use proptest::prelude::*;

use super::*;

fn words() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zA-Z0-9 ,./-]{0,60}",
        "[\u{0600}-\u{06FF}\u{0750}-\u{077F} 0-9a-z()]{0,60}",
        "[\u{200E}\u{200F}\u{202A}-\u{202E}\u{2066}-\u{2069}א-ת ا-ي a-z0-9]{0,30}",
        any::<String>(),
    ]
}

fn label() -> impl Strategy<Value = Label> {
    let address = prop::collection::vec(words(), 0..6);
    let money = prop::option::of("[0-9]{1,7}\\.[0-9]{2} EGP");
    ("[ -~]{1,24}", words(), words(), address, money, words(), words()).prop_map(
        |(tracking, recipient, phone, address, cod, contents, notes)| Label {
            courier: "Bosta".to_owned(),
            tracking,
            recipient,
            phone,
            address,
            cod,
            reference: Some(contents.clone()),
            contents,
            notes,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: small(), ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_drawn(label in label()) {
        for paper in [Paper::A4, Paper::A6] {
            let drawn = draw(std::slice::from_ref(&label), paper).unwrap();
            prop_assert!(drawn.starts_with(b"%PDF-"));
        }
    }
}

/// Drawing takes a thousand times as long as reading.
fn small() -> u32 {
    (ProptestConfig::default().cases / 64).max(1)
}
