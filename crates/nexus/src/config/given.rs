//! What was given: the file's tables as names of variables, and the environment over them.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, anyhow, bail};
use nexus_runtime::config::Known;

/// The variable that names the file.
const FILE: &str = "NEXUS_CONFIG";
/// For the tests and their tools, which start processes with their own environment.
const NOT_OURS: [&str; 2] = ["NEXUS_TEST_", "NEXUS_NATS_SERVER"];

/// What was given, by the name of the variable, and where it stands.
#[derive(Clone, Debug, Default)]
pub(crate) struct Given(BTreeMap<String, (String, Origin)>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Environment,
    /// The key in the file.
    File(String),
    /// A flag, or what `up` knows better.
    Started,
}

impl Given {
    /// Reads the file, if one is named, then the environment.
    pub(crate) fn load(file: Option<&Path>) -> anyhow::Result<Self> {
        let environment = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        let environment: BTreeMap<_, _> = environment.collect();
        let named = environment.get(FILE).filter(|file| !file.is_empty()).map(Path::new);
        let text = match file.or(named) {
            None => String::new(),
            Some(file) => std::fs::read_to_string(file)
                .with_context(|| format!("cannot read the settings in {}", file.display()))?,
        };
        Self::of(&text, environment)
    }

    pub(crate) fn of(
        file: &str,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> anyhow::Result<Self> {
        let mut given = BTreeMap::new();
        let table: toml::Table = file.parse().context("the settings are no TOML")?;
        flatten("", &table, &mut given)?;
        for (name, value) in environment {
            let ours = name.starts_with("NEXUS_") && name != FILE;
            if ours && !NOT_OURS.iter().any(|not_ours| name.starts_with(not_ours)) {
                given.insert(name, (value, Origin::Environment));
            }
        }
        Ok(Self(given))
    }

    /// Adds what the start itself knows, unless it was given.
    pub(crate) fn unless_given(&mut self, name: &str, value: &str) {
        self.0.entry(name.to_owned()).or_insert_with(|| (value.to_owned(), Origin::Started));
    }

    /// What a flag says, whatever was given.
    pub(crate) fn instead(&mut self, name: &str, value: &str) {
        self.0.insert(name.to_owned(), (value.to_owned(), Origin::Started));
    }

    pub(crate) fn pairs(&self) -> Vec<(String, String)> {
        self.0.iter().map(|(name, (value, _))| (name.clone(), value.clone())).collect()
    }

    /// All but what is `known` already.
    pub(crate) fn pairs_without(&self, known: &[Known]) -> Vec<(String, String)> {
        let mut pairs = self.pairs();
        pairs.retain(|(name, _)| !known.iter().any(|known| known.name == *name));
        pairs
    }

    pub(crate) fn origin(&self, name: &str) -> Option<&Origin> {
        self.0.get(name).map(|(_, origin)| origin)
    }

    /// Adds to a complaint which key of the file it is about.
    pub(crate) fn explain<T>(&self, read: anyhow::Result<T>) -> anyhow::Result<T> {
        read.map_err(|error| {
            let said = format!("{error:#}");
            let about = self.0.iter().find(|(name, _)| {
                said.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with(' '))
            });
            match about {
                Some((_, (_, Origin::File(key)))) => anyhow!("{said} (`{key}` in the file)"),
                _ => error,
            }
        })
    }

    /// Names the first that no setting has, and those that are like it.
    pub(crate) fn refuse_unknown(&self, known: &[Known]) -> anyhow::Result<()> {
        let is_known = |name: &str| known.iter().any(|known| known.name == name);
        let Some((name, (_, origin))) = self.0.iter().find(|(name, _)| !is_known(name)) else {
            return Ok(());
        };
        let first_words: Vec<&str> = name.split('_').take(2).collect();
        let family = format!("{}_", first_words.join("_"));
        let names = || known.iter().map(|known| known.name.as_str());
        let mut like: Vec<&str> = names().filter(|known| known.starts_with(&family)).collect();
        if like.is_empty() {
            like = names().collect();
        }
        let place = match origin {
            Origin::File(key) => format!(" (`{key}` in the file)"),
            Origin::Environment | Origin::Started => String::new(),
        };
        bail!("{name}{place} is no setting; there are {}", like.join(", "))
    }
}

/// `number_prefix` in `[order]` is `NEXUS_ORDER_NUMBER_PREFIX`.
fn flatten(
    above: &str,
    table: &toml::Table,
    given: &mut BTreeMap<String, (String, Origin)>,
) -> anyhow::Result<()> {
    for (key, value) in table {
        let path = if above.is_empty() { key.clone() } else { format!("{above}.{key}") };
        let is_plain =
            key.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        if !is_plain {
            bail!("`{path}` in the file is no setting: keys are small letters, digits and _");
        }
        if let toml::Value::Table(table) = value {
            flatten(&path, table, given)?;
            continue;
        }
        let name = format!("NEXUS_{}", path.replace('.', "_").to_uppercase());
        let text = text_of(value)
            .with_context(|| format!("`{path}` in the file is neither text nor number"))?;
        if given.insert(name, (text, Origin::File(path.clone()))).is_some() {
            bail!("`{path}` stands twice in the file");
        }
    }
    Ok(())
}

fn text_of(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Float(number) => Some(number.to_string()),
        toml::Value::Boolean(yes) => Some(if *yes { "yes" } else { "no" }.to_owned()),
        toml::Value::Array(items) => {
            let texts = items.iter().map(text_of).collect::<Option<Vec<_>>>()?;
            Some(texts.join(","))
        }
        toml::Value::Datetime(_) | toml::Value::Table(_) => None,
    }
}
