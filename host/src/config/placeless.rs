//! What is meant, without where it is written: two configurations whose lines have moved mean the same.
//!
//! A place that is forgotten here costs little: what has it counts as changed when only its line has moved.

use super::{
    AcmeIssuer, AcmeSpec, AdminSpec, CertifiedFiles, ClientCertSpec, HealthSpec, LinkSpec, ListenAddress, ListenSpec, Location, PluginSpec,
    Route, ServerSpec, Site, StoreSpec, TcpRoute, TcpSpec, TcpTls, TlsSpec, UpstreamServer, UpstreamSpec, UpstreamTls,
};

/// Something that may say where it is written.
pub trait Placeless: Clone {
    /// The same, written nowhere.
    #[must_use]
    fn placeless(&self) -> Self;

    /// Whether both mean the same.
    fn means(&self, other: &Self) -> bool
    where
        Self: PartialEq,
    {
        self.placeless() == other.placeless()
    }
}

impl Location {
    /// For what is written in no file.
    pub fn nowhere() -> Self {
        Self { file: "".into(), line: 1, column: 1 }
    }
}

impl<T: Placeless> Placeless for Vec<T> {
    fn placeless(&self) -> Self {
        self.iter().map(T::placeless).collect()
    }
}

impl<T: Placeless> Placeless for Option<T> {
    fn placeless(&self) -> Self {
        self.as_ref().map(T::placeless)
    }
}

/// A value with its own place.
impl<T: Clone> Placeless for (T, Location) {
    fn placeless(&self) -> Self {
        (self.0.clone(), Location::nowhere())
    }
}

impl Placeless for CertifiedFiles {
    fn placeless(&self) -> Self {
        Self { at: Location::nowhere(), key_at: Location::nowhere(), ..self.clone() }
    }
}

impl Placeless for AcmeSpec {
    fn placeless(&self) -> Self {
        let issuer = AcmeIssuer { ca: self.issuer.ca.placeless(), ..self.issuer.clone() };
        Self { issuer, at: Location::nowhere(), ..self.clone() }
    }
}

impl Placeless for TlsSpec {
    fn placeless(&self) -> Self {
        match self {
            Self::Off | Self::Local => self.clone(),
            Self::Files(files) => Self::Files(files.placeless()),
            Self::Acme(spec) => Self::Acme(spec.placeless()),
        }
    }
}

impl Placeless for ClientCertSpec {
    fn placeless(&self) -> Self {
        Self { ca_at: Location::nowhere(), crl: self.crl.placeless(), ..self.clone() }
    }
}

impl Placeless for LinkSpec {
    fn placeless(&self) -> Self {
        let settings_at = self.settings_at.keys().map(|key| (key.clone(), Location::nowhere())).collect();
        Self { settings_at, at: Location::nowhere(), ..self.clone() }
    }
}

impl Placeless for Route {
    fn placeless(&self) -> Self {
        Self { chain: self.chain.placeless(), at: Location::nowhere(), ..self.clone() }
    }
}

impl Placeless for Site {
    fn placeless(&self) -> Self {
        let Self { name, aliases, tls, client, routes, at: _ } = self;
        let (tls, client) = (tls.placeless(), client.placeless());
        Self { name: name.clone(), aliases: aliases.clone(), tls, client, routes: routes.placeless(), at: Location::nowhere() }
    }
}

impl Placeless for UpstreamTls {
    fn placeless(&self) -> Self {
        Self { crl: self.crl.placeless(), client: self.client.placeless(), at: Location::nowhere(), ..self.clone() }
    }
}

impl Placeless for UpstreamServer {
    fn placeless(&self) -> Self {
        Self { at: Location::nowhere(), ..self.clone() }
    }
}

impl Placeless for HealthSpec {
    fn placeless(&self) -> Self {
        Self { at: Location::nowhere(), ..self.clone() }
    }
}

impl Placeless for UpstreamSpec {
    fn placeless(&self) -> Self {
        let (servers, tls, health) = (self.servers.placeless(), self.tls.placeless(), self.health.placeless());
        Self { servers, tls, health, at: Location::nowhere(), ..self.clone() }
    }
}

impl Placeless for TcpTls {
    fn placeless(&self) -> Self {
        match self {
            Self::Plain | Self::Passthrough => self.clone(),
            Self::Terminate { certificate, client, alpn } => {
                Self::Terminate { certificate: Box::new(certificate.placeless()), client: client.placeless(), alpn: alpn.clone() }
            }
        }
    }
}

impl Placeless for TcpRoute {
    fn placeless(&self) -> Self {
        Self { at: Location::nowhere(), ..self.clone() }
    }
}

impl Placeless for TcpSpec {
    fn placeless(&self) -> Self {
        let (tls, sni, chain) = (self.tls.placeless(), self.sni.placeless(), self.chain.placeless());
        Self { tls, sni, chain, at: Location::nowhere(), ..self.clone() }
    }
}

impl Placeless for PluginSpec {
    fn placeless(&self) -> Self {
        Self { at: Location::nowhere(), source_at: Location::nowhere(), ..self.clone() }
    }
}

impl Placeless for StoreSpec {
    fn placeless(&self) -> Self {
        Self { at: Location::nowhere(), ..self.clone() }
    }
}

impl Placeless for ListenSpec {
    fn placeless(&self) -> Self {
        let addresses = |list: &[(ListenAddress, Option<Location>)]| list.iter().map(|(address, _)| (address.clone(), None)).collect();
        Self { https: addresses(&self.https), http: addresses(&self.http), chain: self.chain.placeless(), ..self.clone() }
    }
}

impl Placeless for AdminSpec {
    fn placeless(&self) -> Self {
        Self { listen: self.listen.placeless(), ..self.clone() }
    }
}

impl Placeless for ServerSpec {
    fn placeless(&self) -> Self {
        Self { ticket_keys: self.ticket_keys.placeless(), ..self.clone() }
    }
}
