//! Files brought in through the running API: judged first, answered row by row, safe to repeat.

use std::path::{Path, PathBuf};
use std::process::Output;

use nexus_tests::harness::{Look, Nexus, Options};

/// A shop's folder with files to bring in.
struct Desk {
    nexus: Nexus,
    folder: tempfile::TempDir,
}

/// How a run ended, and its report.
struct Ran {
    code: i32,
    said: String,
    /// `row outcome reason field` of each row of the report.
    rows: Vec<String>,
}

impl Desk {
    async fn open() -> anyhow::Result<Self> {
        let nexus = Nexus::start(Options::default()).await?;
        let warehouse = serde_json::json!({"warehouse": "CAI1", "name": "Cairo", "priority": 1});
        nexus.rest()?.post("/v1/warehouses", &warehouse).await?;
        Ok(Self { nexus, folder: tempfile::tempdir()? })
    }

    fn file(&self, name: &str, text: impl AsRef<[u8]>) -> anyhow::Result<PathBuf> {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text)?;
        Ok(path)
    }

    async fn import(&self, what: &str, file: &Path, more: &[&str]) -> anyhow::Result<Ran> {
        let file = file.to_string_lossy();
        let words = [&["import", what, file.as_ref()], more].concat();
        self.ran(&self.nexus.tool(&words).await?)
    }

    fn ran(&self, output: &Output) -> anyhow::Result<Ran> {
        let told = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
        let report = std::fs::read_to_string(self.nexus.data().join("import-report.csv"));
        let rows = report.unwrap_or_default();
        let rows = rows.lines().skip(1).map(|line| {
            let field = |nth: usize| line.split(',').nth(nth).unwrap_or_default();
            [1, 3, 4, 5].map(field).join(" ").trim_end().to_owned()
        });
        Ok(Ran {
            code: output.status.code().unwrap_or(-1),
            said: String::from_utf8_lossy(&told).into_owned(),
            rows: rows.collect(),
        })
    }

    async fn on_hand(&self, sku: &str) -> anyhow::Result<i64> {
        let stock = self.nexus.rest()?.get(&format!("/v1/stock?sku={sku}")).await?;
        Ok(stock.list("items").iter().map(|item| item.number("on_hand")).sum())
    }

    async fn orders(&self) -> anyhow::Result<usize> {
        Ok(self.nexus.rest()?.all("/v1/orders", "orders").await?.len())
    }
}

/// The files of the guide.
fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/api/samples").join(name)
}

#[tokio::test]
async fn the_files_of_the_guide_make_a_shop_and_a_second_run_adds_nothing() -> anyhow::Result<()> {
    let desk = Desk::open().await?;
    for what in ["products", "bins", "stock", "orders"] {
        let file = sample(&format!("{what}.csv"));
        let more: &[&str] = if what == "orders" { &["--confirm"] } else { &[] };
        let dry = desk.import(what, &file, &[more, &["--dry-run"]].concat()).await?;
        assert_eq!(dry.code, 0, "{}", dry.said);
        assert!(dry.rows.iter().all(|row| row.ends_with("planned")), "{:?}", dry.rows);
        let first = desk.import(what, &file, more).await?;
        assert_eq!(first.code, 0, "{}", first.said);
        assert!(first.rows.iter().all(|row| row.contains("created")), "{:?}", first.rows);
        let again = desk.import(what, &file, more).await?;
        assert_eq!(again.code, 0, "{}", again.said);
        assert!(again.rows.iter().all(|row| row.contains("existing")), "{:?}", again.rows);
    }
    assert_eq!(desk.on_hand("TEE-WHT-M").await?, 40);
    let orders = desk.nexus.rest()?.all("/v1/orders", "orders").await?;
    assert_eq!(orders.len(), 2);
    assert!(orders.iter().all(|order| order.text("status") == "confirmed"), "{orders:?}");
    desk.nexus.verify().await
}

#[tokio::test]
async fn each_wrong_row_is_told_with_its_field_and_the_others_are_taken() -> anyhow::Result<()> {
    let desk = Desk::open().await?;
    let products = "sku,name,barcodes,weight_grams\nTEE,Shirt,,x\nMUG,Mug,6221000000010,\n,Cap,,\n";
    let ran = desk.import("products", &desk.file("p.csv", products)?, &[]).await?;
    assert_eq!(ran.code, 1, "{}", ran.said);
    assert_eq!(
        ran.rows,
        ["2 refused BAD_NUMBER weight_grams", "3 created", "4 refused MISSING sku"]
    );
    // Only the refused rows are in the file to be mended.
    let refused = desk.nexus.data().join("import-refused.csv");
    let left = std::fs::read_to_string(&refused)?;
    assert_eq!(left, "sku,name,barcodes,weight_grams\nTEE,Shirt,,x\n,Cap,,\n");
    let mended = desk.file("mended.csv", left.replace(",x\n", ",90\n").replace("\n,", "\nCAP,"))?;
    let ran = desk.import("products", &mended, &[]).await?;
    assert_eq!(
        (ran.code, ran.rows.as_slice()),
        (0, &["2 created", "3 created"].map(str::to_owned)[..])
    );
    assert!(!refused.exists());
    Ok(())
}

#[tokio::test]
async fn stock_is_received_with_all_rows_or_none() -> anyhow::Result<()> {
    let desk = Desk::open().await?;
    desk.import("products", &desk.file("p.csv", "sku,name\nMUG,Mug\n")?, &[]).await?;
    desk.import("bins", &desk.file("b.csv", "warehouse,bin\nCAI1,A-01-01-1-1\n")?, &[]).await?;
    let header = "warehouse,sku,bin,units\n";
    let wrong = format!("{header}CAI1,MUG,A-01-01-1-1,5\nCAI1,CAP,A-01-01-1-1,2\nCAI1,MUG,B-1,2\n");
    let file = desk.file("stock.csv", wrong)?;
    let ran = desk.import("stock", &file, &[]).await?;
    assert_eq!(ran.code, 1, "{}", ran.said);
    let expected =
        ["2 planned WAITS", "3 refused UNKNOWN sku", "4 refused UNKNOWN bin"].map(str::to_owned);
    assert_eq!(ran.rows, expected);
    assert_eq!(desk.on_hand("MUG").await?, 0);
    // Mended, it counts once, and so does a second copy of it.
    let right = format!("{header}CAI1,MUG,A-01-01-1-1,5\nCAI1,MUG,A-01-01-1-1,5\n");
    desk.file("stock.csv", &right)?;
    for file in [file, desk.file("copy.csv", &right)?] {
        let ran = desk.import("stock", &file, &[]).await?;
        assert_eq!(ran.code, 0, "{}", ran.said);
        assert_eq!(desk.on_hand("MUG").await?, 10);
    }
    Ok(())
}

const ORDERS: &str =
    "reference,name,phone,country,city,line1,currency,payment,sku,units,unit_price\n";

fn order(reference: &str, phone: &str, sku: &str) -> String {
    format!("{reference},Sara Ali,{phone},EG,Cairo,12 Nile St,EGP,cod,{sku},1,80\n")
}

#[tokio::test]
async fn an_order_is_made_whole_or_not_at_all_and_never_twice() -> anyhow::Result<()> {
    let desk = Desk::open().await?;
    desk.import("products", &desk.file("p.csv", "sku,name\nMUG,Mug\n")?, &[]).await?;
    let rows = [
        order("W-1", "010 0123 4567", "MUG"),
        order("W-2", "010 0123 4568", "MUG"),
        order("W-2", "", "CAP"),
        order("W-3", "12", "MUG"),
    ];
    let file = desk.file("orders.csv", format!("{ORDERS}{}", rows.concat()))?;
    let ran = desk.import("orders", &file, &[]).await?;
    assert_eq!(ran.code, 1, "{}", ran.said);
    let expected = [
        "2 created",
        "3 refused ORDER_INCOMPLETE",
        "4 refused UNKNOWN sku",
        "5 refused INVALID_ARGUMENT phone",
    ];
    assert_eq!(ran.rows, expected.map(str::to_owned));
    assert_eq!(desk.orders().await?, 1);
    // The same orders, made by somebody else under another key, are found by their reference.
    let other = serde_json::json!({"name": "Importer", "roles": ["admin"]});
    let key = desk.nexus.rest()?.post("/v1/api-keys", &other).await?;
    let key_file = desk.file("other.key", key.text("key"))?;
    let key_file = key_file.to_string_lossy();
    let again = desk.import("orders", &file, &["--key-file", &key_file]).await?;
    assert_eq!(again.rows.first().map(String::as_str), Some("2 existing"), "{}", again.said);
    assert_eq!(desk.orders().await?, 1);
    Ok(())
}

#[tokio::test]
async fn an_import_that_broke_off_goes_on_where_it_was() -> anyhow::Result<()> {
    let mut desk = Desk::open().await?;
    desk.import("products", &desk.file("p.csv", "sku,name\nMUG,Mug\n")?, &[]).await?;
    let rows = (0..60).map(|n| order(&format!("W-{n}"), &format!("01001{n:06}"), "MUG"));
    let file = desk.file("orders.csv", format!("{ORDERS}{}", rows.collect::<String>()))?;
    let some = desk.import("orders", &file, &["--limit", "7"]).await?;
    assert_eq!((some.code, desk.orders().await?), (0, 7));
    desk.nexus.kill9()?;
    let gone = desk.import("orders", &file, &[]).await?;
    assert_eq!(gone.code, 2, "{}", gone.said);
    assert!(gone.said.contains("start nexus up"), "{}", gone.said);
    desk.nexus.restart().await?;
    let rest = desk.import("orders", &file, &[]).await?;
    assert_eq!(rest.code, 0, "{}", rest.said);
    let existing = rest.rows.iter().filter(|row| row.contains("existing")).count();
    assert_eq!((existing, desk.orders().await?), (7, 60));
    Ok(())
}

#[tokio::test]
async fn a_file_that_cannot_be_read_says_how_to_save_it() -> anyhow::Result<()> {
    let desk = Desk::open().await?;
    for (bytes, told) in [
        (&b"sku,name\nA,caf\xE9\n"[..], "is not UTF-8"),
        (b"\xFF\xFEs\0k\0u\0", "is UTF-16"),
        (b"sku,colour\n", "sku, name, barcodes, weight_grams, stocked"),
        (b"sku,name\nA,\"open\n", "opened in line 2"),
    ] {
        let ran = desk.import("products", &desk.file("p.csv", bytes)?, &[]).await?;
        assert_eq!(ran.code, 1);
        assert!(ran.said.contains(told), "{}", ran.said);
    }
    // With the mark that Excel writes, and letters beyond ASCII.
    let excel = desk.file("p.csv", "\u{FEFF}sku,name\r\nA,قميص\r\n")?;
    assert_eq!(desk.import("products", &excel, &[]).await?.rows, ["2 created"]);
    let product = desk.nexus.rest()?.get("/v1/products/A").await?;
    assert_eq!(product.text("name"), "قميص");
    Ok(())
}
