//! Everything that can still be wrong with a configuration whose text is right: certificates, components, their settings.

use super::filters::Filters;
use super::origin::Origins;
use super::services::Services;
use super::state::{self, StateError};
use super::watch::Watch;
use crate::certs::{self, CertProblem, Challenges, Outbound, Store, TicketKeyError, TicketKeys};
use crate::config::{self, Code, Config, Diagnostic, Location, Place, Report, Site, SiteName, TcpSpec, TcpTls, TlsSpec};
use crate::sandbox::{Sandbox, SandboxError, SandboxOptions};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A configuration that can be served.
pub struct Prepared {
    pub config: Config,
    /// Has warnings only.
    pub report: Report,
    pub filters: Filters,
    pub services: Services,
    pub store: Arc<Store>,
    pub tickets: Arc<TicketKeys>,
    pub outbound: Arc<Outbound>,
    /// Beside the configuration's TCP listeners; for those that end TLS.
    pub tcp_stores: Vec<Option<Arc<Store>>>,
    /// Kept for as long as guests live.
    pub sandbox: Sandbox,
}

/// Why a configuration cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// The operator's mistakes, all of them.
    #[error("{}", .0.text())]
    Config(Report),
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
}

/// Checks what a file names, certificates and plugins; makes what the local CA has to make. `report`: what the text raised.
pub fn prepare(config: Config, mut report: Report, watch: &Watch) -> Result<Prepared, PrepareError> {
    let state = state::open(config.server.state.as_deref())?;
    let sandbox = sandbox(Some(&state))?;
    let mut found = Vec::new();
    let origins = Origins::everybody(&state);
    let filters = Filters::build(&config, &sandbox, &origins, watch, &mut found);
    let services = Services::build(&config, &sandbox, &origins, &mut found);
    // Shared by all listeners: a CA looks where its challenge wants, not where the certificate is used.
    let challenges = Arc::<Challenges>::default();
    let store = match Store::open(&config.sites, &state) {
        Ok((store, warnings)) => {
            found.extend(warnings.into_iter().map(diagnostic));
            Some(store.showing(&challenges))
        }
        Err(problems) => {
            found.extend(problems.into_iter().map(diagnostic));
            None
        }
    };
    let tcp_stores = tcp_stores(&config, &state, &challenges, &mut found);
    let tickets = tickets(&config, &mut found);
    let outbound = outbound(&config, &mut found);
    report.add(found);
    match (store, tickets, outbound) {
        (Some(store), Some(tickets), Some(outbound)) if report.errors() == 0 => {
            let (store, outbound) = (Arc::new(store), Arc::new(outbound));
            Ok(Prepared { config, report, filters, services, store, tickets, outbound, tcp_stores, sandbox })
        }
        _ => Err(PrepareError::Config(report)),
    }
}

fn tickets(config: &Config, found: &mut Vec<Diagnostic>) -> Option<Arc<TicketKeys>> {
    let place = config.server.ticket_keys.as_ref();
    let opened = TicketKeys::open(place.map(|(directory, _)| directory.as_path()));
    // Without a directory, only random bytes can be missing.
    let nowhere = || Location { file: "".into(), line: 1, column: 1 };
    let problem = |error: TicketKeyError| error.problem(&place.map_or_else(nowhere, |(_, at)| at.clone()));
    opened.map_err(|error| found.push(diagnostic(problem(error)))).ok()
}

/// As `prepare`, for a look only: makes no certificate, and no state directory if there is none yet.
pub fn review(path: &Path) -> Result<(Option<Config>, Report), PrepareError> {
    let (config, mut report) = match config::load(path) {
        Ok(loaded) => loaded,
        Err(report) => return Ok((None, report)),
    };
    let state = config.server.state.as_deref().filter(|dir| dir.is_dir()).map(Path::to_path_buf);
    let mut found = Vec::new();
    let (sandbox, origins) = (sandbox(state.as_deref())?, Origins::nobody(&state::place(config.server.state.as_deref())));
    Filters::build(&config, &sandbox, &origins, &Watch::default(), &mut found);
    Services::build(&config, &sandbox, &origins, &mut found);
    let certified: Vec<Site> = config.tcp.iter().flat_map(certified_names).collect();
    for site in config.sites.iter().chain(&certified) {
        if let TlsSpec::Files(files) = &site.tls {
            tell(certs::check_files(files, &site.name), &mut found);
        }
        if let Some(client) = &site.client {
            tell(certs::check_clients(client, &site.name), &mut found);
        }
        if let TlsSpec::Acme(spec) = &site.tls {
            tell(certs::check_acme(spec, &site.name, state.as_deref()), &mut found);
        }
    }
    if let Some((directory, at)) = &config.server.ticket_keys {
        found.extend(certs::check_ticket_keys(directory, at).map(diagnostic));
    }
    outbound(&config, &mut found);
    report.add(found);
    Ok((Some(config), report))
}

/// What upstreams with TLS need; `None`: something is wrong with it.
pub fn outbound(config: &Config, found: &mut Vec<Diagnostic>) -> Option<Outbound> {
    let (outbound, problems) = match Outbound::open(&config.upstreams) {
        Ok((outbound, warnings)) => (Some(outbound), warnings),
        Err(problems) => (None, problems),
    };
    found.extend(problems.into_iter().map(diagnostic));
    outbound
}

fn tcp_stores(config: &Config, state: &Path, challenges: &Arc<Challenges>, found: &mut Vec<Diagnostic>) -> Vec<Option<Arc<Store>>> {
    let mut open = |spec: &TcpSpec| {
        let names = certified_names(spec);
        let (store, problems) = match (!names.is_empty()).then(|| Store::open(&names, state))? {
            Ok((store, warnings)) => (Some(Arc::new(store.showing(challenges))), warnings),
            Err(problems) => (None, problems),
        };
        tell(problems, found);
        store
    };
    config.tcp.iter().map(&mut open).collect()
}

/// One file for several names: what is wrong with the file is wrong with it for each, and told once.
fn tell(problems: Vec<CertProblem>, found: &mut Vec<Diagnostic>) {
    for problem in problems.into_iter().map(diagnostic) {
        if !found.contains(&problem) {
            found.push(problem);
        }
    }
}

/// What a TCP listener that ends TLS needs certificates for, as the sites they would be: the names in `sni`, and with `to` whatever else
/// is asked for.
fn certified_names(spec: &TcpSpec) -> Vec<Site> {
    let TcpTls::Terminate { certificate, client, .. } = &spec.tls else { return Vec::new() };
    let mut names: BTreeSet<SiteName> = spec.sni.iter().map(|route| route.name.clone()).collect();
    if spec.to.is_some() {
        names.insert(SiteName::Any);
        let own = spec
            .addresses
            .iter()
            .filter_map(|address| Some(address.ip()?.ip()))
            .filter(|ip| **certificate == TlsSpec::Local && !ip.is_unspecified());
        names.extend(own.map(|ip| SiteName::Exact(if ip.is_ipv6() { format!("[{ip}]") } else { ip.to_string() })));
    }
    let site = |name| Site { name, tls: (**certificate).clone(), client: client.clone(), routes: Vec::new(), at: spec.at.clone() };
    names.into_iter().map(site).collect()
}

/// With its cache of compiled components in the state directory.
pub fn sandbox(state: Option<&Path>) -> Result<Sandbox, SandboxError> {
    let cache: Option<PathBuf> = state.map(|dir| dir.join("compiled"));
    Sandbox::new(&SandboxOptions { cache, ..SandboxOptions::default() })
}

fn diagnostic(problem: CertProblem) -> Diagnostic {
    let code = match problem.code {
        CertProblem::KEY_DIFFERS => Code::KeyMismatch,
        CertProblem::NOT_COVERED => Code::NotCovered,
        CertProblem::VALIDITY => Code::Expired,
        CertProblem::TICKET_KEYS => Code::TicketKeys,
        CertProblem::CA_EMPTY => Code::CaEmpty,
        CertProblem::LOCAL_CA => Code::LocalCa,
        CertProblem::ACME_STATE => Code::AcmeState,
        _ => Code::CertificateUnreadable,
    };
    let make = if problem.is_error() { Diagnostic::error } else { Diagnostic::warning };
    let diagnostic = make(code, Place::from(problem.at), problem.message);
    match problem.help {
        Some(help) => diagnostic.help(help),
        None => diagnostic,
    }
}
