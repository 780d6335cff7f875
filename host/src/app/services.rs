//! Components that are servers of upstreams. Each worker serves connections of its own upstreams to them, over pairs of sockets, so that a service
//! counts as any other server for balance, timeouts, retries and the log.

use super::origin::{Origin, Origins};
use crate::chain::Cause;
use crate::config::{Component, Config, Diagnostic, PluginName, PluginRef, ServerAddress};
use crate::sandbox::{Answer, Answering, Errand, Errands, LoadError, Refusal, Sandbox, Service, ServiceGrant};
use crate::upstream::{FAILED, Inside, InsideFault};
use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use http_body_util::{Either, Empty};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use tokio::net::UnixStream;
use tokio::sync::mpsc::WeakUnboundedSender;
use tokio::task::JoinSet;

/// More header fields than the proxy passes on: ours come on top of a client's 100.
const FIELDS: usize = 1024;

/// The services of a configuration. Shared by all workers.
#[derive(Default)]
pub struct Services(BTreeMap<Component, Arc<Service>>);

impl Services {
    /// Loads them. What is wrong is added to `found`.
    pub fn build(config: &Config, sandbox: &Sandbox, origins: &Origins, found: &mut Vec<Diagnostic>) -> Self {
        let wanted: Vec<_> = config.services.iter().map(|(component, spec)| (component, Origin::Declared(spec))).collect();
        let fetched = origins.fetch(wanted.iter().map(|(_, origin)| origin));
        let mut services = BTreeMap::new();
        for (component, origin) in &wanted {
            let Origin::Declared(spec) = origin else { continue };
            let name = named(component);
            let grant = ServiceGrant { limits: spec.limits, http: spec.allow.http.iter().map(|upstream| upstream.0.clone()).collect() };
            let read = origin.read(&name, &fetched);
            let loaded = read.and_then(|bytes| {
                sandbox
                    .load_service(&bytes, spec.sha256.as_ref(), grant, &component.to_string())
                    .map_err(|error| Box::new(refused(component, &name, origin, &error)))
            });
            match loaded {
                Ok(service) => drop(services.insert((*component).clone(), Arc::new(service))),
                Err(problem) => found.push(*problem),
            }
        }
        Self(services)
    }

    /// The servers of one worker.
    pub fn on_worker<'s>(&'s self, outside: &'s Outside) -> impl Fn(&ServerAddress) -> Option<Rc<dyn Inside>> + 's {
        move |address| {
            let ServerAddress::Component(component) = address else { return None };
            let service = Arc::clone(self.0.get(component)?);
            Some(Rc::new(Local { service, outside: Rc::clone(outside), connections: RefCell::default() }))
        }
    }
}

/// Where a worker's services hand in what they want to know from outside; set once there are upstreams to ask. Weak: whoever runs errands holds the
/// upstreams, and these hold the services.
pub type Outside = Rc<OnceCell<WeakUnboundedSender<(Errand, Answering)>>>;

/// A service on one worker. Its connections end with it.
struct Local {
    service: Arc<Service>,
    outside: Outside,
    connections: RefCell<JoinSet<()>>,
}

impl Inside for Local {
    fn connect(&self) -> io::Result<UnixStream> {
        let (ours, theirs) = UnixStream::pair()?;
        let mut connections = self.connections.borrow_mut();
        while connections.try_join_next().is_some() {}
        connections.spawn_local(serve(theirs, Arc::clone(&self.service), Rc::clone(&self.outside)));
        Ok(ours)
    }
}

/// One connection, until our other end is closed.
async fn serve(socket: UnixStream, service: Arc<Service>, outside: Outside) {
    let answer = service_fn(move |request: Request<Incoming>| {
        let (service, errands) = (Arc::clone(&service), outside.get().and_then(WeakUnboundedSender::upgrade));
        async move { Ok::<_, Infallible>(answer(&service, request, errands).await) }
    });
    // It fails if an answer breaks off, which the other end sees, and the service has said why.
    let _ = http1::Builder::new().max_headers(FIELDS).serve_connection(TokioIo::new(socket), answer).await;
}

async fn answer(service: &Service, request: Request<Incoming>, errands: Option<Errands>) -> Response<Either<Answer, Empty<Bytes>>> {
    // The proxy itself has set it.
    let secure = request.headers().get("x-forwarded-proto").is_some_and(|scheme| scheme == "https");
    match service.handle(request, secure, errands).await {
        Ok(mut response) => {
            // Only we may say so.
            response.headers_mut().remove(FAILED);
            response.map(Either::Left)
        }
        Err(cause) => {
            let mut response = Response::new(Either::Right(Empty::new()));
            response.headers_mut().insert(FAILED, HeaderValue::from_static(fault(cause).as_str()));
            response
        }
    }
}

fn fault(cause: Cause) -> InsideFault {
    match cause {
        Cause::Trap => InsideFault::Trap,
        Cause::Timeout => InsideFault::Timeout,
        Cause::Memory => InsideFault::Memory,
        Cause::BadOutput => InsideFault::Answer,
        Cause::Overload => InsideFault::Overload,
    }
}

/// As diagnostics call it.
fn named(component: &Component) -> PluginRef {
    match component {
        Component::Declared(name) => PluginRef::Declared(name.clone()),
        Component::File(path) => PluginRef::Declared(PluginName(path.file_name().unwrap_or_default().to_string_lossy().into_owned())),
    }
}

fn refused(component: &Component, name: &PluginRef, origin: &Origin<'_>, error: &LoadError) -> Diagnostic {
    match (component, error) {
        (Component::Declared(_), LoadError::Import(Refusal::Ungranted { import, grant })) => {
            let help = format!("add: allow = {{ {grant} }}");
            Diagnostic::not_granted(&name.to_string(), origin.at(), import, Some(&help))
        }
        (Component::File(_), LoadError::Import(Refusal::Ungranted { import, grant })) => {
            let help = format!("declare it: [plugin.x] source = \"…\", allow = {{ {grant} }}; and write: servers = \"component:x\"");
            Diagnostic::not_granted(&name.to_string(), origin.at(), import, Some(&help))
        }
        (_, error) => origin.unloadable(name, error),
    }
}
