//! Answers requests itself. The answer is made once, when the plugin is configured.
#![cfg_attr(target_family = "wasm", no_std)]

use portcullis_sdk::field::{header_name, header_value};
use portcullis_sdk::prelude::*;

/// What the contract allows for a reply's body.
const MOST: usize = 1 << 20;

/// Answers requests itself.
#[settings]
pub struct Settings {
    /// The answer's status.
    #[setting(default = 200, min = 200, max = 599)]
    status: u16,
    /// The answer's body, at most 1 MiB.
    #[setting(default = "")]
    body: String,
    /// The answer's header fields; content-type is "text/plain; charset=utf-8" unless it is among them.
    #[setting(default)]
    headers: Map<String>,
}

pub struct Respond(Rc<Reply>);

#[plugin(name = "respond", description = "Answers requests itself")]
impl Respond {
    fn configure(settings: Settings) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut headers = Vec::new();
        for (name, value) in settings.headers {
            match header_name(&name).and_then(|lower| header_value(value.as_bytes()).map(|()| lower)) {
                Ok(name) => headers.push((name, value)),
                Err(why) => problems.push(Problem::at(Pointer::root().key("headers").key(&name), why)),
            }
        }
        if settings.body.len() > MOST {
            problems.push(Problem::at("/body", "at most 1 MiB; larger answers are an upstream's work"));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let typed = settings.body.is_empty() || headers.iter().any(|(name, _)| name == "content-type");
        let reply = Reply::new(settings.status);
        let reply = if typed { reply.body(settings.body) } else { reply.text(settings.body) };
        Ok(Self(Rc::new(headers.into_iter().fold(reply, |reply, (name, value)| reply.header(name, value)))))
    }

    fn on_request(&self, _: &Request, _: &mut RequestEdits) -> Rc<Reply> {
        self.0.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_sdk::test::{Harness, get};

    fn reply(settings: &str) -> Reply {
        Harness::<Respond>::new(settings).on_request(get("/")).reply().expect("a reply").clone()
    }

    #[test]
    fn the_answer_is_as_written() {
        let robots = reply(r#"{"status": 404, "body": "gone\n", "headers": {"X-Why": "moved"}}"#);
        assert_eq!((robots.status(), robots.body_bytes()), (404, &b"gone\n"[..]));
        assert_eq!(robots.header_str("x-why"), Some("moved"));
        assert_eq!(robots.header_str("content-type"), Some("text/plain; charset=utf-8"));
    }

    #[test]
    fn the_type_can_be_another_and_no_body_has_none() {
        let json = reply(r#"{"body": "{}", "headers": {"Content-Type": "application/json"}}"#);
        assert_eq!(json.header_str("content-type"), Some("application/json"));
        let empty = reply("{}");
        assert_eq!((empty.status(), empty.header_str("content-type")), (200, None));
    }

    #[test]
    fn nothing_is_asked_for() {
        let mut expected = Plan::default();
        expected.request();
        assert_eq!(Harness::<Respond>::new("{}").plan(), &expected);
    }

    #[test]
    fn mistakes_are_told_at_their_place() {
        let large = format!(r#"{{"body": "{}"}}"#, "x".repeat(MOST + 1));
        for (settings, place) in [
            (r#"{"status": 100}"#, "/status"),
            (r#"{"headers": {"a b": "1"}}"#, "/headers/a b"),
            (r#"{"headers": {"x": "a\nb"}}"#, "/headers/x"),
            (r#"{"headers": {"Content-Length": "3"}}"#, "/headers/Content-Length"),
            (&large, "/body"),
        ] {
            assert_eq!(Harness::<Respond>::refused(settings)[0].path, place);
        }
    }
}
