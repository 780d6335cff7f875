//! Where certificates come from and what clients must show: `tls` of a site, and `[acme]`.

use super::tables::{key, required, table};
use super::*;

pub static TLS: Keys = Keys {
    later: &[],
    ..table(
        "tls",
        "Where the certificate comes from (`cert` and `key`, `local`, or `acme`), and which clients are taken.",
        &[
            key("cert", Kind::Text(&FILE), "\"/etc/tls/app.pem\"", "PEM, leaf first; relative to this file. Read again when it changes."),
            key("key", Kind::Text(&FILE), "\"/etc/tls/app.key\"", "PEM; relative to this file. Read again when it changes."),
            key(
                "acme",
                Kind::Table(&SITE_ACME),
                "{ challenge = \"tls-alpn-01\" }",
                "Ordered by ACME; what is not written is as in [acme].",
            ),
            key("ocsp", Kind::Text(&FILE), "\"/etc/tls/app.ocsp\"", "An OCSP response in DER that is sent with the certificate."),
            key("local", Kind::Truth, "true", "The local CA instead of `cert` and `key`; the long form of \"local\"."),
            key("client", Kind::Table(&CLIENT_CERTS), "{ ca = \"/etc/tls/partners.pem\" }", "Clients show a certificate too (mTLS)."),
        ],
    )
};

const CLIENT_CA_KEY: Key = required(
    "ca",
    Kind::Text(&FILE),
    "\"/etc/tls/partners.pem\"",
    "PEM; each certificate in it is trusted on its own. Read again when it changes.",
);
const CLIENT_CRL_KEY: Key = key(
    "crl",
    Kind::Text(&FILE),
    "\"/etc/tls/partners.crl\"",
    "Revocation lists, PEM or DER: one for each issuer of a chain, or its certificates are refused. Read again when it changes.",
);
const CLIENT_REQUIRE_KEY: Key =
    key("require", Kind::Truth, "false", "Whether clients without a certificate are refused; true unless written.");

/// Upstreams hear of the client in a PROXY header.
pub static TCP_CLIENT_CERTS: Keys = table(
    "tcp-client-certificates",
    "Which client certificates a TCP listener takes. Upstreams with proxy-protocol = \"v2\" hear the client's common name.",
    &[CLIENT_CA_KEY, CLIENT_CRL_KEY, CLIENT_REQUIRE_KEY],
);

pub static CLIENT_CERTS: Keys = table(
    "client-certificates",
    "Which client certificates a site takes.",
    &[
        CLIENT_CA_KEY,
        CLIENT_CRL_KEY,
        CLIENT_REQUIRE_KEY,
        key("forward", Kind::Choice(&["rfc9440", "xfcc"]), "\"rfc9440\"", "How the upstream is told; it is not unless written."),
    ],
);

const CHALLENGES: Kind = Kind::Choice(&["http-01", "tls-alpn-01"]);
const DIRECTORY_KEY: Key = key(
    "directory",
    Kind::Text(&DIRECTORY),
    "\"staging\"",
    "The CA: \"production\" (Let's Encrypt, unless written), \"staging\" (its test CA), or the https URL of any ACME directory.",
);
const MAILBOXES: Kind = Kind::Either(&[Kind::Text(&MAILBOX), Kind::List(&Kind::Text(&MAILBOX))]);
const CONTACT_KEY: Key = key("contact", MAILBOXES, "\"ops@example.com\"", "E-mail addresses that the CA may write to.");
const EAB_KEY: Key = key(
    "eab",
    Kind::Table(&ACME_EAB),
    "{ kid = \"k1\", key = { env = \"ACME_EAB_KEY\" } }",
    "External account binding, for CAs that want it. Holds for the directory it is written beside.",
);
const CA_KEY: Key = key(
    "ca",
    Kind::Text(&FILE),
    "\"pebble.pem\"",
    "PEM with the roots that the directory's own certificate is checked against; the system's unless written.",
);

pub static ACME: Keys = table(
    "acme",
    "Where ACME certificates come from. Using ACME means agreeing to the CA's terms of service.",
    &[DIRECTORY_KEY, CONTACT_KEY, EAB_KEY, CA_KEY],
);

pub static SITE_ACME: Keys = table(
    "site-acme",
    "How a site's certificate is ordered.",
    &[
        key(
            "challenge",
            CHALLENGES,
            "\"tls-alpn-01\"",
            "How the name is proved: by a file on port 80 (http-01, unless written) or by a handshake on port 443.",
        ),
        DIRECTORY_KEY,
        CONTACT_KEY,
        EAB_KEY,
        CA_KEY,
    ],
);

pub static TCP_ACME: Keys = table(
    "tcp-acme",
    "How the certificates of a TCP listener's names are ordered.",
    &[
        key(
            "challenge",
            CHALLENGES,
            "\"tls-alpn-01\"",
            "How a name is proved: by a file on port 80 (http-01) or by a handshake on port 443 (tls-alpn-01). Unless written, the first if \
             something listens for http, else the second.",
        ),
        DIRECTORY_KEY,
        CONTACT_KEY,
        EAB_KEY,
        CA_KEY,
    ],
);

pub static ACME_EAB: Keys = table(
    "acme-eab",
    "External account binding (RFC 8555, section 7.3.4).",
    &[
        required("kid", Kind::Text(&TEXT), "\"k1\"", "The key's identifier, from the CA."),
        required(
            "key",
            Kind::Either(&[Kind::Table(&SECRET), Kind::Text(&TEXT)]),
            "{ env = \"ACME_EAB_KEY\" }",
            "The MAC key in base64url, from the CA.",
        ),
    ],
);
