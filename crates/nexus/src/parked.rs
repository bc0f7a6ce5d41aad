//! `nexus parked`: what processes tried often enough and gave up, and what to do about it.

use std::process::ExitCode;

use serde_json::{Value, json};

use crate::cli::{ParkedAction, ParkedArgs};
use crate::client::{Answer, CallError, Client, encoded, nothing, number, rows, text};

pub(crate) async fn run(args: ParkedArgs) -> anyhow::Result<ExitCode> {
    let client = match crate::import::reach(&args.reach).await {
        Ok(client) => client,
        Err(code) => return Ok(code),
    };
    match args.action.unwrap_or(ParkedAction::List) {
        ParkedAction::List => list(&client).await?,
        ParkedAction::Retry { id } => {
            let done = act(&client, &id, "retry", &nothing()).await?;
            println!("{id} is tried again ({})", text(&done.body, "process"));
        }
        ParkedAction::Skip { id, reason } => {
            let done = act(&client, &id, "skip", &json!({"reason": reason})).await?;
            println!("{id} is given up for good ({})", text(&done.body, "process"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn act(client: &Client, id: &str, verb: &str, body: &Value) -> Result<Answer, CallError> {
    let key = nexus_es::new_id().to_string();
    client.post(&format!("/v1/parked/{}:{verb}", encoded(id)), &key, body).await
}

async fn list(client: &Client) -> Result<(), CallError> {
    let (mut token, mut shown) = (String::new(), 0);
    loop {
        let page = client.get(&format!("/v1/parked?page_size=500&page_token={token}")).await?;
        for one in rows(&page, "parked") {
            println!("{}", described(one));
            shown += 1;
        }
        token = encoded(text(&page, "next_page_token"));
        if token.is_empty() {
            break;
        }
    }
    if shown == 0 {
        println!("nothing is parked");
    }
    Ok(())
}

fn described(one: &Value) -> String {
    let attempts = number(one, "attempts");
    let tried = match attempts {
        0 => "waits behind other parked work".to_owned(),
        1 => "tried once".to_owned(),
        n => format!("tried {n} times"),
    };
    let mut lines = vec![
        text(one, "id").to_owned(),
        format!("  {} {} on {}", text(one, "service"), text(one, "process"), text(one, "key")),
        format!("  {tried}, last at {}", text(one, "last_failed_at")),
    ];
    if !text(one, "order_id").is_empty() {
        lines.push(format!("  order {}", text(one, "order_id")));
    }
    lines.push(format!("  {}", text(one, "cause")));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parked_work_is_described_with_its_cause() {
        let one = json!({
            "id": "order.1", "service": "order", "process": "confirm_order", "key": "order/7",
            "attempts": 6, "last_failed_at": "2026-11-01T10:00:00Z", "order_id": "7",
            "cause": "inventory does not answer",
        });
        assert_eq!(
            described(&one),
            "order.1\n  order confirm_order on order/7\n  tried 6 times, last at \
             2026-11-01T10:00:00Z\n  order 7\n  inventory does not answer"
        );
    }
}
