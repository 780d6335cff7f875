//! Sets, adds and removes header fields of requests and responses.
//!
//! What a value's placeholders mean stands in `value`; this file only says what is done with the values.
#![cfg_attr(target_family = "wasm", no_std)]

mod value;

use portcullis_sdk::field::header_name;
use portcullis_sdk::prelude::*;
use value::{Phase, Value};

/// Sets, adds and removes header fields.
#[settings]
pub struct Settings {
    /// What is done to requests before they go to the upstream.
    #[setting(default)]
    request: Changes,
    /// What is done to responses before they go to the client.
    #[setting(default)]
    response: Changes,
}

#[settings]
#[derive(Default)]
struct Changes {
    /// Fields to set, replacing those of the same name. Values may have placeholders such as {client.ip}.
    #[setting(default)]
    set: Map<String>,
    /// Fields to add beside those of the same name: one value, or a list of them.
    #[setting(default)]
    add: Map<OneOrMany<String>>,
    /// Names of fields to remove, before any are set or added.
    #[setting(default)]
    remove: Vec<String>,
}

pub struct Headers {
    request: Steps,
    response: Steps,
}

/// [`Changes`], checked and taken apart.
#[derive(Default)]
struct Steps {
    remove: Vec<String>,
    set: Vec<(String, Value)>,
    add: Vec<(String, Value)>,
}

#[plugin(name = "headers", description = "Sets, adds and removes header fields of requests and responses")]
impl Headers {
    fn configure(settings: Settings) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let root = Pointer::root();
        let request = Steps::of(settings.request, Phase::Request, &root.key("request"), &mut problems);
        let response = Steps::of(settings.response, Phase::Response, &root.key("response"), &mut problems);
        if problems.is_empty() { Ok(Self { request, response }) } else { Err(problems) }
    }

    fn plan(&self, plan: &mut Plan) {
        if self.request.is_empty() {
            plan.skip_request();
        } else {
            self.request.values().for_each(|value| value.ask_request(plan.request()));
        }
        if self.response.is_empty() {
            plan.skip_response();
        } else {
            self.response.values().for_each(|value| value.ask_response(plan.response()));
        }
    }

    fn on_request(&self, request: &Request, edit: &mut RequestEdits) {
        self.request.edit(edit, |value| value.of_request(request));
    }

    fn on_response(&self, response: &Response, edit: &mut Edits) {
        self.response.edit(edit, |value| value.of_response(response));
    }
}

impl Steps {
    fn of(changes: Changes, phase: Phase, at: &Pointer, problems: &mut Vec<Problem>) -> Self {
        let mut steps = Self::default();
        for (index, name) in changes.remove.iter().enumerate() {
            steps.remove.extend(sound_name(name, &at.key("remove").index(index), problems));
        }
        for (name, text) in changes.set {
            let at = at.key("set").key(&name);
            steps.set.extend(sound_name(&name, &at, problems).zip(sound_value(&text, phase, &at, problems)));
        }
        for (name, texts) in changes.add {
            let at = at.key("add").key(&name);
            let Some(name) = sound_name(&name, &at, problems) else { continue };
            for (index, text) in texts.iter().enumerate() {
                let value = sound_value(text, phase, &texts.pointer(&at, index), problems);
                steps.add.extend(value.map(|value| (name.clone(), value)));
            }
        }
        steps
    }

    fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty()
    }

    fn values(&self) -> impl Iterator<Item = &Value> {
        self.set.iter().chain(&self.add).map(|(_, value)| value)
    }

    fn edit<'v>(&'v self, edit: &mut Edits, mut value: impl FnMut(&'v Value) -> value::Filled<'v>) {
        for name in &self.remove {
            edit.remove_header(name);
        }
        for (name, text) in &self.set {
            edit.set_header(name, value(text));
        }
        for (name, text) in &self.add {
            edit.append_header(name, value(text));
        }
    }
}

fn sound_name(name: &str, at: &Pointer, problems: &mut Vec<Problem>) -> Option<String> {
    header_name(name).map_err(|why| problems.push(Problem::at(at.clone(), why))).ok()
}

fn sound_value(text: &str, phase: Phase, at: &Pointer, problems: &mut Vec<Problem>) -> Option<Value> {
    Value::parse(text, phase).map_err(|why| problems.push(Problem::at(at.clone(), why))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_sdk::test::{Harness, get, response};

    #[test]
    fn requests_are_changed_in_the_order_remove_set_add() {
        let headers = Harness::<Headers>::new(
            r#"{"request": {"add": {"X-A": ["2", "3"], "x-b": "1"}, "set": {"x-a": "1"}, "remove": ["X-A", "x-gone"]}}"#,
        );
        let after = headers.on_request(get("/").header("x-a", "0").header("x-a", "00").header("x-gone", "1"));
        assert_eq!(after.headers("x-a"), ["1", "2", "3"]);
        assert_eq!(after.headers("x-b"), ["1"]);
        assert_eq!(after.header("x-gone"), None);
    }

    #[test]
    fn placeholders_are_filled_in_for_requests() {
        let headers = Harness::<Headers>::new(
            r#"{"request": {"set": {"x-from": "{client.ip} {{{request.method}}}", "x-host": "{request.host}", "x-ua": "<{request.header.User-Agent}>"}}}"#,
        );
        let sent = get("https://app.example.com:8443/a").attribute("client.ip", "192.0.2.1").header("user-agent", "curl");
        let after = headers.on_request(sent);
        assert_eq!(after.header("x-from"), Some("192.0.2.1 {GET}"));
        assert_eq!(after.header("x-host"), Some("app.example.com"));
        assert_eq!(after.header("x-ua"), Some("<curl>"));
    }

    #[test]
    fn placeholders_are_filled_in_for_responses() {
        let headers = Harness::<Headers>::new(r#"{"response": {"set": {"x-where": "{request.host}{request.path} via {upstream}"}}}"#);
        let sent = response(200).attribute("request.authority", "[::1]:8443").attribute("request.path", "/a").attribute("upstream", "app");
        assert_eq!(headers.on_response(sent).header("x-where"), Some("[::1]/a via app"));
    }

    #[test]
    fn what_is_not_there_is_empty() {
        let headers = Harness::<Headers>::new(r#"{"request": {"set": {"x-sni": "[{tls.sni}{request.header.x-none}{request.query}]"}}}"#);
        assert_eq!(headers.on_request(get("/")).header("x-sni"), Some("[]"));
    }

    #[test]
    fn a_phase_without_changes_is_not_entered_and_constants_ask_for_nothing() {
        let headers = Harness::<Headers>::new(r#"{"response": {"set": {"x-served-by": "edge"}}}"#);
        let mut expected = Plan::default();
        expected.response();
        assert_eq!(headers.plan(), &expected);
        assert_eq!(headers.on_response(response(404)).header("x-served-by"), Some("edge"));
    }

    #[test]
    fn interest_is_what_the_placeholders_need() {
        let headers =
            Harness::<Headers>::new(r#"{"request": {"add": {"x": ["{request.path}{client.ip}", "{request.header.a}{client.ip}"]}}}"#);
        let mut expected = Plan::default();
        expected.request().path().attribute("client.ip").header("a");
        assert_eq!(headers.plan(), &expected);
    }

    #[test]
    fn each_mistake_is_told_at_its_place() {
        let problems = Harness::<Headers>::refused(
            r#"{"request": {"set": {"x-a": "{client.adress}", "a b": "1"}, "add": {"x": ["ok", "a\nb"], "y": "{"}, "remove": ["host"]},
                "response": {"set": {"x": "{request.header.cookie}"}}}"#,
        );
        let mut places: Vec<_> = problems.iter().map(|problem| &*problem.path).collect();
        places.sort_unstable();
        let expected =
            ["/request/add/x/1", "/request/add/y", "/request/remove/0", "/request/set/a b", "/request/set/x-a", "/response/set/x"];
        assert_eq!(places, expected);
    }

    #[test]
    fn a_forged_value_cannot_break_a_line() {
        // Header values cannot have line breaks when they come in, nor can they when they go out: bytes are passed on as they are.
        let headers = Harness::<Headers>::new(r#"{"request": {"set": {"x-copy": "{request.header.x}"}}}"#);
        let after = headers.on_request(get("/").header("x", [0xff, b'a']));
        assert_eq!(after.edits(), [portcullis_sdk::test::Edit::SetHeader("x-copy".into(), vec![0xff, b'a'])]);
    }
}
