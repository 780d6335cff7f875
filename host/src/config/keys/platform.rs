//! What plugins may do and use, and what they can be granted by name.

use super::tables::{key, named, table};
use super::{DURATION, FILE, Form, Keys, Kind, SIZE, TEXT, UPSTREAM_NAME};

static STORE_PLACE: Form = Form { name: "\"memory\" or a redis:// URL", pattern: "^(memory|redis(s|\\+unix)?://.+)$" };
static STORE_NAME: Form = Form { name: "the name of a store", pattern: "^[-_.0-9A-Za-z]+$" };
static SECRET_NAME: Form = Form { name: "the name of a secret", pattern: "^[-_.0-9A-Za-z]+$" };

pub static ALLOW: Keys = Keys {
    later: &[],
    ..table(
        "allow",
        "Capabilities that a plugin may import.",
        &[
            key("log", Kind::Truth, "true", "Lines in the log, at a bounded rate."),
            key("clock", Kind::Truth, "true", "The time."),
            key("random", Kind::Truth, "true", "Random numbers."),
            key("metrics", Kind::Truth, "true", "Counters, gauges and histograms of its own, shown by [admin]."),
            key("tracing", Kind::Truth, "true", "Attributes and events in the traces of [observe]."),
            key("secret", Kind::List(&Kind::Text(&SECRET_NAME)), "[\"JWT_KEY\"]", "Secrets of [secret] that it may read."),
            key("kv", Kind::List(&Kind::Text(&STORE_NAME)), "[\"sessions\"]", "Stores of [kv] that it may use."),
            key("http", Kind::List(&Kind::Text(&UPSTREAM_NAME)), "[\"idp\"]", "Upstreams that it may send requests to."),
        ],
    )
};

pub static GUEST_LIMITS: Keys = table(
    "guest-limits",
    "What one guest may use.",
    &[
        key("memory", Kind::Text(&SIZE), "\"16MiB\"", "Linear memory."),
        key("cpu", Kind::Text(&DURATION), "\"5ms\"", "CPU per call."),
        key("time", Kind::Text(&DURATION), "\"2s\"", "Per call, waiting for stores and upstreams included."),
    ],
);

pub static STORES: Keys = named("stores", "Stores by name.", &Kind::Either(&[Kind::Text(&STORE_PLACE), Kind::Table(&STORE)]));

pub static STORE: Keys = table(
    "store",
    "A store of small values, shared by all workers. A string is `store`.",
    &[
        key(
            "store",
            Kind::Either(&[Kind::Text(&STORE_PLACE), Kind::Table(&KEPT)]),
            "\"redis://127.0.0.1:6379/0\"",
            "\"memory\", unless written, or a Redis or Valkey server, which several machines can share.",
        ),
        key("memory", Kind::Text(&SIZE), "\"64MiB\"", "In memory: the most it may hold."),
        key("prefix", Kind::Text(&TEXT), "\"portcullis:sessions:\"", "In Redis: what its keys begin with."),
        key("timeout", Kind::Text(&DURATION), "\"500ms\"", "In Redis: how long one operation may take."),
    ],
);

pub static SECRETS: Keys = named("secrets", "Secrets by name.", &Kind::Either(&[Kind::Table(&KEPT), Kind::Text(&TEXT)]));

pub(super) static KEPT: Keys = table(
    "kept",
    "Where a secret is kept.",
    &[
        key("env", Kind::Text(&TEXT), "\"JWT_KEY\"", "An environment variable."),
        key("file", Kind::Text(&FILE), "\"/run/secrets/jwt\"", "A file; a line break at its end is no part of it."),
    ],
);
