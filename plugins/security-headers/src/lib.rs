//! Gives responses the fields that make browsers careful: HSTS, CSP and their kind.
//!
//! What each preset says stands in `presets`; this file only decides which of it a response gets.
#![cfg_attr(target_family = "wasm", no_std)]

mod presets;

use portcullis_sdk::field::{header_name, header_value};
use portcullis_sdk::prelude::*;
use presets::Preset;

/// Gives responses the fields that make browsers careful.
#[settings]
pub struct Settings {
    /// What holds for all that is not written: "site" breaks hardly any page, "strict" wants pages made for it, "api" is for what is no page, "none" sends only what is written.
    #[setting(default)]
    preset: Preset,
    /// Strict-Transport-Security, sent over https only. Here and below: "off" leaves it out.
    hsts: Option<String>,
    /// Content-Security-Policy.
    csp: Option<String>,
    /// Whether the policy is only reported against, not enforced.
    #[setting(default = false)]
    csp_report_only: bool,
    /// X-Frame-Options.
    frame: Option<String>,
    /// X-Content-Type-Options.
    content_type: Option<String>,
    /// Referrer-Policy.
    referrer: Option<String>,
    /// Permissions-Policy.
    permissions: Option<String>,
    /// Cross-Origin-Opener-Policy.
    opener: Option<String>,
    /// Cross-Origin-Resource-Policy.
    resource: Option<String>,
    /// Cross-Origin-Embedder-Policy.
    embedder: Option<String>,
    /// Whether fields that the upstream has set itself are replaced.
    #[setting(default = false)]
    replace: bool,
    /// Fields that tell strangers what the upstream is made of.
    remove: Option<OneOrMany<String>>,
}

pub struct SecurityHeaders {
    fields: Vec<(&'static str, String)>,
    replace: bool,
    remove: Vec<String>,
    report_only_without_policy: bool,
}

const HSTS: &str = "strict-transport-security";
const CSP: &str = "content-security-policy";

/// What `remove` is unless it is written.
const TELLTALES: [&str; 4] = ["server", "x-powered-by", "x-aspnet-version", "x-aspnetmvc-version"];

#[plugin(name = "security-headers", description = "Gives responses the fields that make browsers careful")]
impl SecurityHeaders {
    fn configure(settings: Settings) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let csp = if settings.csp_report_only { "content-security-policy-report-only" } else { CSP };
        let written = [
            (HSTS, "hsts", settings.hsts),
            (csp, "csp", settings.csp),
            ("x-frame-options", "frame", settings.frame),
            ("x-content-type-options", "content-type", settings.content_type),
            ("referrer-policy", "referrer", settings.referrer),
            ("permissions-policy", "permissions", settings.permissions),
            ("cross-origin-opener-policy", "opener", settings.opener),
            ("cross-origin-resource-policy", "resource", settings.resource),
            ("cross-origin-embedder-policy", "embedder", settings.embedder),
        ];
        let mut fields = Vec::new();
        for (name, key, written) in written {
            let value = written.or_else(|| settings.preset.says(key).map(ToOwned::to_owned));
            let Some(value) = value.filter(|value| value != "off") else { continue };
            if let Err(why) = sound(key, &value) {
                problems.push(Problem::at(Pointer::root().key(key), why));
            }
            fields.push((name, value));
        }
        let mut remove = Vec::new();
        match settings.remove {
            None => remove.extend(TELLTALES.map(ToOwned::to_owned)),
            Some(names) => {
                for (index, name) in names.iter().enumerate() {
                    let at = names.pointer(&Pointer::root().key("remove"), index);
                    remove.extend(header_name(name).map_err(|why| problems.push(Problem::at(at, why))).ok());
                }
            }
        }
        let report_only_without_policy = settings.csp_report_only && !fields.iter().any(|(name, _)| *name == csp);
        if problems.is_empty() { Ok(Self { fields, replace: settings.replace, remove, report_only_without_policy }) } else { Err(problems) }
    }

    fn plan(&self, plan: &mut Plan) {
        if self.report_only_without_policy {
            plan.warn("/csp-report-only", "there is no policy to be reported against");
        }
        let response = plan.response();
        if self.fields.iter().any(|(name, _)| *name == HSTS) {
            response.attribute("request.scheme");
        }
        if !self.replace {
            for (name, _) in &self.fields {
                response.header(*name);
            }
        }
    }

    fn on_response(&self, response: &Response, edit: &mut Edits) {
        for name in &self.remove {
            edit.remove_header(name);
        }
        for (name, value) in &self.fields {
            // A browser ignores it in the clear, where anybody could have written it (RFC 6797, section 8.1).
            let in_the_clear = *name == HSTS && response.attribute("request.scheme") != Some("https");
            if !in_the_clear && (self.replace || response.header(name).is_none()) {
                edit.set_header(name, value);
            }
        }
    }
}

/// What would be ignored by browsers, or worse.
fn sound(key: &str, value: &str) -> Result<(), &'static str> {
    header_value(value.as_bytes())?;
    if value.is_empty() {
        return Err("is empty; \"off\" leaves the field out");
    }
    let one_of = |words: &[&str], why| if words.contains(&value) { Ok(()) } else { Err(why) };
    match key {
        "hsts" => {
            let age = value.split(';').find_map(|part| part.trim().strip_prefix("max-age="));
            let whole = age.is_some_and(|age| !age.is_empty() && age.bytes().all(|byte| byte.is_ascii_digit()));
            if whole { Ok(()) } else { Err("needs max-age in seconds, such as max-age=31536000") }
        }
        "frame" => one_of(&["DENY", "SAMEORIGIN"], "there are DENY and SAMEORIGIN; for other origins there is frame-ancestors in `csp`"),
        "content-type" => one_of(&["nosniff"], "there is nosniff"),
        "referrer" => {
            let known = |word: &str| presets::REFERRERS.contains(&word.trim());
            if value.split(',').all(known) { Ok(()) } else { Err("no referrer policy, such as strict-origin-when-cross-origin") }
        }
        "opener" => one_of(
            &["same-origin", "same-origin-allow-popups", "noopener-allow-popups", "unsafe-none"],
            "there are same-origin, same-origin-allow-popups, noopener-allow-popups and unsafe-none",
        ),
        "resource" => one_of(&["same-origin", "same-site", "cross-origin"], "there are same-origin, same-site and cross-origin"),
        "embedder" => one_of(&["require-corp", "credentialless", "unsafe-none"], "there are require-corp, credentialless and unsafe-none"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_sdk::test::{Edit, Harness, response};

    #[test]
    fn the_preset_speaks_where_nothing_is_written() {
        let fields = Harness::<SecurityHeaders>::new(r#"{"frame": "DENY", "permissions": "off"}"#);
        let after = fields.on_response(response(200).attribute("request.scheme", "https").header("x-powered-by", "PHP"));
        assert_eq!(after.header("x-frame-options"), Some("DENY"));
        assert_eq!(after.header("strict-transport-security"), Some("max-age=31536000"));
        assert_eq!(after.header("x-content-type-options"), Some("nosniff"));
        assert_eq!((after.header("permissions-policy"), after.header("x-powered-by")), (None, None));
    }

    #[test]
    fn hsts_is_said_over_https_only() {
        let fields = Harness::<SecurityHeaders>::new("{}");
        let clear = fields.on_response(response(200).attribute("request.scheme", "http"));
        assert_eq!(clear.header("strict-transport-security"), None);
        assert!(clear.header("referrer-policy").is_some());
    }

    #[test]
    fn what_the_upstream_says_stays_unless_it_is_to_be_replaced() {
        let sent = || response(200).attribute("request.scheme", "https").header("content-security-policy", "default-src *");
        let kept = Harness::<SecurityHeaders>::new(r#"{"preset": "strict"}"#).on_response(sent());
        assert_eq!(kept.headers("content-security-policy"), ["default-src *"]);
        let replaced =
            Harness::<SecurityHeaders>::new(r#"{"preset": "strict", "replace": true, "csp": "default-src 'none'"}"#).on_response(sent());
        assert_eq!(replaced.headers("content-security-policy"), ["default-src 'none'"]);
    }

    #[test]
    fn without_a_preset_only_what_is_written() {
        let fields =
            Harness::<SecurityHeaders>::new(r#"{"preset": "none", "csp": "default-src 'self'", "csp-report-only": true, "remove": "x-a"}"#);
        let after = fields.on_response(response(200));
        let policy = Edit::SetHeader("content-security-policy-report-only".into(), b"default-src 'self'".to_vec());
        assert_eq!(after.edits(), [Edit::RemoveHeader("x-a".into()), policy]);
    }

    #[test]
    fn mistakes_are_told_at_their_places() {
        let problems = Harness::<SecurityHeaders>::refused(
            r#"{"hsts": "1y", "frame": "ALLOW-FROM x", "content-type": "sniff", "referrer": "none", "opener": "x", "csp": "", "permissions": "a\nb", "remove": ["host"]}"#,
        );
        let mut places: Vec<_> = problems.iter().map(|problem| &*problem.path).collect();
        places.sort_unstable();
        assert_eq!(places, ["/content-type", "/csp", "/frame", "/hsts", "/opener", "/permissions", "/referrer", "/remove/0"]);
        let doubtful = Harness::<SecurityHeaders>::new(r#"{"preset": "none", "csp-report-only": true}"#);
        let mut expected = Plan::default();
        expected.response();
        expected.warn("/csp-report-only", "there is no policy to be reported against");
        assert_eq!(doubtful.plan(), &expected);
    }
}
