//! Rules that look at Rust as the compiler reads it, so that strings and comments mislead nobody.

use std::collections::BTreeSet;

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use super::{Finding, Tree};

const FUNCTION_LINES: usize = 70;

/// One file of Rust, taken apart.
pub(super) struct Module<'t> {
    pub(super) path: &'t str,
    /// Every token with its line; brackets are tokens too, and `::` is two.
    pub(super) tokens: Vec<(String, usize)>,
    pub(super) uses: Vec<Use>,
    /// Names of the modules declared in this file.
    pub(super) declares: BTreeSet<String>,
    /// Inner attributes such as `#![deny(…)]`, without spaces.
    pub(super) attributes: Vec<String>,
    functions: Vec<Function>,
    test_lines: Vec<(usize, usize)>,
    test_modules: Vec<String>,
    is_test: bool,
}

/// One name brought in by a `use`, for example `["std", "fmt"]`.
pub(super) struct Use {
    pub(super) path: Vec<String>,
    pub(super) line: usize,
}

struct Function {
    name: String,
    first: usize,
    last: usize,
}

impl Module<'_> {
    /// Whether this line is compiled for tests only.
    pub(super) fn is_test_line(&self, line: usize) -> bool {
        let inside = |(first, last): &(usize, usize)| (*first..=*last).contains(&line);
        self.is_test || self.test_lines.iter().any(inside)
    }

    /// Lines on which these tokens stand one after the other.
    pub(super) fn lines_with(&self, wanted: &[&str]) -> Vec<usize> {
        let places = self.tokens.windows(wanted.len()).filter_map(|window| {
            let same = window.iter().map(|(token, _)| token.as_str()).eq(wanted.iter().copied());
            window.last().filter(|_| same).map(|(_, line)| *line)
        });
        places.collect()
    }
}

/// Takes all files apart; those that are no Rust become findings.
pub(super) fn parse(tree: &Tree) -> (Vec<Module<'_>>, Vec<Finding>) {
    let (mut modules, mut findings) = (vec![], vec![]);
    for file in tree.rust_files() {
        match parse_file(file.path(), file.text()) {
            Ok(module) => modules.push(module),
            Err(problem) => {
                let line = problem.span().start().line;
                let remedy = format!("this is no Rust: {problem}");
                findings.push(Finding::new(file.path(), line, "syntax", remedy));
            }
        }
    }
    // `#[cfg(test)] mod tests;` makes a whole other file a test.
    let of_tests: BTreeSet<_> = modules.iter().flat_map(|m| m.test_modules.clone()).collect();
    for module in &mut modules {
        module.is_test |= of_tests.contains(module.path);
    }
    (modules, findings)
}

pub(super) fn check(modules: &[Module<'_>]) -> Vec<Finding> {
    let mut findings = vec![];
    for module in modules {
        findings.extend(long_functions(module));
        findings.extend(ignored_tests(module));
        findings.extend(sleeps_in_tests(module));
    }
    findings
}

fn long_functions(module: &Module<'_>) -> impl Iterator<Item = Finding> {
    let sizes =
        module.functions.iter().map(|function| (function, function.last + 1 - function.first));
    sizes.filter(|(_, lines)| *lines > FUNCTION_LINES).map(|(function, lines)| {
        let name = &function.name;
        let remedy = format!("`{name}` has {lines} lines, at most {FUNCTION_LINES}: take it apart");
        Finding::new(module.path, function.first, "function-length", remedy)
    })
}

fn ignored_tests(module: &Module<'_>) -> impl Iterator<Item = Finding> {
    let plain = module.lines_with(&["#", "[", "ignore"]);
    let conditional = module.tokens.iter().enumerate().filter_map(|(at, (token, line))| {
        let rest = module.tokens.get(at..)?;
        let mut words = rest.iter().map(|(word, _)| word.as_str()).take_while(|word| *word != "]");
        (token == "cfg_attr" && words.any(|word| word == "ignore")).then_some(*line)
    });
    plain.into_iter().chain(conditional).map(|line| {
        let remedy = "a test runs or is deleted: start what it needs, or fail";
        Finding::new(module.path, line, "ignored-test", remedy)
    })
}

fn sleeps_in_tests(module: &Module<'_>) -> impl Iterator<Item = Finding> {
    let calls = ["time", "thread"].into_iter().flat_map(|from| {
        let sleeps = ["sleep", "sleep_until", "sleep_ms"];
        let lines = sleeps.map(|sleep| module.lines_with(&[from, ":", ":", sleep]));
        lines.into_iter().flatten()
    });
    let imports = module.uses.iter().filter(|import| {
        let mut ends = import.path.iter().rev().map(String::as_str);
        ends.next().is_some_and(|name| name.starts_with("sleep"))
            && matches!(ends.next(), Some("time" | "thread"))
    });
    let lines = calls.chain(imports.map(|import| import.line));
    lines.filter(|line| module.is_test_line(*line)).map(|line| {
        let remedy = "wait for a condition with a deadline: a channel, a notification, or an \
                      interval under a timeout";
        Finding::new(module.path, line, "sleeping-test", remedy)
    })
}

fn parse_file<'t>(path: &'t str, text: &str) -> syn::Result<Module<'t>> {
    let stream: TokenStream = text.parse()?;
    let mut tokens = vec![];
    flatten(stream.clone(), &mut tokens);
    let syntax: syn::File = syn::parse2(stream)?;
    let in_tests_folder = path.starts_with("tests/") || path.contains("/tests/");
    let mut module = Module {
        path,
        tokens,
        uses: vec![],
        declares: BTreeSet::new(),
        attributes: syntax.attrs.iter().filter_map(attribute_text).collect(),
        functions: vec![],
        test_lines: vec![],
        test_modules: vec![],
        is_test: in_tests_folder || path.ends_with("/tests.rs"),
    };
    module.visit_file(&syntax);
    Ok(module)
}

fn flatten(stream: TokenStream, tokens: &mut Vec<(String, usize)>) {
    for tree in stream {
        let line = tree.span().start().line;
        let TokenTree::Group(group) = tree else {
            tokens.push((tree.to_string(), line));
            continue;
        };
        let (open, close) = match group.delimiter() {
            Delimiter::Parenthesis => ("(", ")"),
            Delimiter::Brace => ("{", "}"),
            Delimiter::Bracket => ("[", "]"),
            Delimiter::None => ("", ""),
        };
        tokens.push((open.to_owned(), line));
        flatten(group.stream(), tokens);
        tokens.push((close.to_owned(), group.span_close().end().line));
    }
}

fn attribute_text(attribute: &syn::Attribute) -> Option<String> {
    let list = attribute.meta.require_list().ok()?;
    let name = list.path.get_ident()?;
    let words: String = list.tokens.to_string().split_whitespace().collect();
    Some(format!("{name}({words})"))
}

/// `#[test]`, `#[tokio::test]`, or `#[cfg(test)]` in any spelling that needs `test` to be set.
fn is_for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let name = attribute.path().segments.last().map(|segment| segment.ident.to_string());
        match name.as_deref() {
            Some("test") => true,
            Some("cfg") => attribute_text(attribute).is_some_and(|text| {
                let mut words = text.split(|c: char| !c.is_alphanumeric() && c != '_');
                words.any(|word| word == "test") && !text.contains("not(test")
            }),
            _ => false,
        }
    })
}

impl Module<'_> {
    fn note_function(&mut self, signature: &syn::Signature, block: &syn::Block) {
        self.functions.push(Function {
            name: signature.ident.to_string(),
            first: signature.fn_token.span().start().line,
            last: block.brace_token.span.close().end().line,
        });
    }

    fn note_tests(&mut self, attributes: &[syn::Attribute], item: &impl Spanned) {
        if is_for_tests(attributes) {
            let span = item.span();
            self.test_lines.push((span.start().line, span.end().line));
        }
    }

    /// The file of a module declared here: `a.rs` and `b` give `a/b.rs`.
    fn file_of(&self, module: &str) -> String {
        let stem = self.path.strip_suffix(".rs").unwrap_or(self.path);
        let is_root = ["/lib", "/main", "/build"].iter().any(|end| stem.ends_with(end));
        let folder =
            if is_root { stem.rsplit_once('/').map_or("", |(folder, _)| folder) } else { stem };
        format!("{folder}/{module}.rs")
    }

    fn note_use(&mut self, tree: &syn::UseTree, before: &[String]) {
        let mut path = before.to_vec();
        let last = match tree {
            syn::UseTree::Path(next) => {
                path.push(next.ident.to_string());
                return self.note_use(&next.tree, &path);
            }
            syn::UseTree::Group(group) => {
                return group.items.iter().for_each(|tree| self.note_use(tree, &path));
            }
            syn::UseTree::Name(name) => name.ident.to_string(),
            syn::UseTree::Rename(rename) => rename.ident.to_string(),
            syn::UseTree::Glob(_) => "*".to_owned(),
        };
        path.push(last);
        self.uses.push(Use { path, line: tree.span().start().line });
    }
}

impl<'ast> Visit<'ast> for Module<'_> {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.note_tests(&item.attrs, item);
        self.note_function(&item.sig, &item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.note_tests(&item.attrs, item);
        self.note_function(&item.sig, &item.block);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.note_function(&item.sig, block);
        }
        visit::visit_trait_item_fn(self, item);
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        self.note_tests(&item.attrs, item);
        visit::visit_item_impl(self, item);
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.note_tests(&item.attrs, item);
        self.declares.insert(item.ident.to_string());
        if item.content.is_none() && is_for_tests(&item.attrs) {
            self.test_modules.push(self.file_of(&item.ident.to_string()));
        }
        visit::visit_item_mod(self, item);
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.note_tests(&item.attrs, item);
        self.note_use(&item.tree, &[]);
    }
}
