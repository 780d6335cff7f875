//! `[tcp."address"]` and what stands in it.

use super::tables::{key, named, required, table};
use super::*;

pub static TCPS: Keys = named(
    "tcps",
    "Listeners that pass connections on as they are, by address: 0.0.0.0:5432, [::]:5432, or :5432 for both.",
    &Kind::Table(&TCP),
);

pub static TCP: Keys = Keys {
    later: &[],
    ..table(
        "tcp",
        "A listener of the TCP corridor.",
        &[
            key("to", Kind::Text(&UPSTREAM_NAME), "\"db\"", "The upstream; with `sni`, for connections that no entry takes."),
            key(
                "tls",
                Kind::Either(&[Kind::Choice(&["passthrough", "local", "acme"]), Kind::Table(&TCP_TLS)]),
                "\"passthrough\"",
                "\"passthrough\" leaves the handshake to the server; \"local\", \"acme\" or { cert, key } makes it here. Plain TCP unless written.",
            ),
            key(
                "sni",
                Kind::Table(&SNI),
                "{ \"a.db.example.com\" = \"pg-a\", \"*.db.example.com\" = \"pg\" }",
                "Upstreams by the server name that the client asks for; exact names first, then the longest wildcard.",
            ),
            key("chain", CHAIN, "[{ use = \"ip-filter\", allow = [\"10.0.0.0/8\"] }]", "Links that decide about its connections."),
            key(
                "accept",
                Kind::Table(&ACCEPT),
                "{ proxy-protocol = [\"10.0.0.0/8\"] }",
                "What is asked of connections before anything else.",
            ),
            key(
                "timeout",
                Kind::Table(&TCP_TIMEOUT),
                "{ idle = \"10m\" }",
                "The listener's own timeouts; [limits] holds for what is not written.",
            ),
        ],
    )
};

pub static TCP_TLS: Keys = table(
    "tcp-tls",
    "Where the certificate comes from (`cert` and `key`, `local`, or `acme`), and which clients are taken.",
    &[
        key("cert", Kind::Text(&FILE), "\"/etc/tls/db.pem\"", "PEM, leaf first; relative to this file. Read again when it changes."),
        key("key", Kind::Text(&FILE), "\"/etc/tls/db.key\"", "PEM; relative to this file. Read again when it changes."),
        key(
            "acme",
            Kind::Table(&TCP_ACME),
            "{ challenge = \"tls-alpn-01\" }",
            "Ordered by ACME for each name in `sni`; what is not written is as in [acme].",
        ),
        key("ocsp", Kind::Text(&FILE), "\"/etc/tls/db.ocsp\"", "An OCSP response in DER that is sent with the certificate."),
        key("local", Kind::Truth, "true", "The local CA instead of `cert` and `key`; the long form of \"local\"."),
        key("client", Kind::Table(&TCP_CLIENT_CERTS), "{ ca = \"/etc/tls/partners.pem\" }", "Clients show a certificate too (mTLS)."),
        key(
            "alpn",
            Kind::Either(&[Kind::Text(&ALPN), Kind::List(&Kind::Text(&ALPN))]),
            "[\"postgresql\"]",
            "Protocols to agree on, best first; a client that offers only others is refused. None is spoken of unless written.",
        ),
    ],
);

pub static SNI: Keys = named(
    "sni",
    "Upstreams by server name. A list has several entries for one name, which differ in `alpn`.",
    &Kind::Either(&[Kind::Text(&UPSTREAM_NAME), Kind::Table(&SNI_ENTRY), Kind::List(&Kind::Table(&SNI_ENTRY))]),
);

pub static SNI_ENTRY: Keys = table(
    "sni-entry",
    "Where connections for a name go. A string is `to`.",
    &[
        required("to", Kind::Text(&UPSTREAM_NAME), "\"pg\"", "The upstream."),
        key(
            "alpn",
            Kind::Either(&[Kind::Text(&ALPN), Kind::List(&Kind::Text(&ALPN))]),
            "[\"h2\"]",
            "Only for clients that offer one of these protocols.",
        ),
    ],
);

pub static TCP_TIMEOUT: Keys = table(
    "tcp-timeout",
    "A TCP listener's timeouts.",
    &[key("idle", Kind::Text(&DURATION), "\"10m\"", "Without a byte in either direction.")],
);
