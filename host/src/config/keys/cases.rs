//! What can stand in a file of cases for `plugin test`. No part of a configuration.

mod going_out;

pub use going_out::*;

use super::tables::{key, named, required, table};
use super::{ALLOW, DURATION, Form, GUEST_LIMITS, Keys, Kind, METHOD, TEXT, UPSTREAM_NAME};
use crate::config::cases::{ADMISSIONS, ENDINGS, FAULTS, VERDICTS, WANTS};

static URL: Form = Form { name: "an absolute URL", pattern: "^https?://.+" };
static SOCKET: Form = Form { name: "an address with a port", pattern: "^[0-9a-fA-F.:\\[\\]]+:[0-9]+$" };
static ADDRESS: Form = Form { name: "an IP address", pattern: "^[0-9a-fA-F.:]+$" };

const TEXTS: Kind = Kind::Either(&[Kind::Text(&TEXT), Kind::List(&Kind::Text(&TEXT))]);
/// `false`: not there.
const OR_ABSENT: Kind = Kind::Either(&[Kind::Text(&TEXT), Kind::Truth]);

static HEADERS: Keys = named("headers", "Header fields by name; a list for several lines.", &TEXTS);
static TEXTS_BY_NAME: Keys = named("texts", "Texts by name.", &Kind::Text(&TEXT));
static WANTED_HEADERS: Keys = named("wanted-headers", "Header fields by name; false: not there.", &Kind::Either(&[TEXTS, Kind::Truth]));
static WANTED_TEXTS: Keys = named("wanted-texts", "Texts by name; false: not there.", &OR_ABSENT);

pub static CASES: Keys = table(
    "cases",
    "A file of cases.",
    &[
        key("plugin", Kind::Table(&CASE_PLUGIN), "{ allow = { log = true } }", "Settings, rights and limits for every case."),
        key("now", Kind::Anything, "2026-01-01T00:00:00Z", "What the clock shows when a case begins."),
        key("kv", Kind::Table(&CASE_STORES), "{ sessions = {} }", "Stores by name, with what is in them when a case begins."),
        key("secret", Kind::Table(&TEXTS_BY_NAME), "{ JWT_KEY = \"for tests only\" }", "Secrets by name."),
        key("upstream", Kind::Table(&CASE_UPSTREAMS), "{ app = [] }", "Upstreams by name, each a list of what it answers to whom."),
        required("case", Kind::List(&Kind::Table(&CASE)), "[{ name = \"…\", request = { … }, expect = { … } }]", "The cases, as [[case]]."),
    ],
);

pub static CASE_PLUGIN: Keys = table(
    "case-plugin",
    "As in [plugin.x] of a configuration, with settings as in a link.",
    &[
        key("config", Kind::Anything, "{ agent = \"curl\" }", "Settings of every case that has none of its own."),
        key("allow", Kind::Table(&ALLOW), "{ kv = [\"sessions\"] }", "Capabilities; none unless written."),
        key("limits", Kind::Table(&GUEST_LIMITS), "{ cpu = \"5ms\" }", "What one guest may use."),
        key(
            "isolate",
            Kind::Choice(&["worker", "request"]),
            "\"request\"",
            "One guest for all exchanges of a case, or a fresh one for each.",
        ),
    ],
);

pub static CASE_STORES: Keys = named("case-stores", "Stores by name.", &Kind::Table(&TEXTS_BY_NAME));
pub static CASE_UPSTREAMS: Keys = named("case-upstreams", "Upstreams by name.", &Kind::List(&Kind::Table(&CANNED)));

pub static CANNED: Keys = table(
    "canned",
    "An answer, and the requests that get it: the first that fits is given.",
    &[
        key("method", Kind::Text(&METHOD), "\"GET\"", "Only to requests with this method."),
        key("path", Kind::Text(&TEXT), "\"/check\"", "Only to requests for this path, with its query."),
        key("header", Kind::Table(&HEADERS), "{ authorization = \"Bearer alice\" }", "Only to requests with these fields."),
        key("status", Kind::Whole(200, 599), "204", "The answer's status; 200 unless written."),
        key("headers", Kind::Table(&HEADERS), "{ x-user = \"alice\" }", "The answer's fields."),
        key("body", Kind::Text(&TEXT), "\"hello\"", "The answer's body."),
        key("fails", Kind::Text(&TEXT), "\"timeout\"", "No answer: \"timeout\", or why it cannot be reached."),
    ],
);

pub static CASE: Keys = table(
    "case",
    "A fresh guest with fresh stores. `then` goes on with both.",
    &[
        required("name", Kind::Text(&TEXT), "\"curl is marked\"", "What it shows."),
        key("config", Kind::Anything, "{ agent = \"curl\" }", "Settings of this case, instead of those under [plugin]."),
        key("request", Kind::Table(&REQUEST), "{ url = \"https://a.test/x\" }", "The request; GET https://example.test/ unless written."),
        key("expect", Kind::Table(&EXPECT), "{ status = 403 }", "What the plugin is to decide of the request."),
        key("balance", Kind::Table(&MADE_CHOICE), "{ servers = [\"10.0.0.1:80\", \"10.0.0.2:80\"] }", BALANCE),
        key("expect-balance", Kind::Table(&EXPECT_BALANCE), "{ server = \"10.0.0.1:80\" }", "Which server the plugin is to choose."),
        key("attempt", Kind::Table(&MADE_ATTEMPT), "{ status = 503 }", ATTEMPT),
        key("expect-attempt", Kind::Table(&EXPECT_ATTEMPT), "{ verdict = \"again\" }", "What it is to say of that."),
        key(
            "response",
            Kind::Table(&RESPONSE),
            "{ status = 200 }",
            "The upstream's response; none unless it or expect-response is written.",
        ),
        key("expect-response", Kind::Table(&EXPECT), "{ headers = { x-a = \"1\" } }", "What the plugin is to decide of the response."),
        key("done", Kind::Table(&MADE_DONE), "{ reason = \"client_gone\" }", DONE),
        key("expect-done", Kind::Table(&EXPECT_AFTER), "{ log = \"gone\" }", "What is to hold when it was told of the end."),
        key(
            "refused",
            TEXTS,
            "\"`agent` is missing\"",
            "The settings are refused, and this is in what is said; nothing else is expected then.",
        ),
        key("connection", Kind::Table(&CONNECTION), "{ peer = \"192.0.2.1:4000\" }", CONNECTIONS),
        key(
            "expect-accept",
            Kind::Table(&EXPECT_CONNECTION),
            "{ verdict = \"close\" }",
            "What it is to decide when the connection is accepted.",
        ),
        key("expect-hello", Kind::Table(&EXPECT_CONNECTION), "{ alert = 49 }", "What it is to decide when the client hello is there."),
        key("expect-close", Kind::Table(&EXPECT_CONNECTION), "{ log = \"gone\" }", "What is to hold when the connection has ended."),
        key("tick", Kind::Table(&MADE_TICK), "{}", TICK),
        key("expect-tick", Kind::Table(&EXPECT_AFTER), "{ log = \"reported\" }", "What is to hold after that."),
        key(
            "then",
            Kind::List(&Kind::Table(&THEN)),
            "[{ after = \"30s\", expect = { … } }]",
            "What else happens, one after the other: exchanges, connections, ticks.",
        ),
    ],
);

pub static THEN: Keys = table(
    "then",
    "What happens next in a case: a further exchange, connection or tick.",
    &[
        key("after", Kind::Text(&DURATION), "\"30s\"", "How far the clock is moved before."),
        key("request", Kind::Table(&REQUEST), "{ url = \"https://a.test/x\" }", "As in a case; the one before, unless written."),
        key("connection", Kind::Table(&CONNECTION), "{ peer = \"192.0.2.1:4000\" }", "As in a case; the one before, unless written."),
        key("expect-accept", Kind::Table(&EXPECT_CONNECTION), "{ verdict = \"close\" }", "As in a case."),
        key("expect-hello", Kind::Table(&EXPECT_CONNECTION), "{ alert = 49 }", "As in a case."),
        key("expect-close", Kind::Table(&EXPECT_CONNECTION), "{ log = \"gone\" }", "As in a case."),
        key("expect", Kind::Table(&EXPECT), "{ status = 403 }", "As in a case."),
        key("balance", Kind::Table(&MADE_CHOICE), "{ servers = [\"10.0.0.1:80\", \"10.0.0.2:80\"] }", AGAIN),
        key("expect-balance", Kind::Table(&EXPECT_BALANCE), "{ server = \"10.0.0.1:80\" }", "As in a case."),
        key("attempt", Kind::Table(&MADE_ATTEMPT), "{ status = 503 }", AGAIN),
        key("expect-attempt", Kind::Table(&EXPECT_ATTEMPT), "{ verdict = \"again\" }", "As in a case."),
        key("response", Kind::Table(&RESPONSE), "{ status = 200 }", "As in a case."),
        key("expect-response", Kind::Table(&EXPECT), "{ headers = { x-a = \"1\" } }", "As in a case."),
        key("done", Kind::Table(&MADE_DONE), "{ reason = \"client_gone\" }", "As in a case."),
        key("expect-done", Kind::Table(&EXPECT_AFTER), "{ log = \"gone\" }", "As in a case."),
        key("tick", Kind::Table(&MADE_TICK), "{}", "As in a case."),
        key("expect-tick", Kind::Table(&EXPECT_AFTER), "{ log = \"reported\" }", "As in a case."),
    ],
);

const AGAIN: &str = "As in a case; the one before, if something is expected of it and it is not written.";
const BALANCE: &str = "Servers of which the plugin is to choose one; it is not asked unless this is written.";
const ATTEMPT: &str = "An attempt that failed; none unless written.";
const DONE: &str = "How the exchange ends; the plugin is not told unless this or expect-done is written.";
const TICK: &str = "A moment between exchanges, instead of a request: for plugins that have `on-tick`.";
const CONNECTIONS: &str = "A connection instead of a request, from its beginning to its end: for plugins of listeners.";

pub static CONNECTION: Keys = table(
    "made-connection",
    "A connection as it reaches the plugin.",
    &[
        key("listener", Kind::Choice(&["https", "http", "tcp"]), "\"tcp\"", "What accepted it; \"https\" unless written."),
        key("peer", Kind::Text(&SOCKET), "\"192.0.2.1:50000\"", "The client's address; this unless written."),
        key("local", Kind::Text(&SOCKET), "\"192.0.2.80:443\"", "The listener's address; this unless written."),
        key("connections", Kind::Whole(1, 1_000_000), "1", "How many the client has open, as the attribute peer.connections."),
        key("attributes", Kind::Table(&TEXTS_BY_NAME), "{ tenant = \"acme\" }", "As links before it would have set them."),
        key(
            "sni",
            Kind::Text(&TEXT),
            "\"app.test\"",
            "The name in the client hello. On \"tcp\", there is one if this or `alpn` is written.",
        ),
        key("alpn", TEXTS, "\"h2\"", "The protocols that the client offers."),
        key("received", Kind::Whole(0, i64::MAX), "0", "Bytes that the client sent, when it has ended."),
        key("sent", Kind::Whole(0, i64::MAX), "0", "Bytes that it was sent."),
        key("duration", Kind::Text(&DURATION), "\"1s\"", "How long it was open."),
        key("reason", Kind::Choice(&ENDINGS), "\"done\"", "Why it ended, unless it was refused."),
    ],
);

pub static EXPECT_CONNECTION: Keys = table(
    "expect-connection",
    "What must hold; what is not written may be as it likes, but for the verdict.",
    &[
        key(
            "verdict",
            Kind::Choice(&ADMISSIONS),
            "\"close\"",
            "\"next\", unless `alert` says \"alert\", `upstream` \"forward\" or `fault` \"fault\".",
        ),
        key("alert", Kind::Whole(0, 255), "49", "The number of the TLS alert."),
        key("upstream", Kind::Text(&UPSTREAM_NAME), "\"db\"", "Where it is forwarded or passed through to."),
        key("attributes", Kind::Table(&WANTED_TEXTS), "{ tenant = \"acme\" }", "Attributes afterwards; false: not there."),
        key("log", TEXTS, "\"not let in\"", "Each is in some line that it logged."),
        key("fault", Kind::Choice(&FAULTS), "\"timeout\"", "How it breaks the contract."),
    ],
);

pub static REQUEST: Keys = table(
    "made-request",
    "A request as it reaches the plugin.",
    &[
        key("method", Kind::Text(&METHOD), "\"POST\"", "GET unless written."),
        key("url", Kind::Text(&URL), "\"https://app.test/x?y=z\"", "Scheme, host, path and query."),
        key("headers", Kind::Table(&HEADERS), "{ user-agent = \"curl/8\" }", "Its fields."),
        key("client", Kind::Text(&ADDRESS), "\"192.0.2.1\"", "The client's address; 192.0.2.1 unless written."),
        key("attributes", Kind::Table(&TEXTS_BY_NAME), "{ tenant = \"acme\" }", "As links before it would have set them."),
        key("body", TEXTS, "\"a=1\"", BODY),
        key("trailers", Kind::Table(&HEADERS), "{ x-sum = \"1\" }", "Fields behind its body."),
    ],
);

const BODY: &str = "Its body; a list: in these pieces, and without a stated length.";

pub static RESPONSE: Keys = table(
    "made-response",
    "A response as it reaches the plugin.",
    &[
        key("status", Kind::Whole(101, 599), "200", "200 unless written."),
        key("headers", Kind::Table(&HEADERS), "{ content-type = \"text/html\" }", "Its fields."),
        key("body", TEXTS, "\"hello\"", BODY),
        key("trailers", Kind::Table(&HEADERS), "{ x-sum = \"1\" }", "Fields behind its body."),
    ],
);

pub static EXPECT: Keys = table(
    "expect",
    "What must hold; what is not written may be as it likes, but for the verdict.",
    &[
        key(
            "verdict",
            Kind::Choice(&VERDICTS),
            "\"next\"",
            "\"next\", unless `status` or `body` say \"reply\", `upstream` \"forward\" or `fault` \"fault\"; \"too-large\": it would buffer less of the body.",
        ),
        key("upstream", Kind::Text(&UPSTREAM_NAME), "\"canary\"", "Where it is forwarded to."),
        key("status", Kind::Whole(200, 599), "403", "The reply's status."),
        key("body", Kind::Text(&TEXT), "\"no\\n\"", "The whole body: of the reply, or of what goes on if that was given one."),
        key("trailers", Kind::Table(&WANTED_HEADERS), "{ x-lines = \"2\" }", "Fields behind the body; false: not there."),
        key("want", Kind::Choice(&WANTS), "\"transform\"", "What it wants with the body."),
        key("headers", Kind::Table(&WANTED_HEADERS), "{ x-user = \"alice\", x-gone = false }", "Fields of what goes on, or of the reply."),
        key("method", Kind::Text(&METHOD), "\"GET\"", "The request's method afterwards."),
        key("authority", Kind::Text(&TEXT), "\"app.test\"", "The request's host afterwards."),
        key("path", Kind::Text(&TEXT), "\"/y\"", "The request's path afterwards."),
        key("query", OR_ABSENT, "\"a=1\"", "The request's query afterwards; false: none."),
        key("attributes", Kind::Table(&WANTED_TEXTS), "{ tenant = \"acme\" }", "Attributes afterwards; false: not there."),
        key("edits", Kind::List(&Kind::Text(&TEXT)), "[\"set-header x-a: 1\"]", "All edits in their order, as `plugin test` shows them."),
        key("asked", Kind::Whole(0, 1000), "1", "How many requests it sent to upstreams."),
        key("log", TEXTS, "\"not let in\"", "Each is in some line that it logged."),
        key("fault", Kind::Choice(&FAULTS), "\"timeout\"", "How it breaks the contract."),
    ],
);
