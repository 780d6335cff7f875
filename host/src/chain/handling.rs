//! A link that looks at bodies: its phases of a head, then what it wants with the body, and where it must see that whole, the wait for it.

use super::bodies::{Carry, Facts, Gathered, Hold, Want, Way, entire, gather};
use super::strand::{Role, Strand};
use super::{Decision, Fault, Link, Ungathered, Verdict, traced};
use crate::message::{Exchange, RequestHead, ResponseHead};
use http::StatusCode;

/// Why a link's part in a message ended before it decided.
pub(super) enum Stopped {
    Fault(Fault),
    Ungathered(Ungathered),
}

impl From<Fault> for Stopped {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// A message of which a link may see the body. Edits are applied by whoever has the head, as soon as they are made.
pub(super) trait Message {
    const WAY: Way;

    /// What the head says about the body whose facts these are; `None`: there is none.
    fn bodied(&self, facts: Facts) -> Option<Facts>;

    /// The phase of the head, if the link has one.
    async fn head<H: Hold>(&mut self, link: &Link, hold: &H) -> Result<Option<Decision>, Fault>;
    /// Of the body; `None`: the link has none.
    async fn begin<H: Hold>(&mut self, link: &Link, hold: &H, length: Option<u64>) -> Result<Option<super::Start>, Fault>;
    /// `Err`: what is decided cannot be done.
    fn apply<H: Hold>(&mut self, hold: &H, decision: Decision) -> Result<Verdict, Fault>;

    fn exchange(&self) -> &Exchange;
}

/// All of a link's part in a message but what it does with later pieces. `acts` hears of edits and verdicts.
pub(super) async fn handle<M: Message, H: Hold>(
    message: &mut M,
    body: &mut dyn Carry,
    link: &Link,
    hold: &H,
    mut acts: impl FnMut(&Verdict, bool),
) -> Result<Verdict, Stopped> {
    let mut verdict = Verdict::Next;
    if let Some(decision) = message.head(link, hold).await? {
        let edited = !decision.edits.is_empty();
        verdict = message.apply(hold, decision)?;
        acts(&verdict, edited);
    }
    // After `forward` the link still takes part; what replies or aborts has no body to look at.
    let facts = body.facts().filter(|_| matches!(verdict, Verdict::Next | Verdict::Forward(_)));
    let Some(facts) = facts.and_then(|facts| message.bodied(facts)) else { return Ok(verdict) };
    let Some(start) = message.begin(link, hold, facts.length).await? else { return Ok(verdict) };
    let edited = !start.edits.is_empty();
    message.apply(hold, Decision { verdict: Verdict::Next, edits: start.edits.into() })?;
    acts(&Verdict::Next, edited || matches!(start.want, Want::Transform));
    if facts.described {
        if matches!(start.want, Want::Transform | Want::Buffer(_)) {
            body.undescribe();
        }
        return Ok(verdict);
    }
    let role = match start.want {
        Want::Pass => return Ok(verdict),
        Want::Watch => Role::Watch,
        Want::Transform => Role::Transform,
        Want::Buffer(most) => {
            let gathered = gathered(body, most).await?;
            let judged = whole::<M, H>(gathered, body, hold).await;
            traced::end(message.exchange(), &judged);
            let judged = judged?;
            let edited = !judged.edits.is_empty();
            let said = message.apply(hold, judged)?;
            acts(&said, edited);
            return Ok(if super::bodies::goes_on(&said) { verdict } else { said });
        }
    };
    let flow = body.take();
    let unchanged = role == Role::Watch || !edited;
    let noted = message.exchange().trace.clone();
    body.put(Strand::flow(flow, (hold.clone(), link.clone(), noted), M::WAY, role, body.report(), unchanged));
    Ok(verdict)
}

async fn gathered(body: &mut dyn Carry, most: usize) -> Result<Gathered, Stopped> {
    let room = body.room();
    gather(body.take(), most, room).await.map_err(Stopped::Ungathered)
}

/// Has a body judged, and puts what came of it in its place; also after a fault, for a link that may fail open.
async fn whole<M: Message, H: Hold>(gathered: Gathered, body: &mut dyn Carry, hold: &H) -> Result<Decision, Fault> {
    let judged = hold.whole(M::WAY, &gathered.bytes, &gathered.trailers).await;
    let (decision, bytes) = match judged {
        Ok(judged) => (Ok(judged.decision), judged.body.unwrap_or(gathered.bytes)),
        Err(fault) => (Err(fault), gathered.bytes),
    };
    body.put(entire(bytes, gathered.trailers));
    decision
}

/// A request on its way in.
pub(super) struct Incoming<'a, K> {
    pub exchange: &'a mut Exchange,
    pub head: &'a mut RequestHead,
    pub knows: K,
}

impl<K: Fn(&str) -> bool> Message for Incoming<'_, K> {
    const WAY: Way = Way::Request;

    fn bodied(&self, facts: Facts) -> Option<Facts> {
        Some(facts)
    }

    async fn head<H: Hold>(&mut self, link: &Link, hold: &H) -> Result<Option<Decision>, Fault> {
        if !hold.phases().request {
            return Ok(None);
        }
        traced::begin(self.exchange, link, "on-request");
        let decided = hold.on_request(self.exchange, self.head).await;
        traced::end(self.exchange, &decided);
        decided.map(Some)
    }

    async fn begin<H: Hold>(&mut self, link: &Link, hold: &H, length: Option<u64>) -> Result<Option<super::Start>, Fault> {
        if !hold.phases().request_body {
            return Ok(None);
        }
        traced::begin(self.exchange, link, "on-request-body");
        let started = hold.begin_request(self.exchange, self.head, length).await;
        traced::end(self.exchange, &started);
        started.map(Some)
    }

    fn apply<H: Hold>(&mut self, hold: &H, decision: Decision) -> Result<Verdict, Fault> {
        match &decision.verdict {
            Verdict::Forward(name) if !(self.knows)(name) => return Err(hold.unknown_upstream(name)),
            _ => {}
        }
        decision.edits.each(|edit| super::walk::edit_request(edit, self.exchange, self.head));
        Ok(decision.verdict)
    }

    fn exchange(&self) -> &Exchange {
        self.exchange
    }
}

/// A response on its way back.
pub(super) struct Outgoing<'a> {
    pub exchange: &'a mut Exchange,
    pub request: &'a RequestHead,
    pub head: &'a mut ResponseHead,
}

impl Message for Outgoing<'_> {
    const WAY: Way = Way::Response;

    fn bodied(&self, facts: Facts) -> Option<Facts> {
        match self.head.status {
            StatusCode::SWITCHING_PROTOCOLS | StatusCode::NO_CONTENT => None,
            StatusCode::NOT_MODIFIED => Some(Facts { described: true, ..facts }),
            _ => Some(facts),
        }
    }

    async fn head<H: Hold>(&mut self, link: &Link, hold: &H) -> Result<Option<Decision>, Fault> {
        if !hold.phases().response {
            return Ok(None);
        }
        traced::begin(self.exchange, link, "on-response");
        let decided = hold.on_response(self.exchange, self.request, self.head).await;
        traced::end(self.exchange, &decided);
        decided.map(Some)
    }

    async fn begin<H: Hold>(&mut self, link: &Link, hold: &H, length: Option<u64>) -> Result<Option<super::Start>, Fault> {
        if !hold.phases().response_body {
            return Ok(None);
        }
        traced::begin(self.exchange, link, "on-response-body");
        let started = hold.begin_response(self.exchange, self.request, self.head, length).await;
        traced::end(self.exchange, &started);
        started.map(Some)
    }

    fn apply<H: Hold>(&mut self, _: &H, decision: Decision) -> Result<Verdict, Fault> {
        decision.edits.each(|edit| super::walk::edit_response(edit, self.exchange, &mut self.head.headers));
        Ok(decision.verdict)
    }

    fn exchange(&self) -> &Exchange {
        self.exchange
    }
}
