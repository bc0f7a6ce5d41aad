//! The routes that the contracts name, and how a path finds its route.

use std::collections::BTreeSet;

use http::Method;
use percent_encoding::percent_decode_str;
use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor, Value};

/// Why the contracts cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum BadContract {
    /// The descriptor set does not decode.
    #[error("the contracts do not decode")]
    Descriptors(#[from] prost_reflect::DescriptorError),
    /// An option says something that the gateway does not understand.
    #[error("the http option of {rpc} is not understood: {why}")]
    Option {
        /// The rpc.
        rpc: String,
        /// What is wrong.
        why: String,
    },
}

/// Where an rpc takes its message from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BodyRule {
    /// Path and query only.
    None,
    /// The whole message.
    Whole,
    /// One field of it.
    Field(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Literal(String),
    Parameter(String),
}

/// One route.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) method: Method,
    pub(crate) template: String,
    pub(crate) rpc: MethodDescriptor,
    pub(crate) body: BodyRule,
    segments: Vec<Segment>,
    verb: Option<String>,
}

/// What a path led to.
pub(crate) enum Matched<'a> {
    Route { route: &'a Route, parameters: Vec<(String, String)> },
    OtherMethods(BTreeSet<String>),
    Nothing,
}

/// All routes.
#[derive(Debug)]
pub struct Routes {
    routes: Vec<Route>,
}

impl Routes {
    /// Reads the http options of every service in a descriptor set.
    ///
    /// # Errors
    /// [`BadContract`] when an option cannot be served.
    pub fn of(descriptors: &[u8]) -> Result<Self, BadContract> {
        let pool = DescriptorPool::decode(descriptors)?;
        let mut routes = Vec::new();
        let Some(extension) = pool.get_extension_by_name("google.api.http") else {
            return Ok(Self { routes });
        };
        for rpc in pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()) {
            let options = rpc.options();
            if !options.has_extension(&extension) {
                continue;
            }
            if let Value::Message(rule) = options.get_extension(&extension).as_ref() {
                add(&mut routes, &rpc, rule)?;
            }
        }
        // Verbs before none and literals before parameters, so that neither is taken for an id.
        routes.sort_by_key(|route| {
            let parameters = route.segments.iter().map(|s| matches!(s, Segment::Parameter(_)));
            (route.verb.is_none(), parameters.collect::<Vec<_>>())
        });
        Ok(Self { routes })
    }

    pub(crate) fn find(&self, method: &Method, path: &str) -> Matched<'_> {
        let mut others = BTreeSet::new();
        for route in &self.routes {
            let Some(parameters) = route.matches(path) else { continue };
            if route.method == *method {
                return Matched::Route { route, parameters };
            }
            others.insert(route.method.to_string());
        }
        if others.is_empty() { Matched::Nothing } else { Matched::OtherMethods(others) }
    }
}

fn add(
    routes: &mut Vec<Route>,
    rpc: &MethodDescriptor,
    rule: &DynamicMessage,
) -> Result<(), BadContract> {
    let bad =
        |why: &str| BadContract::Option { rpc: rpc.full_name().to_owned(), why: why.to_owned() };
    let text = |name: &str| match rule.get_field_by_name(name).as_deref() {
        Some(Value::String(text)) if !text.is_empty() => Some(text.clone()),
        _ => None,
    };
    let named = [
        ("get", Method::GET),
        ("post", Method::POST),
        ("put", Method::PUT),
        ("patch", Method::PATCH),
        ("delete", Method::DELETE),
    ];
    let (template, method) = named
        .into_iter()
        .find_map(|(name, method)| text(name).map(|template| (template, method)))
        .ok_or_else(|| bad("it names no path"))?;
    let (path, verb) = match template.rsplit_once(':') {
        Some((path, verb)) if !verb.contains('/') => (path, Some(verb.to_owned())),
        _ => (template.as_str(), None),
    };
    let segments = path.trim_start_matches('/').split('/').map(segment).collect();
    let body = match text("body").as_deref() {
        None => BodyRule::None,
        Some("*") => BodyRule::Whole,
        Some(field) => BodyRule::Field(field.to_owned()),
    };
    let rpc_of_route = rpc.clone();
    routes.push(Route {
        method,
        template: template.clone(),
        rpc: rpc_of_route,
        body,
        segments,
        verb,
    });
    if let Some(Value::List(more)) = rule.get_field_by_name("additional_bindings").as_deref() {
        for rule in more.iter().filter_map(Value::as_message) {
            add(routes, rpc, rule)?;
        }
    }
    Ok(())
}

fn segment(text: &str) -> Segment {
    match text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
        Some(name) => Segment::Parameter(name.to_owned()),
        None => Segment::Literal(text.to_owned()),
    }
}

impl Route {
    fn matches(&self, path: &str) -> Option<Vec<(String, String)>> {
        let path = match &self.verb {
            Some(verb) => path.strip_suffix(verb.as_str())?.strip_suffix(':')?,
            None => path,
        };
        let mut given = path.trim_start_matches('/').split('/');
        let mut parameters = Vec::new();
        for segment in &self.segments {
            let text = percent_decode_str(given.next()?).decode_utf8().ok()?;
            match segment {
                Segment::Literal(literal) if *literal == text => {}
                Segment::Literal(_) => return None,
                Segment::Parameter(_) if text.is_empty() => return None,
                Segment::Parameter(name) => parameters.push((name.clone(), text.into_owned())),
            }
        }
        // A verb that no route has would otherwise look like a part of an id.
        let asks_for_verb = self.verb.is_none() && self.method != Method::GET;
        let unknown_verb = asks_for_verb
            && matches!(self.segments.last(), Some(Segment::Parameter(_)))
            && parameters.last().is_some_and(|(_, id)| id.contains(':'));
        (given.next().is_none() && !unknown_verb).then_some(parameters)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(method: &Method, path: &str) -> Option<(String, Vec<(String, String)>)> {
        let routes = Routes::of(nexus_proto::FILE_DESCRIPTOR_SET).unwrap();
        match routes.find(method, path) {
            Matched::Route { route, parameters } => Some((route.rpc.name().to_owned(), parameters)),
            Matched::OtherMethods(_) | Matched::Nothing => None,
        }
    }

    #[test]
    fn a_path_finds_its_rpc_with_and_without_a_verb() {
        let id = |id: &str| vec![("order_id".to_owned(), id.to_owned())];
        assert_eq!(find(&Method::GET, "/v1/orders/7").unwrap(), ("GetOrder".to_owned(), id("7")));
        let confirm = find(&Method::POST, "/v1/orders/7:confirm").unwrap();
        assert_eq!(confirm, ("ConfirmOrder".to_owned(), id("7")));
        let print = find(&Method::GET, "/v1/shipments/7:print-awb").unwrap();
        assert_eq!(print.0, "PrintAwb");
        assert_eq!(find(&Method::POST, "/v1/orders:search").unwrap().0, "SearchOrders");
        assert_eq!(find(&Method::POST, "/v1/orders").unwrap().0, "CreateOrder");
    }

    #[test]
    fn an_encoded_parameter_is_decoded() {
        let (rpc, parameters) = find(&Method::GET, "/v1/products/BANK%20CHARGES").unwrap();
        assert_eq!((rpc.as_str(), parameters[0].1.as_str()), ("GetProduct", "BANK CHARGES"));
    }

    #[test]
    fn an_unknown_verb_or_path_leads_nowhere() {
        assert!(find(&Method::POST, "/v1/orders/7:explode").is_none());
        assert!(find(&Method::GET, "/v1/nonsense").is_none());
        assert!(find(&Method::GET, "/v1/orders/").is_none());
    }
}
