//! JSON Schema (2020-12) as a constant: as much of it as settings need.

/// A schema. Names and literals in it are JSON text or names as written; `write` makes the document.
#[derive(Debug, Clone, Copy)]
pub enum Schema {
    Bool,
    Number,
    Integer {
        /// Bounds of the type, as JSON numbers.
        min: &'static str,
        max: &'static str,
    },
    Text {
        /// `upstream` makes the proxy check that an upstream of this name exists.
        format: Option<&'static str>,
    },
    /// One of these strings.
    Choice(&'static [&'static str]),
    List(&'static Self),
    Map {
        /// What each key must be: a `Text` or `Choice`.
        keys: &'static Self,
        values: &'static Self,
    },
    Object(Object),
    /// Any of these.
    Any(&'static [Self]),
}

/// An object with known members; others are refused.
#[derive(Debug, Clone, Copy)]
pub struct Object {
    /// From the doc comment; empty without one.
    pub description: &'static str,
    pub properties: &'static [Property],
}

/// A member of an [`Object`].
#[derive(Debug, Clone, Copy)]
pub struct Property {
    pub name: &'static str,
    /// From the doc comment; empty without one.
    pub description: &'static str,
    pub schema: Schema,
    pub required: bool,
    /// As JSON.
    pub default: Option<&'static str>,
    pub narrow: Narrow,
}

/// What `#[setting(…)]` adds to the schema of a field's type. Bounds and values are JSON text.
#[derive(Debug, Clone, Copy)]
pub struct Narrow {
    pub min: Option<&'static str>,
    pub max: Option<&'static str>,
    pub values: &'static [&'static str],
    pub format: Option<&'static str>,
}

impl Narrow {
    pub const NONE: Self = Self { min: None, max: None, values: &[], format: None };
}
