//! A guest that uses every function of every capability, as it is told: by its settings, or by the header `x-do` of a request. Steps stand
//! between `;`, words of a step between spaces. It answers with what came of each step, a line each; after `pass` the request goes on, with
//! the lines in the header `x-able`.
#![cfg_attr(target_family = "wasm", no_std)]

use core::time::Duration;
use portcullis_sdk::prelude::*;
use portcullis_sdk::{clock, http, kv, log, metrics, random, secret, tracing};

/// Does as it is told.
#[settings]
struct Told {
    /// Steps for requests without `x-do`.
    #[setting(default)]
    on_request: String,
    /// Steps for every response; what came of them is in the header `x-able-response`.
    #[setting(default)]
    on_response: String,
    /// A secret to be read in `configure`.
    #[setting(default)]
    secret: String,
}

struct Able {
    told: Told,
    found: Option<Vec<u8>>,
}

#[plugin]
impl Able {
    fn configure(told: Told) -> Result<Self, Vec<Problem>> {
        let found = if told.secret.is_empty() { None } else { secret::get(&told.secret) };
        Ok(Self { told, found })
    }

    fn plan(&self, plan: &mut Plan) {
        if self.told.on_response.is_empty() {
            plan.skip_response();
        }
    }

    #[interest(headers = ["x-do"])]
    fn on_request(&self, request: &Request, edit: &mut RequestEdits) -> Option<Reply> {
        let steps = request.header_str("x-do").unwrap_or(&self.told.on_request);
        if steps.is_empty() {
            return None;
        }
        let pass = steps.ends_with("pass");
        let lines = self.run(steps);
        if pass {
            edit.set_header("x-able", lines.join(" | "));
            return None;
        }
        Some(Reply::new(200).text(lines.join("\n")))
    }

    fn on_response(&self, _: &Response, edit: &mut Edits) {
        edit.set_header("x-able-response", self.run(&self.told.on_response).join(" | "));
    }
}

impl Able {
    fn run(&self, steps: &str) -> Vec<String> {
        steps.split(';').map(|step| self.step(&step.split_whitespace().collect::<Vec<_>>())).collect()
    }

    fn step(&self, words: &[&str]) -> String {
        match words {
            ["pass"] => "passed".to_owned(),
            ["configured"] => bytes(&self.found),
            ["log", level, rest @ ..] => {
                let text = rest.join(" ");
                match *level {
                    "debug" => log::debug!("{text}"),
                    "info" => log::info!("{text}"),
                    "warn" => log::warn!("{text}"),
                    _ => log::error!("{text}"),
                }
                "logged".to_owned()
            }
            ["log-many", times] => {
                (0..number(times)).for_each(|n| log::info!("line {n}"));
                "logged".to_owned()
            }
            ["log-long", length] => {
                log::line(log::Level::Info, &"x".repeat(number(length) as usize));
                "logged".to_owned()
            }
            ["now"] => clock::now().as_secs().to_string(),
            ["monotonic"] => (clock::monotonic() <= clock::monotonic()).to_string(),
            ["random", length] => {
                let (one, other) = (random::bytes(number(length) as u32), random::bytes(number(length) as u32));
                format!("{} {}", one.len(), one != other)
            }
            ["secret", name] => bytes(&secret::get(name)),
            ["count", name, label, add] => {
                metrics::count(name, &[("kind", label)], number(add) as u64);
                "counted".to_owned()
            }
            ["trace", name, value] => {
                tracing::attribute(name, value);
                tracing::event("told", &[(name, value)]);
                "traced".to_owned()
            }
            ["traceparent"] => tracing::traceparent().unwrap_or_else(|| "none".to_owned()),
            ["gauge", name, value] => {
                metrics::gauge(name, &[], number(value) as f64);
                "set".to_owned()
            }
            ["observe", name, value] => {
                metrics::observe(name, &[], number(value) as f64);
                "observed".to_owned()
            }
            ["get", store, key] => said(kv::Store::named(store).get(key), |value| bytes(&value)),
            ["get-long", store, length] => said(kv::Store::named(store).get("k".repeat(number(length) as usize)), |value| bytes(&value)),
            ["set", store, key, value, rest @ ..] => said(kv::Store::named(store).set(key, value, ttl(rest)), |()| "set".to_owned()),
            ["add", store, key, delta, rest @ ..] => {
                said(kv::Store::named(store).add(key, number(delta), ttl(rest)), |sum| sum.to_string())
            }
            ["replace", store, key, expected, value, rest @ ..] => {
                let expected = Some(expected.as_bytes()).filter(|expected| *expected != b"none");
                said(kv::Store::named(store).compare_and_set(key, expected, value, ttl(rest)), |done| done.to_string())
            }
            ["delete", store, key] => said(kv::Store::named(store).delete(key), |there| there.to_string()),
            ["take", store, key, units, capacity, millis] => {
                let interval = Duration::from_millis(number(millis) as u64);
                let taken = kv::Store::named(store).take(key, number(units) as u32, number(capacity) as u32, interval);
                said(taken, |taken| format!("{} {} {} {}", taken.admitted, taken.left, taken.retry.as_millis(), taken.full.as_millis()))
            }
            ["fill", store, length] => fill(kv::Store::named(store), number(length) as usize),
            ["send", upstream, path] => answer(http::Request::get(upstream, path).send()),
            ["send", upstream, path, millis] => {
                answer(http::Request::get(upstream, path).timeout(Duration::from_millis(number(millis) as u64)).send())
            }
            ["post", upstream, path, body] => {
                let request = http::Request::post(upstream, path).header("x-from", "able").authority("idp.test");
                answer(http::send(request.body(body)))
            }
            ["send-bad-header", upstream] => answer(http::Request::get(upstream, "/").header("x-a", "1\r\n2").send()),
            ["send-all", upstream, paths @ ..] => {
                let requests: Vec<_> = paths.iter().map(|path| http::Request::get(upstream, path)).collect();
                http::send_all(&requests).into_iter().map(answer).collect::<Vec<_>>().join(", ")
            }
            _ => format!("no such step: {words:?}"),
        }
    }
}

/// Until it is full: how many values fitted.
fn fill(store: kv::Store<'_>, length: usize) -> String {
    let value = "v".repeat(length);
    let mut fitted = 0;
    loop {
        match store.set(format!("fill-{fitted}"), &value, None) {
            Ok(()) => fitted += 1,
            Err(error) => return format!("{fitted} then {error:?}"),
        }
    }
}

fn number(word: &str) -> i64 {
    word.parse().unwrap_or_default()
}

fn ttl(rest: &[&str]) -> Option<Duration> {
    rest.first().map(|millis| Duration::from_millis(number(millis) as u64))
}

fn bytes(value: &Option<Vec<u8>>) -> String {
    value.as_deref().map_or("none".to_owned(), |value| String::from_utf8_lossy(value).into_owned())
}

fn said<T>(outcome: Result<T, kv::Error>, show: impl FnOnce(T) -> String) -> String {
    outcome.map_or_else(|error| format!("{error:?}"), show)
}

fn answer(outcome: Result<http::Response, http::Error>) -> String {
    match outcome {
        Ok(answer) => {
            let first: String = answer.text().unwrap_or_default().lines().next().unwrap_or_default().chars().take(60).collect();
            format!("{} {} {} [{first}]", answer.status(), answer.header_str("x-origin").unwrap_or("-"), answer.body().len())
        }
        Err(error) => format!("{error:?}"),
    }
}
