//! Path patterns: `/api/*`, `=/robots.txt`, `/exact`, `~^/v[0-9]+/`, in the normal form that request paths are compared in.

use super::PathMatch;
use super::forms::Wrong;

/// More compiled is more likely a mistake than a route; the regex crate's own bound is 10 MiB.
const REGEX_BYTES: usize = 1 << 20;

/// A pattern as meant. `priority` is that of a regular expression.
pub fn path(text: &str, priority: i32) -> Result<PathMatch, Wrong> {
    if let Some(regex) = text.strip_prefix('~') {
        return expression(regex, 1).map(|regex| PathMatch::Regex { regex, priority });
    }
    if let Some(exact) = text.strip_prefix('=') {
        literal(exact, 1, false)?;
        return Ok(PathMatch::Exact(normal(exact)));
    }
    literal(text, 0, true)?;
    match text.strip_suffix("/*") {
        Some(prefix) => Ok(PathMatch::Prefix(normal(prefix).trim_end_matches('/').to_owned())),
        None => Ok(PathMatch::Exact(normal(text))),
    }
}

/// Checks what is not a regular expression; `offset`: bytes before it in the string, for places.
fn literal(path: &str, offset: usize, star: bool) -> Result<(), Wrong> {
    if !path.starts_with('/') {
        let help = "patterns are /prefix/*, =/exact, or ~regex with a priority";
        let end = offset + path.chars().next().map_or(0, char::len_utf8);
        return Err(Wrong::at(offset..end, "a path begins with `/`").help(help));
    }
    if let Some(at) = path.find(['?', '#']) {
        let help = "queries are matched with match = { query = { name = \"value\" } }";
        return Err(Wrong::at(offset + at..offset + path.len(), "a path has no query").help(help));
    }
    if let Some((at, c)) = path.char_indices().find(|(_, c)| c.is_control() || *c == ' ') {
        return Err(Wrong::at(offset + at..offset + at + c.len_utf8(), "cannot stand in a path").help("write it percent-encoded"));
    }
    let below = path.strip_suffix("/*").unwrap_or(path);
    if let Some(at) = below.find('*').filter(|_| star) {
        let help = format!("write {}/* for everything below, or a regular expression", path.trim_end_matches(['*', '/']));
        return Err(Wrong::at(at..at + 1, "`*` can only be the last element of a path").help(help));
    }
    for (at, _) in path.match_indices('%') {
        let digits = path.get(at + 1..at + 3).is_some_and(|pair| pair.bytes().all(|b| b.is_ascii_hexdigit()));
        if !digits {
            let end = path.char_indices().map(|(at, c)| at + c.len_utf8()).find(|end| *end > at + 2).unwrap_or(path.len());
            return Err(Wrong::at(offset + at..offset + end, "`%` must be followed by two hexadecimal digits").help("write %25 for `%`"));
        }
    }
    Ok(())
}

/// Compiles a regular expression that stands `offset` bytes into its string.
pub fn expression(text: &str, offset: usize) -> Result<regex::Regex, Wrong> {
    regex_syntax::parse(text).map_err(|error| {
        let (span, message) = match &error {
            regex_syntax::Error::Parse(error) => (*error.span(), error.kind().to_string()),
            regex_syntax::Error::Translate(error) => (*error.span(), error.kind().to_string()),
            other => return Wrong::at(offset..offset + text.len(), other.to_string()),
        };
        Wrong::at(offset + span.start.offset..offset + span.end.offset, message)
    })?;
    let compiled = regex::RegexBuilder::new(text).size_limit(REGEX_BYTES).build();
    compiled.map_err(|error| Wrong::at(offset..offset + text.len(), error.to_string()))
}

/// The normal form of an absolute path (RFC 3986, section 6.2.2): dot segments removed, unreserved characters decoded, hexadecimal
/// digits in upper case, everything outside US-ASCII encoded. Empty stays empty.
pub fn normal(path: &str) -> String {
    let mut encoded = String::with_capacity(path.len());
    let bytes = path.as_bytes();
    let digit = |at: usize| bytes.get(at).and_then(|byte| (*byte as char).to_digit(16)).and_then(|digit| u8::try_from(digit).ok());
    let mut at = 0;
    while let Some(byte) = bytes.get(at).copied() {
        at += 1;
        match (byte, digit(at), digit(at + 1)) {
            (b'%', Some(high), Some(low)) => {
                at += 2;
                let byte = high << 4 | low;
                push(&mut encoded, byte, !byte.is_ascii_alphanumeric() && !b"-._~".contains(&byte));
            }
            _ => push(&mut encoded, byte, !byte.is_ascii_graphic()),
        }
    }
    without_dots(&encoded)
}

fn push(out: &mut String, byte: u8, encode: bool) {
    if encode {
        out.push_str(&format!("%{byte:02X}"));
    } else {
        out.push(byte as char);
    }
}

/// RFC 3986, section 5.2.4, for absolute paths.
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut open = false; // the last segment was a dot segment, so the path ends with a slash
    for segment in path.split('/').skip(1) {
        open = matches!(segment, "." | "..");
        match segment {
            "." => {}
            ".." => drop(kept.pop()),
            _ => kept.push(segment),
        }
    }
    let mut out: String = kept.iter().flat_map(|segment| ["/", segment]).collect();
    if open || (out.is_empty() && !path.is_empty()) {
        out.push('/');
    }
    out
}

/// Whether the expression certainly matches every path; says nothing about less obvious ones.
pub fn matches_everything(regex: &regex::Regex) -> bool {
    let core = regex.as_str().trim_start_matches('^').trim_end_matches('$');
    matches!(core, "" | "/" | ".*" | "/.*") && (!regex.as_str().ends_with('$') || core.ends_with(".*"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        let shown = |text: &str| match path(text, 0) {
            Ok(PathMatch::Exact(path)) => format!("exact {path}"),
            Ok(PathMatch::Prefix(path)) => format!("prefix {path}"),
            Ok(PathMatch::Regex { regex, .. }) => format!("regex {regex}"),
            Err(wrong) => format!("{:?} {}", wrong.at, wrong.message),
        };
        assert_eq!(shown("/*"), "prefix ");
        assert_eq!(shown("/api/*"), "prefix /api");
        assert_eq!(shown("/api"), "exact /api");
        assert_eq!(shown("=/a*"), "exact /a*");
        assert_eq!(shown("/%7ea/../b%2f/*"), "prefix /b%2F");
        assert_eq!(shown("/ä"), "exact /%C3%A4");
        assert_eq!(shown("~^/v[0-9]+/"), "regex ^/v[0-9]+/");
        assert_eq!(shown("api/*"), "0..1 a path begins with `/`");
        assert_eq!(shown("/api*"), "4..5 `*` can only be the last element of a path");
        assert_eq!(shown("/a%zz"), "2..5 `%` must be followed by two hexadecimal digits");
        assert_eq!(shown("~a(b"), "2..3 unclosed group");
    }

    #[test]
    fn normal_form() {
        for (path, wanted) in [
            ("", ""),
            ("/", "/"),
            ("/a/./b/../c", "/a/c"),
            ("/a/..", "/"),
            ("/a/b/..", "/a/"),
            ("/../../x", "/x"),
            ("/%41%2e%2E/x", "/A../x"),
            ("/a/%2e%2e/x", "/x"),
            ("//a//", "//a//"),
            ("/a%2fb", "/a%2Fb"),
        ] {
            assert_eq!(normal(path), wanted, "{path}");
            assert_eq!(normal(&normal(path)), normal(path), "{path}");
        }
    }

    #[test]
    fn obvious_catch_alls() {
        for (text, all) in [("^/", true), (".*", true), ("^/.*$", true), ("^/$", false), ("^/a", false), ("^$", false)] {
            assert_eq!(matches_everything(&regex::Regex::new(text).expect("fine")), all, "{text}");
        }
    }
}
