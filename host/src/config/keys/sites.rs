//! Sites with their routes, and what a route may do by itself.

use super::tables::{key, named, required, table};
use super::*;

pub(super) static SITES: Keys = named(
    "sites",
    "Sites by host name: app.example.com, *.example.com, 127.0.0.1, or * for what no other site claims.",
    &Kind::Table(&SITE),
);

pub static SITE: Keys = Keys {
    later: &[],
    ..table(
        "site",
        "A host name, or several, with its routes.",
        &[
            key(
                "aliases",
                Kind::Either(&[Kind::Text(&SITE_NAME), Kind::List(&Kind::Text(&SITE_NAME))]),
                "[\"www.example.com\"]",
                "Other names that it answers to, *.example.com and * too. Routes, limits, logs and metrics know the site by its own name alone; its certificate must cover all of them, and the local CA and ACME make one for each.",
            ),
            key(
                "tls",
                Kind::Either(&[Kind::Choice(&["off", "local", "acme"]), Kind::Table(&TLS)]),
                "{ cert = \"app.pem\", key = \"app.key\" }",
                "Where the certificate comes from. Unless written: \"local\" for localhost, *.localhost, *.test, *.internal and IP addresses, \"acme\" for other names.",
            ),
            key("chain", CHAIN, "[\"request-id\"]", "Links that every route of the site inherits."),
            key("limit", LIMITED, "\"100/s\"", "Short for a `rate-limit` link before all others of the site: requests of each client."),
            key(
                "headers",
                Kind::Table(&HEADERS),
                "{ response = { set = { x-served-by = \"edge\" } } }",
                "Short for a `headers` link before the site's chain.",
            ),
            key(
                "mirror",
                MIRRORED,
                "{ to = \"shadow\", share = \"10%\" }",
                "Of every route that does not say otherwise: copies of requests go to another upstream.",
            ),
            required("routes", Kind::Table(&ROUTES), "{ \"/*\" = \"app\" }", "Routes by path pattern."),
        ],
    )
};

pub static ROUTES: Keys = named("routes", "Routes by path pattern: /prefix/*, =/exact or /exact, ~regex.", &ROUTE_KIND);

pub(super) static ROUTE_KIND: Kind = Kind::Either(&[Kind::Text(&UPSTREAM_NAME), Kind::Table(&ROUTE), Kind::List(&Kind::Table(&ROUTE))]);

pub static ROUTE: Keys = Keys {
    later: &[],
    ..table(
        "route",
        "Where requests go. A string is `to`; a list has several routes of one path with different `match`.",
        &[
            key("to", Kind::Text(&UPSTREAM_NAME), "\"app\"", "The upstream."),
            key("match", Kind::Table(&MATCH), "{ method = \"GET\" }", "What else must hold."),
            key("priority", Kind::Whole(-1_000_000, 1_000_000), "10", "Order among regular expressions, highest first; required there."),
            key(
                "headers",
                Kind::Table(&HEADERS),
                "{ request = { set = { x-a = \"1\" } } }",
                "Short for a `headers` link before the route's chain.",
            ),
            key("limit", LIMITED, "\"10/m\"", "Short for a `rate-limit` link right after the inherited ones: requests of each client."),
            key("chain", CHAIN, "[\"@auth\"]", "Links after the inherited ones."),
            key(
                "without",
                Kind::Either(&[Kind::Text(&LINK_NAME), Kind::List(&Kind::Text(&LINK_NAME))]),
                "[\"geo\"]",
                "Inherited links to leave out, by name.",
            ),
            key("strip", Kind::Text(&PATH), "\"/api\"", "Short for a `rewrite` link that takes this prefix from the path."),
            key("split", Kind::Table(&SPLIT), "{ app = 95, app-canary = 5 }", "Short for a `route` link: upstreams with weights."),
            key("redirect", Kind::Text(&TEXT), "\"/new/{rest}\"", "Short for a `redirect` link."),
            key("status", Kind::Whole(301, 308), "308", "Of `redirect`: 301, 302, 303, 307 or 308."),
            key(
                "respond",
                Kind::Either(&[Kind::Text(&TEXT), Kind::Whole(200, 599), Kind::Table(&RESPOND)]),
                "{ status = 200, body = \"hello\" }",
                "Short for a `respond` link; a string is the body, a number the status.",
            ),
            key(
                "timeout",
                Kind::Either(&[Kind::Text(&DURATION), Kind::Table(&TIMEOUT)]),
                "{ total = \"30s\", idle = \"60s\" }",
                "The route's own timeouts; a string is `total`.",
            ),
            key(
                "retry",
                Kind::Either(&[Kind::Whole(1, 11), Kind::Table(&RETRY)]),
                "{ on = [\"connect\", \"502\", \"503\"], tries = 3, budget = \"20%\" }",
                "When another server is tried; a number is `tries`.",
            ),
            key(
                "mirror",
                Kind::Either(&[Kind::Text(&UPSTREAM_NAME), Kind::Table(&MIRROR), Kind::Truth]),
                "{ to = \"shadow\", share = \"10%\" }",
                "Copies of requests go to another upstream, whose answers are thrown away; a string is `to`. As the site's unless written; false for none.",
            ),
            key(
                "fault",
                Kind::Table(&FAULT),
                "{ delay = \"200ms\", delay-share = \"5%\", abort = 503, abort-share = \"1%\" }",
                "What goes wrong on purpose, for tests.",
            ),
        ],
    )
};

const MIRRORED: Kind = Kind::Either(&[Kind::Text(&UPSTREAM_NAME), Kind::Table(&MIRROR)]);
const LIMITED: Kind = Kind::Either(&[Kind::Text(&RATE), Kind::Table(&LIMIT)]);

pub static LIMIT: Keys = Keys {
    open: Some(&Kind::Anything),
    ..table(
        "limit",
        "A rate limit. A string is `rate`; other keys are settings of the plugin `rate-limit`.",
        &[
            required("rate", Kind::Text(&RATE), "\"100/s\"", "How many in which time."),
            key("burst", Kind::Whole(1, u32::MAX as i64), "50", "How many at once; the number in `rate` unless written."),
            key(
                "key",
                Kind::Either(&[Kind::Text(&TEXT), Kind::List(&Kind::Text(&TEXT))]),
                "\"header:x-api-key\"",
                "What is counted together: each client of the site, or of the route, unless written.",
            ),
            key("store", Kind::Text(&TEXT), "\"limits\"", "A store of [kv] that counts for several proxies."),
        ],
    )
};

pub static SPLIT: Keys = named("split", "Upstreams with weights.", &Kind::Whole(0, 1_000_000));

pub static RESPOND: Keys = table(
    "respond",
    "A fixed answer.",
    &[
        key("status", Kind::Whole(200, 599), "200", "200 unless written."),
        key("body", Kind::Text(&TEXT), "\"hello\"", "Empty unless written."),
        key("headers", Kind::Table(&RESPOND_HEADERS), "{ content-type = \"text/html\" }", "text/plain unless written."),
    ],
);

pub static RESPOND_HEADERS: Keys = named("respond-headers", "Header fields.", &Kind::Text(&TEXT));

pub static TIMEOUT: Keys = table(
    "timeout",
    "A route's timeouts; [limits] holds for what is not written.",
    &[
        key("total", Kind::Text(&DURATION), "\"30s\"", "From the request's first byte to the response's last. No limit unless written."),
        key("response", Kind::Text(&DURATION), "\"10s\"", "To the response head."),
        key("idle", Kind::Text(&DURATION), "\"60s\"", "A pause in either body."),
    ],
);

pub static RETRY: Keys = table(
    "retry",
    "When another server is tried. A request that a server may have seen is sent again only if its method is idempotent and its body has not begun.",
    &[
        key(
            "on",
            Kind::Either(&[Kind::Text(&RETRY_ON), Kind::List(&Kind::Text(&RETRY_ON))]),
            "[\"connect\", \"reset\", \"503\"]",
            "connect: no connection; reset: it ended before the response head; timeout: no response head in time; or a status. connect and reset unless written.",
        ),
        key("tries", Kind::Whole(1, 11), "3", "Attempts in all; one more than limits.retries unless written. 1: no retries."),
        key(
            "budget",
            Kind::Text(&PERCENT),
            "\"20%\"",
            "Of the upstream's running requests, at least 3; limits.retry-budget unless written.",
        ),
        key("per-try", Kind::Text(&DURATION), "\"2s\"", "For each attempt: for connecting, and again to the response head."),
        key(
            "hedge",
            Kind::Text(&DURATION),
            "\"50ms\"",
            "After so long without a response head, an idempotent request is sent to another server as well, if its body has come to its end and is no larger than 64 KiB; the first answer counts, the other attempt is ended. Within the budget.",
        ),
    ],
);

pub static MIRROR: Keys = table(
    "mirror",
    "Copies of requests that go upstream, as they go there (path, header fields and Host included), once each. They wait for nothing and nothing waits for them: beyond limits.mirrors at once, or with a body larger than limits.body-buffer, none is made.",
    &[
        required("to", Kind::Text(&UPSTREAM_NAME), "\"shadow\"", "The upstream that gets them."),
        key("share", Kind::Text(&PERCENT), "\"10%\"", "Of how many requests, picked at random; all unless written."),
    ],
);

pub static FAULT: Keys = table(
    "fault",
    "What goes wrong on purpose with requests that would go upstream, after the route's links have let them. `check` warns of it.",
    &[
        key("delay", Kind::Text(&DURATION), "\"200ms\"", "How long requests wait before they go on; it counts for timeout.total."),
        key("delay-share", Kind::Text(&PERCENT), "\"5%\"", "How many of them, picked at random; all unless written."),
        key("abort", Kind::Whole(400, 599), "503", "The status of an answer in the place of the upstream's (reason fault_injected)."),
        key("abort-share", Kind::Text(&PERCENT), "\"1%\"", "How many get it, picked at random; all unless written."),
    ],
);

pub static HEADERS: Keys = table(
    "headers",
    "Changes of header fields.",
    &[
        key("request", Kind::Table(&HEADER_EDITS), "{ set = { x-a = \"1\" } }", "On the way to the upstream."),
        key("response", Kind::Table(&HEADER_EDITS), "{ remove = [\"server\"] }", "On the way to the client."),
    ],
);

pub static HEADER_EDITS: Keys = table(
    "header-edits",
    "Applied in the order remove, set, add.",
    &[
        key("set", Kind::Table(&HEADER_VALUES), "{ x-a = \"{client.ip}\" }", "Replaces all lines of the name."),
        key("add", Kind::Table(&HEADER_LINES), "{ x-a = \"1\" }", "Adds lines; a list adds several."),
        key("remove", Kind::List(&Kind::Text(&HEADER)), "[\"server\"]", "Removes all lines of the name."),
    ],
);

/// A header's value: text, or a secret.
pub static SECRET: Keys = table(
    "secret",
    "A value kept outside the file.",
    &[
        key("env", Kind::Text(&TEXT), "\"API_KEY\"", "An environment variable."),
        key("file", Kind::Text(&FILE), "\"/run/secrets/api-key\"", "A file; one line break at its end is dropped."),
    ],
);

pub static HEADER_VALUES: Keys = named("header-values", "Names with values; placeholders such as {client.ip}.", &HEADER_VALUE);
pub(super) static HEADER_VALUE: Kind = Kind::Either(&[Kind::Text(&TEXT), Kind::Table(&SECRET)]);
pub static HEADER_LINES: Keys = named(
    "header-lines",
    "Names with values, or lists of values.",
    &Kind::Either(&[Kind::Text(&TEXT), Kind::List(&Kind::Text(&TEXT)), Kind::Table(&SECRET)]),
);
