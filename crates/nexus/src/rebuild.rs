//! `nexus rebuild`: read models made anew from the logs, beside the live ones.

use std::process::ExitCode;
use std::time::Duration;

use serde_json::Value;

use crate::cli::RebuildArgs;
use crate::client::{encoded, nothing, number, text};

/// All that have read models.
const SERVICES: &[&str] =
    &["order", "inventory", "fulfillment", "shipping", "notification", "ingress", "gateway"];
/// A long log takes long to read.
const PATIENCE: Duration = Duration::from_secs(3_600);

pub(crate) async fn run(args: RebuildArgs) -> anyhow::Result<ExitCode> {
    let client = match crate::import::reach(&args.reach).await {
        Ok(client) => client.for_long_work(PATIENCE),
        Err(code) => return Ok(code),
    };
    let services: Vec<&str> = match &args.service {
        Some(service) => vec![service],
        None => SERVICES.to_vec(),
    };
    for service in services {
        let path = format!("/v1/views/{}:rebuild", encoded(service));
        let key = nexus_es::new_id().to_string();
        let rebuilt = client.post(&path, &key, &nothing()).await?;
        println!("{}", described(service, &rebuilt.body));
    }
    Ok(ExitCode::SUCCESS)
}

fn described(service: &str, rebuilt: &Value) -> String {
    let (before, after) = (text(rebuilt, "before"), text(rebuilt, "after"));
    let verdict = if before == after { "same rows" } else { "other rows" };
    format!(
        "{service}: rebuilt in {} ms, {verdict}\n  before {before}\n  after  {after}",
        number(rebuilt, "took_ms")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_rebuild_tells_both_digests() {
        let rebuilt = json!({"before": "aa", "after": "ab", "took_ms": 7});
        let told = "order: rebuilt in 7 ms, other rows\n  before aa\n  after  ab";
        assert_eq!(described("order", &rebuilt), told);
    }
}
