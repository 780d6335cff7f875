//! Plugins, the chains that they are links of, and when a link or a route is for a request.

use super::tables::{key, named, required, table};
use super::*;

pub(super) static PLUGINS: Keys = named("plugins", "Plugins by name.", &Kind::Either(&[Kind::Text(&FILE), Kind::Table(&PLUGIN)]));

pub static PLUGIN: Keys = table(
    "plugin",
    "Code, rights and limits. A string is the `source`.",
    &[
        key(
            "source",
            Kind::Text(&FILE),
            "\"plugins/jwt.wasm\"",
            "A .wasm file, relative to this file, or oci://registry/repository@sha256:… (oci+http:// without TLS). Not needed for bundled plugins.",
        ),
        key("sha256", Kind::Text(&DIGEST), "\"9c82…\"", "The file's digest; another file is refused."),
        key("signed-by", SIGNERS, "[\"release\"]", "One of these must have signed it: keys of [trust], or public keys of minisign."),
        key(
            "signature",
            Kind::Text(&FILE),
            "\"jwt.minisig\"",
            "The signature; unless written, `source` with .minisig, or what came with it.",
        ),
        key("allow", Kind::Table(&ALLOW), "{ kv = [\"sessions\"], http = [\"idp\"] }", "Capabilities; none unless written."),
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

pub(super) static CHAINS: Keys = named("chains", "Named chains.", &CHAIN);

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

pub(super) static SETTINGS: Keys = named(
    "settings",
    "Settings of a plugin, checked against the schema it declares. { env = \"X\" } and { file = \"…\" } stand for secrets.",
    &Kind::Anything,
);

const METHODS: Kind = Kind::Either(&[Kind::Text(&METHOD), Kind::List(&Kind::Text(&METHOD))]);

const METHOD_KEY: Key = key("method", METHODS, "[\"GET\", \"HEAD\"]", "One of these methods.");
const HEADER_KEY: Key = key("header", Kind::Table(&FIELDS), "{ x-beta = \"1\" }", "Header fields with their values; true: is there.");
const QUERY_KEY: Key = key("query", Kind::Table(&FIELDS), "{ beta = \"1\" }", "Query parameters with their values; true: is there.");

pub static WHEN: Keys = table(
    "when",
    "All of these must hold.",
    &[key("path", Kind::Text(&PATTERN), "\"/admin/*\"", "A path pattern, as in routes."), METHOD_KEY, HEADER_KEY, QUERY_KEY],
);

pub static MATCH: Keys = table("match", "What else must hold for a route, beyond its path.", &[METHOD_KEY, HEADER_KEY, QUERY_KEY]);

pub static FIELDS: Keys =
    named("fields", "Names with the value each must have; true: must only be there.", &Kind::Either(&[Kind::Text(&TEXT), Kind::Truth]));
