//! What the walk left, in tables, and whether it went well.

use serde_json::Value;

use super::Walked;
use super::goods::Stock;
use super::guide::{Guide, Reached};
use super::road::MESSAGES;
use super::screen::took;
use crate::client::{number, text};

/// The way of every order that nothing bends.
const STATUSES: [&str; 7] =
    ["pending", "confirmed", "processing", "picked", "packed", "shipped", "delivered"];

/// Shows statuses, stock, the courier's updates and the messages.
pub(crate) fn tables(guide: &Guide, walked: &Walked) {
    let screen = guide.screen;
    let print = |title: &str, headings: &[&str], rows: &[Vec<String>]| {
        println!("\n{}\n{}", screen.bold(title), screen.table(headings, rows));
    };
    print(
        &format!("Order {}", walked.order_id),
        &["status", "after", "by"],
        &statuses(&guide.reached),
    );
    print(
        "Stock",
        &["sku", "on hand before", "after", "reserved", "picked", "available"],
        &stock(&walked.before, &walked.after),
    );
    let logs: Vec<_> = walked.road.logs.iter().map(log).collect();
    print(
        "awb_status_logs",
        &["logged at", "code", "type", "status", "flags", "description"],
        &logs,
    );
    let messages: Vec<_> = walked.road.messages.iter().map(message).collect();
    print("Messages", &["milestone", "channel", "language", "status", "body"], &messages);
    println!("\n{}\n  {}", screen.bold("Label"), walked.label.display());
}

/// Says whether it went well.
pub(crate) fn verdict(guide: &Guide, walked: &Walked, verified: bool) -> bool {
    let read = walked.road.read();
    let missing = missing(&guide.reached);
    let checks = [
        (missing.is_empty(), seen(&missing)),
        (walked.road.delivered, "the order is delivered".to_owned()),
        (read == MESSAGES, format!("{read} of {MESSAGES} messages are read")),
        (verified, "verify: logs and views hold together".to_owned()),
    ];
    println!();
    for (well, what) in &checks {
        let mark = if *well { guide.screen.good("ok     ") } else { guide.screen.bad("FAILED ") };
        println!("{mark}{what}");
    }
    println!("{}", guide.screen.dim(&format!("the walk took {}", took(guide.elapsed()))));
    checks.iter().all(|(well, _)| *well)
}

/// Statuses of the way that were not seen, in a sentence's words.
fn missing(reached: &[Reached]) -> Vec<&'static str> {
    let seen = |status: &str| reached.iter().any(|one| one.status == status);
    STATUSES.into_iter().filter(|status| !seen(status)).collect()
}

fn seen(missing: &[&str]) -> String {
    match missing {
        [] => format!("the order went through all {} statuses", STATUSES.len()),
        _ => format!("the order was never seen {}", missing.join(", ")),
    }
}

fn statuses(reached: &[Reached]) -> Vec<Vec<String>> {
    let row = |one: &Reached| vec![one.status.clone(), took(one.after), one.by.clone()];
    reached.iter().map(row).collect()
}

fn stock(before: &[Stock], after: &[Stock]) -> Vec<Vec<String>> {
    let row = |(before, after): (&Stock, &Stock)| {
        let mut row = vec![after.sku.to_owned()];
        let counts = [before.on_hand, after.on_hand, after.reserved, after.picked, after.available];
        row.extend(counts.map(|count| count.to_string()));
        row
    };
    before.iter().zip(after).map(row).collect()
}

fn log(log: &Value) -> Vec<String> {
    let flags = ["late", "duplicate"];
    let set =
        flags.into_iter().filter(|flag| log.get(*flag).and_then(Value::as_bool) == Some(true));
    let mut flags: Vec<String> = set.map(str::to_owned).collect();
    if number(log, "attempt") > 0 {
        flags.push(format!("attempt {}", number(log, "attempt")));
    }
    let field = |name: &str| text(log, name).to_owned();
    vec![
        field("logged_at"),
        field("code"),
        field("type"),
        field("status"),
        flags.join(" "),
        field("description"),
    ]
}

fn message(message: &Value) -> Vec<String> {
    let field = |name: &str| text(message, name).to_owned();
    let status = match text(message, "reason") {
        "" => field("status"),
        reason => format!("{} ({reason})", field("status")),
    };
    let body = text(message, "body").split_whitespace().collect::<Vec<_>>().join(" ");
    vec![field("milestone"), field("channel"), field("language"), status, body]
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use serde_json::json;

    #[test]
    fn a_status_that_was_never_seen_is_missed() {
        let reached = |status: &str| Reached {
            status: status.to_owned(),
            after: Duration::ZERO,
            by: String::new(),
        };
        let all: Vec<_> = STATUSES.map(reached).into();
        assert!(missing(&all).is_empty());
        assert_eq!(missing(&[reached("pending"), reached("shipped")]).len(), 5);
    }

    #[test]
    fn a_row_of_the_log_shows_what_was_odd_about_it() {
        let row = log(&json!({"code": "45", "status": "delivered", "late": true, "attempt": 2}));
        assert_eq!(row, ["", "45", "", "delivered", "late attempt 2", ""]);
    }

    #[test]
    fn a_message_is_one_line() {
        let row = message(&json!({"milestone": "shipped", "status": "read", "body": "a\n b"}));
        assert_eq!(row, ["shipped", "", "", "read", "a b"]);
    }
}
