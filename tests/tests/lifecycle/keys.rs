//! Idempotency keys: one key, one command.

use nexus_tests::checks;
use nexus_tests::harness::evidence::Told;
use nexus_tests::harness::shop::MUG;
use nexus_tests::harness::{Life, Look, Nexus, Options, Rest, Wish};
use reqwest::Method;
use serde_json::json;

#[tokio::test]
async fn a_key_used_again_replays_and_with_another_body_is_refused() -> anyhow::Result<()> {
    let (mut nexus, shop) = Nexus::with_shop(Options::default(), 50).await?;
    let key = Rest::fresh_key();
    let wish = Wish::of(1, &[(MUG, 2)]);
    let create = async |rest: &Rest, wish: &Wish| {
        rest.command_with(Method::POST, "/v1/orders", &wish.body(), &key).await
    };
    let first = create(&shop.rest, &wish).await?;
    assert_eq!((first.status, first.replayed()), (200, false));
    let again = create(&shop.rest, &wish).await?;
    assert_eq!((again.status, again.replayed()), (200, true), "{}", again.body);
    assert_eq!(again.body.text("order_id"), first.body.text("order_id"));

    // The answer is the order as that command left it, not as it is now.
    let path = format!("/v1/orders/{}:confirm", first.body.text("order_id"));
    shop.rest.post(&path, &json!({})).await?;
    let later = create(&shop.rest, &wish).await?;
    assert_eq!(later.body.text("status"), "pending", "{}", later.body);

    let other = create(&shop.rest, &Wish::of(1, &[(MUG, 3)])).await?;
    assert_eq!(other.status, 422, "{}", other.body);
    assert_eq!(other.body.text("reason"), "IDEMPOTENCY_KEY_REUSED");

    nexus.restart().await?;
    let rest = nexus.rest()?;
    let after = create(&rest, &wish).await?;
    assert_eq!((after.status, after.replayed()), (200, true), "{}", after.body);
    assert_eq!(after.body.text("order_id"), first.body.text("order_id"));
    let told = Told::by(&rest).await?;
    assert_eq!(told.orders.len(), 1);
    let history = shop.rest.history.all();
    checks::none(&checks::check_i9(&history))?;
    checks::none(&checks::check_i1(&history, &told))
}

#[tokio::test]
async fn fifty_requests_at_once_with_one_key_make_one_order() -> anyhow::Result<()> {
    let (nexus, shop) = Nexus::with_shop(Options::default(), 50).await?;
    let key = Rest::fresh_key();
    let body = Wish::of(1, &[(MUG, 2)]).body();
    let tries = (0..50).map(|_| shop.rest.try_once(Method::POST, "/v1/orders", &body, &key));
    let answers = futures::future::try_join_all(tries).await?;
    let first = answers.iter().filter(|one| one.status == 200 && !one.replayed()).count();
    assert_eq!(first, 1);
    assert!(answers.iter().all(|one| one.replayed() || matches!(one.status, 200 | 409)));
    let told = Told::by(&shop.rest).await?;
    assert_eq!(told.orders.len(), 1);
    let history = shop.rest.history.all();
    checks::none(&checks::check_i10(&history))?;
    checks::none(&checks::check_i2(&history, &told))?;
    nexus.verify().await
}

#[tokio::test]
async fn of_many_who_create_the_same_product_one_succeeds() -> anyhow::Result<()> {
    let nexus = Nexus::start(Options::default()).await?;
    let rest = nexus.rest()?;
    let names = ["Mug", "Cup", "Bowl", "Jar", "Pot", "Pan", "Lid", "Can"];
    let tries = names.map(|name| {
        let rest = rest.clone();
        async move { rest.command("/v1/products", &json!({"sku": "MUG", "name": name})).await }
    });
    let answers = futures::future::try_join_all(tries).await?;
    let won: Vec<_> = answers.iter().filter(|answer| answer.status == 200).collect();
    assert_eq!(won.len(), 1);
    assert!(answers.iter().all(|answer| matches!(answer.status, 200 | 409)));
    let product = rest.get("/v1/products/MUG").await?;
    assert!(won.iter().all(|answer| answer.body.text("name") == product.text("name")));
    checks::none(&checks::check_i7(&rest.history.all()))
}

#[tokio::test]
async fn a_known_phone_is_one_contact_in_any_spelling() -> anyhow::Result<()> {
    let (_nexus, shop) = Nexus::with_shop(Options::default(), 50).await?;
    let contact = json!({"name": "Mona Farouk", "phone": "+201000000001"});
    let first = shop.rest.post("/v1/contacts", &contact).await?;
    for phone in ["01000000001", "0020 100 000 0001", "+20 (100) 000-0001", "٠١٠٠٠٠٠٠٠٠١"]
    {
        let contact = json!({"name": "Somebody Else", "phone": phone});
        let again = shop.rest.post("/v1/contacts", &contact).await?;
        assert_eq!(again.text("contact_id"), first.text("contact_id"), "{phone}");
        assert!(again.is("existing"));
        assert_eq!(again.text("name"), "Mona Farouk");
    }
    let life = Life::begin(&shop, Wish::of(1, &[(MUG, 1)])).await?;
    assert_eq!(life.order().await?.text("contact/contact_id"), first.text("contact_id"));
    Ok(())
}
