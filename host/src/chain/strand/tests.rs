//! What a strand of links makes of a body: who is asked, in which order, and what a fault does. No guests: links are made up here.

use super::*;
use crate::chain::{Cause, Decision, HoldPhases, Judged, Start, entire};
use crate::config::{LinkOrigin, LinkSpec, Location, PluginRef};
use crate::message::{Exchange, RequestHead, ResponseHead};
use std::cell::RefCell;
use std::rc::Rc;
use std::task::Waker;

type Make = dyn Fn(usize, &Bytes) -> Result<Output, Fault>;

/// A link that makes of its nth piece what a closure says.
#[derive(Clone)]
struct Made {
    make: Rc<Make>,
    seen: Rc<RefCell<Vec<usize>>>,
}

fn made(make: impl Fn(usize, &Bytes) -> Result<Output, Fault> + 'static) -> Made {
    Made { make: Rc::new(make), seen: Rc::default() }
}

impl Hold for Made {
    fn phases(&self) -> HoldPhases {
        HoldPhases { response_body: true, ..HoldPhases::default() }
    }

    fn on_request(&self, _: &Exchange, _: &RequestHead) -> Called<Decision> {
        unreachable!()
    }

    fn on_response(&self, _: &Exchange, _: &RequestHead, _: &ResponseHead) -> Called<Decision> {
        unreachable!()
    }

    fn begin_request(&self, _: &Exchange, _: &RequestHead, _: Option<u64>) -> Called<Start> {
        unreachable!()
    }

    fn begin_response(&self, _: &Exchange, _: &RequestHead, _: &ResponseHead, _: Option<u64>) -> Called<Start> {
        unreachable!()
    }

    fn watch(&self, way: Way, piece: &Bytes) -> Called<()> {
        let Called::Now(Some(output)) = self.transform(way, piece) else { unreachable!() };
        Called::now(output.map(drop))
    }

    fn transform(&self, _: Way, piece: &Bytes) -> Called<Output> {
        self.seen.borrow_mut().push(piece.len());
        Called::now((self.make)(self.seen.borrow().len(), piece))
    }

    fn end(&self, _: Way, _: &HeaderMap) -> Called<End> {
        Called::now(Ok(End { parts: vec![Bytes::from_static(b"!")], edits: Vec::new() }))
    }

    fn whole(&self, _: Way, _: &Bytes, _: &HeaderMap) -> Called<Judged> {
        unreachable!()
    }

    fn unknown_upstream(&self, _: &str) -> Fault {
        unreachable!()
    }
}

/// Frames that are there (`Some`), or not yet.
struct Script(VecDeque<Option<&'static [u8]>>);

impl Body for Script {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.0.pop_front() {
            None => Poll::Ready(None),
            Some(Some(bytes)) => Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(bytes))))),
            Some(None) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }
}

fn script(frames: &[Option<&'static [u8]>]) -> Flow {
    Box::pin(Script(frames.iter().copied().collect()))
}

fn link() -> Link {
    let spec = LinkSpec {
        name: "made".into(),
        plugin: PluginRef::Bundled("made"),
        settings: serde_json::json!({}),
        settings_at: Default::default(),
        when: None,
        origin: LinkOrigin::Route,
        at: Location { file: "test.toml".into(), line: 1, column: 1 },
    };
    Link { filter: 0, when: None, spec: spec.into() }
}

fn strand(source: Flow, made: &Made, role: Role, unchanged: bool) -> Flow {
    Strand::flow(source, (made.clone(), link(), None), Way::Response, role, Rc::new(|_, _| {}), unchanged)
}

/// What comes out, piece by piece; `Err`: how it was broken off.
fn out(mut flow: Flow) -> (Vec<Vec<u8>>, Result<(), String>) {
    let mut pieces = Vec::new();
    loop {
        match flow.as_mut().poll_frame(&mut Context::from_waker(Waker::noop())) {
            Poll::Pending => {}
            Poll::Ready(None) => return (pieces, Ok(())),
            Poll::Ready(Some(Err(error))) => return (pieces, Err(error.to_string())),
            Poll::Ready(Some(Ok(frame))) => pieces.extend(frame.into_data().map(|data| data.to_vec())),
        }
    }
}

fn all(piece: &Bytes) -> Output {
    Output { parts: [Part::Keep(0..piece.len())].into_iter().collect(), more: false }
}

fn fault(open: bool) -> Fault {
    Fault { cause: Cause::Trap, detail: String::new(), report: String::new(), open }
}

#[test]
fn small_pieces_come_together_only_if_they_are_there() {
    let made = made(|_, piece| Ok(all(piece)));
    let source = script(&[Some(b"one"), Some(b"two"), None, Some(b"three"), None, None, Some(b"four")]);
    let (pieces, end) = out(strand(source, &made, Role::Transform, true));
    assert_eq!((pieces, end), (vec![b"onetwo".to_vec(), b"three".to_vec(), b"four".to_vec(), b"!".to_vec()], Ok(())));
    assert_eq!(*made.seen.borrow(), [6, 5, 4]);
}

#[test]
fn large_pieces_are_cut() {
    let made = made(|_, piece| Ok(all(piece)));
    let source = entire(Bytes::from(vec![1; 2 * PIECE + 5]), HeaderMap::new());
    let (pieces, end) = out(strand(source, &made, Role::Transform, true));
    assert_eq!((pieces.concat().len(), end), (2 * PIECE + 6, Ok(())));
    assert_eq!(*made.seen.borrow(), [PIECE, PIECE, 5]);
}

#[test]
fn parts_come_out_in_order_and_more_is_asked_for() {
    let made = made(|n, piece| {
        let parts = match n {
            1 => vec![Part::Keep(1..3), Part::Bytes("-".into()), Part::Keep(4..5)],
            _ => vec![Part::Bytes("again".into())],
        };
        assert_eq!(piece.len(), if n == 1 { 6 } else { 0 });
        Ok(Output { parts: parts.into_iter().collect(), more: n < 3 })
    });
    let (pieces, _) = out(strand(script(&[Some(b"abcdef")]), &made, Role::Transform, true));
    assert_eq!(pieces.concat(), b"bc-eagainagain!");
}

#[test]
fn a_fault_breaks_off_what_cannot_be_whole_any_more() {
    for (open, unchanged, whole) in [(false, true, false), (true, true, true), (true, false, false)] {
        let made = made(move |n, piece| if n == 2 { Err(fault(open)) } else { Ok(all(piece)) });
        let source = script(&[Some(b"one"), None, Some(b"two"), None, Some(b"three")]);
        let (pieces, end) = out(strand(source, &made, Role::Transform, unchanged));
        assert_eq!((pieces.concat() == b"onetwothree", end.is_ok()), (whole, whole), "open {open}, unchanged {unchanged}: {pieces:?}");
    }
    let made = made(|n, _| if n == 2 { Err(fault(true)) } else { Ok(Output::default()) });
    let source = script(&[Some(b"one"), None, Some(b"two")]);
    assert!(out(strand(source, &made, Role::Transform, true)).1.is_err(), "something was withheld");
}

#[test]
fn a_watched_body_is_of_the_length_that_was_known() {
    let made = made(|_, piece| Ok(all(piece)));
    let flow = strand(entire(Bytes::from_static(b"watched"), HeaderMap::new()), &made, Role::Watch, true);
    assert_eq!(flow.size_hint().exact(), Some(7));
    let flow = strand(entire(Bytes::from_static(b"transformed"), HeaderMap::new()), &made, Role::Transform, true);
    assert_eq!(flow.size_hint().exact(), None);
}
