//! Answers requests with a redirect.
#![cfg_attr(target_family = "wasm", no_std)]

use portcullis_sdk::field::header_value;
use portcullis_sdk::prelude::*;
use portcullis_sdk::{Piece, Template};

/// Answers requests with a redirect.
#[settings]
pub struct Settings {
    /// Where to: a path or a URL, with placeholders {rest}, {path}, {query}, {host}, {scheme}. The query is kept unless there is a "?" in it.
    to: String,
    /// 301 and 302 let clients turn POST into GET, 303 makes them, 307 and 308 forbid it; 301 and 308 are remembered.
    #[setting(default = 308, values = [301, 302, 303, 307, 308])]
    status: u16,
    /// What {rest} leaves out at the start of the path, in whole path elements.
    prefix: Option<String>,
}

pub struct Redirect {
    to: Template<Part>,
    status: u16,
    /// Without a slash at its end.
    prefix: String,
    keeps_query: bool,
}

/// What a placeholder stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    /// The path after `prefix`, without slashes before it.
    Rest,
    Path,
    Query,
    /// Without the port.
    Host,
    Scheme,
}

#[plugin(name = "redirect", description = "Answers requests with a redirect")]
impl Redirect {
    fn configure(settings: Settings) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let prefix = settings.prefix.unwrap_or_default();
        if !prefix.is_empty() && !prefix.starts_with('/') {
            problems.push(Problem::at("/prefix", "begins with `/`"));
        }
        if let Err(why) = check_target(&settings.to) {
            problems.push(Problem::at("/to", why));
        }
        match Template::parse(&settings.to, Part::parse) {
            Err(why) => problems.push(Problem::at("/to", why)),
            Ok(to) if problems.is_empty() => {
                let keeps_query = !settings.to.contains('?') && !to.placeholders().any(|part| *part == Part::Query);
                let prefix = prefix.trim_end_matches('/').to_string();
                return Ok(Self { to, status: settings.status, prefix, keeps_query });
            }
            Ok(_) => {}
        }
        Err(problems)
    }

    fn plan(&self, plan: &mut Plan) {
        let interest = plan.request();
        if self.keeps_query {
            interest.query();
        }
        for part in self.to.placeholders() {
            match part {
                Part::Rest | Part::Path => interest.path(),
                Part::Query => interest.query(),
                Part::Host => interest.authority(),
                Part::Scheme => interest.scheme(),
            };
        }
    }

    fn on_request(&self, request: &Request, _: &mut RequestEdits) -> Reply {
        Reply::new(self.status).header("location", self.location(request))
    }

    fn location(&self, request: &Request) -> Vec<u8> {
        let filled = self.to.fill(|part, out| {
            out.extend_from_slice(match part {
                Part::Rest => self.rest(request.path()).as_bytes(),
                Part::Path => request.path().as_bytes(),
                Part::Query => request.query().unwrap_or_default().as_bytes(),
                Part::Host => request.host().as_bytes(),
                Part::Scheme => request.scheme().as_bytes(),
            });
        });
        let mut location = self.stay(filled);
        if self.keeps_query
            && let Some(query) = request.query()
        {
            location.push(b'?');
            location.extend_from_slice(query.as_bytes());
        }
        location
    }

    /// The path after the prefix, or all of it if it has another one; without slashes before it.
    fn rest<'p>(&self, path: &'p str) -> &'p str {
        let rest = path.strip_prefix(&*self.prefix).filter(|rest| rest.is_empty() || rest.starts_with('/'));
        rest.unwrap_or(path).trim_start_matches('/')
    }

    /// A path that a client made begin with two slashes would be taken for another host (RFC 3986, section 4.2): it is left with one.
    fn stay(&self, location: Vec<u8>) -> Vec<u8> {
        let meant = matches!(self.to.pieces(), [Piece::Text(text), ..] if text.starts_with("//"));
        let slash = |byte: &u8| matches!(byte, b'/' | b'\\');
        let slashes = location.iter().take_while(|byte| slash(byte)).count();
        if meant || slashes < 2 { location } else { [b"/", &location[slashes..]].concat() }
    }
}

impl Part {
    fn parse(name: &str) -> Result<Self, String> {
        Ok(match name {
            "rest" => Self::Rest,
            "path" => Self::Path,
            "query" => Self::Query,
            "host" => Self::Host,
            "scheme" => Self::Scheme,
            other => return Err(format!("no placeholder `{{{other}}}`; there are rest, path, query, host, scheme")),
        })
    }
}

fn check_target(to: &str) -> Result<(), &'static str> {
    header_value(to.as_bytes())?;
    if to.contains(char::is_whitespace) || to.is_empty() {
        return Err("a path or a URL, without white space");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_sdk::test::{Harness, get};

    fn location(settings: &str, url: &str) -> String {
        let after = Harness::<Redirect>::new(settings).on_request(get(url));
        after.reply().expect("a reply").header_str("location").expect("text").to_owned()
    }

    #[test]
    fn the_rest_goes_along() {
        let moved = r#"{"to": "/new/{rest}", "prefix": "/old"}"#;
        for (url, to) in
            [("/old/a/b", "/new/a/b"), ("/old", "/new/"), ("/old/", "/new/"), ("/older/a", "/new/older/a"), ("/old//a", "/new/a")]
        {
            assert_eq!(location(moved, url), to, "{url}");
        }
    }

    #[test]
    fn the_query_is_kept_unless_the_target_has_its_own() {
        assert_eq!(location(r#"{"to": "/new"}"#, "/old?a=1"), "/new?a=1");
        assert_eq!(location(r#"{"to": "/new?b=2"}"#, "/old?a=1"), "/new?b=2");
        assert_eq!(location(r#"{"to": "/new?b=2&{query}"}"#, "/old?a=1"), "/new?b=2&a=1");
    }

    #[test]
    fn other_hosts_and_schemes_can_be_named() {
        assert_eq!(location(r#"{"to": "https://{host}{path}"}"#, "http://a.example:8080/x?y"), "https://a.example/x?y");
        assert_eq!(location(r#"{"to": "{scheme}://b.example/{rest}"}"#, "http://a.example/x"), "http://b.example/x");
    }

    #[test]
    fn a_client_cannot_choose_the_host() {
        assert_eq!(location(r#"{"to": "{path}"}"#, "https://a.example//evil.example/"), "/evil.example/");
        assert_eq!(location(r#"{"to": "/{rest}"}"#, "https://a.example//evil.example/"), "/evil.example/");
        assert_eq!(location(r#"{"to": "//cdn.example{path}"}"#, "/a"), "//cdn.example/a", "the operator can");
    }

    #[test]
    fn the_status_is_one_of_five() {
        let status = |settings| Harness::<Redirect>::new(settings).on_request(get("/")).reply().expect("a reply").status();
        assert_eq!(status(r#"{"to": "/"}"#), 308);
        assert_eq!(status(r#"{"to": "/", "status": 302}"#), 302);
        assert_eq!(Harness::<Redirect>::refused(r#"{"to": "/", "status": 304}"#)[0].path, "/status");
    }

    #[test]
    fn mistakes_are_told_at_their_place() {
        for (settings, place) in [
            (r#"{"to": "/{tail}"}"#, "/to"),
            (r#"{"to": "/a b"}"#, "/to"),
            (r#"{"to": ""}"#, "/to"),
            (r#"{"to": "/{rest}", "prefix": "old"}"#, "/prefix"),
            (r#"{}"#, ""),
        ] {
            assert_eq!(Harness::<Redirect>::refused(settings)[0].path, place, "{settings}");
        }
    }

    #[test]
    fn only_what_the_target_needs_is_asked_for() {
        let mut expected = Plan::default();
        expected.request().query();
        assert_eq!(Harness::<Redirect>::new(r#"{"to": "/new"}"#).plan(), &expected);
    }
}
