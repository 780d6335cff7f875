//! Which corridor a listener leads to: what crosses threads, and what each worker makes of it. The walls and the TCP corridor do not
//! know each other; their types are put together here.

use super::listeners::Speaks;
use super::papers::Papers;
use crate::certs::TlsSettings;
use crate::chain::Reach;
use crate::config::{Config, Limits, Placeless, TcpSpec, TcpTls};
use crate::listen::{Arrived, ArrivedIo, Ends, Kind, Route, Tcp, Tunnels};
use crate::message::{ClientHello, Connection, Unrouted};
use crate::tunnel::{Arrival, Client, Ledger, Tunnel};
use crate::upstream::Upstreams;
use rustls::KeyLog;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

/// What a listener leads to, for any worker.
#[derive(Clone)]
pub enum Course {
    Http,
    Https(TlsSettings),
    Tcp { spec: Arc<TcpSpec>, ends: Tls },
}

/// As `listen::Ends`.
#[derive(Clone)]
pub enum Tls {
    Nowhere,
    Beyond(Option<TlsSettings>),
    Here(TlsSettings),
}

/// The courses of a configuration.
pub struct Courses {
    https: TlsSettings,
    tcp: Vec<(Arc<TcpSpec>, Tls)>,
    papers: Papers,
}

impl Course {
    /// TLS settings that would be equal to those `before` are kept, with the sessions in them. Errors: rustls refuses what we ask of it.
    pub fn all(
        config: &Config,
        papers: &Papers,
        key_log: Option<&Arc<dyn KeyLog>>,
        before: Option<&Courses>,
    ) -> Result<Courses, rustls::Error> {
        let Papers { store, tcp_stores, tickets, .. } = papers;
        let kept = before.filter(|before| before.papers.shows_as(papers));
        let mut tcp = Vec::new();
        for (number, (spec, store)) in config.tcp.iter().zip(tcp_stores).enumerate() {
            if let Some((_, ends)) = kept.and_then(|kept| kept.tcp.get(number)).filter(|(kept, _)| kept.tls.means(&spec.tls)) {
                tcp.push((Arc::new(spec.clone()), ends.clone()));
                continue;
            }
            let ends = match (&spec.tls, store) {
                (TcpTls::Terminate { alpn, .. }, Some(store)) => {
                    Tls::Here(TlsSettings::speaking(alpn, store.clone(), tickets, key_log.cloned())?)
                }
                (TcpTls::Passthrough, _) => Tls::Beyond(None),
                // Plain, since whoever ends TLS has a store.
                _ => Tls::Nowhere,
            };
            tcp.push((Arc::new(spec.clone()), ends));
        }
        let https = match kept {
            Some(kept) => kept.https.clone(),
            None => TlsSettings::new(store.clone(), tickets, key_log.cloned())?,
        };
        Ok(Courses { https, tcp, papers: papers.clone() })
    }

    /// On a worker.
    pub fn kind(self, limits: &Limits, upstreams: &Rc<Upstreams>, ledger: &Rc<Ledger>) -> Kind {
        let (spec, ends) = match self {
            Self::Http => return Kind::Plain,
            Self::Https(settings) => return Kind::Tls(settings),
            Self::Tcp { spec, ends } => (spec, ends),
        };
        let tls = match ends {
            Tls::Nowhere => Ends::Nowhere,
            Tls::Beyond(sites) => Ends::Beyond { sites },
            Tls::Here(settings) => Ends::Here(settings),
        };
        let tunnel = Tunnel::new(&spec, limits, upstreams.clone(), ledger.clone());
        Kind::Tcp(Tcp { tls, tunnels: Rc::new(Corridor(tunnel)) })
    }
}

impl Course {
    /// What links can do with its connections.
    pub fn reach(&self) -> Reach {
        let ends = match self {
            Self::Http | Self::Https(_) => return Reach::default(),
            Self::Tcp { ends, .. } => ends,
        };
        match ends {
            Tls::Nowhere => Reach { forward: true, ..Reach::default() },
            Tls::Beyond(_) => Reach { pass_through: true, ..Reach::default() },
            Tls::Here(_) => Reach { forward_terminated: true, pass_through: true, ..Reach::default() },
        }
    }

    /// With client hellos read before the handshake, for links that want to see them: as if some names could be passed through.
    pub fn seeing_hellos(self) -> Self {
        match self {
            Self::Https(settings) => Self::Tcp { spec: Arc::new(TcpSpec::nowhere()), ends: Tls::Beyond(Some(settings)) },
            other => other,
        }
    }
}

impl Courses {
    pub fn of(&self, speaks: Speaks) -> Course {
        let tcp = |number: usize| self.tcp.get(number).cloned();
        match speaks {
            Speaks::Http => Course::Http,
            Speaks::Https => Course::Https(self.https.clone()),
            Speaks::Tcp(number) => tcp(number).map_or(Course::Http, |(spec, ends)| Course::Tcp { spec, ends }),
            Speaks::HttpsAndTcp(number) => match tcp(number) {
                Some((spec, _)) => Course::Tcp { spec, ends: Tls::Beyond(Some(self.https.clone())) },
                None => Course::Https(self.https.clone()),
            },
        }
    }
}

/// The TCP corridor behind a listener.
struct Corridor(Rc<Tunnel>);

impl Tunnels for Corridor {
    fn route(&self, hello: Option<&ClientHello>) -> Result<Route, Unrouted> {
        self.0.route(hello).map(Route)
    }

    fn named(&self, upstream: &str) -> Option<Route> {
        self.0.named(upstream).map(Route)
    }

    fn carry(&self, arrived: Arrived, route: Route) -> Pin<Box<dyn Future<Output = ()>>> {
        let Arrived { connection, io, early, hello, traffic, watch } = arrived;
        let client = match io {
            ArrivedIo::Socket(socket) => Client::Socket(socket),
            ArrivedIo::Stream(stream) => Client::Stream(stream),
        };
        self.0.carry(Arrival { connection, hello, traffic, watch }, client, early, route.0)
    }

    fn refuse(&self, connection: &Connection, hello: Option<&ClientHello>, reason: &'static str) {
        self.0.refuse(Arrival { connection: Rc::new(connection.clone()), hello: hello.cloned(), traffic: None, watch: None }, reason);
    }
}
