//! A link's settings against the JSON Schema that its component declares: what breaks it, shown where it was written, and which
//! strings name upstreams. The plugin's own `configure` has the last word; see `raised` for its problems.

use super::raw::nearest;
use super::{Code, Diagnostic, LinkSpec, Location};
use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::{PatternOptions, ValidationError, Validator};
use serde_json::Value;

/// A plugin's compiled schema; one serves all links of the plugin.
pub struct SettingsSchema {
    schema: Value,
    validator: Validator,
}

/// Deeper schemas are refused rather than followed; ours have four levels.
const DEPTH: usize = 64;

/// Checks one link. Compiles the schema each time; use [`SettingsSchema`] for many links.
pub fn check_settings(schema: &Value, link: &LinkSpec) -> Vec<Diagnostic> {
    match SettingsSchema::new(schema) {
        Ok(schema) => schema.check(link),
        Err(error) => vec![Diagnostic::plugin_unreadable(&link.plugin.to_string(), link.at.clone(), &error)],
    }
}

/// The settings of one link that its schema says are names of upstreams, with their places.
pub fn upstreams_named(schema: &Value, link: &LinkSpec) -> Vec<(String, Location)> {
    named(schema, link, "upstream")
}

fn named(schema: &Value, link: &LinkSpec, format: &str) -> Vec<(String, Location)> {
    let mut found = Vec::new();
    collect(&mut Search { found: &mut found, root: schema, link, format }, schema, &link.settings, String::new(), 0);
    found.sort_by(|a, b| a.1.cmp(&b.1).then_with(|| a.0.cmp(&b.0)));
    found.dedup();
    found
}

impl SettingsSchema {
    /// Fails with one line if `schema` is no JSON Schema (2020-12), or refers to other documents.
    pub fn new(schema: &Value) -> Result<Self, String> {
        // The schema comes from a plugin: its patterns must not run for longer than their text (no backtracking).
        let options = jsonschema::options().with_draft(jsonschema::Draft::Draft202012).with_pattern_options(PatternOptions::regex());
        match options.build(schema) {
            Ok(validator) => Ok(Self { schema: schema.clone(), validator }),
            Err(error) => Err(format!("its settings schema is not a JSON Schema: {error}")),
        }
    }

    /// Everything in a link's settings that breaks the schema.
    pub fn check(&self, link: &LinkSpec) -> Vec<Diagnostic> {
        let mut found = Vec::new();
        for error in self.validator.iter_errors(&link.settings) {
            self.explain(&mut found, &error, link);
        }
        found
    }

    /// See [`upstreams_named`].
    pub fn upstreams(&self, link: &LinkSpec) -> Vec<(String, Location)> {
        upstreams_named(&self.schema, link)
    }

    /// The same with stores of `[kv]`.
    pub fn stores(&self, link: &LinkSpec) -> Vec<(String, Location)> {
        named(&self.schema, link, "store")
    }

    fn explain(&self, found: &mut Vec<Diagnostic>, error: &ValidationError<'_>, link: &LinkSpec) {
        let pointer = error.instance_path().as_str();
        match error.kind() {
            ValidationErrorKind::AdditionalProperties { unexpected } | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
                found.extend(unexpected.iter().map(|key| self.unknown(key, pointer, error, link)));
            }
            ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } => {
                // With one branch of the right type, its errors say more than "none of these".
                let right: Vec<_> = context.iter().filter(|branch| branch.iter().all(|error| !is_type_at(error, pointer))).collect();
                match right[..] {
                    [branch] => branch.iter().for_each(|error| self.explain(found, error, link)),
                    _ => found.push(self.alternatives(pointer, context, link)),
                }
            }
            _ => found.push(plain(pointer, error, link)),
        }
    }

    fn unknown(&self, key: &str, pointer: &str, error: &ValidationError<'_>, link: &LinkSpec) -> Diagnostic {
        let at = link.key_place(&format!("{pointer}/{}", escape(key)));
        let found =
            Diagnostic::error(Code::UnknownKey, at.into(), format!("unknown key `{key}` in the settings of {}", called(link, pointer)));
        let (around, _) = error.schema_path().as_str().rsplit_once('/').unwrap_or_default();
        let known = self.schema.pointer(around).and_then(|schema| schema.get("properties")).and_then(Value::as_object);
        let names: Vec<&str> = known.into_iter().flatten().map(|(name, _)| &**name).collect();
        let found = match nearest(key, names.iter().copied()) {
            Some(near) => found.label(format!("did you mean `{near}`?")),
            None => found,
        };
        if names.is_empty() { found } else { found.help(format!("keys here: {}", names.join(", "))) }
    }

    fn alternatives(&self, pointer: &str, context: &[Vec<ValidationError<'static>>], link: &LinkSpec) -> Diagnostic {
        let mut wanted: Vec<String> = context.iter().flatten().filter(|error| is_type_at(error, pointer)).filter_map(wanted_type).collect();
        wanted.dedup();
        let message = format!("{} in the settings of {} fits none of the allowed forms", value_name(pointer), called(link, ""));
        let found = Diagnostic::error(Code::SettingsRefused, link.place(pointer).into(), message);
        if wanted.is_empty() { found } else { found.help(format!("it may be {}", wanted.join(" or "))) }
    }
}

/// An error that stands for itself. Values are not shown: they may be secrets.
fn plain(pointer: &str, error: &ValidationError<'_>, link: &LinkSpec) -> Diagnostic {
    let at = || link.place(pointer).into();
    let of = called(link, pointer);
    match error.kind() {
        ValidationErrorKind::Type { .. } => {
            let (is, wanted) = (describe(error.instance()), wanted_type(error).unwrap_or_default());
            Diagnostic::error(Code::WrongType, at(), format!("{is} where {wanted} is wanted, in the settings of {of}"))
        }
        ValidationErrorKind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            Diagnostic::error(Code::Missing, at(), format!("the settings of {of} need `{name}`"))
        }
        ValidationErrorKind::Enum { options } => {
            let options: Vec<&str> = options.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            let near = error.instance().as_str().and_then(|wrong| nearest(wrong, options.iter().copied()));
            let found = Diagnostic::error(Code::SettingsRefused, at(), format!("no choice here, in the settings of {of}"));
            let found = Diagnostic { label: near.map(|near| format!("did you mean \"{near}\"?")), ..found };
            if options.is_empty() { found } else { found.help(format!("choices: {}", options.join(", "))) }
        }
        _ => {
            let why = error.masked_with("the value").to_string();
            Diagnostic::error(Code::SettingsRefused, at(), format!("{why}, in the settings of {of}"))
        }
    }
}

impl LinkSpec {
    /// Where the value that a JSON pointer names was written; the nearest value around it if it was not.
    pub fn place(&self, pointer: &str) -> Location {
        let mut pointer = pointer;
        loop {
            match (self.settings_at.get(pointer), pointer.rfind('/')) {
                (Some(at), _) => return at.clone(),
                (None, Some(slash)) => pointer = pointer.get(..slash).unwrap_or_default(),
                (None, None) => return self.at.clone(),
            }
        }
    }

    /// Where the key of that value was written.
    pub fn key_place(&self, pointer: &str) -> Location {
        self.settings_at.get(&format!("#{pointer}")).cloned().unwrap_or_else(|| self.place(pointer))
    }
}

fn called(link: &LinkSpec, pointer: &str) -> String {
    let path = if pointer.is_empty() { String::new() } else { format!(" at {pointer}") };
    if link.name == link.plugin.to_string() {
        format!("`{}`{path}", link.name)
    } else {
        format!("`{}` (plugin `{}`){path}", link.name, link.plugin)
    }
}

fn value_name(pointer: &str) -> String {
    pointer.rsplit_once('/').map_or_else(|| "the whole".into(), |(_, last)| format!("`{}`", last.replace("~1", "/").replace("~0", "~")))
}

fn is_type_at(error: &ValidationError<'_>, pointer: &str) -> bool {
    matches!(error.kind(), ValidationErrorKind::Type { .. }) && error.instance_path().as_str() == pointer
}

fn wanted_type(error: &ValidationError<'_>) -> Option<String> {
    let ValidationErrorKind::Type { kind } = error.kind() else { return None };
    Some(match kind {
        TypeKind::Single(one) => article(one.as_str()).into(),
        TypeKind::Multiple(several) => several.iter().map(|one| article(one.as_str())).collect::<Vec<_>>().join(" or "),
    })
}

/// JSON's types in the words of a TOML file.
fn article(kind: &str) -> &'static str {
    match kind {
        "array" => "a list",
        "boolean" => "true or false",
        "integer" => "a whole number",
        "number" => "a number",
        "object" => "a table",
        "string" => "a string",
        _ => "nothing",
    }
}

fn describe(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "a table",
    }
}

fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// What is looked for in one link.
struct Search<'s> {
    found: &'s mut Vec<(String, Location)>,
    root: &'s Value,
    link: &'s LinkSpec,
    format: &'s str,
}

/// Walks schema and settings side by side. Follows what schemas derived from Rust types have; conditions are taken as if they held.
fn collect(search: &mut Search<'_>, schema: &Value, value: &Value, pointer: String, depth: usize) {
    if depth > DEPTH {
        return;
    }
    let has_format = |schema: &Value| schema.get("format").and_then(Value::as_str) == Some(search.format);
    if let Some(name) = value.as_str().filter(|_| has_format(schema)) {
        search.found.push((name.to_owned(), search.link.place(&pointer)));
    }
    let keys = schema.get("propertyNames").is_some_and(has_format);
    let root = search.root;
    let referred = schema.get("$ref").and_then(Value::as_str).and_then(|reference| reference.strip_prefix('#'));
    let branches = ["anyOf", "oneOf", "allOf"].into_iter().filter_map(|key| schema.get(key)?.as_array()).flatten();
    for schema in branches.chain(referred.and_then(|pointer| root.pointer(pointer))) {
        collect(search, schema, value, pointer.clone(), depth + 1);
    }
    for (key, below) in value.as_object().into_iter().flatten() {
        let pointer = format!("{pointer}/{}", escape(key));
        if keys {
            search.found.push((key.clone(), search.link.key_place(&pointer)));
        }
        let own = schema.get("properties").and_then(|properties| properties.get(key));
        if let Some(schema) = own.or_else(|| schema.get("additionalProperties")) {
            collect(search, schema, below, pointer, depth + 1);
        }
    }
    for (index, below) in value.as_array().into_iter().flatten().enumerate() {
        let own = schema.get("prefixItems").and_then(|items| items.get(index));
        if let Some(schema) = own.or_else(|| schema.get("items")) {
            collect(search, schema, below, format!("{pointer}/{index}"), depth + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;
    use serde_json::json;

    /// The last link of the only route, and the text of what its settings break.
    fn check(schema: &Value, link: &str) -> (LinkSpec, String) {
        let text = format!(
            "[plugin]\nx = \"x.wasm\"\n[upstream]\na = \"h:1\"\nb = \"h:1\"\n[site.localhost]\nroutes = {{ \"/*\" = {{ chain = [\n{link}\n] }} }}\n"
        );
        let (config, mut report) = Config::parse(&[("a.toml", &text)]).unwrap_or_else(|report| panic!("{}", report.text()));
        let link = config.sites[0].routes[0].chain.last().expect("a link").clone();
        report.add(check_settings(schema, &link));
        let shown = report.diagnostics().iter().filter(|found| found.code != Code::Unused).map(|found| {
            let at = &found.place.as_ref().expect("a place").at;
            format!("{} {}:{} {} {:?} {:?}\n", found.code, at.line, at.column, found.message, found.label, found.help)
        });
        (link, shown.collect())
    }

    #[test]
    fn violations_are_shown_where_they_were_written() {
        let schema = json!({
            "type": "object",
            "properties": {
                "rate": { "type": "string", "pattern": "^[0-9]+/s$" },
                "burst": { "type": "integer", "minimum": 1 },
                "mode": { "enum": ["strict", "lax"] },
                "list": { "type": "array", "items": { "$ref": "#/$defs/item" } },
                "either": { "anyOf": [{ "type": "string" }, { "$ref": "#/$defs/item" }] },
            },
            "required": ["rate"],
            "additionalProperties": false,
            "$defs": { "item": { "type": "object", "properties": { "name": { "type": "string" } }, "additionalProperties": false } },
        });
        let (_, shown) = check(
            &schema,
            r#"{ use = "x", config = { rte = "1/s", burst = "a", mode = "stric", list = [{ name = "a" }, { nam = 1 }], either = { nme = 1 } } }"#,
        );
        assert_eq!(
            shown,
            "E008 8:23 the settings of `x` need `rate` None []\n\
             E003 8:25 unknown key `rte` in the settings of `x` Some(\"did you mean `rate`?\") [\"keys here: rate, burst, mode, list, either\"]\n\
             E002 8:46 a string where a whole number is wanted, in the settings of `x` at /burst None []\n\
             E032 8:58 no choice here, in the settings of `x` at /mode Some(\"did you mean \\\"strict\\\"?\") [\"choices: strict, lax\"]\n\
             E003 8:93 unknown key `nam` in the settings of `x` at /list/1 Some(\"did you mean `name`?\") [\"keys here: name\"]\n\
             E003 8:116 unknown key `nme` in the settings of `x` at /either Some(\"did you mean `name`?\") [\"keys here: name\"]\n"
        );
        let (_, shown) = check(&schema, r#"{ use = "x", as = "y", config = { rate = "1", burst = 0, either = 3 } }"#);
        assert_eq!(
            shown,
            "E032 8:42 the value does not match \"^[0-9]+/s$\", in the settings of `y` (plugin `x`) at /rate None []\n\
             E032 8:55 the value is less than the minimum of 1, in the settings of `y` (plugin `x`) at /burst None []\n\
             E032 8:67 `either` in the settings of `y` (plugin `x`) fits none of the allowed forms None [\"it may be a string or a table\"]\n"
        );
    }

    #[test]
    fn a_schema_that_is_none_is_the_plugins_fault() {
        let (_, shown) = check(&json!({ "type": 3 }), r#""x""#);
        assert!(shown.starts_with("E030 8:1 "), "{shown}");
        let (_, shown) = check(&json!({ "$ref": "https://example.com/schema.json" }), r#""x""#);
        assert!(shown.starts_with("E030 8:1 "), "{shown}");
    }

    #[test]
    fn upstreams_are_found_by_format() {
        let schema = json!({
            "properties": {
                "rules": { "items": { "properties": { "to": { "$ref": "#/$defs/name" } } } },
                "split": { "propertyNames": { "format": "upstream" } },
                "loop": { "$ref": "#" },
            },
            "$defs": { "name": { "type": "string", "format": "upstream" } },
        });
        let (link, _) = check(
            &schema,
            r#"{ use = "x", config = { rules = [{ to = "a" }], split = { b = 1, c = 2 }, loop = { rules = [{ to = "d" }] } } }"#,
        );
        let found: Vec<String> = upstreams_named(&schema, &link).iter().map(|(name, at)| format!("{name} {}", at.column)).collect();
        assert_eq!(found, ["a 41", "b 59", "c 66", "d 100"]);
        assert!(SettingsSchema::new(&schema).expect("a schema").stores(&link).is_empty());
        let stores = json!({ "properties": { "rules": { "items": { "properties": { "to": { "type": "string", "format": "store" } } } } } });
        let found = SettingsSchema::new(&stores).expect("a schema").stores(&link);
        assert_eq!(found.iter().map(|(name, at)| (&**name, at.column)).collect::<Vec<_>>(), [("a", 41)]);
    }
}
