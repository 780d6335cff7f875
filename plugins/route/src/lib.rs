//! Chooses the upstream: by rules first, then by weights.
//!
//! What a rule looks at stands in `rule`, how weights share requests out in `split`.
#![cfg_attr(target_family = "wasm", no_std)]

mod rule;
mod split;

use portcullis_sdk::prelude::*;
use rule::Rule;
use split::{By, Split};

/// Chooses the upstream by header, cookie, query or weight.
#[settings]
pub struct Settings {
    /// The first rule whose parts all hold decides.
    #[setting(default)]
    rules: Vec<rule::Written>,
    /// Where no rule holds: upstreams with their weights.
    #[setting(default)]
    split: Map<u32, Upstream>,
    /// What keeps its upstream: "request" (each goes its own way), "client.ip", "cookie:NAME" or "header:NAME".
    #[setting(default = "request")]
    by: String,
}

pub struct Route {
    rules: Vec<Rule>,
    split: Option<Split>,
}

#[plugin(name = "route", description = "Chooses the upstream by header, cookie, query or weight")]
impl Route {
    fn configure(settings: Settings) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let by = By::parse(&settings.by).map_err(|why| problems.push(Problem::at("/by", why))).ok();
        let split = (!settings.split.is_empty()).then(|| Split::of(settings.split, by.unwrap_or(By::Request)));
        let split = split.transpose().map_err(|why| problems.push(Problem::at("/split", why))).ok().flatten();
        let at = Pointer::root().key("rules");
        let rules = settings.rules.into_iter().enumerate();
        let rules: Vec<_> = rules.filter_map(|(index, rule)| Rule::of(rule, &at.index(index), &mut problems)).collect();
        if rules.is_empty() && split.is_none() && problems.is_empty() {
            problems.push(Problem::at("", "needs `rules` or `split`"));
        }
        if problems.is_empty() { Ok(Self { rules, split }) } else { Err(problems) }
    }

    fn plan(&self, plan: &mut Plan) {
        self.rules.iter().for_each(|rule| rule.ask(plan.request()));
        self.split.iter().for_each(|split| split.ask(plan.request()));
        if let Some(index) = self.rules.iter().position(Rule::always_holds)
            && (index + 1 < self.rules.len() || self.split.is_some())
        {
            plan.warn(Pointer::root().key("rules").index(index), "always holds, so that nothing after it is ever asked");
        }
    }

    fn on_request(&self, request: &Request, _: &mut RequestEdits) -> Option<Verdict> {
        let ruled = self.rules.iter().find(|rule| rule.holds(request)).map(Rule::to);
        let upstream = ruled.or_else(|| self.split.as_ref().map(|split| split.pick(request)));
        upstream.map(Verdict::forward)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_sdk::test::{Harness, SentRequest, get};

    fn to(route: &Harness<Route>, sent: SentRequest) -> Option<String> {
        route.on_request(sent).forwarded_to().map(str::to_owned)
    }

    #[test]
    fn the_first_rule_that_holds_wins() {
        let route = Harness::<Route>::new(
            r#"{"rules": [{"to": "both", "header": {"X-A": "1"}, "cookie": {"beta": "yes"}},
                          {"to": "header", "header": {"x-a": "1"}}, {"to": "query", "query": {"v": "2 b"}}]}"#,
        );
        let sent = || get("/?x=1&v=2%20b");
        assert_eq!(to(&route, sent().header("x-a", "1").header("cookie", "a=b; beta=yes")).as_deref(), Some("both"));
        assert_eq!(to(&route, sent().header("x-a", "1").header("cookie", "beta=no")).as_deref(), Some("header"));
        assert_eq!(to(&route, sent().header("x-a", "2")).as_deref(), Some("query"));
        assert_eq!(to(&route, get("/?v=2").header("x-a", "2")), None, "none: the route's own upstream");
    }

    #[test]
    fn weights_share_requests_out() {
        let route = Harness::<Route>::new(r#"{"split": {"app": 95, "canary": 5, "off": 0}}"#);
        let counts = |name: &str| (0..20_000).filter(|id| to(&route, get("/").exchange(*id)).as_deref() == Some(name)).count();
        let canary = counts("canary");
        assert!((800..1200).contains(&canary), "{canary} of 20000 are about 5 %");
        assert_eq!(counts("app") + canary, 20_000);
    }

    #[test]
    fn what_it_goes_by_keeps_its_upstream() {
        let cases = [
            ("client.ip", |n: u64| get("/").attribute("client.ip", &format!("192.0.2.{n}"))),
            ("cookie:sid", |n| get("/").header("cookie", format!("a=1; sid=s{n}"))),
            ("header:X-User", |n| get("/").header("x-user", format!("u{n}"))),
        ] as [(&str, fn(u64) -> SentRequest); 3];
        for (by, sent) in cases {
            let route = Harness::<Route>::new(&format!(r#"{{"split": {{"a": 1, "b": 1}}, "by": "{by}"}}"#));
            let of = |n: u64, exchange: u64| to(&route, sent(n).exchange(exchange)).expect("one of two");
            assert!((0..50).all(|n| of(n, n) == of(n, n + 1000)), "{by}: the same goes to the same");
            let a = (0..200).filter(|n| of(*n, 1) == "a").count();
            assert!((60..140).contains(&a), "{by}: {a} of 200 are about half");
        }
    }

    #[test]
    fn without_the_cookie_each_request_goes_its_own_way() {
        let route = Harness::<Route>::new(r#"{"split": {"a": 1, "b": 1}, "by": "cookie:sid"}"#);
        let a = (0..200).filter(|id| to(&route, get("/").exchange(*id)).as_deref() == Some("a")).count();
        assert!((60..140).contains(&a), "{a} of 200");
    }

    #[test]
    fn only_what_it_goes_by_is_asked_for() {
        let mut expected = Plan::default();
        expected.request().attribute("client.ip");
        assert_eq!(Harness::<Route>::new(r#"{"split": {"a": 1}, "by": "client.ip"}"#).plan(), &expected);
        let mut expected = Plan::default();
        expected.request().header("cookie").query();
        assert_eq!(Harness::<Route>::new(r#"{"rules": [{"to": "a", "cookie": {"x": "1"}, "query": {"y": "2"}}]}"#).plan(), &expected);
    }

    #[test]
    fn mistakes_are_told_at_their_place() {
        for (settings, place) in [
            ("{}", ""),
            (r#"{"split": {"a": 0}}"#, "/split"),
            (r#"{"split": {"a": -1}}"#, "/split/a"),
            (r#"{"split": {"a": 1}, "by": "cookie"}"#, "/by"),
            (r#"{"split": {"a": 1}, "by": "header:a b"}"#, "/by"),
            (r#"{"rules": [{"to": "a", "header": {"host": "b"}}]}"#, "/rules/0/header/host"),
            (r#"{"rules": [{"header": {}}]}"#, "/rules/0"),
        ] {
            assert_eq!(Harness::<Route>::refused(settings)[0].path, place, "{settings}");
        }
    }

    #[test]
    fn a_rule_that_always_holds_before_others_is_warned_about() {
        let route = Harness::<Route>::new(r#"{"rules": [{"to": "a"}], "split": {"b": 1}}"#);
        let mut expected = Plan::default();
        expected.request().exchange();
        expected.warn("/rules/0", "always holds, so that nothing after it is ever asked");
        assert_eq!(route.plan(), &expected);
    }

    #[test]
    fn upstreams_are_checked_by_the_proxy() {
        let schema = Harness::<Route>::describe();
        assert!(schema.contains(r#""propertyNames":{"type":"string","format":"upstream"}"#), "{schema}");
        assert!(schema.contains(r#""to":{"type":"string","format":"upstream""#), "{schema}");
    }
}
