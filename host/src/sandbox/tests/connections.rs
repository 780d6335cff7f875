//! Guests in the phases of connections, of every kind: `tests/guests/knock`.

use super::misbehaviour::Lines;
use super::*;
use crate::chain::{Around, Chain, ConnectionFilter, ConnectionWalk, Hello, Link, Reach};
use crate::config::{LinkOrigin, LinkSpec, Location, PluginRef};
use crate::message::{Admission, Arrival, ClientHello, ConnectionId, EndReason, Ending, ListenerKind, Refusal};
use std::rc::Rc;
use std::time::Duration;

fn knock_with(what: &str, isolation: Isolation, fail: FailPolicy) -> Guests {
    let fail = FailurePolicy { trap: fail, memory: fail, bad_output: fail, timeout: fail, overload: fail };
    let plugin = sandbox().load(&guest("knock"), None).unwrap();
    let settings = serde_json::json!({ "do": what });
    plugin.configure(&settings, patient(), isolation, fail, "knock").unwrap().for_worker()
}

fn knock(what: &str) -> Guests {
    knock_with(what, Isolation::Worker, FailPolicy::Closed)
}

pub(super) fn arrival() -> Arrival {
    Arrival {
        id: ConnectionId(9),
        peer: Some("[::ffff:192.0.2.1]:4000".parse().unwrap()),
        local: Some("[2001:db8::2]:443".parse().unwrap()),
        listener: "[::]:443".into(),
        kind: ListenerKind::Https,
        open: None,
        attributes: Default::default(),
    }
}

pub(super) fn hello() -> ClientHello {
    ClientHello {
        version: 0x0303,
        ciphers: vec![0x1301, 0x1302],
        extensions: vec![0, 16, 43],
        sni: Some("example.com".into()),
        alpn: vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        versions: vec![0x0304, 0x0303],
        ..ClientHello::default()
    }
}

pub(super) const ENDING: Ending = Ending { received: 10, sent: 20, duration: Duration::from_millis(3), why: EndReason::Done };

/// What is logged meanwhile.
fn logged(work: impl FnOnce()) -> String {
    let lines = Lines::default();
    tracing::subscriber::with_default(lines.subscriber(), work);
    lines.text()
}

/// A walk over links that each run one of these.
struct Walked {
    walk: ConnectionWalk<Guests>,
    faults: Vec<Cause>,
}

impl Walked {
    fn new(filters: Vec<Guests>, reach: Reach) -> Self {
        let spec = Arc::new(LinkSpec {
            name: "knock".into(),
            plugin: PluginRef::Bundled("knock"),
            settings: serde_json::json!({}),
            settings_at: Default::default(),
            when: None,
            origin: LinkOrigin::Listener,
            at: Location { file: "test".into(), line: 1, column: 1 },
        });
        let links = (0..filters.len()).map(|filter| Link { filter, when: None, spec: spec.clone() }).collect();
        let walk = ConnectionWalk::new(Arc::new(Chain { links }), filters.into_iter().map(Rc::new).collect(), reach, arrival());
        Self { walk, faults: Vec::new() }
    }

    fn around<'a>(faults: &'a mut dyn FnMut(&Link, &Fault)) -> Around<'a> {
        Around { knows: &|name| name == "canary", fault: faults }
    }

    fn accept(&mut self) -> Admission {
        let faults = &mut self.faults;
        self.walk.on_accept(&mut Self::around(&mut |_, fault| faults.push(fault.cause)))
    }

    fn hello(&mut self) -> Admission {
        let faults = &mut self.faults;
        let hello = Hello { read: &hello(), raw: b"raw!" };
        self.walk.on_client_hello(hello, &mut Self::around(&mut |_, fault| faults.push(fault.cause)))
    }

    fn close(self) -> Vec<Cause> {
        let mut faults = self.faults;
        let ending = Ending { why: self.walk.refused().unwrap_or(ENDING.why), ..ENDING };
        self.walk.on_close(&ending, &mut |_, fault| faults.push(fault.cause));
        faults
    }

    fn attribute(&self, name: &str) -> String {
        self.walk.arrival.attribute(name).unwrap_or_default().into_owned()
    }
}

fn one(what: &str) -> Walked {
    let reach = Reach { forward: true, forward_terminated: true, pass_through: true };
    Walked::new(vec![knock(what)], reach)
}

#[test]
fn a_guest_sees_what_it_asked_for() {
    let mut walked = one("look");
    assert_eq!(walked.accept(), Admission::Onward);
    assert_eq!(
        walked.attribute("log.knock"),
        "true 192.0.2.1:4000 [2001:db8::2]:443 listener=[::]:443,listener.kind=https,peer.ip=192.0.2.1"
    );
    assert_eq!(walked.hello(), Admission::Onward);
    let fingerprint = "ja4=t13d0203h2_62ed6f6ca7ad_";
    let shown = walked.attribute("log.hello");
    let expected = format!("true sni=example.com alpn=h2-http/1.1 versions=0304-0303 ciphers=1301-1302 {fingerprint}");
    assert!(shown.starts_with(&expected) && shown.ends_with(" raw=4"), "{shown}\n{expected}");
    let lines = logged(|| assert_eq!(walked.close(), []));
    assert!(lines.contains("closed true 192.0.2.1:4000 received=10 sent=20 some-time=true done listener="), "{lines}");
}

#[test]
fn what_was_not_asked_for_is_not_sent() {
    let mut walked = one("blind");
    assert_eq!((walked.accept(), walked.hello()), (Admission::Onward, Admission::Onward));
    let lines = logged(|| assert_eq!(walked.close(), []));
    assert!(lines.contains("closed false unknown received=0 sent=0 some-time=false  "), "{lines}");
}

#[test]
fn every_verdict_arrives() {
    let refused = |refusal| Admission::Refuse(refusal);
    for (what, expected) in
        [("reset", refused(Refusal::Reset)), ("close", refused(Refusal::Close)), ("forward", Admission::Forward("canary".into()))]
    {
        assert_eq!(one(what).accept(), expected, "{what}");
    }
    for (what, expected) in [
        ("alert", refused(Refusal::Alert(49))),
        ("reset-hello", refused(Refusal::Reset)),
        ("close-hello", refused(Refusal::Close)),
        ("forward-hello", Admission::Forward("canary".into())),
        ("pass-through", Admission::PassThrough("canary".into())),
    ] {
        let mut walked = one(what);
        assert_eq!(walked.accept(), Admission::Onward);
        assert_eq!(walked.hello(), expected, "{what}");
        assert_eq!(walked.close(), [], "{what}");
    }
}

#[test]
fn phases_that_are_not_planned_are_not_entered() {
    let only = knock("only-hello").connection_phases();
    assert!(only.client_hello && !only.accept && !only.close && !only.bytes);
    let mut walked = Walked::new(vec![knock("only-close")], Reach::default());
    assert_eq!((walked.accept(), walked.hello()), (Admission::Onward, Admission::Onward));
    assert!(logged(|| assert_eq!(walked.close(), [])).contains("closed true"));
}

#[test]
fn misbehaviour_refuses_the_connection_or_goes_on_as_the_operator_said() {
    for (what, cause) in [
        ("loop-accept", Cause::Timeout),
        ("trap-accept", Cause::Trap),
        ("forward-unknown", Cause::BadOutput),
        ("long-name", Cause::BadOutput),
        ("many-attributes", Cause::BadOutput),
        ("big-attributes", Cause::BadOutput),
        ("reserved", Cause::BadOutput),
        ("bad-name", Cause::BadOutput),
    ] {
        let mut closed = one(what);
        assert_eq!(closed.accept(), Admission::Refuse(Refusal::Reset), "{what}");
        assert_eq!(closed.walk.refused(), Some(EndReason::Fault));
        assert_eq!(closed.close(), [cause], "{what}: not told of the end");
        let mut open = Walked::new(vec![knock_with(what, Isolation::Worker, FailPolicy::Open), knock("look")], Reach::default());
        assert_eq!(open.accept(), Admission::Onward, "{what}");
        assert!(open.attribute("log.knock").starts_with("true 192.0.2.1"), "the next link is asked");
        assert_eq!(open.faults, [cause], "{what}");
    }
}

#[test]
fn misbehaviour_at_the_hello_and_at_the_end() {
    for (what, cause) in [("loop-hello", Cause::Timeout), ("trap-hello", Cause::Trap), ("pass-through-unknown", Cause::BadOutput)] {
        let mut walked = one(what);
        assert_eq!((walked.accept(), walked.hello()), (Admission::Onward, Admission::Refuse(Refusal::Reset)), "{what}");
        assert_eq!(walked.close(), [cause]);
    }
    for (what, cause) in [("loop-close", Cause::Timeout), ("trap-close", Cause::Trap)] {
        let mut walked = Walked::new(vec![knock("look"), knock(what)], Reach::default());
        assert_eq!((walked.accept(), walked.hello()), (Admission::Onward, Admission::Onward));
        let lines = logged(|| assert_eq!(walked.close(), [cause]));
        assert!(lines.contains("closed true"), "the other link is told all the same");
    }
}

#[test]
fn a_listener_does_not_do_what_it_cannot() {
    for what in ["forward", "forward-hello", "pass-through"] {
        let mut walked = Walked::new(vec![knock(what)], Reach::default());
        let admissions = (walked.accept(), walked.hello());
        assert!(matches!(admissions, (Admission::Refuse(_), _) | (_, Admission::Refuse(_))), "{what}: {admissions:?}");
        assert_eq!(walked.close(), [Cause::BadOutput], "{what}");
    }
}

#[test]
fn links_before_a_refusal_hear_of_the_end_and_links_after_it_of_nothing() {
    let mut walked = Walked::new(vec![knock("look"), knock("reset"), knock("trap-accept")], Reach::default());
    assert_eq!(walked.accept(), Admission::Refuse(Refusal::Reset));
    let lines = logged(|| assert_eq!(walked.close(), []));
    let closed: Vec<_> = lines.lines().filter(|line| line.contains("closed ")).collect();
    assert!(closed.len() == 1 && closed[0].contains(" refused "), "{lines:?}");
}

#[test]
fn a_fresh_guest_for_each_connection_if_the_operator_wants_it() {
    let calls = |isolation| {
        let guests: std::rc::Rc<[Guests]> = vec![knock_with("count", isolation, FailPolicy::Closed)].into();
        (0..3)
            .map(|_| {
                let decision = guests[0].on_accept(&arrival(), &mut None).unwrap();
                decision.attributes[0].1.to_string()
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(calls(Isolation::Worker), ["1", "2", "3"]);
    assert_eq!(calls(Isolation::Request), ["1", "1", "1"]);
}

#[test]
fn a_guest_that_cannot_plan_is_refused_with_the_configuration() {
    let plugin = sandbox().load(&guest("knock"), None).unwrap();
    let settings = serde_json::json!({ "do": "trap-plan" });
    let error = plugin.configure(&settings, patient(), Isolation::Worker, FailurePolicy::default(), "knock").err().unwrap();
    assert!(matches!(&error, ConfigureError::Fault(fault) if fault.cause == Cause::Trap), "{error:?}");
}
