//! Spans as tests look at them, whether they came as lines or to a collector.

use std::collections::{BTreeMap, BTreeSet};

use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::trace::v1::ResourceSpans;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use serde_json::Value;

use super::look::Look;

const STORY: &str = "nexus.story";
const NOBODY: &str = "0000000000000000";

/// One finished span.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// `service.name` of the process that told it; empty for a line.
    pub service: String,
    /// Its trace, 32 hex digits.
    pub trace_id: String,
    /// Its own id.
    pub span_id: String,
    /// The span it is part of; empty for a root.
    pub parent: String,
    /// Its name.
    pub name: String,
    /// `server`, `client`, `consumer`, `internal`.
    pub kind: String,
    /// Whether it failed.
    pub failed: bool,
    /// Traces and spans that it goes on from.
    pub links: Vec<(String, String)>,
    /// Attributes, as text.
    pub attributes: BTreeMap<String, String>,
    /// What was logged inside it: messages and fields, as text.
    pub events: Vec<String>,
    /// Keys that stand more than once.
    pub repeated: Vec<String>,
}

impl Told {
    /// One attribute; empty when it is not there.
    #[must_use]
    pub fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).map(String::as_str).unwrap_or_default()
    }

    /// The story that it belongs to.
    #[must_use]
    pub fn story(&self) -> &str {
        self.attribute(STORY)
    }

    /// A line of the log; `None` when it is no span.
    #[must_use]
    pub fn of_line(line: &Value) -> Option<Self> {
        if line.text("kind") != "span" {
            return None;
        }
        let parent = line.text("parent_span_id");
        let attributes = line.at("attributes").as_object();
        let link =
            |link: &Value| (link.text("trace_id").to_owned(), link.text("span_id").to_owned());
        Some(Self {
            trace_id: line.text("trace_id").to_owned(),
            span_id: line.text("span_id").to_owned(),
            parent: if parent == NOBODY { String::new() } else { parent.to_owned() },
            name: line.text("name").to_owned(),
            kind: line.text("span_kind").to_owned(),
            links: line.list("links").iter().map(link).collect(),
            attributes: attributes
                .into_iter()
                .flatten()
                .map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned()))
                .collect(),
            ..Self::default()
        })
    }

    /// All spans of one push.
    #[must_use]
    pub fn of_push(pushed: &ResourceSpans) -> Vec<Self> {
        let attributes = pushed.resource.iter().flat_map(|resource| &resource.attributes);
        let name = attributes.clone().find(|attribute| attribute.key == "service.name");
        let service = name.map(|name| text(name.value.as_ref().and_then(|v| v.value.as_ref())));
        let service = service.unwrap_or_default();
        let spans = pushed.scope_spans.iter().flat_map(|scope| &scope.spans);
        spans
            .map(|span| {
                let mut told = Self {
                    service: service.clone(),
                    trace_id: hex(&span.trace_id),
                    span_id: hex(&span.span_id),
                    parent: hex(&span.parent_span_id),
                    name: span.name.clone(),
                    kind: span.kind().as_str_name().trim_start_matches("SPAN_KIND_").to_lowercase(),
                    failed: span.status.as_ref().is_some_and(|s| s.code() == StatusCode::Error),
                    links: span.links.iter().map(|l| (hex(&l.trace_id), hex(&l.span_id))).collect(),
                    ..Self::default()
                };
                for event in &span.events {
                    let fields = event.attributes.iter().map(|field| {
                        let value = field.value.as_ref().and_then(|value| value.value.as_ref());
                        format!(" {}={}", field.key, text(value))
                    });
                    told.events.push(event.name.clone() + &fields.collect::<String>());
                }
                for attribute in &span.attributes {
                    let value = text(attribute.value.as_ref().and_then(|v| v.value.as_ref()));
                    if told.attributes.insert(attribute.key.clone(), value).is_some() {
                        told.repeated.push(attribute.key.clone());
                    }
                }
                told
            })
            .collect()
    }
}

fn text(value: Option<&Any>) -> String {
    match value {
        Some(Any::StringValue(text)) => text.clone(),
        Some(Any::IntValue(number)) => number.to_string(),
        Some(Any::BoolValue(yes)) => yes.to_string(),
        Some(Any::DoubleValue(number)) => number.to_string(),
        _ => String::new(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Spans, whose parents are nowhere among them.
#[must_use]
pub fn orphans(spans: &[Told]) -> Vec<&Told> {
    let known: BTreeSet<_> = spans.iter().map(|span| span.span_id.as_str()).collect();
    let has_none = |span: &&Told| !span.parent.is_empty() && !known.contains(span.parent.as_str());
    spans.iter().filter(has_none).collect()
}

/// The parts that the traces of a story fall into, when parents and links hold them together: for
/// each part the names of its spans. One part is a story that can be followed from end to end.
#[must_use]
pub fn parts<'a>(spans: &'a [Told], story: &str) -> Vec<BTreeSet<&'a str>> {
    let traces: BTreeSet<_> = spans
        .iter()
        .filter(|span| span.story() == story)
        .map(|span| span.trace_id.as_str())
        .collect();
    // A trace whose spans have one root is whole by its parents; links hold traces together.
    let mut part_of: BTreeMap<&str, &str> = traces.iter().map(|trace| (*trace, *trace)).collect();
    let linked = spans.iter().filter(|span| traces.contains(span.trace_id.as_str()));
    for span in linked {
        for (there, _) in &span.links {
            let here = part_of.get(span.trace_id.as_str()).copied();
            let there = part_of.get(there.as_str()).copied();
            if let (Some(here), Some(there)) = (here, there) {
                for part in part_of.values_mut().filter(|part| **part == here) {
                    *part = there;
                }
            }
        }
    }
    let mut names: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for span in spans {
        if let Some(part) = part_of.get(span.trace_id.as_str()) {
            names.entry(part).or_default().insert(&span.name);
        }
    }
    names.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(trace: &str, id: &str, parent: &str, link: Option<&str>) -> Told {
        Told {
            trace_id: trace.to_owned(),
            span_id: id.to_owned(),
            parent: parent.to_owned(),
            name: format!("span {id}"),
            links: link.map(|trace| (trace.to_owned(), "x".to_owned())).into_iter().collect(),
            attributes: [(STORY.to_owned(), "order 7".to_owned())].into(),
            ..Told::default()
        }
    }

    #[test]
    fn a_span_without_its_parent_is_an_orphan() {
        let spans =
            [span("a", "1", "", None), span("a", "2", "1", None), span("b", "3", "9", None)];
        let found: Vec<_> = orphans(&spans).into_iter().map(|span| &*span.span_id).collect();
        assert_eq!(found, ["3"]);
    }

    #[test]
    fn a_story_is_as_many_parts_as_links_leave_apart() {
        let mut spans = vec![span("a", "1", "", None), span("b", "2", "", None)];
        spans.push(span("c", "3", "", Some("b")));
        assert_eq!(parts(&spans, "order 7").len(), 2);
        spans.push(span("c", "4", "3", Some("a")));
        assert_eq!(parts(&spans, "order 7").len(), 1);
        assert!(parts(&spans, "order 8").is_empty());
    }
}
