//! Values with Caddy's placeholders, as texts with ours.

use crate::config::check_duration;

const FIELDS: &[(&str, &str)] = &[
    ("remote_host", "client.ip"),
    ("http.request.remote.host", "client.ip"),
    ("client_ip", "client.ip"),
    ("remote_port", "client.port"),
    ("host", "request.host"),
    ("http.request.host", "request.host"),
    ("hostport", "request.authority"),
    ("http.request.hostport", "request.authority"),
    ("scheme", "request.scheme"),
    ("http.request.scheme", "request.scheme"),
    ("method", "request.method"),
    ("http.request.method", "request.method"),
    ("path", "request.path"),
    ("http.request.uri.path", "request.path"),
    ("query", "request.query"),
    ("http.request.uri.query", "request.query"),
    ("http.request.uuid", "request.id"),
    ("tls_version", "tls.version"),
    ("tls_client_subject", "tls.client.subject"),
    ("tls_client_issuer", "tls.client.issuer"),
    ("tls_client_serial", "tls.client.serial"),
    ("tls_client_fingerprint", "tls.client.fingerprint"),
];

/// And in a redirect. The query is kept there without being named.
const REDIRECTS: &[(&str, &str)] = &[
    ("host", "host"),
    ("http.request.host", "host"),
    ("uri", "path"),
    ("http.request.uri", "path"),
    ("path", "path"),
    ("http.request.uri.path", "path"),
    ("scheme", "scheme"),
    ("http.request.scheme", "scheme"),
];

/// A field's value. `Err`: the placeholder that there is not.
pub fn field(text: &str) -> Result<String, String> {
    filled(text, |name| {
        let known = FIELDS.iter().find(|(theirs, _)| *theirs == name).map(|(_, ours)| (*ours).to_owned());
        let header = || name.strip_prefix("header.").or_else(|| name.strip_prefix("http.request.header."));
        known.or_else(|| header().map(|field| format!("request.header.{}", field.to_ascii_lowercase())))
    })
}

/// Where a redirect leads.
pub fn redirect(text: &str) -> Result<String, String> {
    filled(text, |name| REDIRECTS.iter().find(|(theirs, _)| *theirs == name).map(|(_, ours)| (*ours).to_owned()))
}

/// `5s`, `1m30s`, as they are here too; not what has a fraction.
pub fn duration(text: &str) -> Result<String, String> {
    check_duration(text).map(|()| text.to_owned()).map_err(|why| format!("`{text}`: {why}"))
}

/// Text without placeholders.
pub fn plain(text: &str) -> Result<String, String> {
    match filled(text, |_| None) {
        Ok(_) => Ok(text.to_owned()),
        Err(name) => Err(name),
    }
}

/// Braces around what is no name are braces.
fn filled(text: &str, ours: impl Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let named = from.strip_prefix('{').and_then(|inner| inner.split_once('}'));
        let named = named.filter(|(name, _)| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)));
        match named {
            Some((name, after)) => {
                out.push_str(&format!("{{{}}}", ours(name).ok_or_else(|| format!("{{{name}}}"))?));
                rest = after;
            }
            None => {
                out.push_str(&from[..1].repeat(2));
                rest = &from[1..];
            }
        }
    }
    Ok(out + rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_whole() {
        assert_eq!(duration("1m30s").as_deref(), Ok("1m30s"));
        for wrong in ["", "1.5s", "10", "s", "1m30", "1y"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn placeholders_become_ours() {
        assert_eq!(field("{remote_host} { \"a\": 1 }").as_deref(), Ok("{client.ip} {{ \"a\": 1 }}"));
        assert_eq!(field("{header.X-Key}").as_deref(), Ok("{request.header.x-key}"));
        assert_eq!(redirect("https://{host}{uri}").as_deref(), Ok("https://{host}{path}"));
        assert_eq!(plain("{http.vars.x}"), Err("{http.vars.x}".to_owned()));
        assert_eq!(plain("{\"a\": {}}").as_deref(), Ok("{\"a\": {}}"));
    }
}
