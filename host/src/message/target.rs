//! The path of a request in its normal form (RFC 3986, section 6.2.2): what routes are matched on is what is forwarded, so that a
//! path cannot mean one thing here and another at the origin. The query is checked, not changed.
//!
//! Decoded: percent-encoded unreserved characters. Upper-cased: other percent-encodings. Removed: dot segments, also encoded ones.
//! Encoded: what browsers send raw though RFC 3986 does not allow it (`"<>[]^`{|}`). Kept: `//`, and encoded slashes as they are.

use super::Malformed;
use bytestring::ByteString;
use std::fmt;

/// Why a target is refused. All of it is the client's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BadTarget {
    /// Neither begins with `/` nor is the `*` of OPTIONS.
    Form,
    /// A byte that is in no URI: a control character, space, `#` (a fragment is never sent), anything beyond ASCII, or in a path
    /// `\`, which some origins take for `/`.
    Byte,
    /// `%` without two hexadecimal digits after it, in a path.
    PercentEncoding,
    /// `%00`: ends the path for origins written in C.
    Nul,
    /// `..` beside an encoded slash or a `;`: a dot segment to some origins and none to others.
    HiddenDots,
}

impl BadTarget {
    /// The reason token, which is that of targets refused while parsing.
    pub const fn reason(self) -> &'static str {
        Malformed::Target.reason()
    }
}

impl fmt::Display for BadTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Form => "the target is not an absolute path",
            Self::Byte => "the target has a byte that no URI has",
            Self::PercentEncoding => "the path has an invalid percent-encoding",
            Self::Nul => "the path has an encoded NUL",
            Self::HiddenDots => "the path hides dot segments",
        })
    }
}

impl std::error::Error for BadTarget {}

/// Splits a target at its first `?` and brings the path into normal form. An empty path (of an absolute-form target, RFC 9112,
/// section 3.2.2) becomes `/`. Costs no allocation if the path is normal already.
pub fn normalise(path_and_query: ByteString) -> Result<(ByteString, Option<ByteString>), BadTarget> {
    let Some(mark) = memchr::memchr(b'?', path_and_query.as_bytes()) else {
        return Ok((normal_path(path_and_query)?, None));
    };
    let (path, query) = path_and_query.split_at(mark);
    let query = query.slice_ref(query.strip_prefix('?').unwrap_or_default());
    if query.bytes().any(|byte| !byte.is_ascii_graphic() || byte == b'#') {
        return Err(BadTarget::Byte);
    }
    Ok((normal_path(path)?, Some(query)))
}

/// What a byte of a path asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Plain,
    /// Not plain only after a slash.
    Dot,
    Percent,
    /// To be encoded.
    Loose,
    Refused,
}

/// Per byte, because this is looked at for every byte of every request.
const CLASSES: [Class; 256] = classes();

const fn classes() -> [Class; 256] {
    let mut table = [Class::Refused; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = match byte as u8 {
            b'.' => Class::Dot,
            b'%' => Class::Percent,
            b'"' | b'<' | b'>' | b'[' | b']' | b'^' | b'`' | b'{' | b'|' | b'}' => Class::Loose,
            b'#' | b'\\' => Class::Refused,
            plain if plain.is_ascii_graphic() => Class::Plain,
            _ => Class::Refused,
        };
        byte += 1;
    }
    table
}

fn class(byte: u8) -> Class {
    CLASSES[usize::from(byte)]
}

fn normal_path(path: ByteString) -> Result<ByteString, BadTarget> {
    match path.as_bytes().first() {
        Some(b'/') => {}
        None => return Ok(ByteString::from_static("/")),
        Some(_) => return Err(BadTarget::Form),
    }
    let mut normal = true;
    let mut before = 0;
    for &byte in path.as_bytes().iter() {
        match class(byte) {
            Class::Plain => {}
            Class::Refused => return Err(BadTarget::Byte),
            Class::Dot => normal &= before != b'/',
            Class::Percent | Class::Loose => normal = false,
        }
        before = byte;
    }
    if normal { Ok(path) } else { rewrite(path) }
}

fn rewrite(path: ByteString) -> Result<ByteString, BadTarget> {
    let decoded = decode_unreserved(&path)?;
    let rewritten = remove_dot_segments(&decoded)?;
    Ok(if rewritten == *path { path } else { rewritten.into() })
}

/// Only bytes of a path get here, so the result is ASCII.
fn decode_unreserved(path: &str) -> Result<String, BadTarget> {
    let mut out = String::with_capacity(path.len() + 8);
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        match class(byte) {
            Class::Percent => {
                let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16)).ok_or(BadTarget::PercentEncoding);
                let (high, low) = (digit(bytes.next())?, digit(bytes.next())?);
                match u8::try_from(high << 4 | low).map_err(|_| BadTarget::PercentEncoding)? {
                    0 => return Err(BadTarget::Nul),
                    unreserved @ (b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~') => out.push(unreserved.into()),
                    other => push_encoded(&mut out, other),
                }
            }
            Class::Loose => push_encoded(&mut out, byte),
            _ => out.push(byte.into()),
        }
    }
    Ok(out)
}

fn push_encoded(out: &mut String, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.push('%');
    out.push(DIGITS[usize::from(byte >> 4)].into());
    out.push(DIGITS[usize::from(byte & 15)].into());
}

/// RFC 3986, section 5.2.4. `path` begins with a slash; dots above the root are dropped, as the RFC says.
fn remove_dot_segments(path: &str) -> Result<String, BadTarget> {
    let mut out = String::with_capacity(path.len());
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let dots = match segment {
            "." => true,
            ".." => {
                out.truncate(out.rfind('/').unwrap_or(0));
                true
            }
            other if hides_dots(other) => return Err(BadTarget::HiddenDots),
            other => {
                out.push('/');
                out.push_str(other);
                false
            }
        };
        if dots && segments.peek().is_none() {
            out.push('/');
        }
    }
    Ok(out)
}

/// Whether an origin that decodes slashes (`%2F`, `%5C`) before it looks at segments, or cuts parameters off (`;`), would find a
/// dot segment in this one.
fn hides_dots(segment: &str) -> bool {
    segment.contains("..") && segment.replace("%2F", ";").replace("%5C", ";").split(';').any(|part| part == "..")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn path(text: &str) -> Result<String, BadTarget> {
        normalise(text.into()).map(|(path, query)| {
            assert_eq!(query, None);
            path.to_string()
        })
    }

    #[test]
    fn paths_become_normal() {
        let cases = [
            ("/", "/"),
            ("", "/"),
            ("/a/b", "/a/b"),
            ("/a.b/c..d/e.", "/a.b/c..d/e."),
            ("/.well-known/x", "/.well-known/x"),
            ("/...", "/..."),
            ("/a//b/", "/a//b/"),
            ("//a", "//a"),
            ("/a/./b", "/a/b"),
            ("/a/../b", "/b"),
            ("/a/b/..", "/a/"),
            ("/a/b/.", "/a/b/"),
            ("/a//../b", "/a/b"),
            ("/..", "/"),
            ("/../../etc", "/etc"),
            ("/a/%2e%2E/b", "/b"),
            ("/a/.%2e/b", "/b"),
            ("/%61%7e%5f", "/a~_"),
            ("/a%2fb", "/a%2Fb"),
            ("/caf%c3%a9", "/caf%C3%A9"),
            ("/%252e%252e/", "/%252e%252e/"),
            ("/a|b[c]{d}", "/a%7Cb%5Bc%5D%7Bd%7D"),
            ("/a;v=1/b", "/a;v=1/b"),
            ("/a%0Ab", "/a%0Ab"),
        ];
        for (given, expected) in cases {
            assert_eq!(path(given).as_deref(), Ok(expected), "{given}");
        }
    }

    #[test]
    fn doubtful_targets_are_refused() {
        let cases = [
            ("a/b", BadTarget::Form),
            ("*", BadTarget::Form),
            ("/a b", BadTarget::Byte),
            ("/a\tb", BadTarget::Byte),
            ("/a\0", BadTarget::Byte),
            ("/a\u{7f}", BadTarget::Byte),
            ("/a#b", BadTarget::Byte),
            ("/a\\..\\b", BadTarget::Byte),
            ("/é", BadTarget::Byte),
            ("/?a#b", BadTarget::Byte),
            ("/?a b", BadTarget::Byte),
            ("/?é", BadTarget::Byte),
            ("/%", BadTarget::PercentEncoding),
            ("/%4", BadTarget::PercentEncoding),
            ("/%4g", BadTarget::PercentEncoding),
            ("/%+1", BadTarget::PercentEncoding),
            ("/a%00.jpg", BadTarget::Nul),
            ("/static/..%2f..%2fetc", BadTarget::HiddenDots),
            ("/static/%2e%2e%5cetc", BadTarget::HiddenDots),
            ("/static/..;/admin", BadTarget::HiddenDots),
            ("/static/..;x=1/admin", BadTarget::HiddenDots),
        ];
        for (given, expected) in cases {
            assert_eq!(normalise(given.into()).err(), Some(expected), "{given}");
        }
    }

    #[test]
    fn query_is_split_off_and_kept_as_sent() {
        let cases = [
            ("/a?b=%2e%zz", "/a", "b=%2e%zz"),
            ("/a?", "/a", ""),
            ("?q", "/", "q"),
            ("/%61?a?b/../c", "/a", "a?b/../c"),
            ("/?a=[1]|{2}\\", "/", "a=[1]|{2}\\"),
        ];
        for (given, path, query) in cases {
            assert_eq!(normalise(given.into()), Ok((path.into(), Some(query.into()))), "{given}");
        }
    }

    #[test]
    fn normal_path_is_not_copied() {
        let given = ByteString::from("/a/b.html?x");
        let (path, _) = normalise(given.clone()).expect("normal");
        assert_eq!(path.as_ptr(), given.as_ptr());
    }

    proptest! {
        #[test]
        fn normal_form_is_a_fixed_point(given in "/[a-c./%;2eEfF5cC|~]{0,24}") {
            if let Ok((normal, _)) = normalise(given.as_str().into()) {
                prop_assert_eq!(normalise(normal.clone()), Ok((normal.clone(), None)));
                prop_assert!(normal.starts_with('/'));
                prop_assert!(!normal.split('/').any(|segment| segment == "." || segment == ".."));
            }
        }

        #[test]
        fn no_target_panics(given in any::<String>()) {
            let _ = normalise(given.as_str().into());
        }
    }
}
