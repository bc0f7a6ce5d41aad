//! I36: what is personal stands in clear in no log, blob, key file, log line or trace.
//! *Invariant:* clear text is only in the tables of persons in the views, where erasing drops it.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use nexus_tests::harness::bytes::{files_below, position};
use nexus_tests::harness::look::with;
use nexus_tests::harness::shop::{LAMP, MUG};
use nexus_tests::harness::{Life, Look, Nexus, Options, Wish, wait};
use serde_json::json;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};

/// What only a leak could spell: names, phones, addresses and notes, as they are typed.
const CANARIES: [&str; 14] = [
    "Zumurrudah",
    "زمردةكناري",
    "1098765432",
    "zumurrudah@canary.example",
    "Canarybird Street",
    "Nestbuilding",
    "Perchfloor",
    "Feathernote",
    "ملاحظةريش",
    "Molting",
    "1087654321",
    "Cagekeeper",
    "Plumage Lane",
    "Birdseed",
];

const FORGOTTEN_WITHIN: std::time::Duration = std::time::Duration::from_secs(10);

/// Also the ways in which bytes are usually written as text.
fn spellings() -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for canary in CANARIES {
        let mut add = |how: &str, bytes: Vec<u8>| all.push((format!("{canary} ({how})"), bytes));
        add("as it is", canary.as_bytes().to_vec());
        add("lower case", canary.to_lowercase().into_bytes());
        add("escaped", json!(canary).to_string().trim_matches('"').as_bytes().to_vec());
        let escaped = canary.encode_utf16().map(|unit| format!("\\u{unit:04x}"));
        add("escaped by code", escaped.collect::<String>().into_bytes());
        add("hex", canary.bytes().map(|byte| format!("{byte:02x}")).collect::<String>().into());
        for shift in 0..3 {
            let shifted = [vec![b'x'; shift], canary.as_bytes().to_vec()].concat();
            let text = STANDARD.encode(shifted);
            // The ends depend on the neighbours.
            let inner = text.get(4..text.len().saturating_sub(4)).unwrap_or_default();
            if inner.len() >= 8 {
                add("base64", inner.as_bytes().to_vec());
            }
        }
    }
    all
}

fn leaks(file: &Path, needles: &[(String, Vec<u8>)]) -> anyhow::Result<Vec<String>> {
    let bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let found = needles.iter().filter_map(|(name, needle)| {
        let at = position(&bytes, needle)?;
        let from = at.saturating_sub(60);
        let around = bytes.get(from..(at + 60).min(bytes.len())).unwrap_or_default();
        let around = String::from_utf8_lossy(around);
        Some(format!("{name} in {} at {at}: …{around}…", file.display()))
    });
    Ok(found.collect())
}

/// Tables beside the `person` tables that hold a canary.
async fn leaking_tables(
    database: &Path,
    needles: &[(String, Vec<u8>)],
) -> anyhow::Result<Vec<String>> {
    let options = SqliteConnectOptions::new().filename(database).read_only(true);
    let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await?;
    let tables: Vec<String> =
        sqlx::query_scalar("SELECT name FROM sqlite_master WHERE type = 'table'")
            .fetch_all(&pool)
            .await?;
    let mut found = Vec::new();
    for table in tables.iter().filter(|table| !table.contains("person")) {
        let columns: Vec<String> = sqlx::query_scalar("SELECT name FROM pragma_table_info($1)")
            .bind(table)
            .fetch_all(&pool)
            .await?;
        for column in columns {
            let query = format!("SELECT CAST(\"{column}\" AS BLOB) FROM \"{table}\"");
            let cells: Vec<Option<Vec<u8>>> =
                sqlx::query_scalar(sqlx::AssertSqlSafe(query)).fetch_all(&pool).await?;
            for (name, needle) in needles {
                if cells.iter().flatten().any(|cell| position(cell, needle).is_some()) {
                    found.push(format!("{name} in {}: {table}.{column}", database.display()));
                }
            }
        }
    }
    pool.close().await;
    Ok(found)
}

fn wish() -> serde_json::Value {
    let personal = json!({
        "contact": {
            "name": "Zumurrudah زمردةكناري", "phone": "+201098765432", "language": "ar",
            "email": "zumurrudah@canary.example",
            "consents": [{"channel": "whatsapp", "granted": true, "source": "checkout"}],
            "addresses": [{"country": "EG", "governorate": "Cairo", "city": "Cairo",
                           "district": "Nasr City", "line1": "9 Plumage Lane"}],
        },
        "shipping_address": {
            "country": "EG", "governorate": "Cairo", "city": "Cairo", "district": "Nasr City",
            "line1": "12 Canarybird Street", "line2": "behind the Birdseed shop",
            "building": "Nestbuilding", "floor": "Perchfloor", "apartment": "7",
        },
        "notes": ["Feathernote: ring twice", "ملاحظةريش"],
    });
    with(Wish::of(1, &[(MUG, 2), (LAMP, 1)]).body(), &personal)
}

#[tokio::test]
async fn no_name_phone_address_or_note_stands_in_clear_outside_the_person_tables()
-> anyhow::Result<()> {
    let options = Options { log: "debug".to_owned(), ..Options::at_speed(10.0) };
    let (mut nexus, shop) = Nexus::with_shop(options, 20).await?;
    let mut life = Life::begin_with(&shop, &wish()).await?;
    let note = json!({"text": "Molting season, call first", "visibility": "customer"});
    shop.rest.post(&format!("/v1/orders/{}:add-note", life.order_id), &note).await?;
    let keeper = json!({"name": "Cagekeeper", "phone": "+201087654321"});
    let keeper = shop.rest.post("/v1/contacts", &keeper).await?;
    for query in ["Zumurrudah", "01098765432"] {
        let found = shop.rest.post("/v1/orders:search", &json!({"query": query})).await?;
        assert_eq!(found.list("orders").len(), 1, "searched for {query}");
    }
    // What is refused must not be told to the log either.
    let wrong = json!({"contact": {"name": "Cagekeeper", "phone": "1087654321 ext"}, "lines": []});
    assert_eq!(shop.rest.command("/v1/orders", &wrong).await?.status, 400);
    let amended = json!({"name": "Cagekeeper the Elder"});
    let path = format!("/v1/contacts/{}", keeper.text("contact_id"));
    let key = nexus_tests::harness::Rest::fresh_key();
    shop.rest.command_with(reqwest::Method::PATCH, &path, &amended, &key).await?.ok()?;
    life.walk().await?;
    a_stranger_posts(&nexus, &shop.rest).await?;
    wait::until("for the messages to be read", std::time::Duration::from_secs(30), async || {
        let messages = life.messages().await?;
        Ok(messages.iter().all(|message| message.text("status") == "read").then_some(()))
    })
    .await?;
    let while_running = findings(&nexus).await?;
    ensure!(while_running.is_empty(), "{}", while_running.join("\n"));
    nexus.terminate().await?;
    let stopped = findings(&nexus).await?;
    ensure!(stopped.is_empty(), "{}", stopped.join("\n"));
    nexus.verify().await
}

/// A webhook is personal data before anybody has read it.
async fn a_stranger_posts(nexus: &Nexus, rest: &nexus_tests::harness::Rest) -> anyhow::Result<()> {
    let account = json!({"courier": "bosta", "name": "Ours", "mode": "sandbox",
                         "credentials": {"api_key": "sandbox-key-2"}});
    let account = rest.post("/v1/courier-accounts", &account).await?;
    let body = json!({"trackingNumber": "900001", "state": 41, "type": "SEND",
                      "receiver": {"name": "Cagekeeper", "phone": "+201087654321"}});
    let http = reqwest::Client::builder().no_proxy().build()?;
    let posted = http
        .post(account.text("webhook_url"))
        .header(account.text("webhook_header"), account.text("webhook_secret"))
        .json(&body)
        .send()
        .await?;
    ensure!(posted.status().is_success(), "{} at {}", posted.status(), nexus.endpoints.ingress);
    Ok(())
}

async fn findings(nexus: &Nexus) -> anyhow::Result<Vec<String>> {
    let needles = spellings();
    // The sandboxes are other people's servers, which know whom they deliver to.
    let mut files = files_below(&nexus.data(), &["sandbox", "views"])?;
    files.extend(nexus.outputs());
    let looked: Vec<_> = files.iter().map(|file| file.display().to_string()).collect();
    ensure!(looked.iter().any(|file| file.contains("log.db")), "no log among {looked:?}");
    let mut found = Vec::new();
    for file in &files {
        found.extend(leaks(file, &needles)?);
    }
    let views: Vec<PathBuf> = files_below(&nexus.data().join("views"), &[])?
        .into_iter()
        .filter(|file| std::fs::read(file).is_ok_and(|bytes| bytes.starts_with(b"SQLite format 3")))
        .collect();
    ensure!(!views.is_empty(), "there are no view databases");
    for view in views {
        found.extend(leaking_tables(&view, &needles).await?);
    }
    Ok(found)
}

/// I37, and that it outlives the restore of a backup from before.
#[tokio::test]
async fn an_erased_person_is_read_nowhere_and_does_not_come_back_with_an_old_backup()
-> anyhow::Result<()> {
    let options = Options { keep_ports: true, ..Options::at_speed(10.0) };
    let (mut nexus, shop) = Nexus::with_shop(options, 20).await?;
    let mut life = Life::begin_with(&shop, &wish()).await?;
    life.walk().await?;
    life.until_status("delivered").await?;
    let before = life.order().await?;
    let contact = before["contact"].text("contact_id").to_owned();
    let backup = tempfile::tempdir()?;
    nexus.terminate().await?;
    copy_files(&nexus.data(), backup.path())?;
    nexus.restart().await?;

    assert!(!everywhere(&nexus)?.is_empty(), "the read models do not know the person");
    let path = format!("/v1/contacts/{contact}:erase");
    shop.rest.post(&path, &json!({"reason": "asked by letter"})).await?;
    wait::until("nothing of the person to be left", FORGOTTEN_WITHIN, async || {
        Ok(everywhere(&nexus)?.is_empty().then_some(()))
    })
    .await
    .with_context(|| format!("{:?}", everywhere(&nexus)))?;
    let after = life.order().await?;
    assert_eq!(after["totals"], before["totals"]);
    assert_eq!(after.text("status"), "delivered");
    let messages = life.messages().await?;
    assert!(messages.len() >= 3 && messages.iter().all(|message| message.text("body").is_empty()));
    for shipment in after.list("shipments") {
        let label = format!("/v1/shipments/{}:print-awb", shipment.as_str().unwrap_or_default());
        let label = shop.rest.read(&label).await?;
        assert_eq!((label.status, label.body.text("reason")), (409, "NO_LABEL"));
    }
    let path = format!("/v1/contacts/{contact}/erasure-certificate");
    let certificate = shop.rest.get(&path).await?;
    assert_eq!(certificate["key_destroyed"], json!(true));
    let events = certificate.list("events");
    for event in ["contact.Registered", "order.Created", "shipment.LabelStored"] {
        assert!(events.iter().any(|it| it.text("type") == event), "{event} of {events:?}");
    }
    nexus.verify().await?;

    nexus.terminate().await?;
    restore(backup.path(), &nexus.data())?;
    nexus.restart().await?;
    let known = shop.rest.get(&format!("/v1/contacts/{contact}")).await?;
    assert_eq!((&known["erased"], known.text("name")), (&json!(true), ""));
    let left = everywhere(&nexus)?;
    ensure!(left.is_empty(), "{}", left.join("\n"));
    // Who comes again is a new contact, whatever the old log says of the phone.
    let again = Life::begin_with(&shop, &wish()).await?.order().await?;
    assert_ne!(again["contact"].text("contact_id"), contact);
    assert_eq!(again["contact"].text("phone"), "+201098765432");
    nexus.terminate().await?;
    nexus.verify().await
}

/// As `docs/operating/backup.md` says: all but the erase ledger is taken from the backup.
fn restore(backup: &Path, data: &Path) -> anyhow::Result<()> {
    for file in files_below(data, &["sandbox"])? {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        if !name.starts_with("erased.db") {
            std::fs::remove_file(&file)?;
        }
    }
    for file in files_below(backup, &["sandbox", "views"])? {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        if !name.starts_with("erased.db") && !name.starts_with("checkpoints.db") {
            let to = data.join(file.strip_prefix(backup)?);
            std::fs::copy(&file, to)?;
        }
    }
    Ok(())
}

fn copy_files(from: &Path, into: &Path) -> anyhow::Result<()> {
    for file in files_below(from, &[])? {
        let to = into.join(file.strip_prefix(from)?);
        std::fs::create_dir_all(to.parent().context("a file lies in a folder")?)?;
        std::fs::copy(&file, to)?;
    }
    Ok(())
}

/// Canaries in all files, read models included.
fn everywhere(nexus: &Nexus) -> anyhow::Result<Vec<String>> {
    let needles = spellings();
    let mut files = files_below(&nexus.data(), &["sandbox"])?;
    files.extend(nexus.outputs());
    let mut found = Vec::new();
    for file in files {
        found.extend(leaks(&file, &needles)?);
    }
    Ok(found)
}

#[test]
fn a_planted_leak_is_found_in_any_spelling() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("log.db");
    let needles = spellings();
    std::fs::write(&file, "nothing to see")?;
    assert!(leaks(&file, &needles)?.is_empty());
    for (name, leaked) in &needles {
        std::fs::write(&file, [b"before ", leaked.as_slice(), b" after"].concat())?;
        assert!(!leaks(&file, &needles)?.is_empty(), "{name} was not found");
    }
    let sealed = STANDARD.encode("Dear Zumurrudah, your parcel");
    std::fs::write(&file, sealed)?;
    assert!(!leaks(&file, &needles)?.is_empty());
    Ok(())
}
