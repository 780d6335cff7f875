//! What a plugin says of itself (`wit/phases.wit`, `describe`).

use serde_json::Value;

/// The answer of `describe`, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Description {
    pub name: String,
    pub version: String,
    pub description: Option<String>,
    /// JSON Schema (2020-12) of the settings; `None`: the plugin takes none.
    pub settings: Option<Value>,
}

/// Bytes of the answer.
const LONGEST: usize = 256 << 10;

impl Description {
    /// `Err`: one line that says what is wrong with the answer.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.len() > LONGEST {
            return Err(format!("{} bytes, more than 256 KiB", text.len()));
        }
        let mut value: Value = serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?;
        let fields = value.as_object_mut().ok_or("not a JSON object")?;
        let string = |value: Option<Value>, name: &str| match value {
            Some(Value::String(text)) => Ok(Some(text)),
            None | Some(Value::Null) => Ok(None),
            Some(_) => Err(format!("`{name}` is not a string")),
        };
        let required = |text: Option<String>, name: &str| text.filter(|text| !text.is_empty()).ok_or(format!("no `{name}`"));
        Ok(Self {
            name: required(string(fields.remove("name"), "name")?, "name")?,
            version: required(string(fields.remove("version"), "version")?, "version")?,
            description: string(fields.remove("description"), "description")?,
            settings: match fields.remove("settings") {
                None | Some(Value::Null) => None,
                Some(schema @ (Value::Object(_) | Value::Bool(_))) => Some(schema),
                Some(_) => return Err("`settings` is not a JSON Schema".to_owned()),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_and_version_are_all_it_takes() {
        let said = Description::parse(r#"{"name":"x","version":"1.0.0","more":1}"#).unwrap();
        assert_eq!((&*said.name, &*said.version, said.description, said.settings), ("x", "1.0.0", None, None));
    }

    #[test]
    fn each_mistake_is_named() {
        for (text, wrong) in [
            ("nonsense", "not JSON"),
            ("[]", "not a JSON object"),
            (r#"{"version":"1"}"#, "no `name`"),
            (r#"{"name":"x"}"#, "no `version`"),
            (r#"{"name":1,"version":"1"}"#, "`name` is not a string"),
            (r#"{"name":"x","version":"1","settings":[]}"#, "`settings` is not a JSON Schema"),
        ] {
            let said = Description::parse(text).unwrap_err();
            assert!(said.starts_with(wrong), "{text}: {said}");
        }
    }
}
