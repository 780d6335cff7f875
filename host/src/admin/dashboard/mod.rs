//! The dashboard: a page for browsers, which then asks the API. It has nothing in it that everybody may not know, so it is shown to everybody; what it
//! asks needs the token, if there is one. It needs no other host, and lets none in.

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::Full;

const PAGE: (&str, &str) = ("text/html; charset=utf-8", include_str!("index.html"));
const STYLE: (&str, &str) = ("text/css; charset=utf-8", include_str!("dashboard.css"));
const SCRIPT: (&str, &str) = ("text/javascript; charset=utf-8", include_str!("dashboard.js"));

/// Text in our own files only, and nothing of others; what is asked goes to us; no page shows this one in a frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

/// `None`: it is not asked for.
pub fn page(path: &str, headers: &HeaderMap) -> Option<Response<Full<Bytes>>> {
    let (kind, text) = match path {
        // Who does not ask for it gets a list of what there is.
        "/" if likes_pages(headers) => PAGE,
        "/dashboard.css" => STYLE,
        "/dashboard.js" => SCRIPT,
        _ => return None,
    };
    let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = StatusCode::OK;
    let fields = [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        // The binary may be another one the next time.
        (header::CACHE_CONTROL, "no-cache"),
        (header::VARY, "accept"),
    ];
    fields.into_iter().for_each(|(name, value)| drop(response.headers_mut().insert(name, HeaderValue::from_static(value))));
    Some(response)
}

fn likes_pages(headers: &HeaderMap) -> bool {
    headers.get_all(header::ACCEPT).iter().any(|value| value.as_bytes().windows(9).any(|part| part.eq_ignore_ascii_case(b"text/html")))
}

#[cfg(test)]
mod tests {
    use crate::admin::Access;
    use crate::admin::tests::ask;
    use http::header;

    #[test]
    fn browsers_get_a_page_that_lets_nobody_in_and_others_a_list() {
        let access = Access::token("sesame-sesame-sesame");
        let page = ask(&access, "GET", "/", &[("accept", "text/html,*/*;q=0.8")], "");
        assert_eq!(
            (page.status().as_u16(), &page.headers()[header::CONTENT_TYPE]),
            (200, &"text/html; charset=utf-8".parse().expect("a value"))
        );
        assert!(page.headers()[header::CONTENT_SECURITY_POLICY].to_str().is_ok_and(|policy| policy.starts_with("default-src 'none'")));
        assert_eq!(ask(&access, "GET", "/", &[], "").status().as_u16(), 401);
        assert_eq!(ask(&Access::Open, "GET", "/", &[], "").headers()[header::CONTENT_TYPE], "text/plain; charset=utf-8");
        assert_eq!(ask(&Access::Open, "POST", "/dashboard.js", &[], "").status().as_u16(), 404);
    }

    #[test]
    fn the_page_has_all_its_parts_here() {
        let (page, script) = (super::PAGE.1, super::SCRIPT.1);
        for id in script.split("by(\"").skip(1).filter_map(|rest| rest.split_once('"')).map(|(id, _)| id) {
            assert!(page.contains(&format!("id=\"{id}\"")), "{id}");
        }
        assert!(!page.contains(" style=") && !page.contains(" onclick") && !page.contains("https://cdn"), "the policy forbids it");
    }
}
