//! What can be said about the way to an upstream's servers, and about those in front of us.

use super::*;

const fn key(name: &'static str, kind: Kind, example: &'static str, doc: &'static str) -> Key {
    Key { name, kind, doc, example, required: false }
}

pub static UPSTREAM_TLS: Keys = Keys {
    name: "upstream-tls",
    doc: "TLS to the servers. `true` is all of this as it is when nothing is written.",
    keys: &[
        key(
            "ca",
            Kind::Text(&FILE),
            "\"internal.pem\"",
            "PEM with the certificates that are trusted; the system's unless written. Relative to this file.",
        ),
        key(
            "crl",
            Kind::Text(&FILE),
            "\"internal.crl\"",
            "Revocation lists, PEM or DER: one for each issuer of a chain, or its certificates are refused. Relative to this file.",
        ),
        key("verify", Kind::Truth, "true", "Whether a server must prove who it is; true unless written."),
        key(
            "name",
            Kind::Text(&HOST),
            "\"backend.internal\"",
            "The name its certificate must have; the one in its address unless written.",
        ),
        key("sni", Kind::Text(&HOST), "\"backend.internal\"", "The name that is asked for; as `name` unless written."),
        key(
            "cert",
            Kind::Text(&FILE),
            "\"me.pem\"",
            "What we show a server that asks for a certificate: PEM, leaf first; relative to this file.",
        ),
        key("key", Kind::Text(&FILE), "\"me.key\"", "The key of `cert`: PEM; relative to this file."),
    ],
    later: &["ciphers", "versions"],
    open: None,
};

pub static ACCEPT: Keys = Keys {
    name: "accept",
    doc: "What is asked of connections before anything else.",
    keys: &[key(
        "proxy-protocol",
        Kind::Either(&[Kind::Text(&PEER), Kind::List(&Kind::Text(&PEER))]),
        "[\"10.0.0.0/8\"]",
        "Peers that must begin with a PROXY header (v1 or v2), and whose word is believed; from others one is an error. \"unix\": those on Unix sockets.",
    )],
    later: &[],
    open: None,
};
