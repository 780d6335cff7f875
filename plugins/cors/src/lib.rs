//! Lets pages of other origins use a site: CORS as the Fetch standard has it, preflights answered here.
//!
//! Between the two phases the origin that is let in rests in an attribute. Of several links on the way the innermost has the last word.
#![cfg_attr(target_family = "wasm", no_std)]

mod origin;

use origin::Origins;
use portcullis_sdk::duration;
use portcullis_sdk::field::header_name;
use portcullis_sdk::prelude::*;

/// Lets pages of other origins use a site.
#[settings]
pub struct Settings {
    /// Who: origins such as https://app.example.com, https://*.example.com for all below it, or "*" for everybody.
    origins: OneOrMany<String>,
    /// Methods beyond GET, HEAD and POST, which need no leave.
    #[setting(default)]
    methods: OneOrMany<String>,
    /// Request fields beyond the simple ones, or "*" for all but Authorization.
    #[setting(default)]
    headers: OneOrMany<String>,
    /// Response fields that pages may read, or "*".
    #[setting(default)]
    expose: OneOrMany<String>,
    /// Whether cookies, client certificates and passwords may come with it.
    #[setting(default = false)]
    credentials: bool,
    /// How long a browser may remember the answer to a preflight.
    #[setting(default = "10m")]
    max_age: String,
    /// Whether requests of other origins are refused, which browsers send all the same if they are simple.
    #[setting(default = false)]
    refuse: bool,
}

pub struct Cors {
    origins: Origins,
    methods: String,
    headers: String,
    /// `*` with credentials means nothing to browsers, so what is asked for is said back.
    echo_headers: bool,
    expose: String,
    credentials: bool,
    max_age: String,
    refuse: bool,
    warnings: Vec<Problem>,
}

/// The origin that is let in; empty: none.
const ALLOWED: &str = "cors.origin";

const ALLOW_ORIGIN: &str = "access-control-allow-origin";
const ALLOW_CREDENTIALS: &str = "access-control-allow-credentials";
const EXPOSE: &str = "access-control-expose-headers";
const ASKED_METHOD: &str = "access-control-request-method";
const ASKED_HEADERS: &str = "access-control-request-headers";

/// Upstreams that do it themselves would contradict.
const THEIRS: [&str; 3] = [ALLOW_ORIGIN, ALLOW_CREDENTIALS, EXPOSE];

#[plugin(name = "cors", description = "Lets pages of other origins use a site (CORS)")]
impl Cors {
    fn configure(settings: Settings) -> Result<Self, Vec<Problem>> {
        let (mut problems, mut warnings) = (Vec::new(), Vec::new());
        let origins = Origins::parse(&settings.origins, &mut problems);
        if origins.any() && settings.credentials {
            problems.push(Problem::at(
                "/credentials",
                "with credentials, origins must be named: \"*\" would let every page act for its visitors",
            ));
        }
        let mut names = |key: &str, list: &OneOrMany<String>| {
            let at = Pointer::root().key(key);
            for (index, name) in list.iter().enumerate().filter(|(_, name)| **name != "*") {
                if let Err(why) = header_name(name) {
                    problems.push(Problem::at(list.pointer(&at, index), why));
                }
            }
        };
        names("headers", &settings.headers);
        names("expose", &settings.expose);
        for (index, method) in settings.methods.iter().enumerate() {
            let at = settings.methods.pointer(&Pointer::root().key("methods"), index);
            if *method != method.to_ascii_uppercase()
                || !method.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'-')
                || method.is_empty()
            {
                problems.push(Problem::at(at, "methods are words in capitals, such as PUT"));
            }
        }
        let max_age = duration::parse(&settings.max_age);
        let max_age = max_age.map_err(|why| problems.push(Problem::at("/max-age", why))).unwrap_or_default();
        if max_age.as_secs() > 7_200 {
            warnings.push(Problem::at("/max-age", "Chromium keeps it for two hours at most, Firefox for a day"));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Self {
            origins,
            methods: joined(&["GET", "HEAD", "POST"], &settings.methods),
            echo_headers: settings.headers.iter().any(|name| name == "*"),
            headers: joined(&[], &settings.headers),
            expose: joined(&[], &settings.expose),
            credentials: settings.credentials,
            max_age: max_age.as_secs().to_string(),
            refuse: settings.refuse,
            warnings,
        })
    }

    fn plan(&self, plan: &mut Plan) {
        for warning in &self.warnings {
            plan.warn(warning.path.clone(), warning.message.clone());
        }
    }

    #[interest(method, headers = ["origin", "access-control-request-method", "access-control-request-headers"])]
    fn on_request(&self, request: &Request, edit: &mut RequestEdits) -> Option<Reply> {
        let origin = request.header_str("origin")?;
        let allowed = self.origins.allow(origin);
        edit.set_attribute(ALLOWED, if allowed { origin } else { "" });
        if request.method() == "OPTIONS" && request.header(ASKED_METHOD).is_some() {
            return Some(if allowed { self.preflight(origin, request.header_str(ASKED_HEADERS)) } else { refusal() });
        }
        (self.refuse && !allowed).then(refusal)
    }

    #[interest(attributes = ["cors.origin"])]
    fn on_response(&self, response: &Response, edit: &mut Edits) {
        for name in THEIRS {
            edit.remove_header(name);
        }
        // Without an origin too: a cache must not give one page the answer to another (Fetch, "CORS protocol and HTTP caches").
        if !self.says_star() {
            edit.append_header("vary", "Origin");
        }
        let Some(origin) = response.attribute(ALLOWED).filter(|origin| !origin.is_empty()) else { return };
        edit.set_header(ALLOW_ORIGIN, if self.says_star() { "*" } else { origin });
        if self.credentials {
            edit.set_header(ALLOW_CREDENTIALS, "true");
        }
        if !self.expose.is_empty() {
            edit.set_header(EXPOSE, &self.expose);
        }
    }
}

impl Cors {
    fn says_star(&self) -> bool {
        self.origins.any()
    }

    fn preflight(&self, origin: &str, asked: Option<&str>) -> Reply {
        let mut reply = Reply::new(204)
            .header(ALLOW_ORIGIN, if self.says_star() { "*".to_owned() } else { origin.to_owned() })
            .header("access-control-allow-methods", self.methods.clone())
            .header("access-control-max-age", self.max_age.clone())
            .header("vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers");
        let headers = if self.echo_headers { asked.unwrap_or_default() } else { &self.headers };
        if !headers.is_empty() {
            reply = reply.header("access-control-allow-headers", headers.to_owned());
        }
        if self.credentials {
            reply = reply.header(ALLOW_CREDENTIALS, "true");
        }
        reply
    }
}

fn refusal() -> Reply {
    Reply::new(403).header("vary", "Origin").text("not for pages of this origin\n")
}

fn joined(first: &[&str], more: &[String]) -> String {
    let mut joined = String::new();
    for name in first.iter().copied().chain(more.iter().map(|name| &**name).filter(|name| !first.contains(name))) {
        if !joined.is_empty() {
            joined.push_str(", ");
        }
        joined.push_str(name);
    }
    joined
}

#[cfg(test)]
mod tests;
