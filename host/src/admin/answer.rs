//! One question, one answer: who is told what. Health tells everybody yes or no; the rest is for who shows the token, if there is one.

use super::access::Access;
use super::api;
use super::board::Board;
use super::dashboard;
use crate::observe::{Exposition, Format};
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::Full;
use std::sync::Arc;

/// Never fails: what is wrong is said to who asks.
pub async fn answer<B>(request: Request<B>, access: &Access, board: &Arc<dyn Board>) -> Response<Full<Bytes>>
where
    B: Body<Data: Send, Error: std::error::Error + Send + Sync + 'static> + Send,
{
    let headers = request.headers();
    if !access.believes(headers) {
        return text(StatusCode::MISDIRECTED_REQUEST, "ask by address, or as localhost\n".into());
    }
    let known = access.lets_in(headers);
    if let Some(page) = dashboard::page(request.uri().path(), headers).filter(|_| reads(request.method())) {
        return page;
    }
    let page: fn(&HeaderMap, &dyn Board, bool) -> Response<Full<Bytes>> = match request.uri().path() {
        "/healthz" => |_, _, _| text(StatusCode::OK, "ok\n".into()),
        "/readyz" => |_, board, known| ready(board, known),
        path if path.starts_with("/api/") => return api::answer(request, known, board).await,
        _ if !known => return unknown(),
        "/metrics" => |headers, board, _| metrics(headers, board),
        "/" => |_, _, _| text(StatusCode::OK, "/metrics\n/healthz\n/readyz\n/api/openapi.json\n".into()),
        _ => return text(StatusCode::NOT_FOUND, "there are /metrics, /healthz, /readyz and /api/\n".into()),
    };
    if !reads(request.method()) {
        let mut refused = text(StatusCode::METHOD_NOT_ALLOWED, "nothing can be changed here\n".into());
        refused.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    page(headers, &**board, known)
}

fn reads(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

fn ready(board: &dyn Board, known: bool) -> Response<Full<Bytes>> {
    let readiness = board.readiness();
    if readiness.is_ready() {
        return text(StatusCode::OK, "ready\n".into());
    }
    // Why is not for everybody.
    let why: String = readiness.against.iter().filter(|_| known).map(|reason| format!("{reason}\n")).collect();
    text(StatusCode::SERVICE_UNAVAILABLE, format!("not ready\n{why}"))
}

fn metrics(headers: &HeaderMap, board: &dyn Board) -> Response<Full<Bytes>> {
    let format = wanted(headers);
    let mut out = Exposition::new(format);
    board.metrics(&mut out);
    let mut response = text(StatusCode::OK, out.finish());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept"));
    response
}

/// OpenMetrics for who names it and does not like plain text better.
fn wanted(headers: &HeaderMap) -> Format {
    let (mut open, mut plain) = (0.0, 0.0_f32);
    for range in headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')) {
        let mut parts = range.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let quality = parts.find_map(|part| part.strip_prefix("q=")?.parse().ok()).unwrap_or(1.0_f32);
        match name.to_ascii_lowercase().as_str() {
            "application/openmetrics-text" => open = quality.max(open),
            "text/plain" => plain = quality.max(plain),
            _ => {}
        }
    }
    if open > 0.0 && open >= plain { Format::OpenMetrics } else { Format::Prometheus }
}

fn unknown() -> Response<Full<Bytes>> {
    let mut response = text(StatusCode::UNAUTHORIZED, "a token is needed\n".into());
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::tests::ask;

    fn asked(access: &Access, method: &str, path: &str, fields: &[(&str, &str)]) -> Response<Full<Bytes>> {
        ask(access, method, path, fields, "")
    }

    fn status(access: &Access, method: &str, path: &str, fields: &[(&str, &str)]) -> u16 {
        asked(access, method, path, fields).status().as_u16()
    }

    #[test]
    fn health_is_for_everybody_and_the_rest_for_who_has_the_token() {
        let access = Access::token("sesame-sesame-sesame");
        assert_eq!((status(&access, "GET", "/healthz", &[]), status(&access, "GET", "/readyz", &[])), (200, 503));
        for wrong in [
            &[][..],
            &[("authorization", "Bearer sesame")],
            &[("authorization", "Basic sesame-sesame-sesame")],
            &[("authorization", "Bear")],
        ] {
            assert_eq!(status(&access, "GET", "/metrics", wrong), 401, "{wrong:?}");
            assert_eq!(status(&access, "GET", "/nothing", wrong), 401, "{wrong:?}");
        }
        assert_eq!(status(&access, "GET", "/metrics", &[("authorization", "bearer sesame-sesame-sesame"), ("host", "a.test")]), 200);
    }

    #[test]
    fn without_a_token_only_who_names_this_machine_is_answered() {
        for (host, expected) in [
            ("127.0.0.1:9180", 200),
            ("[::1]:9180", 200),
            ("localhost", 200),
            ("10.1.2.3", 200),
            ("evil.test:9180", 421),
            ("[::1].evil.test", 421),
            ("localhost.evil.test", 421),
        ] {
            assert_eq!(status(&Access::Open, "GET", "/metrics", &[("host", host)]), expected, "{host}");
        }
    }

    #[test]
    fn nothing_can_be_changed_and_what_is_not_there_is_not_found() {
        assert_eq!(status(&Access::Open, "POST", "/metrics", &[]), 405);
        assert_eq!(status(&Access::Open, "HEAD", "/metrics", &[]), 200);
        assert_eq!(status(&Access::Open, "GET", "/metrics/x", &[]), 404);
    }

    #[test]
    fn the_format_is_the_one_that_is_asked_for() {
        let of = |accept| asked(&Access::Open, "GET", "/metrics", &[("accept", accept)]).headers()[header::CONTENT_TYPE].clone();
        let open = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        let plain = "text/plain; version=0.0.4; charset=utf-8";
        for (accept, expected) in [
            (
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                open,
            ),
            ("*/*", plain),
            ("text/plain", plain),
            ("application/openmetrics-text;q=0", plain),
            ("text/plain;q=1, application/openmetrics-text;q=0.5", plain),
        ] {
            assert_eq!(of(accept), expected, "{accept}");
        }
    }
}
