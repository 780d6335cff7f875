//! Regular expressions and what replaces their matches.
//!
//! The engine is the one under the `regex` crate, without its Unicode tables, literal searches and strategies, which would triple the plugin.
//! It takes time linear in the path whatever the expression is. `\w`, `\d` and the like are ASCII: so is a path in its normal form.

use core::cell::RefCell;
use portcullis_sdk::prelude::*;
use regex_automata::nfa::thompson::NFA;
use regex_automata::nfa::thompson::pikevm::{Cache, PikeVM};
use regex_automata::util::captures::Captures;
use regex_automata::util::{interpolate, syntax};

/// Deeper nesting is refused: reading it takes stack, of which a guest has 64 KiB.
const DEEPEST: u32 = 50;

/// An expression, and what its matches are replaced by.
pub(crate) struct Pattern {
    engine: PikeVM,
    /// Memory to search in, and what the last search found.
    scratch: RefCell<(Cache, Captures)>,
    by: String,
}

/// Why a pattern is refused, in one line for the operator.
pub(crate) enum Wrong {
    Expression(String),
    Replacement(String),
}

impl Pattern {
    pub(crate) fn new(expression: &str, by: &str) -> Result<Self, Wrong> {
        let config = syntax::Config::new().unicode(false).utf8(false).nest_limit(DEEPEST);
        // The syntax by itself first: its errors say where, those of the engine do not.
        if let Err(error) = syntax::parse_with(expression, &config) {
            return Err(Wrong::Expression(one_line(&error.to_string())));
        }
        let engine = PikeVM::builder().syntax(config).build(expression).map_err(|error| Wrong::Expression(error.to_string()))?;
        if let Some(group) = unknown_group(engine.get_nfa(), by) {
            return Err(Wrong::Replacement(format!("the expression has no group `{group}`; write `${{1}}x` where an `x` follows")));
        }
        let scratch = RefCell::new((engine.create_cache(), engine.create_captures()));
        Ok(Self { engine, scratch, by: by.to_string() })
    }

    /// `text` with every match replaced; `None` if there is none.
    pub(crate) fn replaced(&self, text: &str) -> Option<String> {
        let (cache, captures) = &mut *self.scratch.borrow_mut();
        let mut new = String::new();
        let mut copied = 0;
        let mut from = 0;
        while from <= text.len() {
            self.engine.captures(cache, regex_automata::Input::new(text).range(from..), captures);
            let Some(found) = captures.get_match() else { break };
            new.push_str(text.get(copied..found.start())?);
            let group = |index: usize, out: &mut String| {
                out.push_str(captures.get_group(index).and_then(|at| text.get(at.range())).unwrap_or_default())
            };
            let number = |name: &str| self.engine.get_nfa().group_info().to_index(found.pattern(), name);
            interpolate::string(&self.by, group, number, &mut new);
            copied = found.end();
            // An empty match is replaced once, then the search goes on behind the next byte.
            from = if found.is_empty() { found.end() + 1 } else { found.end() };
        }
        if copied == 0 && new.is_empty() && from == 0 {
            return None;
        }
        new.push_str(text.get(copied..)?);
        Some(new)
    }
}

/// The message of a syntax error without the picture of the expression.
fn one_line(message: &str) -> String {
    message.lines().last().unwrap_or_default().trim_start_matches("error: ").to_string()
}

/// The first group that `by` names and the expression does not have: it would be replaced by nothing.
fn unknown_group<'b>(nfa: &NFA, by: &'b str) -> Option<&'b str> {
    let groups = nfa.group_info();
    let pattern = regex_automata::PatternID::ZERO;
    let known = |name: &str| match name.parse::<usize>() {
        Ok(number) => number < groups.group_len(pattern),
        Err(_) => groups.to_index(pattern, name).is_some(),
    };
    named(by).find(|name| !known(name))
}

/// The groups that a replacement names: `$name` takes as many letters, digits and `_` as there are, `${name}` all up to the brace, `$$` is a dollar.
fn named(by: &str) -> impl Iterator<Item = &str> {
    let mut rest = by;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn replaced(expression: &str, by: &str, text: &str) -> Option<String> {
        Pattern::new(expression, by).ok().expect("sound").replaced(text)
    }

    #[test]
    fn every_match_is_replaced() {
        assert_eq!(replaced("a", "b", "/aXa").as_deref(), Some("/bXb"));
        assert_eq!(replaced("^/a", "", "/a/a").as_deref(), Some("/a"));
        assert_eq!(replaced("a$", "", "/a").as_deref(), Some("/"));
        assert_eq!(replaced("z", "b", "/aXa"), None);
        assert_eq!(replaced("x*", "-", "/ab").as_deref(), Some("-/-a-b-"));
        assert_eq!(replaced("^", "/v1", "/a").as_deref(), Some("/v1/a"));
    }

    #[test]
    fn groups_go_into_the_replacement() {
        assert_eq!(replaced(r"^/(\w+)/(?<id>\d+)", "/$id/${1}x$$", "/user/7/b").as_deref(), Some("/7/userx$/b"));
        assert_eq!(replaced("(a)|(b)", "[$1$2]", "/ab").as_deref(), Some("/[a][b]"));
    }

    #[test]
    fn nesting_is_bounded_and_messages_are_one_line() {
        for expression in ["(".repeat(60) + &")".repeat(60), "(".into(), "a{5,2}".into(), "[z-a]".into(), r"\p{Greek}".into()] {
            match Pattern::new(&expression, "") {
                Err(Wrong::Expression(message)) => assert!(!message.is_empty() && !message.contains('\n'), "{message}"),
                _ => panic!("accepted: {expression}"),
            }
        }
    }
}
