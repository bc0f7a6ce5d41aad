//! What every courier keeps to, tried over HTTP against the sandbox; and a broken one that the
//! suite must catch.

use std::sync::Mutex;

use nexus_proto::common::v1::{Address, Recipient};

use super::*;

const SECRET: &str = "the secret";

fn account(key: &str) -> Account {
    Account {
        mode: Mode::Sandbox,
        api_key: SecretString::from(key),
        pickup_location: String::new(),
        webhook: None,
    }
}

fn parcel_for_mona(reference: &str) -> AwbRequest {
    AwbRequest {
        reference: reference.to_owned(),
        order_number: "NX-1001".to_owned(),
        recipient: Recipient {
            name: "Mona Ali".to_owned(),
            phone: "+201001234567".to_owned(),
            email: String::new(),
            address: Some(Address {
                country: "EG".to_owned(),
                governorate: "القاهرة".to_owned(),
                city: "Cairo".to_owned(),
                district: "Maadi".to_owned(),
                line1: "12 Road 9".to_owned(),
                ..Address::default()
            }),
        },
        notes: String::new(),
        parcel: Parcel {
            weight_grams: 800,
            contents: vec![("TSHIRT".to_owned(), 2)],
            ..Parcel::default()
        },
        cod: 1_499_000,
        currency: "EGP".to_owned(),
    }
}

/// The first promise that is broken.
async fn broken_promise(courier: &dyn Courier) -> Option<&'static str> {
    let account = account("key");
    let request = parcel_for_mona("nx-1");
    let find = || courier.find_by_reference(&account, "nx-1", "NX-1001");
    if find().await != Ok(vec![]) {
        return Some("what was never made is not found");
    }
    let Ok(awb) = courier.create_awb(&account, &request).await else {
        return Some("a good request gets an AWB");
    };
    if courier.create_awb(&account, &request).await != Err(CallError::ReferenceTaken) {
        return Some("a reference is taken once");
    }
    if find().await != Ok(vec![awb.clone()]) {
        return Some("what was made is found by its reference, once");
    }
    match courier.print_awb(&account, &awb, LabelFormat::A6).await {
        Ok(pdf) if pdf.starts_with(b"%PDF") => {}
        _ => return Some("a label is a PDF"),
    }
    let Ok(Tracked::At { told, .. }) = courier.track(&account, &awb).await else {
        return Some("a live delivery can be read back");
    };
    if told.tracking_number != awb.tracking_number || told.delivery_id != awb.delivery_id {
        return Some("what is read back is the delivery");
    }
    if courier.void(&account, &awb).await != Ok(()) || courier.void(&account, &awb).await != Ok(())
    {
        return Some("a void works, and a second one too");
    }
    if !matches!(courier.track(&account, &awb).await, Ok(Tracked::Gone)) {
        return Some("what was voided is gone");
    }
    broken_promise_about_strangers(courier).await
}

async fn broken_promise_about_strangers(courier: &dyn Courier) -> Option<&'static str> {
    let wrong = account("bad key");
    let hinted = |error: &CallError| matches!(error, CallError::Refused(no) if !no.hint.is_empty());
    match courier.test_connection(&wrong).await {
        Err(error) if hinted(&error) => {}
        _ => return Some("a wrong key is refused with a hint"),
    }
    if courier.test_connection(&account("key")).await.is_err() {
        return Some("a good key works");
    }
    let hash = sha256(SECRET.as_bytes());
    let bearer = format!("Bearer {SECRET}");
    let known =
        courier.authenticate_webhook(&hash, SECRET) && courier.authenticate_webhook(&hash, &bearer);
    if !known || courier.authenticate_webhook(&hash, "another secret") {
        return Some("a webhook is believed by its secret alone");
    }
    if courier.parse_webhook(b"{}").is_ok() {
        return Some("a body that names no delivery is not understood");
    }
    None
}

async fn sandbox(dir: &std::path::Path) -> nexus_sandbox::Sandbox {
    let any = || "127.0.0.1:0".parse().unwrap();
    let config = nexus_sandbox::Config {
        data_dir: dir.to_path_buf(),
        courier_listen: any(),
        whatsapp_listen: any(),
        speed: 1.0,
    };
    nexus_sandbox::start(config).await.unwrap()
}

fn bosta_at(sandbox: &nexus_sandbox::Sandbox) -> bosta::Bosta {
    let config = Config { bosta_sandbox_url: sandbox.courier_url(), ..Config::default() };
    bosta::Bosta::new(&config).unwrap()
}

#[tokio::test]
async fn bosta_keeps_the_contract() {
    let dir = tempfile::tempdir().unwrap();
    let sandbox = sandbox(dir.path()).await;
    assert_eq!(broken_promise(&bosta_at(&sandbox)).await, None);
    sandbox.stop().await;
}

#[tokio::test]
async fn an_address_without_a_district_ships_by_the_looser_form_and_an_unserved_one_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let sandbox = sandbox(dir.path()).await;
    let bosta = bosta_at(&sandbox);
    let to = |reference: &str, governorate: &str, district: &str| {
        let mut request = parcel_for_mona(reference);
        let address = request.recipient.address.get_or_insert_default();
        governorate.clone_into(&mut address.governorate);
        district.clone_into(&mut address.district);
        address.city.clear();
        request
    };
    let somewhere = to("nx-2", "Cairo", "Nowhere Gardens");
    assert!(bosta.create_awb(&account("key"), &somewhere).await.is_ok());
    for (request, code) in [
        (to("nx-3", "Matrouh", "Siwa"), "OUT_OF_COVERAGE"),
        (to("nx-4", "Atlantis", "Maadi"), "UNKNOWN_CITY"),
    ] {
        match bosta.create_awb(&account("key"), &request).await {
            Err(CallError::Refused(problem)) => assert_eq!(problem.code, code),
            other => panic!("{code}: {other:?}"),
        }
    }
    sandbox.stop().await;
}

/// Makes a delivery as often as it is asked.
struct Forgetful {
    bosta: bosta::Bosta,
    made: Mutex<u32>,
}

#[async_trait]
impl Courier for Forgetful {
    fn reads_back(&self) -> bool {
        true
    }

    async fn create_awb(&self, account: &Account, request: &AwbRequest) -> Result<Awb, CallError> {
        let reference = {
            let mut made = self.made.lock().unwrap();
            *made += 1;
            if *made == 1 { request.reference.clone() } else { format!("again {made}") }
        };
        let request = AwbRequest { reference, ..parcel_for_mona("") };
        self.bosta.create_awb(account, &request).await
    }

    async fn find_by_reference(
        &self,
        account: &Account,
        reference: &str,
        order_number: &str,
    ) -> Result<Vec<Awb>, CallError> {
        self.bosta.find_by_reference(account, reference, order_number).await
    }

    async fn print_awb(
        &self,
        account: &Account,
        awb: &Awb,
        format: LabelFormat,
    ) -> Result<Vec<u8>, CallError> {
        self.bosta.print_awb(account, awb, format).await
    }

    async fn void(&self, account: &Account, awb: &Awb) -> Result<(), CallError> {
        self.bosta.void(account, awb).await
    }

    async fn track(&self, account: &Account, awb: &Awb) -> Result<Tracked, CallError> {
        self.bosta.track(account, awb).await
    }

    async fn test_connection(&self, account: &Account) -> Result<Option<String>, CallError> {
        self.bosta.test_connection(account).await
    }

    fn authenticate_webhook(&self, secret_sha256: &[u8], header: &str) -> bool {
        self.bosta.authenticate_webhook(secret_sha256, header)
    }

    fn parse_webhook(&self, body: &[u8]) -> Result<Told, NotUnderstood> {
        self.bosta.parse_webhook(body)
    }
}

#[tokio::test]
async fn a_courier_that_makes_a_second_delivery_is_caught() {
    let dir = tempfile::tempdir().unwrap();
    let sandbox = sandbox(dir.path()).await;
    let broken = Forgetful { bosta: bosta_at(&sandbox), made: Mutex::default() };
    assert_eq!(broken_promise(&broken).await, Some("a reference is taken once"));
    sandbox.stop().await;
}

#[tokio::test]
async fn a_manual_courier_makes_nothing_and_says_what_to_do() {
    let (manual, account) = (manual::Manual, account(""));
    let made = manual.create_awb(&account, &parcel_for_mona("nx-1")).await;
    assert!(matches!(made, Err(CallError::Refused(no)) if no.code == "TYPED_NUMBER"));
    assert_eq!(manual.find_by_reference(&account, "nx-1", "NX-1001").await, Ok(vec![]));
    let told = manual.parse_webhook(br#"{"tracking_number":"77","status":"in_transit"}"#).unwrap();
    assert_eq!(told.tracking_number, "77");
    let odd = manual.parse_webhook(br#"{"tracking_number":"77","status":"teleported"}"#).unwrap();
    assert_eq!(odd.reading, Reading::Plain(crate::domain::tracking::TrackingStatus::Unrecognised));
}
