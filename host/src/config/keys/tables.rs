//! The tables themselves: the root, and what stands in it, in reading order.

use super::*;
use crate::config::limits_table;

pub(super) const fn key(name: &'static str, kind: Kind, example: &'static str, doc: &'static str) -> Key {
    Key { name, kind, doc, example, required: false }
}

pub(super) const fn required(name: &'static str, kind: Kind, example: &'static str, doc: &'static str) -> Key {
    Key { required: true, ..key(name, kind, example, doc) }
}

pub(super) const fn table(name: &'static str, doc: &'static str, keys: &'static [Key]) -> Keys {
    Keys { name, doc, keys, later: &[], open: None }
}

/// A table whose keys are names that the operator chooses.
pub(super) const fn named(name: &'static str, doc: &'static str, of: &'static Kind) -> Keys {
    Keys { name, doc, keys: &[], later: &[], open: Some(of) }
}

pub static ROOT: Keys = Keys {
    later: &["admin"],
    ..table(
        "root",
        "A Portcullis configuration.",
        &[
            key(
                "include",
                Kind::Either(&[Kind::Text(&FILE), Kind::List(&Kind::Text(&FILE))]),
                "[\"sites/*.toml\"]",
                "More files; patterns are relative to this file, each file is read once.",
            ),
            key("server", Kind::Table(&SERVER_TABLE), "{ workers = 4 }", "What concerns the process as a whole."),
            key(
                "listen",
                Kind::Table(&LISTEN_TABLE),
                "{ https = [\":8443\"] }",
                "Which addresses are bound; only to differ from the defaults.",
            ),
            key(
                "limits",
                Kind::Table(&LIMITS_TABLE),
                "{ header-read = \"5s\" }",
                "Limits and timeouts that differ from `portcullis defaults`.",
            ),
            key("plugin", Kind::Table(&PLUGINS), "{ jwt = \"plugins/jwt.wasm\" }", "Plugins by name."),
            key("kv", Kind::Table(&STORES), "{ sessions = \"memory\" }", "Stores of small values that plugins can be granted."),
            key("secret", Kind::Table(&SECRETS), "{ JWT_KEY = { env = \"JWT_KEY\" } }", "Secrets that plugins can be granted."),
            key("chain", Kind::Table(&CHAINS), "{ edge = [\"request-id\"] }", "Named chains, used as \"@name\"."),
            key("site", Kind::Table(&SITES), "{ \"app.example.com\" = { … } }", "Sites by host name."),
            key("tcp", Kind::Table(&TCPS), "{ \"0.0.0.0:5432\" = { to = \"db\" } }", "TCP listeners by address."),
            key("acme", Kind::Table(&ACME), "{ contact = \"ops@example.com\" }", "Where ACME certificates come from, for all sites."),
            key("upstream", Kind::Table(&UPSTREAMS), "{ app = \"10.0.0.1:8080\" }", "Upstreams by name."),
        ],
    )
};

pub static SERVER_TABLE: Keys = Keys {
    later: &[],
    ..table(
        "server",
        "What concerns the process as a whole.",
        &[
            key("workers", Kind::Whole(1, 1024), "4", "Worker threads; one per core unless written."),
            key("state", Kind::Text(&FILE), "\"/var/lib/portcullis\"", "Where the local CA and compiled plugins are kept; owner-only."),
            key(
                "ticket-keys",
                Kind::Text(&FILE),
                "\"/run/portcullis/tickets\"",
                "A directory that processes share so that each resumes the others' TLS sessions; owner-only. In memory unless written.",
            ),
            key(
                "trusted-proxies",
                Kind::Either(&[Kind::Text(&PEER), Kind::List(&Kind::Text(&PEER))]),
                "[\"10.0.0.0/8\"]",
                "Peers whose X-Forwarded-* and Forwarded are believed; \"unix\" for those that come over a Unix socket.",
            ),
            key("access-log", Kind::Choice(&["off", "text", "json"]), "\"json\"", "How exchanges are written to standard output."),
            key("chain", CHAIN, "[\"request-id\"]", "Links that every route inherits, outermost."),
        ],
    )
};

pub static LISTEN_TABLE: Keys = Keys {
    later: &["proxy-protocol"],
    ..table(
        "listen",
        "Which addresses are bound.",
        &[
            key(
                "https",
                Kind::Either(&[Kind::Text(&LISTEN), Kind::List(&Kind::Text(&LISTEN))]),
                "[\"0.0.0.0:443\", \"[::]:443\"]",
                "TLS listeners. [] for none.",
            ),
            key(
                "http",
                Kind::Either(&[Kind::Text(&LISTEN), Kind::List(&Kind::Text(&LISTEN))]),
                "[\"0.0.0.0:80\", \"[::]:80\"]",
                "Plain listeners: sites without TLS, and redirects to the others. [] for none.",
            ),
            key(
                "accept",
                Kind::Table(&ACCEPT),
                "{ proxy-protocol = [\"10.0.0.0/8\"] }",
                "What is asked of connections before anything else.",
            ),
            key(
                "chain",
                CHAIN,
                "[{ use = \"ip-filter\", deny = [\"192.0.2.0/24\"] }]",
                "Links that decide about connections before HTTP is spoken.",
            ),
        ],
    )
};

pub static LIMITS_TABLE: Keys = Keys {
    later: &["min-rate"],
    ..table("limits", "Limits and timeouts; see `portcullis defaults` for each with its reason.", limits_table::KEYS)
};

static PLUGINS: Keys = named("plugins", "Plugins by name.", &Kind::Either(&[Kind::Text(&FILE), Kind::Table(&PLUGIN)]));

pub static PLUGIN: Keys = table(
    "plugin",
    "Code, rights and limits. A string is the `source`.",
    &[
        key("source", Kind::Text(&FILE), "\"plugins/jwt.wasm\"", "A .wasm file, relative to this file. Not needed for bundled plugins."),
        key("sha256", Kind::Text(&DIGEST), "\"9c82…\"", "The file's digest; another file is refused."),
        key("allow", Kind::Table(&ALLOW), "{}", "Capabilities; none unless written."),
        key("limits", Kind::Table(&GUEST_LIMITS), "{ memory = \"16MiB\", cpu = \"5ms\" }", "What one guest may use."),
        key(
            "isolate",
            Kind::Choice(&["worker", "request"]),
            "\"request\"",
            "One guest per worker, or a fresh one for every exchange (in a listener's chain: connection).",
        ),
        key(
            "fail",
            Kind::Either(&[FAIL, Kind::Table(&FAIL_TABLE)]),
            "\"open\"",
            "What becomes of an exchange whose guest faults; also per cause.",
        ),
    ],
);

pub const FAIL: Kind = Kind::Choice(&["closed", "open"]);

pub static FAIL_TABLE: Keys = table(
    "fail",
    "Failure policy by cause; `closed` unless written.",
    &[
        key("trap", FAIL, "\"closed\"", "A trap, too much memory, or output that breaks the contract."),
        key("timeout", FAIL, "\"open\"", "The CPU limit."),
        key("overload", FAIL, "\"open\"", "No guest to be had."),
    ],
);

static CHAINS: Keys = named("chains", "Named chains.", &CHAIN);

/// The links of a chain, outer to inner.
pub const CHAIN: Kind = Kind::List(&Kind::Either(&[Kind::Text(&LINK_NAME), Kind::Table(&LINK)]));

pub static LINK: Keys = Keys {
    open: Some(&Kind::Anything),
    ..table(
        "link",
        "A plugin's place in a chain. For a bundled plugin, the other keys are its settings.",
        &[
            required("use", Kind::Text(&LINK_NAME), "\"headers\"", "The plugin's name."),
            key("as", Kind::Text(&LINK_NAME), "\"jwt-admin\"", "What logs and `without` call the link; the plugin's name unless written."),
            key("when", Kind::Table(&WHEN), "{ path = \"/admin/*\" }", "The link is entered only if all of this holds."),
            key("config", Kind::Table(&SETTINGS), "{ issuer = \"https://idp.example.com\" }", "The plugin's settings."),
        ],
    )
};

static SETTINGS: Keys = named(
    "settings",
    "Settings of a plugin, checked against the schema it declares. { env = \"X\" } and { file = \"…\" } stand for secrets.",
    &Kind::Anything,
);

const METHODS: Kind = Kind::Either(&[Kind::Text(&METHOD), Kind::List(&Kind::Text(&METHOD))]);

pub static WHEN: Keys = table(
    "when",
    "All of these must hold.",
    &[
        key("path", Kind::Text(&PATTERN), "\"/admin/*\"", "A path pattern, as in routes."),
        key("method", METHODS, "[\"GET\", \"HEAD\"]", "One of these methods."),
        key("header", Kind::Table(&FIELDS), "{ x-beta = \"1\" }", "Header fields with their values; true: is there."),
        key("query", Kind::Table(&FIELDS), "{ beta = \"1\" }", "Query parameters with their values; true: is there."),
    ],
);

pub static MATCH: Keys = table(
    "match",
    "What else must hold for a route, beyond its path.",
    &[
        key("method", METHODS, "[\"GET\", \"HEAD\"]", "One of these methods."),
        key("header", Kind::Table(&FIELDS), "{ x-beta = \"1\" }", "Header fields with their values; true: is there."),
        key("query", Kind::Table(&FIELDS), "{ beta = \"1\" }", "Query parameters with their values; true: is there."),
    ],
);

pub static FIELDS: Keys =
    named("fields", "Names with the value each must have; true: must only be there.", &Kind::Either(&[Kind::Text(&TEXT), Kind::Truth]));

static SITES: Keys = named(
    "sites",
    "Sites by host name: app.example.com, *.example.com, 127.0.0.1, or * for what no other site claims.",
    &Kind::Table(&SITE),
);

pub static SITE: Keys = Keys {
    later: &["limit", "retry", "mirror"],
    ..table(
        "site",
        "A host name with its routes.",
        &[
            key(
                "tls",
                Kind::Either(&[Kind::Choice(&["off", "local", "acme"]), Kind::Table(&TLS)]),
                "{ cert = \"app.pem\", key = \"app.key\" }",
                "Where the certificate comes from. Unless written: \"local\" for localhost, *.localhost, *.test, *.internal and IP addresses, \"acme\" for other names.",
            ),
            key("chain", CHAIN, "[\"request-id\"]", "Links that every route of the site inherits."),
            key(
                "headers",
                Kind::Table(&HEADERS),
                "{ response = { set = { x-served-by = \"edge\" } } }",
                "Short for a `headers` link before the site's chain.",
            ),
            required("routes", Kind::Table(&ROUTES), "{ \"/*\" = \"app\" }", "Routes by path pattern."),
        ],
    )
};

pub static ROUTES: Keys = named("routes", "Routes by path pattern: /prefix/*, =/exact or /exact, ~regex.", &ROUTE_KIND);

static ROUTE_KIND: Kind = Kind::Either(&[Kind::Text(&UPSTREAM_NAME), Kind::Table(&ROUTE), Kind::List(&Kind::Table(&ROUTE))]);

pub static ROUTE: Keys = Keys {
    later: &["retry", "mirror", "limit", "sticky"],
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
static HEADER_VALUE: Kind = Kind::Either(&[Kind::Text(&TEXT), Kind::Table(&SECRET)]);
pub static HEADER_LINES: Keys = named(
    "header-lines",
    "Names with values, or lists of values.",
    &Kind::Either(&[Kind::Text(&TEXT), Kind::List(&Kind::Text(&TEXT)), Kind::Table(&SECRET)]),
);

static UPSTREAMS: Keys = named(
    "upstreams",
    "Upstreams by name.",
    &Kind::Either(&[Kind::Text(&SERVER), Kind::List(&Kind::Text(&SERVER)), Kind::Table(&UPSTREAM)]),
);

pub static UPSTREAM: Keys = Keys {
    later: &["health", "sticky", "retry", "timeout"],
    ..table(
        "upstream",
        "A named set of servers. A string or list is `servers`.",
        &[
            required(
                "servers",
                Kind::Either(&[Kind::Text(&SERVER), Kind::List(&Kind::Text(&SERVER))]),
                "[\"10.0.0.1:8080\", \"10.0.0.2:8080\"]",
                "host:port, https://host:port or unix:/path; names are resolved by the system.",
            ),
            key(
                "balance",
                Kind::Choice(&["p2c", "round-robin"]),
                "\"round-robin\"",
                "The less busy of two picked at random (p2c), or in turn.",
            ),
            key(
                "pool",
                Kind::Either(&[Kind::Whole(0, 100_000), Kind::Table(&POOL)]),
                "{ idle = 32 }",
                "Idle connections kept per server and worker; a number is `idle`.",
            ),
            key(
                "tls",
                Kind::Either(&[Kind::Truth, Kind::Table(&UPSTREAM_TLS)]),
                "{ ca = \"internal.pem\" }",
                "TLS to the servers, on if one is written as https://.",
            ),
            key(
                "proxy-protocol",
                Kind::Choice(&["v1", "v2"]),
                "\"v2\"",
                "Each connection begins with a PROXY header that names the client; it then serves no other client.",
            ),
        ],
    )
};

pub static POOL: Keys =
    Keys { later: &[], ..table("pool", "Connections kept open.", &[key("idle", Kind::Whole(0, 100_000), "32", "Per server and worker.")]) };
