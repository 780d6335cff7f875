//! Text with placeholders, as operators write it: `{client.ip}`, with `{{` and `}}` for braces.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// A piece of a [`Template`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece<T> {
    Text(String),
    Placeholder(T),
}

/// Text with placeholders, taken apart once so that filling it in is cheap. `T` is what a placeholder means to the plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template<T>(Vec<Piece<T>>);

impl<T> Template<T> {
    /// Takes `text` apart. `meaning` says what each name in braces stands for, or what would be right.
    ///
    /// # Errors
    /// One line for the operator: an unknown placeholder, or a brace without its other half.
    pub fn parse(text: &str, mut meaning: impl FnMut(&str) -> Result<T, String>) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, from) = rest.split_at(at);
            plain.push_str(before);
            if let Some(after) = from.strip_prefix("{{").or_else(|| from.strip_prefix("}}")) {
                plain.push_str(&from[..1]);
                rest = after;
                continue;
            }
            let Some((name, after)) = from.strip_prefix('{').and_then(|inner| inner.split_once('}')) else {
                return Err(format!("`{}` has no other half; a brace itself is written twice", &from[..1]));
            };
            if !plain.is_empty() {
                pieces.push(Piece::Text(core::mem::take(&mut plain)));
            }
            pieces.push(Piece::Placeholder(meaning(name)?));
            rest = after;
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Ok(Self(pieces))
    }

    /// In order; no two texts follow each other.
    pub fn pieces(&self) -> &[Piece<T>] {
        &self.0
    }

    /// The placeholders in order.
    pub fn placeholders(&self) -> impl Iterator<Item = &T> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Placeholder(meaning) => Some(meaning),
            Piece::Text(_) => None,
        })
    }

    /// The whole text, if there are no placeholders.
    pub fn constant(&self) -> Option<&str> {
        match &*self.0 {
            [] => Some(""),
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The text with each placeholder replaced by what `value` adds for it.
    pub fn fill(&self, mut value: impl FnMut(&T, &mut Vec<u8>)) -> Vec<u8> {
        let mut filled = Vec::with_capacity(64);
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => filled.extend_from_slice(text.as_bytes()),
                Piece::Placeholder(meaning) => value(meaning, &mut filled),
            }
        }
        filled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Template<String>, String> {
        Template::parse(text, |name| if name == "no" { Err("no such thing".into()) } else { Ok(name.into()) })
    }

    #[test]
    fn placeholders_are_filled_in() {
        let template = parse("a{x}{{b}}{y.z}").expect("sound");
        let filled = template.fill(|name, out| out.extend(name.to_uppercase().bytes()));
        assert_eq!(filled, b"aX{b}Y.Z");
        assert_eq!(template.placeholders().collect::<Vec<_>>(), ["x", "y.z"]);
        assert_eq!(template.constant(), None);
    }

    #[test]
    fn constant_text_is_known_to_be() {
        assert_eq!(parse("").expect("sound").constant(), Some(""));
        assert_eq!(parse("a{{}}b").expect("sound").constant(), Some("a{}b"));
    }

    #[test]
    fn halves_and_unknown_names_are_refused() {
        for text in ["{", "a}b", "{a", "{no}", "é{"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
