//! Changes path, query and host of requests, in the order in which the settings stand here.
//!
//! How a path changes stands in `path`, how a query does in `query`.
#![cfg_attr(target_family = "wasm", no_std)]

mod path;
mod pattern;
mod query;

use path::PathSteps;
use portcullis_sdk::prelude::*;
use query::QueryEdits;

/// Changes path, query and host of requests.
#[settings]
pub struct Settings {
    /// What is taken off the start of the path, in whole path elements: "/api" turns "/api/x" into "/x" and leaves "/apis" alone.
    strip_prefix: Option<String>,
    /// What is put before the path.
    add_prefix: Option<String>,
    /// Replacements in the path, one after the other: one, or a list of them.
    #[setting(default)]
    regex: OneOrMany<path::Replacement>,
    /// What is changed in the query.
    #[setting(default)]
    query: query::Changes,
    /// What the upstream gets as Host.
    host: Option<String>,
}

pub struct Rewrite {
    path: Option<PathSteps>,
    query: Option<QueryEdits>,
    host: Option<String>,
}

#[plugin(name = "rewrite", description = "Changes path, query and host of requests")]
impl Rewrite {
    fn configure(settings: Settings) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let path = PathSteps::of(settings.strip_prefix.as_deref(), settings.add_prefix.as_deref(), &settings.regex, &mut problems);
        let query = QueryEdits::of(settings.query);
        let host = settings.host;
        if host.as_deref().is_some_and(|host| host.is_empty() || host.contains(|c: char| c <= ' ' || "/?#@\\\x7f".contains(c))) {
            problems.push(Problem::at("/host", "a host name, with a port if need be: `app.internal:8080`"));
        }
        if problems.is_empty() { Ok(Self { path, query, host }) } else { Err(problems) }
    }

    fn plan(&self, plan: &mut Plan) {
        if self.path.is_some() {
            plan.request().path();
        }
        if self.query.is_some() {
            plan.request().query();
        }
        if self.path.is_none() && self.query.is_none() && self.host.is_none() {
            plan.skip_request();
            plan.warn("", "changes nothing");
        }
    }

    fn on_request(&self, request: &Request, edit: &mut RequestEdits) {
        if let Some(path) = self.path.as_ref().and_then(|steps| steps.changed(request.path())) {
            edit.set_path(path);
        }
        if let Some(query) = self.query.as_ref().and_then(|edits| edits.changed(request.query().unwrap_or_default())) {
            if query.is_empty() {
                edit.remove_query();
            } else {
                edit.set_query(query);
            }
        }
        if let Some(host) = &self.host {
            edit.set_authority(host);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_sdk::test::{Harness, get};

    fn path(settings: &str, path: &str) -> String {
        Harness::<Rewrite>::new(settings).on_request(get(path)).path().to_owned()
    }

    #[test]
    fn a_prefix_is_stripped_at_a_boundary_only() {
        let strip = r#"{"strip-prefix": "/api"}"#;
        let cases = [("/api/x", "/x"), ("/api", "/"), ("/api/", "/"), ("/apis", "/apis"), ("/x/api", "/x/api"), ("/API/x", "/API/x")];
        for (before, after) in cases {
            assert_eq!(path(strip, before), after, "{before}");
            assert_eq!(path(r#"{"strip-prefix": "/api/"}"#, before), after, "{before}, with a slash at the end");
        }
    }

    #[test]
    fn steps_follow_each_other() {
        let all = r#"{"strip-prefix": "/api", "add-prefix": "/v1/", "regex": {"match": "^/v1/(\\w+)/(\\d+)$", "replace": "/v2/$2/${1}"}}"#;
        assert_eq!(path(all, "/api/user/7"), "/v2/7/user");
        assert_eq!(path(all, "/other"), "/v1/other");
    }

    #[test]
    fn several_replacements_go_one_after_the_other() {
        let list = r#"{"regex": [{"match": "a", "replace": "b"}, {"match": "^/b", "replace": ""}]}"#;
        assert_eq!(path(list, "/aXa"), "/Xb", "every match is replaced; a path keeps its slash");
    }

    #[test]
    fn what_does_not_change_is_not_edited() {
        let strip =
            Harness::<Rewrite>::new(r#"{"strip-prefix": "/api", "regex": {"match": "z", "replace": "y"}, "query": {"remove": ["q"]}}"#);
        assert!(strip.on_request(get("/other?a=1")).edits().is_empty());
        assert!(strip.on_request(get("/other")).edits().is_empty());
    }

    #[test]
    fn query_parameters_are_edited() {
        let edits = Harness::<Rewrite>::new(r#"{"query": {"remove": ["utm source"], "set": {"v": "2"}, "add": {"tag": ["a", "b c"]}}}"#);
        let after = edits.on_request(get("/?utm%20source=x&v=1&keep=%2f&v=3"));
        assert_eq!(after.query(), Some("v=2&keep=%2f&tag=a&tag=b%20c"));
        assert_eq!(edits.on_request(get("/")).query(), Some("v=2&tag=a&tag=b%20c"));
    }

    #[test]
    fn the_last_parameter_takes_the_question_mark_with_it() {
        let edits = Harness::<Rewrite>::new(r#"{"query": {"remove": ["a"]}}"#);
        assert_eq!(edits.on_request(get("/?a=1&a=2")).query(), None);
    }

    #[test]
    fn the_host_is_replaced_without_looking() {
        let host = Harness::<Rewrite>::new(r#"{"host": "app.internal:8080"}"#);
        let mut expected = Plan::default();
        expected.request();
        assert_eq!(host.plan(), &expected, "asks for nothing");
        assert_eq!(host.on_request(get("/")).authority(), "app.internal:8080");
    }

    #[test]
    fn only_what_the_settings_need_is_asked_for() {
        let mut expected = Plan::default();
        expected.request().path();
        assert_eq!(Harness::<Rewrite>::new(r#"{"strip-prefix": "/a"}"#).plan(), &expected);
    }

    #[test]
    fn each_mistake_is_told_at_its_place() {
        let problems = Harness::<Rewrite>::refused(
            r#"{"strip-prefix": "api", "add-prefix": "/a b", "host": "a/b",
                "regex": [{"match": "(", "replace": ""}, {"match": "a", "replace": "?"}, {"match": "(a)", "replace": "$2"}]}"#,
        );
        let places: Vec<_> = problems.iter().map(|problem| &*problem.path).collect();
        assert_eq!(places, ["/strip-prefix", "/add-prefix", "/regex/0/match", "/regex/1/replace", "/regex/2/replace", "/host"]);
        let problems = Harness::<Rewrite>::refused(r#"{"regex": {"match": "(", "replace": ""}}"#);
        assert_eq!(problems[0].path, "/regex/match");
    }

    #[test]
    fn settings_that_change_nothing_are_warned_about() {
        let nothing = Harness::<Rewrite>::new("{}");
        let mut expected = Plan::default();
        expected.warn("", "changes nothing");
        assert_eq!(nothing.plan(), &expected);
    }
}
