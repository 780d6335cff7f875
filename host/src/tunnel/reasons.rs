//! Why a connection of the TCP corridor was not carried to its end: the tokens of its access line and of
//! `portcullis_reasons_total{of="tunnel"}`. Those of exchanges are in `proxy/failure.rs`, which answers to them.

/// What a reason token of a tunnel stands for.
#[derive(Debug, PartialEq, Eq)]
pub struct TunnelReason {
    /// Lower-case words joined with `_`.
    pub token: &'static str,
    /// One sentence for the documentation.
    pub meaning: &'static str,
}

const fn reason(token: &'static str, meaning: &'static str) -> TunnelReason {
    TunnelReason { token, meaning }
}

/// Every reason there is, in the order of a connection's life; the documentation is made from it.
pub const TUNNEL_REASONS: &[TunnelReason] = &[
    // Before it is known where it goes.
    reason("unlisted_proxy_header", "The client began with a PROXY header, and `accept = { proxy-protocol }` does not list it."),
    reason("hello_timeout", "The client hello was not there within limits.hello-read."),
    reason("not_tls", "The listener expects TLS, and the client spoke something else."),
    reason("hello_too_large", "The client hello is larger than 16 KiB."),
    reason("bad_hello", "The client hello is malformed."),
    reason("link_refused", "A link of the listener's chain refused the connection."),
    reason("acme_challenge", "A CA that looks whether a name is ours was shown what it wants to see."),
    reason("no_sni_match", "No entry of `sni` has the name, and there is no `to`."),
    reason("no_alpn_match", "Entries of `sni` have the name, but none a protocol that the client offers."),
    reason("handshake_failed", "The TLS handshake with the client failed."),
    // To the server.
    reason("connect_refused", "The server refused the connection."),
    reason("connect_failed", "No address of the server could be reached, its name has none, or no TLS session with it came about."),
    reason("connect_timeout", "The server did not accept a connection within limits.connect, or limits.connect-tls."),
    reason(
        "upstream_busy",
        "As many run as the upstream's limits allow, or as many connections are open, and the queue is full, or it was in it for too long.",
    ),
    reason("upstream_drained", "An operator has taken all servers of the upstream out (drain)."),
    reason("overload", "The proxy has no resources left to connect to a server."),
    // While bytes are carried.
    reason("idle", "There was no byte in either direction for timeout.idle, or limits.tcp-idle."),
    reason("client_gone", "The client broke the connection off."),
    reason("origin_gone", "The server broke the connection off."),
    reason("stopped", "The proxy was told to stop, and the connection was not over after limits.stop-upgraded."),
];

/// Whether the token is in the table.
pub(super) fn is_listed(token: &str) -> bool {
    TUNNEL_REASONS.iter().any(|reason| reason.token == token)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Unrouted;
    use crate::wire::BadHello;
    use std::collections::BTreeSet;

    #[test]
    fn table_is_sound() {
        let tokens: BTreeSet<_> = TUNNEL_REASONS.iter().map(|reason| reason.token).collect();
        assert_eq!(tokens.len(), TUNNEL_REASONS.len(), "tokens are unique");
        for reason in TUNNEL_REASONS {
            assert!(reason.token.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{}", reason.token);
            assert!(reason.meaning.ends_with('.') && !reason.meaning.contains('\n'), "{}", reason.token);
        }
    }

    #[test]
    fn what_other_rooms_say_is_listed() {
        let hellos = [BadHello::NotTls, BadHello::TooLarge, BadHello::Malformed].map(BadHello::reason);
        let routes = [Unrouted::Name, Unrouted::Protocol].map(Unrouted::reason);
        assert!(hellos.into_iter().chain(routes).all(is_listed));
        assert!(!is_listed("no_such_token"));
    }
}
