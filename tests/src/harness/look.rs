//! Reading JSON answers by path; what is not there reads as empty.

use serde_json::Value;

static NOTHING: Value = Value::Null;

/// Reads a JSON value by a path such as `lines/0/sku`.
pub trait Look {
    /// What stands there; null when nothing does.
    fn at(&self, path: &str) -> &Value;

    /// The text there; empty when there is none.
    fn text(&self, path: &str) -> &str {
        self.at(path).as_str().unwrap_or_default()
    }

    /// The whole number there; zero when there is none.
    fn number(&self, path: &str) -> i64 {
        self.at(path).as_i64().unwrap_or_default()
    }

    /// Whether true stands there.
    fn is(&self, path: &str) -> bool {
        self.at(path).as_bool().unwrap_or_default()
    }

    /// The list there; empty when there is none.
    fn list(&self, path: &str) -> &[Value] {
        self.at(path).as_array().map(Vec::as_slice).unwrap_or_default()
    }
}

impl Look for Value {
    fn at(&self, path: &str) -> &Value {
        path.split('/').try_fold(self, step).unwrap_or(&NOTHING)
    }
}

/// Puts fields into an object, over those of the same name.
#[must_use]
pub fn with(mut object: Value, fields: &Value) -> Value {
    if let (Some(object), Some(fields)) = (object.as_object_mut(), fields.as_object()) {
        object.extend(fields.clone());
    }
    object
}

fn step<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    match value {
        Value::Array(list) => list.get(name.parse::<usize>().ok()?),
        _ => value.get(name),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_path_leads_through_objects_and_lists() {
        let order = json!({"lines": [{"sku": "MUG", "units": 3}], "settled": true});
        assert_eq!(order.text("lines/0/sku"), "MUG");
        assert_eq!(order.number("lines/0/units"), 3);
        assert!(order.is("settled"));
        assert_eq!(order.text("lines/1/sku"), "");
        assert!(order.list("nowhere").is_empty());
    }
}
