//! Where the proxy is looked at from outside.

use super::platform::KEPT;
use super::tables::{key, required, table};
use super::{Keys, Kind, LISTEN, TEXT};

pub static ADMIN: Keys = table(
    "admin",
    "Metrics, health, an API (/api/) and a dashboard (/), on a listener of its own.",
    &[
        required(
            "listen",
            Kind::Either(&[Kind::Text(&LISTEN), Kind::List(&Kind::Text(&LISTEN))]),
            "\"127.0.0.1:9180\"",
            "Addresses, or unix:/path. Where others than this machine can come, `token` is needed.",
        ),
        key(
            "token",
            Kind::Either(&[Kind::Table(&KEPT), Kind::Text(&TEXT)]),
            "{ env = \"ADMIN_TOKEN\" }",
            "Who asks for more than health must send it: `Authorization: Bearer …`.",
        ),
    ],
);
