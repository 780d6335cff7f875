//! `/api/`: what the process is and does, as JSON, and the little that can be asked of it. `openapi.json` describes it all, and is served too.
//!
//! Who may read may also write: both can be had by who has the token, or by who can come where there is none. But a browser also sends what
//! pages from elsewhere tell it to, so what changes something or is much work is not done for those.

use super::access::from_elsewhere;
use super::board::{Board, Done, Explain, Refusal, Topic, Wish};
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

const DESCRIPTION: &str = include_str!("openapi.json");
/// Of a request's body, bytes; questions are short.
const MOST: usize = 64 << 10;
/// For a request's body.
const PATIENCE: Duration = Duration::from_secs(10);

/// How it is asked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verb {
    Get,
    Put,
    Post,
}

impl Verb {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Put => "PUT",
            Self::Post => "POST",
        }
    }

    fn is(self, method: &Method) -> bool {
        self.as_str() == method.as_str() || (self == Self::Get && *method == Method::HEAD)
    }
}

/// What is asked for, by path and method.
#[derive(Clone, Copy)]
enum Asked {
    Description,
    Topic(Topic),
    Log,
    SetLog,
    Explain,
    Wish(Wish),
    Server(Order),
}

/// What is to become of a server.
#[derive(Clone, Copy)]
enum Order {
    Look,
    Drain,
    Enable,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LogFilter {
    filter: String,
}

/// What is not done.
struct Not(StatusCode, String);

/// `known`: whoever asks has shown the token, or needs none.
pub async fn answer<B>(request: Request<B>, known: bool, board: &Arc<dyn Board>) -> Response<Full<Bytes>>
where
    B: Body<Data: Send, Error: std::error::Error + Send + Sync + 'static> + Send,
{
    let there = methods(request.uri().path());
    match follow(request, known, board).await {
        Ok((status, said)) => told(status, said.to_string()),
        Err(Not(status, why)) => {
            let mut response = told(status, json!({ "error": why }).to_string());
            match status {
                StatusCode::UNAUTHORIZED => {
                    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
                }
                StatusCode::METHOD_NOT_ALLOWED => drop(
                    there.map(|all| HeaderValue::try_from(names(all)).map(|allow| response.headers_mut().insert(header::ALLOW, allow))),
                ),
                _ => {}
            }
            response
        }
    }
}

async fn follow<B>(request: Request<B>, known: bool, board: &Arc<dyn Board>) -> Result<(StatusCode, Value), Not>
where
    B: Body<Data: Send, Error: std::error::Error + Send + Sync + 'static> + Send,
{
    if !known {
        return Err(Not(StatusCode::UNAUTHORIZED, "a token is needed".into()));
    }
    let (head, body) = request.into_parts();
    let path = head.uri.path();
    let all = methods(path).ok_or_else(|| Not(StatusCode::NOT_FOUND, "/api/openapi.json says what there is".into()))?;
    let Some((verb, asked)) = all.iter().find(|(verb, _)| verb.is(&head.method)) else {
        return Err(Not(StatusCode::METHOD_NOT_ALLOWED, format!("this is asked with {}", names(all))));
    };
    // What a reload would change takes as much work as one.
    if (*verb != Verb::Get || matches!(asked, Asked::Wish(_))) && from_elsewhere(&head.headers) {
        return Err(Not(StatusCode::FORBIDDEN, "a page from elsewhere may not ask for this".into()));
    }
    match asked {
        // It is ours, and a test reads it.
        Asked::Description => Ok((StatusCode::OK, serde_json::from_str(DESCRIPTION).unwrap_or_default())),
        Asked::Topic(topic) => board.shown(*topic).map(|shown| (StatusCode::OK, shown)).ok_or_else(|| Refusal::NotNow.into()),
        Asked::Log => Ok((StatusCode::OK, json!({ "filter": board.log_filter() }))),
        Asked::SetLog => {
            let LogFilter { filter } = read(&head.headers, body).await?;
            board.set_log_filter(&filter).map_err(|why| Not(StatusCode::BAD_REQUEST, why))?;
            Ok((StatusCode::OK, json!({ "filter": board.log_filter() })))
        }
        Asked::Explain => {
            let question: Explain = read(&head.headers, body).await?;
            // It may load components.
            let board = Arc::clone(board);
            let explained = tokio::task::spawn_blocking(move || board.explain(&question)).await;
            let explained =
                explained.map_err(|panic| Not(StatusCode::INTERNAL_SERVER_ERROR, format!("this question is too much for us: {panic}")))?;
            Ok((StatusCode::OK, explained?))
        }
        Asked::Server(order) => {
            let [upstream, server] = names_in(path).ok_or(Refusal::NoServer)?;
            let told = match order {
                Order::Look => board.server(&upstream, &server),
                Order::Drain => board.drain(&upstream, &server, true),
                Order::Enable => board.drain(&upstream, &server, false),
            };
            Ok((StatusCode::OK, told?))
        }
        Asked::Wish(wish) => {
            let Done { well, said } = board.ask(*wish).await?;
            Ok((if well { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY }, said))
        }
    }
}

/// As `Allow` lists them (RFC 9110, section 10.2.1).
fn names(all: Methods) -> String {
    let names: Vec<_> = all.iter().map(|(verb, _)| if *verb == Verb::Get { "GET, HEAD" } else { verb.as_str() }).collect();
    names.join(", ")
}

type Methods = &'static [(Verb, Asked)];

/// What there is, by path.
const PATHS: &[(&str, Methods)] = &[
    ("/api/openapi.json", &[(Verb::Get, Asked::Description)]),
    ("/api/status", &[(Verb::Get, Asked::Topic(Topic::Status))]),
    ("/api/sites", &[(Verb::Get, Asked::Topic(Topic::Sites))]),
    ("/api/routes", &[(Verb::Get, Asked::Topic(Topic::Routes))]),
    ("/api/upstreams", &[(Verb::Get, Asked::Topic(Topic::Upstreams))]),
    ("/api/upstreams/{upstream}/servers/{server}", &[(Verb::Get, Asked::Server(Order::Look))]),
    ("/api/upstreams/{upstream}/servers/{server}/drain", &[(Verb::Post, Asked::Server(Order::Drain))]),
    ("/api/upstreams/{upstream}/servers/{server}/enable", &[(Verb::Post, Asked::Server(Order::Enable))]),
    ("/api/certificates", &[(Verb::Get, Asked::Topic(Topic::Certificates))]),
    ("/api/plugins", &[(Verb::Get, Asked::Topic(Topic::Plugins))]),
    ("/api/refusals", &[(Verb::Get, Asked::Topic(Topic::Refusals))]),
    ("/api/log", &[(Verb::Get, Asked::Log), (Verb::Put, Asked::SetLog)]),
    ("/api/diff", &[(Verb::Get, Asked::Wish(Wish::Diff))]),
    ("/api/explain", &[(Verb::Post, Asked::Explain)]),
    ("/api/reload", &[(Verb::Post, Asked::Wish(Wish::Reload))]),
];

fn methods(path: &str) -> Option<Methods> {
    PATHS.iter().find(|(there, _)| fits(there, path)).map(|(_, methods)| *methods)
}

/// Whether they are the same, segment by segment; one in braces fits any that is not empty.
fn fits(there: &str, path: &str) -> bool {
    let mut segments = path.split('/');
    let same = there
        .split('/')
        .all(|wanted| segments.next().is_some_and(|found| wanted == found || (wanted.starts_with('{') && !found.is_empty())));
    same && segments.next().is_none()
}

/// The upstream and the server of `/api/upstreams/{upstream}/servers/{server}/…`, decoded.
fn names_in(path: &str) -> Option<[String; 2]> {
    let mut segments = path.split('/').skip(3);
    let mut named = || Some(percent_decode_str(segments.next()?).decode_utf8().ok()?.into_owned());
    let upstream = named()?;
    named()?;
    Some([upstream, named()?])
}

/// The body, which is what the question wants it to be.
async fn read<T: DeserializeOwned, B>(headers: &HeaderMap, body: B) -> Result<T, Not>
where
    B: Body<Data: Send, Error: std::error::Error + Send + Sync + 'static> + Send,
{
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    // A page from elsewhere cannot send this without being asked first.
    if !kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json")) {
        return Err(Not(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body is to be application/json".into()));
    }
    let collected = timeout(PATIENCE, Limited::new(pin!(body), MOST).collect()).await;
    let collected = collected.map_err(|_| Not(StatusCode::REQUEST_TIMEOUT, "the body did not come in time".into()))?;
    let collected = collected.map_err(|error| match error.is::<LengthLimitError>() {
        true => Not(StatusCode::PAYLOAD_TOO_LARGE, format!("the body is larger than {MOST} bytes")),
        false => Not(StatusCode::BAD_REQUEST, "the body broke off".into()),
    })?;
    let bytes = collected.to_bytes();
    serde_json::from_slice(&bytes).map_err(|error| Not(StatusCode::BAD_REQUEST, error.to_string()))
}

impl From<Refusal> for Not {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NotNow => Self(StatusCode::SERVICE_UNAVAILABLE, "the process is starting, or about to end".into()),
            Refusal::NoServer => Self(StatusCode::NOT_FOUND, "no upstream of this name has this server".into()),
            Refusal::Question(why) => Self(StatusCode::BAD_REQUEST, why),
        }
    }
}

fn told(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::Access;
    use crate::admin::tests::ask;

    const JSON: (&str, &str) = ("content-type", "application/json");
    const ELSEWHERE: (&str, &str) = ("origin", "http://evil.test");

    fn status(method: &str, path: &str, fields: &[(&str, &str)], body: &str) -> u16 {
        ask(&Access::Open, method, path, fields, body).status().as_u16()
    }

    #[test]
    fn the_description_has_each_path_and_method_and_no_other() {
        let described: Value = serde_json::from_str(DESCRIPTION).expect("JSON");
        let paths = described["paths"].as_object().expect("paths");
        for (path, operations) in paths.iter().filter(|(path, _)| path.starts_with("/api/")) {
            let there = methods(path).unwrap_or_else(|| panic!("{path} is not there"));
            let mut there: Vec<_> = there.iter().map(|(verb, _)| verb.as_str().to_lowercase()).collect();
            there.sort();
            let told = operations.as_object().expect("operations").keys().filter(|key| *key != "parameters");
            let mut told: Vec<_> = told.cloned().collect();
            told.sort();
            assert_eq!(told, there, "{path}");
        }
        let undescribed: Vec<_> = PATHS.iter().map(|(path, _)| *path).filter(|path| !paths.contains_key(*path)).collect();
        assert_eq!(undescribed, [""; 0]);
        assert_eq!(paths.keys().filter(|path| path.starts_with("/api/")).count(), 15);
    }

    #[test]
    fn what_a_page_from_elsewhere_wants_changed_is_not() {
        assert_eq!(status("POST", "/api/reload", &[ELSEWHERE], ""), 403);
        assert_eq!(status("POST", "/api/reload", &[], ""), 200);
        assert_eq!(status("GET", "/api/diff", &[("sec-fetch-site", "cross-site")], ""), 403);
        assert_eq!(status("GET", "/api/diff", &[], ""), 200);
        assert_eq!(status("PUT", "/api/log", &[ELSEWHERE, JSON], "{\"filter\": \"debug\"}"), 403);
        assert_eq!(status("PUT", "/api/log", &[("content-type", "text/plain")], "{\"filter\": \"debug\"}"), 415);
        assert_eq!(status("PUT", "/api/log", &[JSON], "{\"filter\": \"debug\"}"), 200);
    }

    #[test]
    fn questions_that_are_none_are_told_so() {
        for (method, path, fields, body, expected) in [
            ("GET", "/api/nothing", &[][..], "", 404),
            ("POST", "/api/upstreams/app/servers/unix:%2Fa%20b/drain", &[], "", 200),
            ("POST", "/api/upstreams/app/servers/unix:%2Fa%20b/enable", &[], "", 200),
            ("GET", "/api/upstreams/app/servers/unix:%2Fa%20b", &[], "", 200),
            ("GET", "/api/upstreams/app/servers/unix:%2Fa%20b/drain", &[], "", 405),
            ("POST", "/api/upstreams/app/servers/other/drain", &[], "", 404),
            ("POST", "/api/upstreams/app/servers//drain", &[], "", 404),
            ("POST", "/api/upstreams/app/servers/%ff/drain", &[], "", 404),
            ("POST", "/api/upstreams/app/servers/unix:%2Fa%20b/drain/x", &[], "", 404),
            ("PUT", "/api/status", &[], "", 405),
            ("PUT", "/api/log", &[JSON], "{\"filter\": 3}", 400),
            ("PUT", "/api/log", &[JSON], "{\"filter\": \"debug\", \"more\": 1}", 400),
            ("POST", "/api/explain", &[JSON], "{}", 400),
            ("POST", "/api/explain", &[JSON], "{\"url\": \"what\"}", 400),
            ("POST", "/api/explain", &[JSON], "{\"url\": \"http://a.test/\"}", 200),
        ] {
            assert_eq!(status(method, path, fields, body), expected, "{method} {path} {body}");
        }
        let long = format!("{{\"url\": \"{}\"}}", "a".repeat(MOST));
        assert_eq!(status("POST", "/api/explain", &[JSON], &long), 413);
        assert_eq!(ask(&Access::Open, "DELETE", "/api/log", &[], "").headers()[header::ALLOW], "GET, HEAD, PUT");
    }

    #[test]
    fn nothing_is_told_without_the_token() {
        let access = Access::token("sesame-sesame-sesame");
        let of = |method, path, fields: &[(&str, &str)]| ask(&access, method, path, fields, "").status().as_u16();
        assert_eq!((of("GET", "/api/status", &[]), of("POST", "/api/reload", &[]), of("GET", "/api/nothing", &[])), (401, 401, 401));
        assert_eq!(of("GET", "/api/status", &[("authorization", "Bearer sesame-sesame-sesame")]), 200);
    }
}
