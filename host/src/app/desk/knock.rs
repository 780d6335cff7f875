//! Connections that never were, and a filter that is looked at while it decides about them.

use crate::chain::{ConnectionDecision, ConnectionFilter, ConnectionPhases, Fault, Hello, Reach};
use crate::config::cases::{MadeConnection, MadeEnding, MadeHello, MadeListener};
use crate::message::{Admission, Arrival, Attributes, ClientHello, ConnectionId, EndReason, Ending, ListenerKind};
use crate::sandbox::Guests;
use crate::wire::HelloReader;
use std::cell::RefCell;
use std::rc::Rc;

pub fn arrival(made: &MadeConnection, id: u64) -> Arrival {
    let kind = match made.listener {
        MadeListener::Https => ListenerKind::Https,
        MadeListener::Http => ListenerKind::Http,
        MadeListener::Tcp => ListenerKind::Tcp,
    };
    let attributes = made.attributes.iter().map(|(name, value)| (name.as_str().into(), value.as_str().into())).collect();
    let (peer, local) = (Some(made.peer), Some(made.local));
    Arrival { id: ConnectionId(id), peer, local, listener: made.local.to_string().into(), kind, open: made.open, attributes }
}

/// What can be done with it: as with a listener of that kind that ends TLS itself.
pub fn reach(made: &MadeConnection) -> Reach {
    match (made.listener, &made.hello) {
        (MadeListener::Http, _) => Reach::default(),
        (MadeListener::Https, _) => Reach { pass_through: true, ..Reach::default() },
        (MadeListener::Tcp, None) => Reach { forward: true, ..Reach::default() },
        (MadeListener::Tcp, Some(_)) => Reach { forward_terminated: true, pass_through: true, ..Reach::default() },
    }
}

pub fn ending(made: &MadeEnding, refused: Option<EndReason>) -> Ending {
    let all = [EndReason::Done, EndReason::Refused, EndReason::Fault, EndReason::Tls, EndReason::Stopped];
    let why = refused.or(all.get(made.why).copied()).unwrap_or(EndReason::Done);
    Ending { received: made.received, sent: made.sent, duration: made.duration, why }
}

/// As a client would send it, and what the proxy reads of that. `None`: it could not be sent.
pub fn hello(made: &MadeHello) -> Option<(ClientHello, Vec<u8>)> {
    let message = message(made)?;
    let record = [&[22, 3, 1][..], &u16::try_from(message.len()).ok()?.to_be_bytes(), &message].concat();
    let read = HelloReader::default().read(&record).ok()??;
    Some((read, message))
}

/// A client hello (RFC 8446, section 4.1.2) of what clients of today offer. `None`: what is offered is too long.
fn message(made: &MadeHello) -> Option<Vec<u8>> {
    const CIPHERS: [u16; 9] = [0x1301, 0x1303, 0x1302, 0xc02b, 0xc02f, 0xcca9, 0xcca8, 0xc02c, 0xc030];
    const SIGNATURES: [u16; 8] = [0x0403, 0x0503, 0x0603, 0x0804, 0x0805, 0x0806, 0x0401, 0x0501];
    let numbers = |all: &[u16]| all.iter().flat_map(|number| number.to_be_bytes()).collect::<Vec<u8>>();
    let mut extensions = Vec::new();
    if let Some(name) = &made.sni {
        let entry = [&[0][..], &long(name.as_bytes())?].concat();
        extensions.push((0_u16, long(&entry)?));
    }
    extensions.push((10, long(&numbers(&[0x001d, 0x0017, 0x0018]))?));
    if !made.alpn.is_empty() {
        let names = made.alpn.iter().map(|name| short(name.as_bytes())).collect::<Option<Vec<_>>>()?.concat();
        extensions.push((16, long(&names)?));
    }
    extensions.push((13, long(&numbers(&SIGNATURES))?));
    extensions.push((43, short(&numbers(&[0x0304, 0x0303]))?));
    let all = extensions.into_iter().map(|(kind, content)| Some([&kind.to_be_bytes()[..], &long(&content)?].concat()));
    let all = all.collect::<Option<Vec<_>>>()?.concat();
    // Of a random number nothing depends on the value here.
    let body = [&[3, 3][..], &[7; 32], &[0], &long(&numbers(&CIPHERS))?, &[1, 0], &long(&all)?].concat();
    let length = u32::try_from(body.len()).ok()?.to_be_bytes();
    Some([&[1][..], &length[1..], &body].concat())
}

/// With its length in two bytes before it.
fn long(content: &[u8]) -> Option<Vec<u8>> {
    Some([&u16::try_from(content.len()).ok()?.to_be_bytes()[..], content].concat())
}

/// In one byte.
fn short(content: &[u8]) -> Option<Vec<u8>> {
    Some([&[u8::try_from(content.len()).ok()?][..], content].concat())
}

/// One decision.
pub struct SeenConnection {
    pub phase: ConnectionPhase,
    /// In `on-close`, there is nothing to decide.
    pub decided: Result<ConnectionDecision, Fault>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionPhase {
    Accept,
    Hello,
    Close,
}

impl ConnectionPhase {
    pub const fn export(self) -> &'static str {
        match self {
            Self::Accept => "on-accept",
            Self::Hello => "on-client-hello",
            Self::Close => "on-close",
        }
    }
}

/// Everything that was seen, in order.
pub type ConnectionNotes = Rc<RefCell<Vec<SeenConnection>>>;

pub struct WatchedConnections {
    guests: Rc<Guests>,
    notes: ConnectionNotes,
}

impl WatchedConnections {
    pub fn new(guests: Rc<Guests>, notes: &ConnectionNotes) -> Self {
        Self { guests, notes: Rc::clone(notes) }
    }

    fn note(&self, phase: ConnectionPhase, decided: Result<ConnectionDecision, Fault>) -> Result<ConnectionDecision, Fault> {
        self.notes.borrow_mut().push(SeenConnection { phase, decided: decided.clone() });
        decided
    }
}

impl ConnectionFilter for WatchedConnections {
    type Held = <Guests as ConnectionFilter>::Held;

    fn connection_phases(&self) -> ConnectionPhases {
        self.guests.connection_phases()
    }

    fn on_accept(&self, arrival: &Arrival, held: &mut Option<Self::Held>) -> Result<ConnectionDecision, Fault> {
        self.note(ConnectionPhase::Accept, self.guests.on_accept(arrival, held))
    }

    fn on_client_hello(&self, arrival: &Arrival, hello: Hello<'_>, held: &mut Option<Self::Held>) -> Result<ConnectionDecision, Fault> {
        self.note(ConnectionPhase::Hello, self.guests.on_client_hello(arrival, hello, held))
    }

    fn on_close(&self, arrival: &Arrival, ending: &Ending, held: &mut Option<Self::Held>) -> Result<(), Fault> {
        let ended = self.guests.on_close(arrival, ending, held);
        let decided = ended.clone().map(|()| ConnectionDecision { admission: Admission::Onward, attributes: Attributes::new() });
        self.notes.borrow_mut().push(SeenConnection { phase: ConnectionPhase::Close, decided });
        ended
    }

    fn misled(&self, why: &str) -> Fault {
        let fault = self.guests.misled(why);
        // The decision was noted before it turned out to be impossible.
        if let Some(last) = self.notes.borrow_mut().last_mut() {
            last.decided = Err(fault.clone());
        }
        fault
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_made_up_hello_is_read_as_it_was_meant() {
        let made = MadeHello { sni: Some("app.test".to_owned()), alpn: vec!["h2".to_owned(), "http/1.1".to_owned()] };
        let (read, message) = hello(&made).expect("a hello");
        assert_eq!((read.sni.as_deref(), read.alpn), (Some("app.test"), vec![b"h2".to_vec(), b"http/1.1".to_vec()]));
        assert_eq!((read.versions, message[0]), (vec![0x0304, 0x0303], 1));
        assert!(hello(&MadeHello::default()).is_some_and(|(read, _)| read.sni.is_none() && read.alpn.is_empty()));
        assert!(hello(&MadeHello { sni: None, alpn: vec!["x".repeat(256)] }).is_none());
    }
}
