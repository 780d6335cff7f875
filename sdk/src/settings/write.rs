//! `describe`: the schema and who the plugin is, as JSON. Runs when the plugin is loaded, never on the path of a request.

use super::{Object, Property, Schema, Setting};
use crate::plugin::Plugin;
use alloc::string::String;

/// The document that `lifecycle.describe` returns.
pub(crate) fn describe<P: Plugin>() -> String {
    let schema = <P::Settings as Setting>::SCHEMA;
    let mut out = Json(String::with_capacity(1024));
    let mut object = out.open();
    out.key(&mut object, "name").text(P::ABOUT.name);
    out.key(&mut object, "version").text(P::ABOUT.version);
    out.key(&mut object, "description").text(description(P::ABOUT.description, &schema, P::ABOUT.package_description));
    out.key(&mut object, "settings").schema(&schema);
    out.close();
    out.0
}

fn description<'a>(own: &'a str, schema: &Schema, package: &'a str) -> &'a str {
    let of_settings = match schema {
        Schema::Object(object) => object.description,
        _ => "",
    };
    [own, of_settings, package].into_iter().find(|text| !text.is_empty()).unwrap_or_default()
}

/// JSON text that grows. No serializer: a guest needs no more than this.
struct Json(String);

/// Whether the object being written has a member yet.
struct Members(bool);

impl Json {
    fn open(&mut self) -> Members {
        self.0.push('{');
        Members(false)
    }

    fn close(&mut self) {
        self.0.push('}');
    }

    fn key(&mut self, members: &mut Members, key: &str) -> &mut Self {
        if core::mem::replace(&mut members.0, true) {
            self.0.push(',');
        }
        self.text(key);
        self.0.push(':');
        self
    }

    fn raw(&mut self, json: &str) {
        self.0.push_str(json);
    }

    fn text(&mut self, text: &str) {
        self.0.push('"');
        for c in text.chars() {
            match c {
                '"' => self.0.push_str("\\\""),
                '\\' => self.0.push_str("\\\\"),
                '\n' => self.0.push_str("\\n"),
                // Other controls have no place in a doc comment.
                c if c < ' ' => self.0.push(' '),
                c => self.0.push(c),
            }
        }
        self.0.push('"');
    }

    fn list<T>(&mut self, items: &[T], mut write: impl FnMut(&mut Self, &T)) {
        self.0.push('[');
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.0.push(',');
            }
            write(self, item);
        }
        self.0.push(']');
    }

    fn schema(&mut self, schema: &Schema) {
        let mut members = self.open();
        self.body(&mut members, schema);
        self.close();
    }

    fn body(&mut self, members: &mut Members, schema: &Schema) {
        match schema {
            Schema::Bool => self.kind(members, "boolean"),
            Schema::Number => self.kind(members, "number"),
            Schema::Integer { min, max } => {
                self.kind(members, "integer");
                self.key(members, "minimum").raw(min);
                self.key(members, "maximum").raw(max);
            }
            Schema::Text { format } => {
                self.kind(members, "string");
                if let Some(format) = format {
                    self.key(members, "format").text(format);
                }
            }
            Schema::Choice(names) => {
                self.kind(members, "string");
                self.key(members, "enum").list(names, |out, name| out.text(name));
            }
            Schema::List(items) => {
                self.kind(members, "array");
                self.key(members, "items").schema(items);
            }
            Schema::Map { keys, values } => {
                self.kind(members, "object");
                if !matches!(keys, Schema::Text { format: None }) {
                    self.key(members, "propertyNames").schema(keys);
                }
                self.key(members, "additionalProperties").schema(values);
            }
            Schema::Object(object) => self.object(members, object),
            Schema::Any(schemas) => self.key(members, "anyOf").list(schemas, Self::schema),
        }
    }

    fn kind(&mut self, members: &mut Members, kind: &str) {
        self.key(members, "type").text(kind);
    }

    fn object(&mut self, members: &mut Members, object: &Object) {
        self.kind(members, "object");
        if !object.description.is_empty() {
            self.key(members, "description").text(object.description);
        }
        let mut properties = self.key(members, "properties").open();
        for property in object.properties {
            self.key(&mut properties, property.name).property(property);
        }
        self.close();
        if object.properties.iter().any(|property| property.required) {
            let mut first = true;
            self.key(members, "required").raw("[");
            for property in object.properties.iter().filter(|property| property.required) {
                if !core::mem::replace(&mut first, false) {
                    self.raw(",");
                }
                self.text(property.name);
            }
            self.raw("]");
        }
        self.key(members, "additionalProperties").raw("false");
    }

    fn property(&mut self, property: &Property) {
        let mut members = self.open();
        // A bound of the field replaces the one of its type: a key must not stand twice.
        let narrow = &property.narrow;
        match property.schema {
            Schema::Integer { min, max } => {
                let (min, max) = (narrow.min.unwrap_or(min), narrow.max.unwrap_or(max));
                self.body(&mut members, &Schema::Integer { min, max });
            }
            Schema::Text { format } => self.body(&mut members, &Schema::Text { format: narrow.format.or(format) }),
            schema => {
                // The doc comment of the field says more than that of its type.
                let schema = match schema {
                    Schema::Object(object) if !property.description.is_empty() => Schema::Object(Object { description: "", ..object }),
                    schema => schema,
                };
                self.body(&mut members, &schema);
                for (bound, key) in [(narrow.min, "minimum"), (narrow.max, "maximum")] {
                    if let Some(bound) = bound {
                        self.key(&mut members, key).raw(bound);
                    }
                }
            }
        }
        if !narrow.values.is_empty() {
            self.key(&mut members, "enum").list(narrow.values, |out, value| out.raw(value));
        }
        if !property.description.is_empty() {
            self.key(&mut members, "description").text(property.description);
        }
        if let Some(default) = property.default {
            self.key(&mut members, "default").raw(default);
        }
        self.close();
    }
}
