//! How a path changes: strip, add, replace.

use portcullis_sdk::prelude::*;
use regex::bytes::{Regex, RegexBuilder};

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
    replace: Vec<(Regex, String)>,
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
        for (pattern, by) in &self.replace {
            if pattern.is_match(new.as_bytes()) {
                // Paths in normal form are ASCII, and a replacement is text: what is made of both is text.
                new = String::from_utf8(pattern.replace_all(new.as_bytes(), by.as_bytes()).into_owned()).unwrap_or(new);
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

fn compile(one: &Replacement, at: &Pointer, problems: &mut Vec<Problem>) -> Option<(Regex, String)> {
    let pattern = match RegexBuilder::new(&one.pattern).unicode(false).build() {
        Ok(pattern) => pattern,
        Err(error) => {
            problems.push(Problem::at(at.key("match"), format!("not a regular expression: {error}")));
            return None;
        }
    };
    if !can_stand_in_path(&one.replace) {
        problems.push(Problem::at(at.key("replace"), "has no space, `?`, `#` or control characters; query parameters go under `query`"));
    }
    if let Some(group) = unknown_group(&pattern, &one.replace) {
        problems.push(Problem::at(at.key("replace"), format!("the expression has no group `{group}`; write ${{1}}x where `x` follows")));
    }
    Some((pattern, one.replace.clone()))
}

/// The first group that `replace` names and `pattern` does not have: it would be replaced by nothing.
fn unknown_group<'r>(pattern: &Regex, replace: &'r str) -> Option<&'r str> {
    let known = |name: &str| match name.parse::<usize>() {
        Ok(number) => number < pattern.captures_len(),
        Err(_) => pattern.capture_names().flatten().any(|known| known == name),
    };
    groups(replace).find(|name| !known(name))
}

/// The groups that a replacement names: `$name` takes as many letters, digits and `_` as there are, `${name}` all up to the brace, `$$` is a dollar.
fn groups(replace: &str) -> impl Iterator<Item = &str> {
    let mut rest = replace;
    core::iter::from_fn(move || {
        loop {
            let after = rest.split_once('$')?.1;
            if let Some(after) = after.strip_prefix('$') {
                rest = after;
                continue;
            }
            let name = match after.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
                Some((name, _)) => name,
                None => after.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or_default(),
            };
            rest = after;
            if !name.is_empty() {
                return Some(name);
            }
        }
    })
}
