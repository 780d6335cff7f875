//! Everything that can still be wrong with a configuration whose text is right: certificates, components, their settings.

use super::filters::Filters;
use super::granted::Granted;
use super::origin::Origins;
use super::papers::{Papers, certified_names};
use super::services::Services;
use super::state::{self, StateError};
use super::watch::Watch;
use crate::certs::{self, CertProblem, Outbound};
use crate::config::{self, Code, Component, Config, Diagnostic, Place, PluginSource, Recorded, Recorder, Report, Site, TlsSpec};
use crate::sandbox::{Sandbox, SandboxError, SandboxOptions};
use crate::upstream::Seal;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What all generations of a process stand on.
pub struct Base {
    /// The main file.
    pub path: PathBuf,
    /// The state directory, settled by the first generation.
    pub state: PathBuf,
    pub sandbox: Sandbox,
    /// What can be seen of it all.
    pub watch: Arc<Watch>,
}

/// A configuration that can be served.
pub struct Prepared {
    pub config: Config,
    /// Has warnings only.
    pub report: Report,
    pub granted: Granted,
    pub filters: Arc<Filters>,
    pub services: Arc<Services>,
    pub papers: Papers,
    /// Of cookies that name servers.
    pub seal: Seal,
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

/// A configuration as read.
pub struct Written {
    pub config: Config,
    pub report: Report,
}

/// Reads a file and what it includes, and notes what was looked at, plugins included.
pub fn read(path: &Path) -> (Recorded, Result<Written, PrepareError>) {
    let recorder = Recorder::default();
    let loaded = config::load_from(path, &recorder);
    let mut recorded = recorder.into_recorded();
    if let Ok((config, _)) = &loaded {
        let sources = config.plugins.values().map(|plugin| &plugin.source);
        sources.for_each(|source| match source {
            PluginSource::Path(path) => recorded.note(path),
            PluginSource::Registry { .. } | PluginSource::Bundled(_) => {}
        });
        let services = config.services.keys();
        services.for_each(|component| match component {
            Component::File(path) => recorded.note(path),
            Component::Declared(_) => {}
        });
    }
    (recorded, loaded.map(|(config, report)| Written { config, report }).map_err(PrepareError::Config))
}

impl Base {
    /// For a process whose first configuration this is.
    pub fn open(path: &Path, first: &Config, watch: Arc<Watch>) -> Result<Self, PrepareError> {
        let state = state::open(first.server.state.as_deref())?;
        let sandbox = sandbox(Some(&state))?;
        Ok(Self { path: path.to_path_buf(), state, sandbox, watch })
    }

    /// Checks certificates and plugins; makes what the local CA has to make. What is as it was `before` is kept. Blocks for as long as compiling takes.
    pub fn prepare(&self, written: Written, before: Option<&Prepared>) -> Result<Prepared, PrepareError> {
        let Written { config, mut report } = written;
        let mut found = Vec::new();
        let origins = Origins::everybody(&self.state);
        let granted = Granted::open(&config, &self.watch, self.sandbox.local_store(), before.map(|before| &before.granted), &mut found);
        let filters = Filters::build(&config, (&self.sandbox, &origins), &granted, before.map(|before| &*before.filters), &mut found);
        let services = Services::build(&config, &self.sandbox, &origins, &mut found);
        let papers = Papers::open(&config, &self.state, before.map(|before| &before.papers), &mut found);
        report.add(found);
        let seal = self.seal(&config)?;
        match papers {
            Some(papers) if report.errors() == 0 => {
                let (filters, services) = (Arc::new(filters), Arc::new(services));
                Ok(Prepared { config, report, granted, filters, services, papers, seal })
            }
            _ => Err(PrepareError::Config(report)),
        }
    }

    /// The same in all processes with this state directory, if there is any need for it.
    fn seal(&self, config: &Config) -> Result<Seal, PrepareError> {
        let wanted = config.upstreams.values().any(|upstream| upstream.sticky.is_some());
        Ok(if wanted { state::seal(&self.state)? } else { Seal::new(&[]) })
    }
}

/// As a start would prepare it, for a look only: makes no certificate, and no state directory if there is none yet.
pub fn review(path: &Path) -> Result<(Option<Config>, Report), PrepareError> {
    let (config, mut report) = match config::load(path) {
        Ok(loaded) => loaded,
        Err(report) => return Ok((None, report)),
    };
    let state = config.server.state.as_deref().filter(|dir| dir.is_dir()).map(Path::to_path_buf);
    let mut found = Vec::new();
    let (sandbox, origins) = (sandbox(state.as_deref())?, Origins::nobody(&state::place(config.server.state.as_deref())));
    let granted = Granted::open(&config, &Arc::default(), sandbox.local_store(), None, &mut found);
    Filters::build(&config, (&sandbox, &origins), &granted, None, &mut found);
    Services::build(&config, &sandbox, &origins, &mut found);
    let certified: Vec<Site> = config.tcp.iter().flat_map(certified_names).collect();
    for site in config.sites.iter().chain(&certified) {
        if let TlsSpec::Files(files) = &site.tls {
            tell(certs::check_files(files, site.names()), &mut found);
        }
        if let Some(client) = &site.client {
            tell(certs::check_clients(client, &site.name), &mut found);
        }
        if let TlsSpec::Acme(spec) = &site.tls {
            site.names().for_each(|name| tell(certs::check_acme(spec, name, state.as_deref()), &mut found));
        }
    }
    if let Some((directory, at)) = &config.server.ticket_keys {
        found.extend(certs::check_ticket_keys(directory, at).map(diagnostic));
    }
    outbound(&config, None, &mut found);
    report.add(found);
    Ok((Some(config), report))
}

/// What upstreams with TLS need; `None`: something is wrong with it.
pub fn outbound(config: &Config, before: Option<&Outbound>, found: &mut Vec<Diagnostic>) -> Option<Outbound> {
    let opened = match before {
        Some(before) => before.succeed(&config.upstreams),
        None => Outbound::open(&config.upstreams),
    };
    let (outbound, problems) = match opened {
        Ok((outbound, warnings)) => (Some(outbound), warnings),
        Err(problems) => (None, problems),
    };
    found.extend(problems.into_iter().map(diagnostic));
    outbound
}

/// One file for several names: what is wrong with the file is wrong with it for each, and told once.
pub fn tell(problems: Vec<CertProblem>, found: &mut Vec<Diagnostic>) {
    for problem in problems.into_iter().map(diagnostic) {
        if !found.contains(&problem) {
            found.push(problem);
        }
    }
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
