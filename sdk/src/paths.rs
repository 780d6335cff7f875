//! Patterns of paths in settings, as routes have them: `/api/*` for a path and all below it, `/exact` or `=/exact`; and `*.css` for the end of one.

use alloc::borrow::ToOwned;
use alloc::string::String;

/// A pattern, compared with paths in their normal form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathPattern {
    Exact(String),
    /// Without the slash at its end: `/api` holds for `/api` and `/api/x`, not for `/apis`.
    Below(String),
    /// With its dot.
    Ends(String),
}

impl PathPattern {
    /// # Errors
    /// What it would have to be, in words for the operator.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const FORM: &str = "a path is /prefix/*, /exact, =/exact or *.ending";
        let sound = |text: &str| !text.contains(['*', '?', '#', ' ']) && !text.chars().any(char::is_control);
        if let Some(end) = text.strip_prefix("*.") {
            let sound = !end.is_empty() && sound(end) && !end.contains('/');
            return if sound { Ok(Self::Ends([".", end].concat())) } else { Err(FORM) };
        }
        let exact = text.strip_prefix('=');
        let path = exact.unwrap_or(text);
        let (path, below) = path.strip_suffix("/*").filter(|_| exact.is_none()).map_or((path, false), |path| (path, true));
        let begins = path.starts_with('/') || below && path.is_empty();
        match (begins && sound(path), below) {
            (false, _) => Err(FORM),
            (true, true) => Ok(Self::Below(path.trim_end_matches('/').to_owned())),
            (true, false) => Ok(Self::Exact(path.to_owned())),
        }
    }

    pub fn matches(&self, path: &str) -> bool {
        match self {
            Self::Exact(exact) => path == exact,
            Self::Below(prefix) => path.strip_prefix(&**prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
            Self::Ends(end) => path.ends_with(&**end),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_what_routes_with_them_would() {
        for (pattern, matching, others) in [
            ("/api/*", &["/api", "/api/", "/api/x"][..], &["/apis", "/", "/x/api/"][..]),
            ("/*", &["/", "/x"], &[]),
            ("/a", &["/a"], &["/a/", "/ab"]),
            ("=/a", &["/a"], &["/a/"]),
            ("*.css", &["/a.css", "/b/c.css"], &["/css", "/a.css/x", "/a.CSS"]),
        ] {
            let parsed = PathPattern::parse(pattern).expect(pattern);
            assert!(matching.iter().all(|path| parsed.matches(path)), "{pattern}");
            assert!(!others.iter().any(|path| parsed.matches(path)), "{pattern}");
        }
        for wrong in ["", "a", "*", "*.", "/a*", "/a/*/b", "/a?b", "=/a/*", "*.a/b", "/a b"] {
            assert!(PathPattern::parse(wrong).is_err(), "{wrong}");
        }
    }
}
