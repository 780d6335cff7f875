//! Answers for a site that is being worked on, but for those who do the work.
#![cfg_attr(target_family = "wasm", no_std)]

use core::net::IpAddr;
use portcullis_sdk::duration;
use portcullis_sdk::field::{header_name, header_value};
use portcullis_sdk::networks::{self, Networks};
use portcullis_sdk::paths::PathPattern;
use portcullis_sdk::prelude::*;
use portcullis_sdk::secret::same;

/// Answers for a site that is being worked on.
#[settings]
pub struct Settings {
    /// Whether it does; false leaves the link in its place for the next time.
    #[setting(default = true)]
    enabled: bool,
    /// Networks and addresses that see the site as it is; a text may hold several, as a file does.
    #[setting(default)]
    allow: OneOrMany<String>,
    /// Fields with values, one of which a request must have to see the site as it is.
    #[setting(default)]
    header: Map<String>,
    /// Paths that stay as they are, such as those of health checks.
    #[setting(default)]
    except: OneOrMany<String>,
    /// When to come back.
    #[setting(default = "10m")]
    retry_after: String,
    #[setting(default = 503, min = 400, max = 599)]
    status: u16,
    #[setting(default = "This site is being worked on. Please come back later.\n")]
    body: String,
    #[setting(default = "text/plain; charset=utf-8")]
    content_type: String,
}

pub struct Maintenance {
    enabled: bool,
    allow: Networks<()>,
    by_address: bool,
    headers: Vec<(String, String)>,
    except: Vec<PathPattern>,
    reply: Rc<Reply>,
}

#[plugin(name = "maintenance", description = "Answers for a site that is being worked on, but for those who do the work")]
impl Maintenance {
    fn configure(settings: Settings) -> Result<Self, Vec<Problem>> {
        let (mut problems, root) = (Vec::new(), Pointer::root());
        let mut allow = Vec::new();
        for (index, text) in settings.allow.iter().enumerate() {
            for network in networks::read(text) {
                match network {
                    Ok(network) => allow.push((network, ())),
                    Err(why) => problems.push(Problem::at(settings.allow.pointer(&root.key("allow"), index), why)),
                }
            }
        }
        let mut headers = Vec::new();
        for (name, value) in settings.header {
            let at = root.key("header").key(&name);
            if value.is_empty() {
                problems.push(Problem::at(at.clone(), "an empty value is no secret"));
            }
            headers.extend(header_name(&name).map_err(|why| problems.push(Problem::at(at, why))).ok().map(|name| (name, value)));
        }
        let mut except = Vec::new();
        for (index, path) in settings.except.iter().enumerate() {
            let at = settings.except.pointer(&root.key("except"), index);
            except.extend(PathPattern::parse(path).map_err(|why| problems.push(Problem::at(at, why))).ok());
        }
        let after =
            duration::parse(&settings.retry_after).map_err(|why| problems.push(Problem::at("/retry-after", why))).unwrap_or_default();
        if let Err(why) = header_value(settings.content_type.as_bytes()) {
            problems.push(Problem::at("/content-type", why));
        }
        if !problems.is_empty() {
            problems.truncate(10);
            return Err(problems);
        }
        let reply = Reply::new(settings.status)
            .header("retry-after", after.as_secs().max(1).to_string())
            .header("cache-control", "no-store")
            .header("content-type", settings.content_type)
            .body(settings.body);
        let by_address = !allow.is_empty();
        Ok(Self { enabled: settings.enabled, allow: Networks::of(allow), by_address, headers, except, reply: Rc::new(reply) })
    }

    fn plan(&self, plan: &mut Plan) {
        if !self.enabled {
            return plan.skip_request();
        }
        let request = plan.request();
        if self.by_address {
            request.attribute("client.ip");
        }
        if !self.except.is_empty() {
            request.path();
        }
        for (name, _) in &self.headers {
            request.header(name.clone());
        }
    }

    fn on_request(&self, request: &Request, _: &mut RequestEdits) -> Option<Rc<Reply>> {
        if self.knows(request) || self.excepts(request) { None } else { Some(Rc::clone(&self.reply)) }
    }
}

impl Maintenance {
    fn knows(&self, request: &Request) -> bool {
        let by_address = || {
            let ip = request.attribute("client.ip").and_then(|ip| ip.parse::<IpAddr>().ok());
            ip.is_some_and(|ip| self.allow.find(ip).is_some())
        };
        let has = |(name, value): &(String, String)| request.header_lines(name).any(|line| same(line, value.as_bytes()));
        (self.by_address && by_address()) || self.headers.iter().any(has)
    }

    fn excepts(&self, request: &Request) -> bool {
        !self.except.is_empty() && self.except.iter().any(|pattern| pattern.matches(request.path()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_sdk::test::{Harness, SentRequest, get};

    const SETTINGS: &str = r##"{"allow": ["10.0.0.0/8", "# office\n192.0.2.7"], "header": {"X-Preview": "sesame"}, "except": ["/healthz", "/.well-known/*"],
        "retry-after": "1h", "body": "<h1>soon</h1>", "content-type": "text/html"}"##;

    fn from(ip: &str, path: &str) -> SentRequest {
        get(&format!("https://a.test{path}")).attribute("client.ip", ip)
    }

    #[test]
    fn others_are_told_to_come_back() {
        let site = Harness::<Maintenance>::new(SETTINGS);
        let outcome = site.on_request(from("198.51.100.1", "/"));
        let reply = outcome.reply().expect("answered");
        assert_eq!((reply.status(), reply.body_bytes()), (503, &b"<h1>soon</h1>"[..]));
        let fields = ["retry-after", "content-type", "cache-control"].map(|name| reply.header_str(name));
        assert_eq!(fields, [Some("3600"), Some("text/html"), Some("no-store")]);
    }

    #[test]
    fn who_works_on_it_sees_it() {
        let site = Harness::<Maintenance>::new(SETTINGS);
        let sees = |sent: SentRequest| site.on_request(sent).reply().is_none();
        assert!(sees(from("10.1.2.3", "/")) && sees(from("192.0.2.7", "/")));
        assert!(sees(from("198.51.100.1", "/healthz")) && sees(from("198.51.100.1", "/.well-known/acme-challenge/x")));
        assert!(sees(from("198.51.100.1", "/").header("x-preview", "sesame")));
        for wrong in ["", "sesam", "sesame2", "Sesame"] {
            assert!(!sees(from("198.51.100.1", "/").header("x-preview", wrong)), "{wrong}");
        }
        assert!(!sees(get("/")), "without an address");
    }

    #[test]
    fn what_is_not_needed_is_not_asked_for() {
        let mut expected = Plan::default();
        assert_eq!(Harness::<Maintenance>::new(r#"{"enabled": false}"#).plan(), &expected);
        expected.request();
        assert_eq!(Harness::<Maintenance>::new("{}").plan(), &expected);
    }

    #[test]
    fn mistakes_are_told_at_their_places() {
        let problems = Harness::<Maintenance>::refused(
            r#"{"allow": ["10.0.0.0/8", "office"], "header": {"a b": "x", "x-a": ""}, "except": "healthz", "retry-after": "soon", "content-type": "a\n"}"#,
        );
        let mut places: Vec<_> = problems.iter().map(|problem| &*problem.path).collect();
        places.sort_unstable();
        assert_eq!(places, ["/allow/1", "/content-type", "/except", "/header/a b", "/header/x-a", "/retry-after"]);
    }
}
