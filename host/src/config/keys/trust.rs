//! Whose plugins are run.

use super::tables::{key, named, required, table};
use super::{FILE, Form, Keys, Kind};

static SIGNING_KEY: Form = Form { name: "a minisign public key", pattern: "^RW[+/0-9A-Za-z]{54}$" };
static SIGNER: Form = Form { name: "a minisign public key, or the name of one in [trust]", pattern: "." };

pub static TRUST: Keys = table(
    "trust",
    "Whose plugins are run.",
    &[
        key("keys", Kind::Table(&SIGNING_KEYS), "{ release = \"RWQ…\" }", "Public keys of minisign, by name."),
        key(
            "unsigned",
            Kind::Choice(&["allow", "refuse"]),
            "\"refuse\"",
            "Plugins that nobody signed; with \"refuse\", one that names no key must be signed by one of `keys`. Bundled plugins need no signature.",
        ),
    ],
);

pub static SIGNING_KEYS: Keys =
    named("signing-keys", "Public keys of minisign, by name.", &Kind::Either(&[Kind::Text(&SIGNING_KEY), Kind::Table(&KEY_FILE)]));

pub static KEY_FILE: Keys =
    table("key-file", "A key in a file.", &[required("file", Kind::Text(&FILE), "\"release.pub\"", "As `minisign -G` writes it.")]);

/// Of `signed-by`.
pub(super) const SIGNERS: Kind =
    Kind::Either(&[Kind::Text(&SIGNER), Kind::List(&Kind::Either(&[Kind::Text(&SIGNER), Kind::Table(&KEY_FILE)])), Kind::Table(&KEY_FILE)]);
