//! What is never written: values of query parameters and of links' attributes whose names say that they are secrets. Header fields and bodies are not
//! written at all.

use crate::config::{AccessRules, sounds_secret};

/// In place of a value.
pub(super) const MASKED: &str = "***";

/// Parameters whose values are not written, lower case: credentials and one-time codes of OAuth 2, signed links, and what people
/// call a password.
const SECRET_PARAMETERS: &[&str] = &[
    "access_token",
    "api_key",
    "apikey",
    "auth",
    "client_secret",
    "code",
    "id_token",
    "jwt",
    "key",
    "pass",
    "passwd",
    "password",
    "refresh_token",
    "secret",
    "session",
    "sig",
    "signature",
    "state",
    "token",
    "x-amz-credential",
    "x-amz-security-token",
    "x-amz-signature",
];

/// The query with the values of secret parameters replaced.
pub(super) fn query(query: &str, rules: &AccessRules) -> String {
    let pairs = query.split('&').map(|pair| match pair.split_once('=') {
        Some((name, _)) if is_secret(name, rules) => format!("{name}={MASKED}"),
        _ => pair.to_owned(),
    });
    pairs.collect::<Vec<_>>().join("&")
}

/// Names are decoded first: `%74oken` is `token` to the origin.
fn is_secret(name: &str, rules: &AccessRules) -> bool {
    let decoded = form_urlencoded::parse(name.as_bytes()).next().map(|(name, _)| name.to_ascii_lowercase());
    decoded.is_some_and(|name| SECRET_PARAMETERS.contains(&name.as_str()) || rules.mask.contains(&name))
}

/// The value of an attribute (`log.NAME`) that a link has set.
pub(super) fn attribute<'v>(name: &str, value: &'v str, rules: &AccessRules) -> &'v str {
    let bare = name.strip_prefix("log.").unwrap_or(name);
    let credential =
        ["authorization", "proxy-authorization", "cookie", "set-cookie"].iter().any(|secret| bare.eq_ignore_ascii_case(secret));
    let listed = rules.mask.iter().any(|secret| bare.eq_ignore_ascii_case(secret));
    if credential || listed || sounds_secret(bare) { MASKED } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_in_the_query_are_masked() {
        let rules = AccessRules { mask: vec!["sid".to_owned()], ..AccessRules::default() };
        let cases = [
            ("a=1&token=t&b", "a=1&token=***&b"),
            ("Access_Token=t", "Access_Token=***"),
            ("%74oken=t", "%74oken=***"),
            ("tokens=1", "tokens=1"),
            ("SID=1&side=2", "SID=***&side=2"),
        ];
        for (given, expected) in cases {
            assert_eq!(query(given, &rules), expected, "{given}");
        }
    }

    #[test]
    fn so_is_what_links_say_of_credentials() {
        let rules = AccessRules { mask: vec!["invite".to_owned()], ..AccessRules::default() };
        for name in ["log.authorization", "log.Cookie", "log.api_key", "log.invite"] {
            assert_eq!(attribute(name, "x", &rules), MASKED, "{name}");
        }
        assert_eq!(attribute("log.tenant", "x", &rules), "x");
    }
}
