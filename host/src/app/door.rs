//! The chains of listeners at work: what the walls ask about connections is answered by links, and counted and logged here.

use super::errands::Ways;
use super::filters::{Filters, HeldGuests};
use super::listeners::Speaks;
use crate::chain::{Around, Chain, ConnectionPhases, ConnectionWalk, Fault, Hello, Link, Reach};
use crate::config::{Config, LinkSpec, Placeless, TcpSpec};
use crate::listen::{Counted, Crowd, Door, Visit};
use crate::message::{Admission, Arrival, Attributes, ClientHello, ConnectionId, Ending, ListenerKind};
use crate::observe::RateCap;
use crate::sandbox::{Configured, Guests};
use bytestring::ByteString;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The attribute that only links which ask for it cost anything.
const OPEN: &str = "peer.connections";

/// The chain of some listeners, as all workers share it.
#[derive(Clone)]
pub struct DoorPlan {
    /// Its links index `filters`.
    chain: Arc<Chain>,
    /// Its own only: whoever keeps them for a connection keeps no other's guests.
    filters: Arc<[Arc<Configured>]>,
    phases: ConnectionPhases,
    kind: ListenerKind,
    /// `None`: no link asks how many connections a client has open.
    crowd: Option<Arc<Crowd>>,
}

/// The doors of a configuration. `None`: there is nobody to ask.
pub struct DoorPlans {
    /// Who is there, over all reloads: of HTTP listeners of both kinds together, and of each TCP listener.
    crowd: Arc<Crowd>,
    crowds: BTreeMap<String, Arc<Crowd>>,
    http: Option<DoorPlan>,
    https: Option<DoorPlan>,
    tcp: Vec<Option<DoorPlan>>,
    /// Of TCP listeners that share their address with HTTPS sites: the chain of `[listen]` comes first.
    shared: Vec<Option<DoorPlan>>,
}

impl DoorPlan {
    pub fn all(config: &Config, filters: &Filters, before: Option<&DoorPlans>) -> DoorPlans {
        let crowd = before.map(|before| Arc::clone(&before.crowd)).unwrap_or_default();
        let kept = |name: &String| before.and_then(|before| before.crowds.get(name)).cloned().unwrap_or_default();
        let crowds: BTreeMap<String, Arc<Crowd>> = config.tcp.iter().map(|tcp| (tcp.name.clone(), kept(&tcp.name))).collect();
        let of_http = |kind| Self::new(&mut config.listen.chain.iter(), kind, &crowd, filters);
        let of_tcp = |tcp: &TcpSpec| Self::new(&mut tcp.chain.iter(), ListenerKind::Tcp, crowds.get(&tcp.name)?, filters);
        let shared = |tcp: &TcpSpec| Self::new(&mut config.listen.chain.iter().chain(&tcp.chain), ListenerKind::Https, &crowd, filters);
        DoorPlans {
            http: of_http(ListenerKind::Http),
            https: of_http(ListenerKind::Https),
            tcp: config.tcp.iter().map(of_tcp).collect(),
            shared: config.tcp.iter().map(shared).collect(),
            crowds: crowds.clone(),
            crowd: Arc::clone(&crowd),
        }
    }

    fn new(specs: &mut dyn Iterator<Item = &LinkSpec>, kind: ListenerKind, crowd: &Arc<Crowd>, filters: &Filters) -> Option<Self> {
        // `prepare` gives every link a filter, or fails.
        let (specs, filters): (Vec<&LinkSpec>, Vec<_>) = specs.filter_map(|spec| Some((spec, filters.of(spec)?.clone()))).unzip();
        let link = |(filter, spec): (usize, &&LinkSpec)| Link { filter, when: None, spec: Arc::new((*spec).clone()) };
        let links: Box<[Link]> = specs.iter().enumerate().map(link).collect();
        let plans = || filters.iter().map(|filter| filter.connections());
        let phases = plans().fold(ConnectionPhases::default(), |all, plan| all.or(plan.phases()));
        let crowd = plans().any(|plan| plan.asks_for(OPEN)).then(|| Arc::clone(crowd));
        phases.any().then(|| Self { chain: Arc::new(Chain { links }), filters: filters.into(), phases, kind, crowd })
    }

    /// Whether connections meet the same here as there: who came in there has nothing to fear from the new.
    pub fn is_as(&self, other: &Self) -> bool {
        let link = |(own, other): (&Link, &Link)| own.spec.means(&other.spec);
        let links = |plan: &Self| plan.chain.links.len();
        self.kind == other.kind
            && links(self) == links(other)
            && self.chain.links.iter().zip(&other.chain.links).all(link)
            && self.filters.iter().zip(&*other.filters).all(|(own, other)| Arc::ptr_eq(own, other))
    }

    pub const fn wants_hellos(&self) -> bool {
        self.phases.client_hello
    }
}

impl DoorPlans {
    pub fn of(&self, speaks: Speaks) -> Option<DoorPlan> {
        match speaks {
            Speaks::Http => self.http.clone(),
            Speaks::Https => self.https.clone(),
            Speaks::Tcp(number) => self.tcp.get(number).cloned().flatten(),
            Speaks::HttpsAndTcp(number) => self.shared.get(number).cloned().flatten(),
        }
    }
}

/// What the doors of one worker share, over all reloads.
pub struct DoorKeeper {
    upstreams: Rc<Ways>,
    worker: u64,
    next: Cell<u64>,
    /// For what guests can cause at will.
    faults: RefCell<RateCap>,
}

impl DoorKeeper {
    pub fn new(worker: u16, upstreams: Rc<Ways>) -> Rc<Self> {
        // As ids of exchanges: the worker on top, below a counter that starts anywhere.
        let start = RandomState::new().build_hasher().finish();
        // As in `proxy`: enough to see what is going on, too little to fill a disk within a day.
        let faults = RefCell::new(RateCap::new(20, Duration::from_millis(500)));
        Rc::new(Self { upstreams, worker: u64::from(worker) << 48, next: Cell::new(start), faults })
    }

    /// The door of one listener. `guests`: this worker's; `listener`: its address; `reach`: what the listener can do with connections.
    pub fn door(self: &Rc<Self>, plan: &DoorPlan, guests: &HeldGuests, listener: &str, reach: Reach) -> Rc<dyn Door> {
        let filters = plan.filters.iter().filter_map(|filter| guests.of(filter)).collect();
        Rc::new(ListenerDoor { keeper: Rc::clone(self), plan: plan.clone(), filters, listener: listener.into(), reach })
    }

    fn id(&self) -> ConnectionId {
        const COUNTER: u64 = (1 << 48) - 1;
        let number = self.next.get();
        self.next.set(number.wrapping_add(1));
        ConnectionId(self.worker | number & COUNTER)
    }

    fn fault(&self, id: ConnectionId, link: &Link, fault: &Fault) {
        let Some(silent) = self.faults.borrow_mut().admit(Instant::now()) else { return };
        let more = if silent > 0 { format!(" ({silent} more were not logged)") } else { String::new() };
        let goes = if fault.open { "goes on" } else { "ends" };
        let (name, reason) = (&link.spec.name, fault.cause.reason());
        tracing::warn!(
            connection = format_args!("{:016x}", id.0),
            "link {name} broke its contract ({reason}): {}; the connection {goes}{more}{}",
            fault.detail,
            fault.report
        );
    }
}

struct ListenerDoor {
    keeper: Rc<DoorKeeper>,
    plan: DoorPlan,
    filters: Rc<[Rc<Guests>]>,
    listener: ByteString,
    reach: Reach,
}

impl Door for ListenerDoor {
    fn arrive(&self, peer: Option<SocketAddr>, local: Option<SocketAddr>) -> Box<dyn Visit> {
        let counted = peer.and_then(|peer| Some(self.plan.crowd.as_ref()?.enter(peer.ip())));
        let arrival = Arrival {
            id: self.keeper.id(),
            peer,
            local,
            listener: self.listener.clone(),
            kind: self.plan.kind,
            open: counted.as_ref().map(|counted| counted.open),
            attributes: Attributes::new(),
        };
        let walk = ConnectionWalk::new(Arc::clone(&self.plan.chain), Rc::clone(&self.filters), self.reach, arrival);
        Box::new(Visitor { keeper: Rc::clone(&self.keeper), walk, phases: self.plan.phases, _counted: counted })
    }
}

/// One connection on its walk.
struct Visitor {
    keeper: Rc<DoorKeeper>,
    walk: ConnectionWalk<Guests>,
    phases: ConnectionPhases,
    _counted: Option<Counted>,
}

impl Visitor {
    fn ask(&mut self, ask: impl FnOnce(&mut ConnectionWalk<Guests>, &mut Around<'_>) -> Admission) -> Admission {
        let (keeper, id) = (Rc::clone(&self.keeper), self.walk.arrival.id);
        let mut around =
            Around { knows: &|name| keeper.upstreams.now().index(name).is_some(), fault: &mut |link, fault| keeper.fault(id, link, fault) };
        ask(&mut self.walk, &mut around)
    }
}

impl Visit for Visitor {
    fn on_accept(&mut self) -> Admission {
        if !self.phases.accept {
            return Admission::Onward;
        }
        self.ask(|walk, around| walk.on_accept(around))
    }

    fn wants_hello(&self) -> bool {
        self.phases.client_hello && self.walk.wants(|phases| phases.client_hello)
    }

    fn wants_bytes(&self) -> bool {
        self.phases.bytes && self.walk.wants(|phases| phases.bytes)
    }

    fn on_client_hello(&mut self, hello: &ClientHello, raw: &[u8]) -> Admission {
        self.ask(|walk, around| walk.on_client_hello(Hello { read: hello, raw }, around))
    }

    fn attributes(&self) -> &Attributes {
        &self.walk.arrival.attributes
    }

    fn on_close(self: Box<Self>, ending: Ending) {
        if !self.phases.close {
            return;
        }
        let Self { keeper, walk, .. } = *self;
        let (id, why) = (walk.arrival.id, walk.refused().unwrap_or(ending.why));
        walk.on_close(&Ending { why, ..ending }, &mut |link, fault| keeper.fault(id, link, fault));
    }
}
