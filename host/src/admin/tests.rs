//! A board of which little is to be seen, and questions to it.

use super::answer::answer;
use super::{Access, Board, Done, Explain, Later, Readiness, Refusal, Topic, Wish};
use crate::observe::Exposition;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use serde_json::{Value, json};
use std::future::ready;
use std::sync::Arc;

struct Draining;

impl Board for Draining {
    fn metrics(&self, out: &mut Exposition) {
        out.gauge("a", "").sample(&[], 1);
    }

    fn readiness(&self) -> Readiness {
        Readiness { against: vec!["draining".into()] }
    }

    fn shown(&self, topic: Topic) -> Option<Value> {
        (topic == Topic::Status).then(|| json!({}))
    }

    fn explain(&self, question: &Explain) -> Result<Value, Refusal> {
        question.url.starts_with("http").then(|| json!({})).ok_or_else(|| Refusal::Question("no URL".into()))
    }

    fn log_filter(&self) -> String {
        "info".into()
    }

    fn set_log_filter(&self, _: &str) -> Result<(), String> {
        Ok(())
    }

    fn server(&self, upstream: &str, server: &str) -> Result<Value, Refusal> {
        (upstream == "app" && server == "unix:/a b").then(|| json!({})).ok_or(Refusal::NoServer)
    }

    fn drain(&self, upstream: &str, server: &str, _: bool) -> Result<Value, Refusal> {
        self.server(upstream, server)
    }

    fn ask(&self, _: Wish) -> Later<Result<Done, Refusal>> {
        Box::pin(ready(Ok(Done { well: true, said: json!({}) })))
    }
}

pub fn ask(access: &Access, method: &str, path: &str, fields: &[(&str, &str)], body: &str) -> Response<Full<Bytes>> {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(Bytes::from(body.to_owned()))).expect("a request");
    let board: Arc<dyn Board> = Arc::new(Draining);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(answer(request, access, &board))
}
