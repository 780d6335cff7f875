//! Says how long responses may be kept: Cache-Control by path, type and status, for upstreams that do not say it themselves.
#![cfg_attr(target_family = "wasm", no_std)]

use portcullis_sdk::field::header_value;
use portcullis_sdk::paths::PathPattern;
use portcullis_sdk::prelude::*;

/// Says how long responses may be kept.
#[settings]
pub struct Settings {
    /// The first rule whose parts all hold decides.
    rules: Vec<RuleSettings>,
    /// Whether what the upstream says itself is replaced.
    #[setting(default = false)]
    replace: bool,
}

/// For which responses, and what they say.
#[settings]
struct RuleSettings {
    /// Paths: /assets/*, /exact, *.css.
    #[setting(default)]
    path: OneOrMany<String>,
    /// Media types: text/html, image/*.
    #[setting(default, rename = "type")]
    kind: OneOrMany<String>,
    /// Statuses; 200, 203, 204, 206, 300, 301, 308 and 404 unless written.
    #[setting(default)]
    status: OneOrMany<u16>,
    /// The value of Cache-Control, such as "public, max-age=31536000, immutable".
    set: String,
}

pub struct CacheControl {
    rules: Vec<Rule>,
    replace: bool,
    warnings: Vec<Problem>,
}

struct Rule {
    paths: Vec<PathPattern>,
    kinds: Vec<String>,
    statuses: Vec<u16>,
    value: String,
}

/// Others are errors, or answers to one request alone; those that RFC 9110, section 15.1, lets caches keep by themselves, but for 405, 410, 414 and 501.
const USUAL: [u16; 8] = [200, 203, 204, 206, 300, 301, 308, 404];

/// Of responses (<https://www.iana.org/assignments/http-cache-directives>).
const DIRECTIVES: [&str; 14] = [
    "immutable",
    "max-age",
    "max-stale",
    "must-revalidate",
    "must-understand",
    "no-cache",
    "no-store",
    "no-transform",
    "private",
    "proxy-revalidate",
    "public",
    "s-maxage",
    "stale-if-error",
    "stale-while-revalidate",
];

const SECONDS: [&str; 4] = ["max-age", "s-maxage", "stale-if-error", "stale-while-revalidate"];

#[plugin(name = "cache-control", description = "Says how long responses may be kept, by path, type and status")]
impl CacheControl {
    fn configure(settings: Settings) -> Result<Self, Vec<Problem>> {
        let (mut problems, mut warnings) = (Vec::new(), Vec::new());
        let at = Pointer::root().key("rules");
        if settings.rules.is_empty() {
            problems.push(Problem::at(at.clone(), "there is no rule"));
        }
        let rules = settings.rules.into_iter().enumerate();
        let rules = rules.map(|(index, rule)| Rule::of(rule, &at.index(index), &mut problems, &mut warnings)).collect();
        if problems.is_empty() { Ok(Self { rules, replace: settings.replace, warnings }) } else { Err(problems) }
    }

    fn plan(&self, plan: &mut Plan) {
        for warning in &self.warnings {
            plan.warn(warning.path.clone(), warning.message.clone());
        }
        if self.rules.iter().any(|rule| !rule.paths.is_empty()) {
            plan.response().attribute("request.path");
        }
        if self.rules.iter().any(|rule| !rule.kinds.is_empty()) {
            plan.response().header("content-type");
        }
        if !self.replace {
            plan.response().header("cache-control");
        }
    }

    fn on_response(&self, response: &Response, edit: &mut Edits) {
        if !self.replace && response.header("cache-control").is_some() {
            return;
        }
        let Some(rule) = self.rules.iter().find(|rule| rule.holds(response)) else { return };
        edit.set_header("cache-control", &rule.value);
        // What HTTP/1.0 said the same with would contradict.
        edit.remove_header("expires");
        edit.remove_header("pragma");
    }
}

impl Rule {
    fn of(settings: RuleSettings, at: &Pointer, problems: &mut Vec<Problem>, warnings: &mut Vec<Problem>) -> Self {
        let mut paths = Vec::new();
        for (index, path) in settings.path.iter().enumerate() {
            match PathPattern::parse(path) {
                Ok(path) => paths.push(path),
                Err(why) => problems.push(Problem::at(settings.path.pointer(&at.key("path"), index), why)),
            }
        }
        for (index, kind) in settings.kind.iter().enumerate() {
            let sound =
                kind.split_once('/').is_some_and(|(whole, part)| !whole.is_empty() && !part.is_empty()) && !kind.contains([';', ' ']);
            if !sound {
                problems.push(Problem::at(settings.kind.pointer(&at.key("type"), index), "a media type is text/html or image/*"));
            }
        }
        for (index, status) in settings.status.iter().enumerate() {
            if !(200..=599).contains(status) {
                problems.push(Problem::at(settings.status.pointer(&at.key("status"), index), "a status lies between 200 and 599"));
            }
        }
        check(&settings.set, &at.key("set"), problems, warnings);
        let statuses = if settings.status.is_empty() { USUAL.to_vec() } else { settings.status.to_vec() };
        let kinds = settings.kind.iter().map(|kind| kind.to_ascii_lowercase()).collect();
        Self { paths, kinds, statuses, value: settings.set }
    }

    fn holds(&self, response: &Response) -> bool {
        self.statuses.contains(&response.status())
            && (self.paths.is_empty()
                || response.attribute("request.path").is_some_and(|path| self.paths.iter().any(|pattern| pattern.matches(path))))
            && (self.kinds.is_empty() || response.header_str("content-type").is_some_and(|kind| self.has_kind(kind)))
    }

    fn has_kind(&self, kind: &str) -> bool {
        let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        self.kinds.iter().any(|wanted| match wanted.strip_suffix('*') {
            Some(whole) => kind.starts_with(whole),
            None => kind == *wanted,
        })
    }
}

/// A list of directives (RFC 9111, section 5.2).
fn check(value: &str, at: &Pointer, problems: &mut Vec<Problem>, warnings: &mut Vec<Problem>) {
    if let Err(why) = header_value(value.as_bytes()) {
        return problems.push(Problem::at(at.clone(), why));
    }
    for directive in value.split(',').map(str::trim) {
        let (name, argument) = directive.split_once('=').map_or((directive, None), |(name, argument)| (name, Some(argument)));
        let whole = argument.is_some_and(|argument| !argument.is_empty() && argument.bytes().all(|byte| byte.is_ascii_digit()));
        if name.is_empty() {
            problems.push(Problem::at(at.clone(), "directives stand between commas, such as public, max-age=60"));
        } else if SECONDS.contains(&name) && !whole {
            problems.push(Problem::at(at.clone(), [name, " wants seconds: ", name, "=60"].concat()));
        } else if !DIRECTIVES.contains(&name) {
            warnings.push(Problem::at(at.clone(), ["`", name, "` is no directive that caches know"].concat()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_sdk::test::{Harness, SentResponse, response};

    const RULES: &str = r#"{"rules": [
        {"path": ["/assets/*", "*.woff2"], "set": "public, max-age=31536000, immutable"},
        {"type": ["text/html", "application/*"], "status": 200, "set": "no-cache"},
        {"status": [500, 503], "set": "no-store"}
    ]}"#;

    fn sent(status: u16, path: &str, kind: &str) -> SentResponse {
        response(status).attribute("request.path", path).header("content-type", kind)
    }

    #[test]
    fn the_first_rule_that_holds_decides() {
        let rules = Harness::<CacheControl>::new(RULES);
        for (status, path, kind, expected) in [
            (200, "/assets/a.html", "text/html", Some("public, max-age=31536000, immutable")),
            (404, "/font.woff2", "font/woff2", Some("public, max-age=31536000, immutable")),
            (500, "/assets/a.css", "text/css", Some("no-store")),
            (200, "/", "Text/HTML; charset=utf-8", Some("no-cache")),
            (200, "/", "application/json", Some("no-cache")),
            (404, "/", "text/html", None),
            (200, "/a.png", "image/png", None),
        ] {
            assert_eq!(rules.on_response(sent(status, path, kind)).header("cache-control"), expected, "{status} {path} {kind}");
        }
    }

    #[test]
    fn what_the_upstream_says_stays_unless_it_is_to_be_replaced() {
        let theirs =
            || sent(200, "/assets/a", "x/y").header("cache-control", "private").header("expires", "0").header("pragma", "no-cache");
        let kept = Harness::<CacheControl>::new(RULES).on_response(theirs());
        assert_eq!((kept.headers("cache-control"), kept.header("expires")), (vec!["private"], Some("0")));
        let replaced = Harness::<CacheControl>::new(r#"{"rules": [{"set": "no-store"}], "replace": true}"#);
        let after =
            replaced.on_response(response(200).header("cache-control", "private").header("expires", "0").header("pragma", "no-cache"));
        assert_eq!((after.headers("cache-control"), after.header("expires"), after.header("pragma")), (vec!["no-store"], None, None));
        let mut nothing = Plan::default();
        nothing.response();
        assert_eq!(replaced.plan(), &nothing, "what is not looked at is not asked for");
    }

    #[test]
    fn mistakes_are_told_at_their_places() {
        let problems = Harness::<CacheControl>::refused(
            r#"{"rules": [{"path": "assets", "type": ["html"], "status": [99], "set": "max-age"}, {"set": "public,"}, {"set": "a\nb"}]}"#,
        );
        let places: Vec<_> = problems.iter().map(|problem| &*problem.path).collect();
        assert_eq!(places, ["/rules/0/path", "/rules/0/type/0", "/rules/0/status/0", "/rules/0/set", "/rules/1/set", "/rules/2/set"]);
        let doubtful = Harness::<CacheControl>::new(r#"{"rules": [{"set": "public, max-ages=60"}]}"#);
        let mut expected = Plan::default();
        expected.response().header("cache-control");
        expected.warn("/rules/0/set", "`max-ages` is no directive that caches know");
        assert_eq!(doubtful.plan(), &expected);
    }
}
