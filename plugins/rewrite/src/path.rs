//! How a path changes: strip, add, replace.

use crate::pattern::{Pattern, Wrong};
use portcullis_sdk::prelude::*;

/// A replacement in the path.
#[settings]
pub(crate) struct Replacement {
    /// Regular expression; every match in the path is replaced.
    #[setting(rename = "match")]
    pattern: String,
    /// What replaces it; $1 or ${name} is a group of the match.
    replace: String,
}

pub(crate) struct PathSteps {
    /// Without a slash at its end.
    strip: Option<String>,
    /// Without a slash at its end.
    add: Option<String>,
    replace: Vec<Pattern>,
}

impl PathSteps {
    /// `None` if paths stay as they are.
    pub(crate) fn of(
        strip: Option<&str>,
        add: Option<&str>,
        replace: &OneOrMany<Replacement>,
        problems: &mut Vec<Problem>,
    ) -> Option<Self> {
        let strip = strip.and_then(|text| prefix(text, "/strip-prefix", problems));
        let add = add.and_then(|text| prefix(text, "/add-prefix", problems));
        let at = Pointer::root().key("regex");
        let compiled = replace.iter().enumerate().filter_map(|(index, one)| compile(one, &replace.pointer(&at, index), problems));
        let replace: Vec<_> = compiled.collect();
        (strip.is_some() || add.is_some() || !replace.is_empty()).then_some(Self { strip, add, replace })
    }

    /// The path after all steps; `None` if it is the same.
    pub(crate) fn changed(&self, path: &str) -> Option<String> {
        let stripped = self.strip.as_deref().and_then(|prefix| strip(path, prefix)).unwrap_or(path);
        let mut new = String::with_capacity(path.len() + self.add.as_ref().map_or(0, String::len));
        new.push_str(self.add.as_deref().unwrap_or_default());
        new.push_str(stripped);
        for pattern in &self.replace {
            if let Some(replaced) = pattern.replaced(&new) {
                new = replaced;
            }
        }
        if !new.starts_with('/') {
            new.insert(0, '/');
        }
        (new != path).then_some(new)
    }
}

/// `path` without `prefix`, if that ends where a path element does.
fn strip<'p>(path: &'p str, prefix: &str) -> Option<&'p str> {
    let rest = path.strip_prefix(prefix)?;
    if rest.is_empty() { Some("/") } else { rest.starts_with('/').then_some(rest) }
}

/// A prefix without a slash at its end; `None` if nothing is left, or something is wrong.
fn prefix(text: &str, at: &str, problems: &mut Vec<Problem>) -> Option<String> {
    if !text.starts_with('/') || !can_stand_in_path(text) {
        problems.push(Problem::at(at, "begins with `/` and has no space, `?`, `#` or control characters"));
        return None;
    }
    let trimmed = text.trim_end_matches('/');
    (!trimmed.is_empty()).then(|| trimmed.to_string())
}

fn can_stand_in_path(text: &str) -> bool {
    !text.contains(|c: char| c <= ' ' || c == '\x7f' || "?#".contains(c))
}

fn compile(one: &Replacement, at: &Pointer, problems: &mut Vec<Problem>) -> Option<Pattern> {
    if !can_stand_in_path(&one.replace) {
        problems.push(Problem::at(at.key("replace"), "has no space, `?`, `#` or control characters; query parameters go under `query`"));
    }
    match Pattern::new(&one.pattern, &one.replace) {
        Ok(pattern) => return Some(pattern),
        Err(Wrong::Expression(why)) => problems.push(Problem::at(at.key("match"), format!("not a regular expression: {why}"))),
        Err(Wrong::Replacement(why)) => problems.push(Problem::at(at.key("replace"), why)),
    }
    None
}
