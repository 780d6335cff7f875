//! Settings against the schema, as the proxy does it before a plugin is configured. Only what our own schemas can say.

use crate::problem::{Pointer, Problem};
use crate::settings::{Narrow, Object, Property, Schema};
use serde_json::Value;

/// # Errors
/// Everything that does not fit.
pub(super) fn check(settings: &str, schema: &Schema) -> Result<(), Vec<Problem>> {
    let value: Value = match serde_json::from_str(settings) {
        Ok(value) => value,
        Err(error) => return Err(vec![Problem::at("", format!("not JSON: {error}"))]),
    };
    let mut found = Vec::new();
    fits(&value, schema, &Pointer::root(), &mut found);
    if found.is_empty() { Ok(()) } else { Err(found) }
}

fn fits(value: &Value, schema: &Schema, at: &Pointer, found: &mut Vec<Problem>) {
    let mut wrong = |message: String| found.push(Problem::at(at.clone(), message));
    match (schema, value) {
        (Schema::Bool, Value::Bool(_)) | (Schema::Number, Value::Number(_)) | (Schema::Text { .. }, Value::String(_)) => {}
        (Schema::Integer { min, max }, Value::Number(number)) if !number.is_f64() => bounds(value, Some(min), Some(max), at, found),
        (Schema::Choice(names), Value::String(name)) => {
            if !names.contains(&&**name) {
                wrong(format!("one of {}", names.join(", ")));
            }
        }
        (Schema::List(items), Value::Array(list)) => {
            for (index, item) in list.iter().enumerate() {
                fits(item, items, &at.index(index), found);
            }
        }
        (Schema::Map { keys, values }, Value::Object(members)) => {
            for (key, value) in members {
                fits(&Value::String(key.clone()), keys, &at.key(key), found);
                fits(value, values, &at.key(key), found);
            }
        }
        (Schema::Object(object), Value::Object(members)) => members_fit(members, object, at, found),
        (Schema::Any(schemas), value) => any(value, schemas, at, found),
        (schema, value) => wrong(format!("{value} is not {}", kind(schema))),
    }
}

fn members_fit(members: &serde_json::Map<String, Value>, object: &Object, at: &Pointer, found: &mut Vec<Problem>) {
    let known = |key: &str| object.properties.iter().find(|property| property.name == key);
    for (key, value) in members {
        match known(key) {
            Some(property) => property_fits(value, property, &at.key(key), found),
            None => {
                let names: Vec<_> = object.properties.iter().map(|property| property.name).collect();
                found.push(Problem::at(at.key(key), format!("unknown key; there are {}", names.join(", "))));
            }
        }
    }
    for property in object.properties.iter().filter(|property| property.required && !members.contains_key(property.name)) {
        found.push(Problem::at(at.clone(), format!("`{}` is missing", property.name)));
    }
}

fn property_fits(value: &Value, property: &Property, at: &Pointer, found: &mut Vec<Problem>) {
    fits(value, &property.schema, at, found);
    let Narrow { min, max, values, .. } = property.narrow;
    bounds(value, min, max, at, found);
    if !values.is_empty() && !values.iter().any(|text| text.parse::<Value>().ok().as_ref() == Some(value)) {
        found.push(Problem::at(at.clone(), format!("one of {}", values.join(", "))));
    }
}

fn bounds(value: &Value, min: Option<&str>, max: Option<&str>, at: &Pointer, found: &mut Vec<Problem>) {
    let Some(number) = value.as_f64() else { return };
    let beyond = |bound: Option<&str>, past: fn(f64, f64) -> bool| {
        bound.and_then(|text| text.parse().ok()).is_some_and(|bound: f64| past(number, bound))
    };
    if beyond(min, |number, min| number < min) || beyond(max, |number, max| number > max) {
        let range = format!("{} to {}", min.unwrap_or("…"), max.unwrap_or("…"));
        found.push(Problem::at(at.clone(), range));
    }
}

/// The problems of the schema that comes closest: the one whose complaint lies deepest.
fn any(value: &Value, schemas: &[Schema], at: &Pointer, found: &mut Vec<Problem>) {
    let tries = schemas.iter().map(|schema| {
        let mut problems = Vec::new();
        fits(value, schema, at, &mut problems);
        problems
    });
    let tries: Vec<_> = tries.collect();
    if tries.iter().any(Vec::is_empty) {
        return;
    }
    let depth = |problems: &Vec<Problem>| problems.iter().map(|problem| problem.path.len()).max();
    found.extend(tries.into_iter().max_by_key(depth).unwrap_or_default());
}

fn kind(schema: &Schema) -> &'static str {
    match schema {
        Schema::Bool => "true or false",
        Schema::Number => "a number",
        Schema::Integer { .. } => "a whole number",
        Schema::Text { .. } | Schema::Choice(_) => "a string",
        Schema::List(_) => "a list",
        Schema::Map { .. } | Schema::Object(_) => "a table",
        Schema::Any(_) => "any of what is allowed here",
    }
}
