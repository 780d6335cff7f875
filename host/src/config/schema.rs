//! The JSON Schema (2020-12) of a configuration file, and of a file of cases, for editors: `portcullis schema`. Made from `keys`, as the decoder's lists are.
//! It knows types, keys and the looks of strings; names, places and contradictions are only known to `check`.

use super::keys::{CASES, Keys, Kind, ROOT};
use serde_json::{Map, Value, json};

/// The schema of the whole file. Included files have the same one.
pub fn schema() -> Value {
    of(&ROOT, "Portcullis")
}

/// The schema of a file of cases for `plugin test`.
pub fn cases_schema() -> Value {
    of(&CASES, "Cases of a Portcullis plugin")
}

fn of(root: &'static Keys, title: &str) -> Value {
    let mut definitions = Map::new();
    let root = table(root, &mut definitions);
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        "$ref": root["$ref"],
        "$defs": definitions,
    })
}

/// A reference to a table's definition, which is made on first use.
fn table(keys: &'static Keys, definitions: &mut Map<String, Value>) -> Value {
    let reference = json!({ "$ref": format!("#/$defs/{}", keys.name) });
    if definitions.contains_key(keys.name) {
        return reference;
    }
    definitions.insert(keys.name.into(), Value::Null);
    let mut properties = Map::new();
    for key in keys.keys {
        let mut value = kind(&key.kind, definitions);
        if let Some(value) = value.as_object_mut() {
            value.insert("description".into(), format!("{} For example: {}", key.doc, key.example).into());
        }
        properties.insert(key.name.into(), value);
    }
    let required: Vec<&str> = keys.keys.iter().filter(|key| key.required).map(|key| key.name).collect();
    let others = keys.open.map_or(Value::Bool(false), |open| kind(open, definitions));
    let definition = json!({
        "description": keys.doc,
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": others,
    });
    definitions.insert(keys.name.into(), definition);
    reference
}

fn kind(kind: &'static Kind, definitions: &mut Map<String, Value>) -> Value {
    match kind {
        Kind::Text(form) if form.pattern.is_empty() => json!({ "type": "string" }),
        Kind::Text(form) => json!({ "type": "string", "pattern": form.pattern, "title": form.name }),
        Kind::Choice(choices) => json!({ "enum": choices }),
        Kind::Whole(least, most) => json!({ "type": "integer", "minimum": least, "maximum": most }),
        Kind::Truth => json!({ "type": "boolean" }),
        Kind::List(items) => json!({ "type": "array", "items": self::kind(items, definitions) }),
        Kind::Table(keys) => table(keys, definitions),
        Kind::Either(kinds) => json!({ "anyOf": kinds.iter().map(|one| self::kind(one, definitions)).collect::<Vec<_>>() }),
        Kind::Anything => json!({}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

    fn golden() -> Vec<(String, Value)> {
        let mut found = Vec::new();
        let mut open = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config/golden")];
        while let Some(folder) = open.pop() {
            for path in std::fs::read_dir(folder).expect("golden").map(|entry| entry.expect("readable").path()) {
                if path.is_dir() {
                    open.push(path);
                } else if let Some(value) = read(&path) {
                    let shown = path.display().to_string();
                    found.push((shown.rsplit_once("golden/").expect("below it").1.to_owned(), value));
                }
            }
        }
        found
    }

    /// As JSON, if it is TOML.
    fn read(path: &PathBuf) -> Option<Value> {
        path.extension().filter(|ext| *ext == "toml")?;
        let text = std::fs::read_to_string(path).expect("readable");
        serde_json::to_value(toml::from_str::<toml::Table>(&text).ok()?).ok()
    }

    #[test]
    fn right_files_validate_and_wrong_keys_and_types_do_not() {
        let schema = schema();
        assert!(jsonschema::meta::is_valid(&schema));
        let validator = jsonschema::validator_for(&schema).expect("a schema");
        let mut seen = BTreeSet::new();
        for (name, value) in golden() {
            let errors: Vec<String> = validator.iter_errors(&value).map(|error| format!("{}: {error}", error.instance_path())).collect();
            let kind = name.split(['-', '/']).next().unwrap_or_default().to_owned();
            match &*kind {
                "ok" | "e060" | "e053" | "e024" => assert!(errors.is_empty(), "{name}: {errors:#?}"),
                "e002" | "e003" | "e006" | "e007" => assert!(!errors.is_empty(), "{name} validates"),
                _ => {}
            }
            seen.insert(kind);
        }
        assert!(["ok", "e002", "e003", "e006", "e060"].iter().all(|kind| seen.contains(*kind)), "{seen:?}");
    }

    #[test]
    fn every_table_has_a_name_of_its_own() {
        fn walk(keys: &'static Keys, seen: &mut Vec<&'static Keys>) {
            if seen.iter().any(|other| std::ptr::eq(*other, keys)) {
                return;
            }
            assert!(seen.iter().all(|other| other.name != keys.name), "two tables are called {}", keys.name);
            seen.push(keys);
            keys.keys.iter().map(|key| &key.kind).chain(keys.open).for_each(|kind| inner(kind, seen));
        }
        fn inner(kind: &'static Kind, seen: &mut Vec<&'static Keys>) {
            match kind {
                Kind::Table(keys) => walk(keys, seen),
                Kind::List(kind) => inner(kind, seen),
                Kind::Either(kinds) => kinds.iter().for_each(|kind| inner(kind, seen)),
                _ => {}
            }
        }
        let mut seen = Vec::new();
        walk(&ROOT, &mut seen);
        assert!(seen.len() > 20);
    }

    /// Each key's example is a right value, so that what errors show can be copied.
    #[test]
    fn examples_are_right() {
        let schema = schema();
        for (name, definition) in schema["$defs"].as_object().expect("definitions") {
            for (key, value) in definition["properties"].as_object().expect("properties") {
                let doc = value["description"].as_str().expect("described");
                let example = doc.split_once("For example: ").expect("with example").1;
                if example.contains('…') {
                    continue;
                }
                let parsed: toml::Table = toml::from_str(&format!("v = {example}")).unwrap_or_else(|error| panic!("{name}.{key}: {error}"));
                let parsed = serde_json::to_value(&parsed["v"]).expect("JSON");
                let mut whole = schema.clone();
                whole["$ref"] = format!("#/$defs/{name}/properties/{key}").into();
                let errors = jsonschema::validator_for(&whole)
                    .expect("a schema")
                    .iter_errors(&parsed)
                    .map(|error| error.to_string())
                    .collect::<Vec<_>>();
                assert!(errors.is_empty(), "{name}.{key} = {example}: {errors:?}");
            }
        }
    }
}
