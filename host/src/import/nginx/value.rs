//! Values with variables of nginx, as texts with placeholders of ours.

use crate::config::check_duration;

/// What a variable is called in a field's value.
const FIELDS: &[(&str, &str)] = &[
    ("binary_remote_addr", "client.ip"),
    ("host", "request.host"),
    ("http_host", "request.authority"),
    ("realip_remote_addr", "peer.ip"),
    ("remote_addr", "client.ip"),
    ("remote_port", "client.port"),
    ("request_id", "request.id"),
    ("request_method", "request.method"),
    ("scheme", "request.scheme"),
    ("server_addr", "server.ip"),
    ("server_name", "site"),
    ("server_port", "server.port"),
    ("ssl_client_fingerprint", "tls.client.fingerprint"),
    ("ssl_client_i_dn", "tls.client.issuer"),
    ("ssl_client_s_dn", "tls.client.subject"),
    ("ssl_client_serial", "tls.client.serial"),
    ("ssl_protocol", "tls.version"),
    ("ssl_server_name", "tls.sni"),
    ("uri", "request.path"),
    ("args", "request.query"),
    ("query_string", "request.query"),
];

/// And in a redirect. The query is kept there without being named.
const REDIRECTS: &[(&str, &str)] = &[
    ("host", "host"),
    ("http_host", "host"),
    ("server_name", "host"),
    ("request_uri", "path"),
    ("uri", "path"),
    ("document_uri", "path"),
    ("scheme", "scheme"),
];

/// A field's value. `Err`: the variable that there is not.
pub fn field(text: &str) -> Result<String, String> {
    filled(text, |name| {
        let known = FIELDS.iter().find(|(variable, _)| *variable == name).map(|(_, ours)| format!("{{{ours}}}"));
        known.or_else(|| name.strip_prefix("http_").map(|field| format!("{{request.header.{}}}", field.replace('_', "-"))))
    })
}

/// Where a redirect leads.
pub fn redirect(text: &str) -> Result<String, String> {
    // The query follows by itself.
    let text = text.strip_suffix("$is_args$args").unwrap_or(text);
    filled(text, |name| REDIRECTS.iter().find(|(variable, _)| *variable == name).map(|(_, ours)| format!("{{{ours}}}")))
}

/// Text without variables.
pub fn plain(text: &str) -> Result<String, String> {
    taken_apart(text, |out, plain| out.push_str(plain), |_| None)
}

fn filled(text: &str, ours: impl Fn(&str) -> Option<String>) -> Result<String, String> {
    taken_apart(text, |out, plain| out.push_str(&plain.replace('{', "{{").replace('}', "}}")), ours)
}

fn taken_apart(text: &str, keep: impl Fn(&mut String, &str), ours: impl Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        keep(&mut out, before);
        let (name, after) = match after.strip_prefix('{') {
            Some(inner) => inner.split_once('}').unwrap_or((inner, "")),
            None => after.split_at(after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len())),
        };
        out.push_str(&ours(name).ok_or_else(|| format!("${name}"))?);
        rest = after;
    }
    keep(&mut out, rest);
    Ok(out)
}

/// `60`, `60s`, `1m`, `500ms`, `1h30m`: a duration of ours.
pub fn time(text: &str) -> Result<String, &'static str> {
    duration(text).ok_or("not a time that can be carried over")
}

fn duration(text: &str) -> Option<String> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits(text) {
        return Some(format!("{text}s"));
    }
    check_duration(text).is_ok().then(|| text.to_owned())
}

/// `expires TIME`: what Cache-Control says; `Some(None)`: nothing. `None`: it cannot be told.
pub fn expires(args: &[String]) -> Option<Option<String>> {
    let [time] = args else { return None };
    match &**time {
        "off" => Some(None),
        "epoch" => Some(Some("no-cache".to_owned())),
        "max" => Some(Some("max-age=315360000".to_owned())),
        time if time.starts_with('-') => Some(Some("no-cache".to_owned())),
        time => seconds(time).map(|seconds| Some(format!("max-age={seconds}"))),
    }
}

/// `30d`, `1h30m`, `1M`, `60`
fn seconds(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut all = 0_u64;
    while !rest.is_empty() {
        let (number, after) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len()));
        let unit = after.chars().next();
        let one = match unit {
            None | Some('s') => 1,
            Some('m') => 60,
            Some('h') => 3600,
            Some('d') => 86400,
            Some('w') => 7 * 86400,
            Some('M') => 30 * 86400,
            Some('y') => 365 * 86400,
            Some(_) => return None,
        };
        all = all.checked_add(number.parse::<u64>().ok()?.checked_mul(one)?)?;
        rest = unit.map_or("", |unit| &after[unit.len_utf8()..]);
    }
    (!text.is_empty()).then_some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_become_placeholders() {
        assert_eq!(field("a $remote_addr-${host} {x}").as_deref(), Ok("a {client.ip}-{request.host} {{x}}"));
        assert_eq!(field("$http_x_api_key").as_deref(), Ok("{request.header.x-api-key}"));
        assert_eq!(field("$my_own"), Err("$my_own".to_owned()));
        assert_eq!(redirect("https://$host$request_uri").as_deref(), Ok("https://{host}{path}"));
        assert_eq!(redirect("/new$uri$is_args$args").as_deref(), Ok("/new{path}"));
        assert_eq!(plain("a {b}").as_deref(), Ok("a {b}"));
    }

    #[test]
    fn what_expires_is_told_in_seconds() {
        let of = |text: &str| expires(&[text.to_owned()]);
        let known = |value: &str| Some(Some(value.to_owned()));
        assert_eq!((of("30d"), of("1h30m"), of("60")), (known("max-age=2592000"), known("max-age=5400"), known("max-age=60")));
        assert_eq!(
            (of("-1"), of("epoch"), of("max"), of("off")),
            (known("no-cache"), known("no-cache"), known("max-age=315360000"), Some(None))
        );
        assert_eq!((of("$map"), of("1ms"), of("h"), of("9999999999999999999y")), (None, None, None, None));
        assert_eq!(expires(&["modified".to_owned(), "+1h".to_owned()]), None);
    }

    #[test]
    fn times_have_units() {
        assert_eq!((duration("60").as_deref(), duration("5m").as_deref(), duration("1M")), (Some("60s"), Some("5m"), None));
        assert_eq!(duration("1h30m").as_deref(), Some("1h30m"));
    }
}
