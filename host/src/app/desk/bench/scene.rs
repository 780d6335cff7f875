//! What a plugin is shown while it is measured: the first exchange of each case, or what a browser sends.

use super::Bench;
use crate::app::desk::made;
use crate::app::desk::subject::{DeskError, Subject};
use crate::app::filters::Loaded;
use crate::config::LinkSpec;
use crate::config::cases::{
    Asked, Brought, Case, Cases, Deed, GoingOutDeed, MadeAttempt, MadeBody, MadeChoice, MadeConnection, MadeDone, MadeRequest,
    MadeResponse, MadeServer,
};
use crate::message::{Exchange, RequestHead, ResponseHead, Tick};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// What a plugin is shown.
#[derive(Clone)]
pub(super) struct Scene {
    pub name: String,
    pub link: LinkSpec,
    /// Instead of the exchange, for plugins of listeners.
    pub connection: Option<MadeConnection>,
    /// Instead of the exchange, for plugins that work without being asked.
    pub tick: Option<Tick>,
    pub request: RequestHead,
    pub attributes: Vec<(String, String)>,
    pub client: IpAddr,
    pub response: ResponseHead,
    /// Of the request, and of the response, for plugins that look at them.
    pub bodies: (MadeBody, MadeBody),
    /// Between request and response, and after both.
    pub going_out: GoingOutDeed,
}

impl Scene {
    pub fn exchange(&self) -> Exchange {
        let mut exchange = made::exchange(&self.request, self.client, 1, "example.test", "/*");
        for (name, value) in &self.attributes {
            exchange.set_attribute(name.as_str().into(), value.as_str().into());
        }
        exchange
    }
}

/// As many browsers send: names and values are of usual lengths.
const BROWSER: [(&str, &str); 10] = [
    ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
    ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    ("accept-language", "en-US,en;q=0.5"),
    ("accept-encoding", "gzip, deflate, br, zstd"),
    ("referer", "https://example.test/before"),
    ("cookie", "session=0123456789abcdef0123456789abcdef; theme=dark"),
    ("authorization", "Bearer 0123456789abcdef"),
    ("sec-fetch-dest", "document"),
    ("sec-fetch-mode", "navigate"),
    ("x-forwarded-for", "192.0.2.1"),
];

pub(super) fn scenes((subject, loaded): (&Subject, &Loaded), bench: &Bench<'_>, cases: Option<&Cases>) -> Result<Vec<Scene>, DeskError> {
    let failed = |name: &str, why: String| DeskError::Settings { file: name.to_owned(), why };
    let plain = MadeResponse { status: StatusCode::OK, headers: HeaderMap::new(), body: None };
    let Some(cases) = cases else {
        let scene = browser(subject.link(bench.settings)?).map_err(|why| failed("the request", why))?;
        let connection = Some(MadeConnection::plain());
        let connects = Scene { name: "a browser's connection".to_owned(), connection, ..scene.clone() };
        let ticks = Scene { name: "a tick".to_owned(), tick: Some(Tick { number: 0, worker: 0, workers: 1 }), ..scene.clone() };
        let (heads, bodies, out) = (loaded.plugin.phases(), loaded.plugin.body_phases(), loaded.plugin.upstream_phases());
        let exchanges = (heads != (false, false) || bodies != (false, false) || out.of_exchanges()).then_some(scene);
        let connections = loaded.plugin.connection_phases().any().then_some(connects);
        return Ok(exchanges.into_iter().chain(connections).chain(out.tick.then_some(ticks)).collect());
    };
    let steps = cases.cases.iter().filter_map(|case| Some((case, &case.steps.first()?.deed)));
    let scene = |(case, deed): (&Case, &Deed)| {
        let (name, link) = (case.name.clone(), case.link.clone());
        let exchange = match deed {
            Deed::Exchange(exchange) => exchange,
            Deed::Connection(deed) => {
                let scene = browser(link).map_err(|why| failed(&case.name, why))?;
                return Ok(Scene { name, connection: Some(deed.made.clone()), ..scene });
            }
            Deed::Tick(deed) => {
                let scene = browser(link).map_err(|why| failed(&case.name, why))?;
                let tick = Tick { number: deed.number, worker: deed.worker, workers: deed.workers };
                return Ok(Scene { name, tick: Some(tick), ..scene });
            }
        };
        let request = made::head(&exchange.request).map_err(|error| failed(&case.name, error.to_string()))?;
        let given = exchange.response.as_ref().unwrap_or(&plain);
        let bodies = (exchange.request.body.clone().unwrap_or_default(), given.body.clone().unwrap_or_default());
        let (client, response) = (exchange.request.client, made::response(given));
        let attributes = exchange.request.attributes.clone();
        let going_out = exchange.going_out.clone();
        Ok(Scene { name, link, connection: None, tick: None, request, attributes, client, response, bodies, going_out })
    };
    steps.map(scene).collect()
}

/// What browsers send, and what comes back.
fn browser(link: LinkSpec) -> Result<Scene, String> {
    let map = |fields: &[(&'static str, &'static str)]| -> HeaderMap {
        fields.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    };
    let url = Uri::from_static("https://example.test/some/path?with=a&query=b");
    let client = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    let request = MadeRequest { method: Method::GET, url, headers: map(&BROWSER), client, attributes: Vec::new(), body: None };
    let headers = map(&[("content-type", "text/html; charset=utf-8"), ("server", "origin"), ("cache-control", "no-cache")]);
    let request = made::head(&request).map_err(|error| error.to_string())?;
    let response = made::response(&MadeResponse { status: StatusCode::OK, headers, body: None });
    let (name, bodies, attributes) = ("a browser's request".to_owned(), (text(), text()), Vec::new());
    Ok(Scene { name, link, connection: None, tick: None, request, attributes, client, response, bodies, going_out: way() })
}

/// To an upstream as many are: of four servers, in two zones.
fn way() -> GoingOutDeed {
    let server = |number: u32| MadeServer {
        number,
        address: format!("192.0.2.1{number}:8080"),
        weight: 1,
        tags: vec![["zone-a", "zone-b"][number as usize % 2].to_owned()],
        running: number,
        latency: Duration::from_millis(5),
    };
    let servers: Vec<MadeServer> = (0..4).map(server).collect();
    let brought = Brought::Nothing("connect_refused");
    let attempt = MadeAttempt { server: None, number: 1, brought, sent: false, left: 1, servers: servers.clone() };
    GoingOutDeed {
        balance: Some(Asked { made: MadeChoice { upstream: None, failed: 0, servers }, expect: None }),
        attempt: Some(Asked { made: attempt, expect: None }),
        done: Some(Asked { made: MadeDone::default(), expect: None }),
    }
}

/// A page of text: of the length that web pages have.
fn text() -> MadeBody {
    const LINES: usize = 1024;
    let line = "The quick brown fox jumps over the lazy dog, and all of that again.\n";
    MadeBody { pieces: vec![line.repeat(LINES)], stated: true, ..MadeBody::default() }
}
