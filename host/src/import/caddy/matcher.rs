//! Matchers: `/x/*`, `*`, `@name`.

use super::super::line::Line;
use super::super::write::quoted;
use std::collections::BTreeMap;

/// What a directive is for: patterns of ours, and what else must hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Matcher {
    pub patterns: Vec<Pattern>,
    pub conditions: Vec<(&'static str, String)>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Pattern {
    pub text: String,
    /// What requests begin with; empty for all, and for regular expressions.
    pub prefix: String,
}

/// Named matchers of a site, or why one cannot be carried over.
pub type Named = BTreeMap<String, Result<Matcher, String>>;

impl Matcher {
    pub fn all() -> Self {
        Self { patterns: vec![Pattern { text: "/*".to_owned(), prefix: String::new() }], conditions: Vec::new() }
    }

    pub fn is_all(&self) -> bool {
        *self == Self::all()
    }
}

/// The matcher that a directive begins with, if it does, and how many words it is.
pub fn of(line: &Line, named: &Named) -> Option<Result<Matcher, String>> {
    match line.arg(0) {
        "*" => Some(Ok(Matcher::all())),
        path if path.starts_with('/') => Some(Ok(Matcher { patterns: vec![path_pattern(path)], conditions: Vec::new() })),
        name if name.starts_with('@') => Some(named.get(name).cloned().unwrap_or_else(|| Err(format!("there is no matcher {name}")))),
        _ => None,
    }
}

/// `@name path /a /b`, `@name { path /a; method GET }`
pub fn declared(line: &Line) -> Result<Matcher, String> {
    let (mut matcher, mut paths, mut regex) = (Matcher::all(), false, false);
    let own = Line { name: line.arg(0).to_owned(), args: line.args.iter().skip(1).cloned().collect(), ..Line::default() };
    let lines = if line.block.is_some() { line.lines() } else { std::slice::from_ref(&own) };
    for line in lines {
        match &*line.name {
            "path" | "path_regexp" if regex => return Err("a path and a regular expression, or two of these".into()),
            "path" => {
                let more = line.args.iter().map(|path| path_pattern(path));
                matcher.patterns = matcher.patterns.drain(..).filter(|_| paths).chain(more).collect();
                paths = true;
            }
            "path_regexp" if paths => return Err("a path and a regular expression".into()),
            "path_regexp" => {
                regex = true;
                let text = line.args.last().cloned().unwrap_or_default();
                regex::Regex::new(&text).map_err(|error| error.to_string().lines().last().unwrap_or_default().to_owned())?;
                matcher.patterns = vec![Pattern { text: format!("~{text}"), prefix: String::new() }];
            }
            "method" => {
                let methods: Vec<String> = line.args.iter().map(|method| quoted(method)).collect();
                matcher.conditions.push(("method", format!("[{}]", methods.join(", "))));
            }
            "header" if line.args.len() == 2 && !line.arg(1).contains('*') && !line.arg(0).starts_with('!') => {
                matcher.conditions.push(("header", format!("{{ {} = {} }}", quoted(line.arg(0)), quoted(line.arg(1)))));
            }
            "query" if line.args.len() == 1 && !line.arg(0).contains('*') => {
                let (name, value) = line.arg(0).split_once('=').unwrap_or((line.arg(0), ""));
                matcher.conditions.push(("query", format!("{{ {} = {} }}", quoted(name), quoted(value))));
            }
            other => return Err(format!("the matcher `{other}` has no counterpart")),
        }
    }
    let twice = |(index, (kind, _)): (usize, &(&str, String))| matcher.conditions.iter().take(index).any(|(before, _)| before == kind);
    if matcher.conditions.iter().enumerate().any(twice) {
        return Err("two conditions of one kind: write them as one, `header = { A = \"…\", B = \"…\" }`".into());
    }
    Ok(matcher)
}

/// `/x/*` is ours too, `/x` is exactly this, others are regular expressions.
fn path_pattern(path: &str) -> Pattern {
    if path == "*" || path == "/*" {
        return Pattern { text: "/*".to_owned(), prefix: String::new() };
    }
    if let Some(prefix) = path.strip_suffix("/*").filter(|prefix| !prefix.contains('*')) {
        return Pattern { text: path.to_owned(), prefix: prefix.to_owned() };
    }
    if !path.contains('*') {
        return Pattern { text: format!("={path}"), prefix: path.to_owned() };
    }
    let parts: Vec<String> = path.split('*').map(regex::escape).collect();
    Pattern { text: format!("~^{}$", parts.join(".*")), prefix: String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_patterns() {
        for (path, ours) in [("/*", "/*"), ("/api/*", "/api/*"), ("/x", "=/x"), ("/x*", "~^/x.*$"), ("*.php", "~^.*\\.php$")] {
            assert_eq!(path_pattern(path).text, ours);
        }
    }
}
