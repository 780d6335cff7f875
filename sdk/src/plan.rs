//! What a plugin wants to see under its settings.
//!
//! The proxy sends only that: every field left out is work saved on every request.

use crate::problem::Problem;
use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

/// What a plugin does under the settings it was given.
///
/// The `plan` method gets one that is filled in from the `#[interest]` attributes, and narrows or widens it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    pub(crate) request: Option<RequestInterest>,
    pub(crate) response: Option<ResponseInterest>,
    pub(crate) request_body: Option<RequestInterest>,
    pub(crate) response_body: Option<ResponseInterest>,
    pub(crate) accept: Option<AcceptInterest>,
    pub(crate) client_hello: Option<HelloInterest>,
    pub(crate) close: Option<CloseInterest>,
    pub(crate) balance: Option<BalanceInterest>,
    pub(crate) attempt: Option<AttemptInterest>,
    pub(crate) done: Option<DoneInterest>,
    pub(crate) tick: Option<Duration>,
    pub(crate) warnings: Vec<Problem>,
}

impl Plan {
    /// What `on_request` wants to see. Asking makes sure that the phase is entered.
    pub fn request(&mut self) -> &mut RequestInterest {
        self.request.get_or_insert_default()
    }

    /// What `on_response` wants to see. Asking makes sure that the phase is entered.
    pub fn response(&mut self) -> &mut ResponseInterest {
        self.response.get_or_insert_default()
    }

    /// `on_request` has nothing to do under these settings and is not to be called.
    pub fn skip_request(&mut self) {
        self.request = None;
    }

    /// `on_response` has nothing to do under these settings and is not to be called.
    pub fn skip_response(&mut self) {
        self.response = None;
    }

    /// What `on_request_body` wants to see. Asking makes sure that it is called.
    pub fn request_body(&mut self) -> &mut RequestInterest {
        self.request_body.get_or_insert_default()
    }

    /// What `on_response_body` wants to see. Asking makes sure that it is called.
    pub fn response_body(&mut self) -> &mut ResponseInterest {
        self.response_body.get_or_insert_default()
    }

    /// `on_request_body` has nothing to do under these settings and is not to be called.
    pub fn skip_request_body(&mut self) {
        self.request_body = None;
    }

    /// `on_response_body` has nothing to do under these settings and is not to be called.
    pub fn skip_response_body(&mut self) {
        self.response_body = None;
    }

    /// What `on_accept` wants to see. Asking makes sure that the phase is entered.
    pub fn accept(&mut self) -> &mut AcceptInterest {
        self.accept.get_or_insert_default()
    }

    /// What `on_client_hello` wants to see. Asking makes sure that the phase is entered.
    pub fn client_hello(&mut self) -> &mut HelloInterest {
        self.client_hello.get_or_insert_default()
    }

    /// What `on_close` wants to see. Asking makes sure that the phase is entered.
    pub fn close(&mut self) -> &mut CloseInterest {
        self.close.get_or_insert_default()
    }

    /// `on_accept` has nothing to do under these settings and is not to be called.
    pub fn skip_accept(&mut self) {
        self.accept = None;
    }

    /// `on_client_hello` has nothing to do under these settings and is not to be called.
    pub fn skip_client_hello(&mut self) {
        self.client_hello = None;
    }

    /// `on_close` has nothing to do under these settings and is not to be called.
    pub fn skip_close(&mut self) {
        self.close = None;
    }

    /// What `on_balance` wants to see. Asking makes sure that the phase is entered.
    pub fn balance(&mut self) -> &mut BalanceInterest {
        self.balance.get_or_insert_default()
    }

    /// What `on_attempt` wants to see. Asking makes sure that the phase is entered.
    pub fn attempt(&mut self) -> &mut AttemptInterest {
        self.attempt.get_or_insert_default()
    }

    /// What `on_done` wants to see. Asking makes sure that the phase is entered.
    pub fn done(&mut self) -> &mut DoneInterest {
        self.done.get_or_insert_default()
    }

    /// `on_tick` is called this often, on each worker: 100 ms to a day.
    pub fn tick(&mut self, every: Duration) {
        self.tick = Some(every);
    }

    /// `on_balance` has nothing to do under these settings and is not to be called.
    pub fn skip_balance(&mut self) {
        self.balance = None;
    }

    /// `on_attempt` has nothing to do under these settings and is not to be called.
    pub fn skip_attempt(&mut self) {
        self.attempt = None;
    }

    /// `on_done` has nothing to do under these settings and is not to be called.
    pub fn skip_done(&mut self) {
        self.done = None;
    }

    /// `on_tick` has nothing to do under these settings and is not to be called.
    pub fn skip_tick(&mut self) {
        self.tick = None;
    }

    /// Tells the operator about something doubtful; stops nothing. `path` is a JSON pointer into the settings.
    pub fn warn(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.warnings.push(Problem::at(path, message));
    }
}

/// What both phases can ask for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    pub exchange: bool,
    pub headers: Vec<Cow<'static, str>>,
    pub all_headers: bool,
    pub attributes: Vec<Cow<'static, str>>,
}

impl Asked {
    fn header(&mut self, name: Cow<'static, str>) {
        if !self.headers.contains(&name) {
            self.headers.push(name);
        }
    }

    fn attribute(&mut self, name: Cow<'static, str>) {
        if !self.attributes.contains(&name) {
            self.attributes.push(name);
        }
    }
}

/// What `on_request` wants to see.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestInterest {
    /// Bits in the order of the contract's `request-fields`, without `exchange`.
    pub(crate) fields: u8,
    pub(crate) asked: Asked,
}

/// What `on_response` wants to see.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResponseInterest {
    pub(crate) asked: Asked,
}

macro_rules! asks {
    ($interest:ident) => {
        impl $interest {
            /// The lines of one header field; its name in lower case.
            pub fn header(&mut self, name: impl Into<Cow<'static, str>>) -> &mut Self {
                self.asked.header(name.into());
                self
            }

            /// All header fields. Costs a copy of each on every call.
            pub fn all_headers(&mut self) -> &mut Self {
                self.asked.all_headers = true;
                self
            }

            /// An attribute such as `client.ip`, or one that another link sets.
            pub fn attribute(&mut self, name: impl Into<Cow<'static, str>>) -> &mut Self {
                self.asked.attribute(name.into());
                self
            }

            /// The number that ties the phases of one exchange together.
            pub fn exchange(&mut self) -> &mut Self {
                self.asked.exchange = true;
                self
            }
        }
    };
}
asks!(RequestInterest);
asks!(ResponseInterest);

impl RequestInterest {
    pub(crate) const METHOD: u8 = 1;
    pub(crate) const SCHEME: u8 = 2;
    pub(crate) const AUTHORITY: u8 = 4;
    pub(crate) const PATH: u8 = 8;
    pub(crate) const QUERY: u8 = 16;
    const EXCHANGE: u8 = 32;

    pub fn method(&mut self) -> &mut Self {
        self.field(Self::METHOD)
    }

    pub fn scheme(&mut self) -> &mut Self {
        self.field(Self::SCHEME)
    }

    pub fn authority(&mut self) -> &mut Self {
        self.field(Self::AUTHORITY)
    }

    pub fn path(&mut self) -> &mut Self {
        self.field(Self::PATH)
    }

    pub fn query(&mut self) -> &mut Self {
        self.field(Self::QUERY)
    }

    fn field(&mut self, bit: u8) -> &mut Self {
        self.fields |= bit;
        self
    }

    /// As the contract's `request-fields`.
    pub(crate) fn flags(&self) -> u8 {
        self.fields | if self.asked.exchange { Self::EXCHANGE } else { 0 }
    }
}

/// An interest in connections: bits in the order of the contract's flags, and attributes.
macro_rules! of_connections {
    ($(#[$doc:meta])* $interest:ident { $($(#[$field_doc:meta])* $field:ident $bit:ident = $value:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        pub struct $interest {
            pub(crate) fields: u8,
            pub(crate) attributes: Vec<Cow<'static, str>>,
        }

        impl $interest {
            $(pub(crate) const $bit: u8 = $value;)*

            $($(#[$field_doc])*
            pub fn $field(&mut self) -> &mut Self {
                self.fields |= Self::$bit;
                self
            })*

            /// An attribute such as `listener`, or one that another link sets.
            pub fn attribute(&mut self, name: impl Into<Cow<'static, str>>) -> &mut Self {
                let name = name.into();
                if !self.attributes.contains(&name) {
                    self.attributes.push(name);
                }
                self
            }
        }
    };
}

of_connections! {
    /// What `on_accept` wants to see.
    AcceptInterest {
        /// Who connected.
        peer PEER = 1,
        /// Where to.
        local LOCAL = 2,
        /// The number that ties the phases of one connection together.
        connection CONNECTION = 4,
    }
}

of_connections! {
    /// What `on_client_hello` wants to see.
    HelloInterest {
        /// The server's name.
        sni SNI = 1,
        /// Protocols.
        alpn ALPN = 2,
        /// Versions of TLS.
        versions VERSIONS = 4,
        /// Cipher suites.
        ciphers CIPHERS = 8,
        /// The fingerprint. Costs two SHA-256 per connection.
        ja4 JA4 = 16,
        /// The message itself.
        raw RAW = 32,
        /// The number that ties the phases of one connection together.
        connection CONNECTION = 64,
    }
}

of_connections! {
    /// What `on_close` wants to see.
    CloseInterest {
        /// Who had connected.
        peer PEER = 1,
        /// Bytes each way.
        bytes BYTES = 2,
        /// How long it was open.
        duration DURATION = 4,
        /// Why it ended.
        reason REASON = 8,
        /// The number that ties the phases of one connection together.
        connection CONNECTION = 16,
    }
}

/// What `on_balance` wants to see.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BalanceInterest {
    /// Bits in the order of the contract's `balance-fields`, without `exchange`.
    pub(crate) fields: u8,
    pub(crate) asked: Asked,
}

impl BalanceInterest {
    pub(crate) const UPSTREAM: u8 = 1;
    pub(crate) const METHOD: u8 = 2;
    pub(crate) const PATH: u8 = 4;
    pub(crate) const ADDRESS: u8 = 8;
    pub(crate) const WEIGHT: u8 = 16;
    pub(crate) const TAGS: u8 = 32;
    pub(crate) const LOAD: u8 = 64;
    const EXCHANGE: u8 = 128;

    pub(crate) fn flags(&self) -> u8 {
        self.fields | if self.asked.exchange { Self::EXCHANGE } else { 0 }
    }

    fn ask(&mut self, bit: u8) -> &mut Self {
        self.fields |= bit;
        self
    }

    /// The upstream's name.
    pub fn upstream(&mut self) -> &mut Self {
        self.ask(Self::UPSTREAM)
    }

    /// The request's method.
    pub fn method(&mut self) -> &mut Self {
        self.ask(Self::METHOD)
    }

    /// The request's path.
    pub fn path(&mut self) -> &mut Self {
        self.ask(Self::PATH)
    }

    /// Each server's address.
    pub fn address(&mut self) -> &mut Self {
        self.ask(Self::ADDRESS)
    }

    /// Each server's weight.
    pub fn weight(&mut self) -> &mut Self {
        self.ask(Self::WEIGHT)
    }

    /// Each server's tags.
    pub fn tags(&mut self) -> &mut Self {
        self.ask(Self::TAGS)
    }

    /// What runs on each server, and how long it takes.
    pub fn load(&mut self) -> &mut Self {
        self.ask(Self::LOAD)
    }

    /// The number that ties the phases of one exchange together.
    pub fn exchange(&mut self) -> &mut Self {
        self.asked.exchange = true;
        self
    }

    /// A field of the request's head, in lower case.
    pub fn header(&mut self, name: impl Into<Cow<'static, str>>) -> &mut Self {
        self.asked.header(name.into());
        self
    }

    /// An attribute such as `client.ip`, or one that another link sets.
    pub fn attribute(&mut self, name: impl Into<Cow<'static, str>>) -> &mut Self {
        self.asked.attribute(name.into());
        self
    }
}

/// What `on_attempt` wants to see, and after which statuses it wants to be asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AttemptInterest {
    pub(crate) fields: u8,
    pub(crate) statuses: Vec<u16>,
    pub(crate) attributes: Vec<Cow<'static, str>>,
}

impl AttemptInterest {
    pub(crate) const SERVER: u8 = 1;
    pub(crate) const REASON: u8 = 2;
    pub(crate) const CANDIDATES: u8 = 4;
    pub(crate) const EXCHANGE: u8 = 8;

    fn ask(&mut self, bit: u8) -> &mut Self {
        self.fields |= bit;
        self
    }

    /// The address of the server.
    pub fn server(&mut self) -> &mut Self {
        self.ask(Self::SERVER)
    }

    /// The reason token.
    pub fn reason(&mut self) -> &mut Self {
        self.ask(Self::REASON)
    }

    /// Where another attempt could go.
    pub fn candidates(&mut self) -> &mut Self {
        self.ask(Self::CANDIDATES)
    }

    /// The number that ties the phases of one exchange together.
    pub fn exchange(&mut self) -> &mut Self {
        self.ask(Self::EXCHANGE)
    }

    /// A response of this status counts as a failed attempt. At most 64.
    pub fn status(&mut self, status: u16) -> &mut Self {
        if !self.statuses.contains(&status) {
            self.statuses.push(status);
        }
        self
    }

    /// An attribute such as `route`, or one that another link sets.
    pub fn attribute(&mut self, name: impl Into<Cow<'static, str>>) -> &mut Self {
        let name = name.into();
        if !self.attributes.contains(&name) {
            self.attributes.push(name);
        }
        self
    }
}

of_connections! {
    /// What `on_done` wants to see.
    DoneInterest {
        /// The upstream's name.
        upstream UPSTREAM = 1,
        /// The address of the last server.
        server SERVER = 2,
        /// Why it did not end as it should.
        reason REASON = 4,
        /// How long it took, as a whole and to the response head.
        times TIMES = 8,
        /// Bytes of both bodies.
        bytes BYTES = 16,
        /// The number that ties the phases of one exchange together.
        exchange EXCHANGE = 32,
    }
}
