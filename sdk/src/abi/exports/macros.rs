//! The functions as a component exports them: their names, their flat arguments, and the metadata of their types. One macro for each
//! interface, because a plugin exports only those that it has.

/// Exports `lifecycle`. Used by `#[plugin]`.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_lifecycle {
    ($plugin:ty) => {
        static HELD: $crate::abi::exports::Held<$plugin> = $crate::abi::exports::Held::new();

        #[unsafe(link_section = "component-type:portcullis-lifecycle")]
        #[allow(dead_code, reason = "it is there for its section")]
        static LIFECYCLE: [u8; $crate::abi::metadata::LIFECYCLE.len()] = *$crate::abi::metadata::LIFECYCLE;

        // Tells the proxy that all a call is passed may lie in one block: `cabi_realloc` gives out an arena, of which nothing is freed alone.
        // And that blocks of up to this many bytes always lie at the same place (`calls::Desk`), so that it need not be asked at all.
        #[unsafe(link_section = "portcullis:one-block")]
        #[allow(dead_code, reason = "it is there for its section")]
        static ONE_BLOCK: [u8; 4] = *b"1024";

        // And that the component around this module does nothing but export its functions: the proxy may call those of a plugin that imports
        // nothing without it.
        #[unsafe(link_section = "portcullis:direct")]
        #[allow(dead_code, reason = "it is there for its section")]
        static DIRECT: [u8; 1] = *b"1";

        #[unsafe(export_name = "portcullis:plugin/lifecycle@0.1.0#describe")]
        extern "C" fn describe() -> *const $crate::abi::Str<'static> {
            $crate::abi::exports::Held::<$plugin>::describe()
        }

        #[unsafe(export_name = "portcullis:plugin/lifecycle@0.1.0#configure")]
        unsafe extern "C" fn configure(start: *const u8, len: usize) -> *const $crate::abi::RawConfigured<'static> {
            // SAFETY: what the proxy passed.
            unsafe { HELD.configure(start, len) }
        }
    };
}

/// Exports `on-request`. Used by `#[plugin]`.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_on_request {
    () => {
        #[unsafe(link_section = "component-type:portcullis-on-request")]
        #[allow(dead_code, reason = "it is there for its section")]
        static ON_REQUEST: [u8; $crate::abi::metadata::ON_REQUEST.len()] = *$crate::abi::metadata::ON_REQUEST;

        #[allow(clippy::too_many_arguments, reason = "the canonical ABI's flat form of a request head")]
        #[unsafe(export_name = "portcullis:plugin/on-request@0.1.0#on-request")]
        unsafe extern "C" fn on_request(
            exchange: u64,
            method: *const u8,
            method_len: usize,
            scheme: *const u8,
            scheme_len: usize,
            authority: *const u8,
            authority_len: usize,
            path: *const u8,
            path_len: usize,
            has_query: u32,
            query: *const u8,
            query_len: usize,
            headers: *const $crate::abi::Field<'static>,
            headers_len: usize,
            attributes: *const $crate::abi::Field<'static>,
            attributes_len: usize,
        ) -> *const $crate::abi::RawDecision<'static> {
            let given = $crate::abi::exports::RequestArguments {
                exchange,
                method: (method, method_len),
                scheme: (scheme, scheme_len),
                authority: (authority, authority_len),
                path: (path, path_len),
                query: (has_query, query, query_len),
                headers: (headers, headers_len),
                attributes: (attributes, attributes_len),
            };
            // SAFETY: what the proxy passed.
            unsafe { HELD.on_request(given) }
        }
    };
}

/// Exports `on-response`. Used by `#[plugin]`.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_on_response {
    () => {
        #[unsafe(link_section = "component-type:portcullis-on-response")]
        #[allow(dead_code, reason = "it is there for its section")]
        static ON_RESPONSE: [u8; $crate::abi::metadata::ON_RESPONSE.len()] = *$crate::abi::metadata::ON_RESPONSE;

        #[unsafe(export_name = "portcullis:plugin/on-response@0.1.0#on-response")]
        unsafe extern "C" fn on_response(
            exchange: u64,
            status: u32,
            headers: *const $crate::abi::Field<'static>,
            headers_len: usize,
            attributes: *const $crate::abi::Field<'static>,
            attributes_len: usize,
        ) -> *const $crate::abi::RawDecision<'static> {
            // SAFETY: what the proxy passed.
            unsafe { HELD.on_response(exchange, status, (headers, headers_len), (attributes, attributes_len)) }
        }
    };
}

/// Exports `connections`. Used by `#[plugin]`.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_connections {
    () => {
        #[unsafe(link_section = "component-type:portcullis-connections")]
        #[allow(dead_code, reason = "it is there for its section")]
        static CONNECTIONS: [u8; $crate::abi::metadata::CONNECTIONS.len()] = *$crate::abi::metadata::CONNECTIONS;

        #[unsafe(export_name = "portcullis:plugin/connections@0.1.0#plan-connections")]
        extern "C" fn plan_connections() -> *const $crate::abi::RawConnectionPlan<'static> {
            HELD.plan_connections()
        }
    };
}

/// Exports `on-accept`. Used by `#[plugin]`.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_on_accept {
    () => {
        #[unsafe(link_section = "component-type:portcullis-on-accept")]
        #[allow(dead_code, reason = "it is there for its section")]
        static ON_ACCEPT: [u8; $crate::abi::metadata::ON_ACCEPT.len()] = *$crate::abi::metadata::ON_ACCEPT;

        #[allow(clippy::too_many_arguments, reason = "the canonical ABI's flat form")]
        #[unsafe(export_name = "portcullis:plugin/on-accept@0.1.0#on-accept")]
        unsafe extern "C" fn on_accept(
            connection: u64,
            peer_case: u32,
            peer_first: u64,
            peer_second: u64,
            peer_third: u32,
            local_case: u32,
            local_first: u64,
            local_second: u64,
            local_third: u32,
            attributes: *const $crate::abi::Field<'static>,
            attributes_len: usize,
        ) -> *const $crate::abi::RawAcceptDecision<'static> {
            let peer = (peer_case, peer_first, peer_second, peer_third);
            let local = (local_case, local_first, local_second, local_third);
            // SAFETY: what the proxy passed.
            unsafe { HELD.on_accept(connection, peer, local, (attributes, attributes_len)) }
        }
    };
}

/// Exports `on-client-hello`. Used by `#[plugin]`.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_on_client_hello {
    () => {
        #[unsafe(link_section = "component-type:portcullis-on-client-hello")]
        #[allow(dead_code, reason = "it is there for its section")]
        static ON_CLIENT_HELLO: [u8; $crate::abi::metadata::ON_CLIENT_HELLO.len()] = *$crate::abi::metadata::ON_CLIENT_HELLO;

        #[allow(clippy::too_many_arguments, reason = "the canonical ABI's flat form")]
        #[unsafe(export_name = "portcullis:plugin/on-client-hello@0.1.0#on-client-hello")]
        unsafe extern "C" fn on_client_hello(
            connection: u64,
            has_sni: u32,
            sni: *const u8,
            sni_len: usize,
            alpn: *const $crate::abi::Str<'static>,
            alpn_len: usize,
            versions: *const u16,
            versions_len: usize,
            ciphers: *const u16,
            ciphers_len: usize,
            ja4: *const u8,
            ja4_len: usize,
            raw: *const u8,
            raw_len: usize,
            attributes: *const $crate::abi::Field<'static>,
            attributes_len: usize,
        ) -> *const $crate::abi::RawHelloDecision<'static> {
            let given = $crate::abi::exports::HelloArguments {
                connection,
                sni: (has_sni, sni, sni_len),
                alpn: (alpn, alpn_len),
                versions: (versions, versions_len),
                ciphers: (ciphers, ciphers_len),
                ja4: (ja4, ja4_len),
                raw: (raw, raw_len),
                attributes: (attributes, attributes_len),
            };
            // SAFETY: what the proxy passed.
            unsafe { HELD.on_client_hello(given) }
        }
    };
}

/// Exports `on-close`. Used by `#[plugin]`.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_on_close {
    () => {
        #[unsafe(link_section = "component-type:portcullis-on-close")]
        #[allow(dead_code, reason = "it is there for its section")]
        static ON_CLOSE: [u8; $crate::abi::metadata::ON_CLOSE.len()] = *$crate::abi::metadata::ON_CLOSE;

        #[allow(clippy::too_many_arguments, reason = "the canonical ABI's flat form")]
        #[unsafe(export_name = "portcullis:plugin/on-close@0.1.0#on-close")]
        unsafe extern "C" fn on_close(
            connection: u64,
            peer_case: u32,
            peer_first: u64,
            peer_second: u64,
            peer_third: u32,
            received: u64,
            sent: u64,
            duration: u64,
            reason: *const u8,
            reason_len: usize,
            attributes: *const $crate::abi::Field<'static>,
            attributes_len: usize,
        ) {
            let given = $crate::abi::exports::CloseArguments {
                connection,
                peer: (peer_case, peer_first, peer_second, peer_third),
                received,
                sent,
                duration,
                reason: (reason, reason_len),
                attributes: (attributes, attributes_len),
            };
            // SAFETY: what the proxy passed.
            unsafe { HELD.on_close(given) }
        }
    };
}

/// Exports `bodies`. Used by `#[plugin]`.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_bodies {
    () => {
        #[unsafe(link_section = "component-type:portcullis-bodies")]
        #[allow(dead_code, reason = "it is there for its section")]
        static BODIES: [u8; $crate::abi::metadata::BODIES.len()] = *$crate::abi::metadata::BODIES;

        #[unsafe(export_name = "portcullis:plugin/bodies@0.1.0#plan-bodies")]
        extern "C" fn plan_bodies() -> *const $crate::abi::RawBodyPlan<'static> {
            HELD.plan_bodies()
        }

        #[unsafe(export_name = "portcullis:plugin/bodies@0.1.0#release")]
        extern "C" fn release(exchange: u64) {
            HELD.release(exchange);
        }
    };
}

/// Exports `on-request-body`. Used by `#[plugin]`.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_on_request_body {
    () => {
        #[unsafe(link_section = "component-type:portcullis-on-request-body")]
        #[allow(dead_code, reason = "it is there for its section")]
        static ON_REQUEST_BODY: [u8; $crate::abi::metadata::ON_REQUEST_BODY.len()] = *$crate::abi::metadata::ON_REQUEST_BODY;

        #[unsafe(export_name = "portcullis:plugin/on-request-body@0.1.0#begin")]
        unsafe extern "C" fn begin_request(
            given: *const $crate::abi::RawRequestBegin<'static>,
        ) -> *const $crate::abi::RawBodyStart<'static> {
            // SAFETY: what the proxy passed.
            unsafe { HELD.begin_request(given) }
        }

        #[unsafe(export_name = "portcullis:plugin/on-request-body@0.1.0#watch")]
        unsafe extern "C" fn watch_request(exchange: u64, piece: *const u8, piece_len: usize) {
            // SAFETY: what the proxy passed.
            unsafe { HELD.watch_request(exchange, piece, piece_len) }
        }

        #[unsafe(export_name = "portcullis:plugin/on-request-body@0.1.0#transform")]
        unsafe extern "C" fn transform_request(
            exchange: u64,
            piece: *const u8,
            piece_len: usize,
        ) -> *const $crate::abi::RawBodyOutput<'static> {
            // SAFETY: what the proxy passed.
            unsafe { HELD.transform_request(exchange, piece, piece_len) }
        }

        #[unsafe(export_name = "portcullis:plugin/on-request-body@0.1.0#end")]
        unsafe extern "C" fn end_request(
            exchange: u64,
            trailers: *const $crate::abi::Field<'static>,
            trailers_len: usize,
        ) -> *const $crate::abi::RawBodyEnd<'static> {
            // SAFETY: what the proxy passed.
            unsafe { HELD.end_request(exchange, (trailers, trailers_len)) }
        }

        #[unsafe(export_name = "portcullis:plugin/on-request-body@0.1.0#whole")]
        unsafe extern "C" fn whole_request(
            exchange: u64,
            bytes: *const u8,
            bytes_len: usize,
            trailers: *const $crate::abi::Field<'static>,
            trailers_len: usize,
        ) -> *const $crate::abi::RawBodyDecision<'static> {
            // SAFETY: what the proxy passed.
            unsafe { HELD.whole_request(exchange, bytes, bytes_len, (trailers, trailers_len)) }
        }
    };
}

/// Exports `on-response-body`. Used by `#[plugin]`.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_on_response_body {
    () => {
        #[unsafe(link_section = "component-type:portcullis-on-response-body")]
        #[allow(dead_code, reason = "it is there for its section")]
        static ON_RESPONSE_BODY: [u8; $crate::abi::metadata::ON_RESPONSE_BODY.len()] = *$crate::abi::metadata::ON_RESPONSE_BODY;

        #[allow(clippy::too_many_arguments, reason = "the canonical ABI's flat form")]
        #[unsafe(export_name = "portcullis:plugin/on-response-body@0.1.0#begin")]
        unsafe extern "C" fn begin_response(
            exchange: u64,
            status: u32,
            headers: *const $crate::abi::Field<'static>,
            headers_len: usize,
            attributes: *const $crate::abi::Field<'static>,
            attributes_len: usize,
            has_length: u32,
            length: u64,
        ) -> *const $crate::abi::RawBodyStart<'static> {
            let length = (has_length != 0).then_some(length);
            // SAFETY: what the proxy passed.
            unsafe { HELD.begin_response(exchange, status, (headers, headers_len), (attributes, attributes_len), length) }
        }

        #[unsafe(export_name = "portcullis:plugin/on-response-body@0.1.0#watch")]
        unsafe extern "C" fn watch_response(exchange: u64, piece: *const u8, piece_len: usize) {
            // SAFETY: what the proxy passed.
            unsafe { HELD.watch_response(exchange, piece, piece_len) }
        }

        #[unsafe(export_name = "portcullis:plugin/on-response-body@0.1.0#transform")]
        unsafe extern "C" fn transform_response(
            exchange: u64,
            piece: *const u8,
            piece_len: usize,
        ) -> *const $crate::abi::RawBodyOutput<'static> {
            // SAFETY: what the proxy passed.
            unsafe { HELD.transform_response(exchange, piece, piece_len) }
        }

        #[unsafe(export_name = "portcullis:plugin/on-response-body@0.1.0#end")]
        unsafe extern "C" fn end_response(
            exchange: u64,
            trailers: *const $crate::abi::Field<'static>,
            trailers_len: usize,
        ) -> *const $crate::abi::RawBodyEnd<'static> {
            // SAFETY: what the proxy passed.
            unsafe { HELD.end_response(exchange, (trailers, trailers_len)) }
        }

        #[unsafe(export_name = "portcullis:plugin/on-response-body@0.1.0#whole")]
        unsafe extern "C" fn whole_response(
            exchange: u64,
            bytes: *const u8,
            bytes_len: usize,
            trailers: *const $crate::abi::Field<'static>,
            trailers_len: usize,
        ) -> *const $crate::abi::RawBodyDecision<'static> {
            // SAFETY: what the proxy passed.
            unsafe { HELD.whole_response(exchange, bytes, bytes_len, (trailers, trailers_len)) }
        }
    };
}

/// Exports `upstreams`. Used by `#[plugin]`.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_upstreams {
    () => {
        #[unsafe(link_section = "component-type:portcullis-upstreams")]
        #[allow(dead_code, reason = "it is there for its section")]
        static UPSTREAMS: [u8; $crate::abi::metadata::UPSTREAMS.len()] = *$crate::abi::metadata::UPSTREAMS;

        #[unsafe(export_name = "portcullis:plugin/upstreams@0.1.0#plan-upstreams")]
        extern "C" fn plan_upstreams() -> *const $crate::abi::RawUpstreamPlan<'static> {
            HELD.plan_upstreams()
        }
    };
}

/// Exports `on-balance`. Used by `#[plugin]`.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_on_balance {
    () => {
        #[unsafe(link_section = "component-type:portcullis-on-balance")]
        #[allow(dead_code, reason = "it is there for its section")]
        static ON_BALANCE: [u8; $crate::abi::metadata::ON_BALANCE.len()] = *$crate::abi::metadata::ON_BALANCE;

        #[allow(clippy::too_many_arguments, reason = "the canonical ABI's flat form")]
        #[unsafe(export_name = "portcullis:plugin/on-balance@0.1.0#on-balance")]
        unsafe extern "C" fn on_balance(
            exchange: u64,
            upstream: *const u8,
            upstream_len: usize,
            failed: u32,
            method: *const u8,
            method_len: usize,
            path: *const u8,
            path_len: usize,
            headers: *const $crate::abi::Field<'static>,
            headers_len: usize,
            attributes: *const $crate::abi::Field<'static>,
            attributes_len: usize,
            candidates: *const $crate::abi::RawCandidate<'static>,
            candidates_len: usize,
        ) -> *const $crate::abi::RawBalanceDecision<'static> {
            let given = $crate::abi::exports::BalanceArguments {
                exchange,
                upstream: (upstream, upstream_len),
                failed,
                method: (method, method_len),
                path: (path, path_len),
                headers: (headers, headers_len),
                attributes: (attributes, attributes_len),
                candidates: (candidates, candidates_len),
            };
            // SAFETY: what the proxy passed.
            unsafe { HELD.on_balance(given) }
        }
    };
}

/// Exports `on-attempt`. Used by `#[plugin]`.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_on_attempt {
    () => {
        #[unsafe(link_section = "component-type:portcullis-on-attempt")]
        #[allow(dead_code, reason = "it is there for its section")]
        static ON_ATTEMPT: [u8; $crate::abi::metadata::ON_ATTEMPT.len()] = *$crate::abi::metadata::ON_ATTEMPT;

        #[allow(clippy::too_many_arguments, reason = "the canonical ABI's flat form")]
        #[unsafe(export_name = "portcullis:plugin/on-attempt@0.1.0#on-attempt")]
        unsafe extern "C" fn on_attempt(
            exchange: u64,
            server: *const u8,
            server_len: usize,
            attempt: u32,
            reason: *const u8,
            reason_len: usize,
            has_status: u32,
            status: u32,
            sent: u32,
            left: u32,
            attributes: *const $crate::abi::Field<'static>,
            attributes_len: usize,
            candidates: *const $crate::abi::RawCandidate<'static>,
            candidates_len: usize,
        ) -> *const $crate::abi::RawAttemptDecision<'static> {
            let given = $crate::abi::exports::AttemptArguments {
                exchange,
                server: (server, server_len),
                attempt,
                reason: (reason, reason_len),
                status: (has_status, status),
                sent,
                left,
                attributes: (attributes, attributes_len),
                candidates: (candidates, candidates_len),
            };
            // SAFETY: what the proxy passed.
            unsafe { HELD.on_attempt(given) }
        }
    };
}

/// Exports `on-done`. Used by `#[plugin]`.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_on_done {
    () => {
        #[unsafe(link_section = "component-type:portcullis-on-done")]
        #[allow(dead_code, reason = "it is there for its section")]
        static ON_DONE: [u8; $crate::abi::metadata::ON_DONE.len()] = *$crate::abi::metadata::ON_DONE;

        #[allow(clippy::too_many_arguments, reason = "the canonical ABI's flat form")]
        #[unsafe(export_name = "portcullis:plugin/on-done@0.1.0#on-done")]
        unsafe extern "C" fn on_done(
            exchange: u64,
            upstream: *const u8,
            upstream_len: usize,
            server: *const u8,
            server_len: usize,
            attempts: u32,
            has_status: u32,
            status: u32,
            reason: *const u8,
            reason_len: usize,
            duration: u64,
            first_byte: u64,
            received: u64,
            sent: u64,
            attributes: *const $crate::abi::Field<'static>,
            attributes_len: usize,
        ) {
            let given = $crate::abi::exports::DoneArguments {
                exchange,
                upstream: (upstream, upstream_len),
                server: (server, server_len),
                attempts,
                status: (has_status, status),
                reason: (reason, reason_len),
                duration,
                first_byte,
                received,
                sent,
                attributes: (attributes, attributes_len),
            };
            // SAFETY: what the proxy passed.
            unsafe { HELD.on_done(given) }
        }
    };
}

/// Exports `on-tick`. Used by `#[plugin]`.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_on_tick {
    () => {
        #[unsafe(link_section = "component-type:portcullis-on-tick")]
        #[allow(dead_code, reason = "it is there for its section")]
        static ON_TICK: [u8; $crate::abi::metadata::ON_TICK.len()] = *$crate::abi::metadata::ON_TICK;

        #[unsafe(export_name = "portcullis:plugin/on-tick@0.1.0#on-tick")]
        extern "C" fn on_tick(number: u64, worker: u32, workers: u32) {
            HELD.on_tick(number, worker, workers)
        }
    };
}
