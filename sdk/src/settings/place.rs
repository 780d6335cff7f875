//! From a position in settings text to a JSON pointer (RFC 6901).
//!
//! The reader knows where it stopped; carrying a path along through every type would cost each guest more than this scan, which runs only
//! when something is wrong.

use crate::problem::Pointer;
use alloc::string::String;
use alloc::vec::Vec;

/// An object or list that is open at a place in the text.
enum Open {
    /// The name of the member being read, once its key has been.
    Object(Option<String>),
    /// The number of the element being read.
    List(usize),
}

/// The pointer to the value that the first `offset` bytes of `text` end in, or just after.
pub(super) fn pointer(text: &str, offset: usize) -> Pointer {
    let mut open: Vec<Open> = Vec::new();
    let mut rest = text.get(..offset.min(text.len())).unwrap_or(text).chars();
    // Whether the next string in an object is a key.
    let mut key = false;
    while let Some(c) = rest.next() {
        match c {
            '{' => {
                open.push(Open::Object(None));
                key = true;
            }
            '[' => open.push(Open::List(0)),
            '}' | ']' => drop(open.pop()),
            ',' => match open.last_mut() {
                Some(Open::Object(name)) if !rest.as_str().is_empty() => (*name, key) = (None, true),
                Some(Open::List(index)) if !rest.as_str().is_empty() => *index += 1,
                _ => {}
            },
            ':' => key = false,
            '"' => {
                let string = string(&mut rest);
                if let (true, Some(Open::Object(name))) = (key, open.last_mut()) {
                    *name = Some(string);
                }
            }
            _ => {}
        }
    }
    open.into_iter().fold(Pointer::root(), |path, open| match open {
        Open::Object(Some(name)) => path.key(&name),
        Open::Object(None) => path,
        Open::List(index) => path.index(index),
    })
}

/// The rest of a string whose opening quote has been read. Escapes other than of quotes and backslashes stay as they are: a key
/// with one of those is shown, at worst, at its parent.
fn string(rest: &mut core::str::Chars<'_>) -> String {
    let mut string = String::new();
    while let Some(c) = rest.next() {
        match c {
            '"' => break,
            '\\' => string.extend(rest.next()),
            c => string.push(c),
        }
    }
    string
}

#[cfg(test)]
mod tests {
    use crate::prelude::*;

    #[settings]
    #[derive(Debug)]
    #[allow(dead_code, reason = "only read from text")]
    struct Outer {
        rules: Vec<Rule>,
        set: Map<String>,
        add: Map<OneOrMany<String>>,
        #[setting(default)]
        mode: Mode,
    }

    #[settings]
    #[derive(Debug)]
    #[allow(dead_code, reason = "only read from text")]
    struct Rule {
        to: Upstream,
        weight: u8,
    }

    #[settings]
    #[derive(Debug, Default)]
    enum Mode {
        #[default]
        OneWay,
        BothWays,
    }

    /// The pointer and message for these settings, as `configure` would give them.
    fn problem(text: &str) -> (String, String) {
        let (message, at) = crate::settings::json::read::<Outer>(text).expect_err("refused");
        (super::pointer(text, at).into(), message)
    }

    #[test]
    fn a_problem_points_to_what_is_wrong() {
        let cases = [
            (r#"{"rules": [{"to": "a", "weight": 1}, {"to": "b", "weight": "x"}], "set": {}, "add": {}}"#, "/rules/1/weight"),
            (r#"{"rules": [{"to": "a", "weight": 300}], "set": {}, "add": {}}"#, "/rules/0/weight"),
            (r#"{"rules": [{"to": "a"}], "set": {}, "add": {}}"#, "/rules/0"),
            (r#"{"rules": [], "set": {"a/b": 1}, "add": {}}"#, "/set/a~1b"),
            (r#"{"rules": [], "set": {}, "add": {"x": ["a", 1]}}"#, "/add/x/1"),
            (r#"{"rules": [], "set": {}, "add": {"x": 1}}"#, "/add/x"),
            (r#"{"rules": [], "set": {}, "add": {}, "mod": 1}"#, "/mod"),
            (r#"{"rules": [], "set": {}, "add": {}, "mode": "sideways"}"#, "/mode"),
            (r#"{"rules": {}, "set": {}, "add": {}}"#, "/rules"),
            (r#"{"rules": []}"#, ""),
            (r#"[]"#, ""),
        ];
        for (text, path) in cases {
            assert_eq!(problem(text).0, path, "{text}: {}", problem(text).1);
        }
    }

    #[test]
    fn words_are_kebab_case() {
        let read = crate::settings::json::read::<Outer>(r#"{"rules": [], "set": {}, "add": {}, "mode": "both-ways"}"#).expect("accepted");
        assert!(matches!(read.mode, Mode::BothWays));
    }
}
