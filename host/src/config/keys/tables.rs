//! The tables themselves: the root, and what stands in it, in reading order.

use super::*;
use crate::config::{AccessLog, limits_table};

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
    later: &[],
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
            key("trust", Kind::Table(&TRUST), "{ unsigned = \"refuse\" }", "Whose plugins are run."),
            key("kv", Kind::Table(&STORES), "{ sessions = \"memory\" }", "Stores of small values that plugins can be granted."),
            key("secret", Kind::Table(&SECRETS), "{ JWT_KEY = { env = \"JWT_KEY\" } }", "Secrets that plugins can be granted."),
            key("chain", Kind::Table(&CHAINS), "{ edge = [\"request-id\"] }", "Named chains, used as \"@name\"."),
            key("site", Kind::Table(&SITES), "{ \"app.example.com\" = { … } }", "Sites by host name."),
            key("tcp", Kind::Table(&TCPS), "{ \"0.0.0.0:5432\" = { to = \"db\" } }", "TCP listeners by address."),
            key("acme", Kind::Table(&ACME), "{ contact = \"ops@example.com\" }", "Where ACME certificates come from, for all sites."),
            key("upstream", Kind::Table(&UPSTREAMS), "{ app = \"10.0.0.1:8080\" }", "Upstreams by name."),
            key(
                "admin",
                Kind::Table(&ADMIN),
                "{ listen = \"127.0.0.1:9180\" }",
                "Where metrics and health are served; nowhere unless written.",
            ),
            key(
                "observe",
                Kind::Table(&OBSERVE),
                "{ otlp = \"http://127.0.0.1:4318\" }",
                "What a collector is told; nothing unless written.",
            ),
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
            key(
                "state",
                Kind::Text(&FILE),
                "\"/var/lib/portcullis\"",
                "Where the local CA, and plugins as fetched and compiled, are kept; owner-only.",
            ),
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
            key(
                "access-log",
                Kind::Either(&[Kind::Choice(&AccessLog::NAMES), Kind::Table(&ACCESS_LOG)]),
                "\"json\"",
                "How exchanges are written to standard output. A string is `format`.",
            ),
            key(
                "watch",
                Kind::Truth,
                "false",
                "Whether the running proxy takes over files that change (this one, included ones, plugins); true unless written.",
            ),
            key(
                "resolver",
                Kind::Either(&[Kind::Text(&NAMESERVER), Kind::List(&Kind::Text(&NAMESERVER))]),
                "[\"127.0.0.1:5353\"]",
                "DNS servers that are asked for addresses of upstreams' servers; those of /etc/resolv.conf unless written.",
            ),
            key("zone", Kind::Text(&TAG), "\"eu-1a\"", "Where this machine is: servers of the same zone are preferred."),
            key("chain", CHAIN, "[\"request-id\"]", "Links that every route inherits, outermost."),
        ],
    )
};

pub static ACCESS_LOG: Keys = table(
    "access-log",
    "How exchanges and TCP connections are written to standard output, which of them, and what of them is not.",
    &[
        key(
            "format",
            Kind::Choice(&AccessLog::NAMES),
            "\"ecs\"",
            "Text for people (unless written), JSON, or JSON with the names of the Elastic Common Schema or of OpenTelemetry.",
        ),
        key(
            "sample",
            Kind::Text(&PERCENT),
            "\"10%\"",
            "How many of those that ended as they should are written, all unless written here; those with a reason, or a status from 400 up, always are.",
        ),
        key(
            "mask",
            Kind::Either(&[Kind::Text(&TEXT), Kind::List(&Kind::Text(&TEXT))]),
            "[\"sid\", \"invite\"]",
            "Query parameters (and `log.` attributes) whose values are written as ***, beside those that usually are secrets.",
        ),
    ],
);

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

static UPSTREAMS: Keys =
    named("upstreams", "Upstreams by name.", &Kind::Either(&[Kind::Text(&SERVER), Kind::List(&ONE_SERVER), Kind::Table(&UPSTREAM)]));

static ONE_SERVER: Kind = Kind::Either(&[Kind::Text(&SERVER), Kind::Table(&UPSTREAM_SERVER)]);

/// Beside a number.
pub static RUNNING: &[&str] = &["adaptive"];
pub static PROTOCOLS: &[&str] = &["http1", "http2", "auto"];

/// Beside [`HASH`].
pub static BALANCES: &[&str] = &["p2c", "round-robin", "least"];

pub static UPSTREAM: Keys = Keys {
    later: &["retry", "timeout"],
    ..table(
        "upstream",
        "A named set of servers. A string or list is `servers`.",
        &[
            required(
                "servers",
                Kind::Either(&[Kind::Text(&SERVER), Kind::List(&ONE_SERVER), Kind::Table(&UPSTREAM_SERVER)]),
                "[\"10.0.0.1:8080\", { address = \"10.0.0.2:8080\", weight = 2 }]",
                "host:port, https://host:port, h2c:// and h2:// (HTTP/2 in the clear and over TLS) or grpc:// and grpcs:// (the same) before host:port, srv+http:// or srv+https:// with the name of SRV records, unix:/path or component:service.wasm (or the name of a plugin), or tables. Names are looked up again and again; each address is a server of its own.",
            ),
            key(
                "balance",
                Kind::Either(&[Kind::Choice(BALANCES), Kind::Text(&HASH)]),
                "\"round-robin\"",
                "The less busy of two picked at random (p2c), in turn, the least busy of all, or the one that a part of the request belongs to: hash(client.ip), hash(path), hash(header:NAME), hash(cookie:NAME). As a server's weight says.",
            ),
            key(
                "sticky",
                Kind::Table(&UPSTREAM_STICKY),
                "{ cookie = \"sid\" }",
                "A client stays with the server that answered it first, as long as that one is well.",
            ),
            key(
                "pool",
                Kind::Either(&[Kind::Whole(0, 100_000), Kind::Table(&POOL)]),
                "{ idle = 32 }",
                "Idle connections kept per server and worker; a number is `idle`.",
            ),
            key(
                "limits",
                Kind::Table(&UPSTREAM_LIMITS),
                "{ per-server = 100, queue = 200 }",
                "How many requests run at once, and how many wait.",
            ),
            key(
                "tls",
                Kind::Either(&[Kind::Truth, Kind::Table(&UPSTREAM_TLS)]),
                "{ ca = \"internal.pem\" }",
                "TLS to the servers, on if one is written as https://.",
            ),
            key(
                "protocol",
                Kind::Choice(PROTOCOLS),
                "\"http2\"",
                "HTTP/1.1 unless written; HTTP/2, many requests on few connections, which gRPC needs; or over TLS whichever the server chooses (auto). On if servers are written as h2c://, h2://, grpc:// or grpcs://. Requests that switch protocols (WebSocket) need HTTP/1.1: auto speaks it for them.",
            ),
            key(
                "proxy-protocol",
                Kind::Choice(&["v1", "v2"]),
                "\"v2\"",
                "Each connection begins with a PROXY header that names the client; it then serves no other client.",
            ),
            key(
                "health",
                Kind::Either(&[Kind::Text(&HEALTH), Kind::Table(&UPSTREAM_HEALTH)]),
                "\"GET /healthz every 10s\"",
                "How servers are looked at while nobody asks them anything; those that are down get no requests, unless most seem to be.",
            ),
            key(
                "slow-start",
                Kind::Text(&DURATION),
                "\"30s\"",
                "For so long the share of a server that is new, or came back, grows from a tenth of what its weight says to all of it; all at once unless written. Not with hash(…).",
            ),
        ],
    )
};

pub static UPSTREAM_SERVER: Keys = table(
    "upstream-server",
    "A server. A string is `address`.",
    &[
        required(
            "address",
            Kind::Text(&SERVER),
            "\"10.0.0.1:8080\"",
            "host:port, https://host:port, h2c://host:port (as in `servers`), srv+http://_service._tcp.domain or unix:/path.",
        ),
        key("weight", Kind::Whole(1, 65_536), "2", "Its share beside those of the others; 1 unless written."),
        key(
            "tags",
            Kind::Either(&[Kind::Text(&TAG), Kind::List(&Kind::Text(&TAG))]),
            "[\"zone-a\"]",
            "What plugins that choose servers go by.",
        ),
        key(
            "priority",
            Kind::Whole(0, 65_535),
            "1",
            "Servers of a higher number get requests when fewer than five in seven of those of lower ones are well; 0 unless written.",
        ),
        key(
            "zone",
            Kind::Text(&TAG),
            "\"eu-1a\"",
            "Where it is. Of servers of one priority, those in the zone that [server] names come first; others get requests as with a higher priority.",
        ),
    ],
);

pub static UPSTREAM_HEALTH: Keys = table(
    "upstream-health",
    "Active checks, once for all workers. Short: GET /path, connect or grpc (with a service's name behind it or not), with or without every.",
    &[
        key("get", Kind::Text(&PATH), "\"/healthz\"", "What is asked for; unless written, a connection is enough."),
        key(
            "grpc",
            Kind::Text(&GRPC_SERVICE),
            "\"shop.v1.Orders\"",
            "The service that grpc.health.v1 is asked for, over HTTP/2; \"\": the server as a whole. It is well if it says SERVING.",
        ),
        key("host", Kind::Text(&HOST), "\"app.internal\"", "Host of the request; the server's address unless written."),
        key("expect", Kind::List(&Kind::Whole(200, 599)), "[200, 204]", "Statuses of a server that is well; 200 to 399 unless written."),
        key("every", Kind::Text(&DURATION), "\"10s\"", "Between two looks at one server, give or take 15 %; 10s unless written."),
        key("timeout", Kind::Text(&DURATION), "\"2s\"", "For one look; 2s unless written."),
        key("down", Kind::Whole(1, 100), "3", "So many failures in a row make a server count as down; 3 unless written."),
        key("up", Kind::Whole(1, 100), "2", "So many successes in a row make it count as up again; 2 unless written."),
        key("ready", Kind::Truth, "true", "Whether the proxy is not ready while all servers are down; false unless written."),
    ],
);

pub static UPSTREAM_LIMITS: Keys = table(
    "upstream-limits",
    "Requests and tunnels that run at once, which workers share out evenly, and connections. Those beyond wait, and are answered 503 if they wait in vain.",
    &[
        key(
            "running",
            Kind::Either(&[Kind::Whole(1, 10_000_000), Kind::Choice(RUNNING)]),
            "1000",
            "Of the upstream. \"adaptive\": 10 to 1000, fewer while answers take longer than they usually do, and more while they do not.",
        ),
        key("per-server", Kind::Whole(1, 10_000_000), "100", "Of each server."),
        key(
            "connections",
            Kind::Whole(1, 10_000_000),
            "50",
            "Open to each server, of all workers together, whatever they carry: requests, WebSockets, tunnels, or nothing. Those that are idle are given up for whoever needs one.",
        ),
        key("queue", Kind::Whole(0, 10_000_000), "200", "So many more wait; 100 unless written."),
        key("wait", Kind::Text(&DURATION), "\"1s\"", "For so long; 1s unless written."),
    ],
);

pub static UPSTREAM_STICKY: Keys = table(
    "upstream-sticky",
    "A cookie of ours that names the server, in a code that says nothing to others. Several machines need the same sticky.key in their state directories.",
    &[
        required("cookie", Kind::Text(&HEADER), "\"sid\"", "Its name."),
        key("max-age", Kind::Text(&DURATION), "\"1d\"", "How long browsers keep it; until they are closed unless written."),
    ],
);

pub static POOL: Keys = table("pool", "Connections kept open.", &[key("idle", Kind::Whole(0, 100_000), "32", "Per server and worker.")]);
