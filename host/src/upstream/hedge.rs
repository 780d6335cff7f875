//! Two attempts at once: who has waited for a while asks another server as well, takes the first answer and ends the other attempt. What the
//! slow tail of answers costs is so paid with a few requests more, which the retry budget bounds.

use super::line::Line;
use super::pump::Pump;
use super::send::{Request, attempts};
use super::{Answered, Attempt, SendError};
use crate::message::BodyError;
use bytes::Bytes;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// Only for requests that may be sent twice, and whose body can be kept. One that has not come to its end by then is sent once.
pub(super) async fn hedged<B>(
    mut line: Line<'_>,
    request: &Request<'_>,
    mut pump: Pump<B>,
    after: Duration,
    attempt: &mut Attempt,
) -> Result<Answered<B>, SendError>
where
    B: http_body::Body<Data = Bytes, Error = BodyError> + Unpin,
{
    let (upstream, terms, twin) = (line.upstream, line.terms, line.twin());
    let kept = pump.keep();
    let trail = Rc::clone(line.trail.get_or_insert_default());
    let (mut first_tried, mut second_tried) = (Attempt::default(), Attempt::default());
    let answered = 'first: {
        let mut first = pin!(attempts(&mut line, request, pump, &mut first_tried));
        if let Ok(answered) = timeout(after, first.as_mut()).await {
            break 'first answered;
        }
        let place = trail.borrow().server.as_deref().and_then(|server| upstream.place_of(server));
        let copy = match &kept {
            None => Some(Pump::beside(None, request.coding)),
            Some(kept) => kept.borrow().whole().map(|kept| Pump::beside(Some(kept), request.coding)),
        };
        // In this order: who is counted as beside another runs.
        let begun = copy.zip(place).and_then(|(copy, place)| Some((place, copy, twin.beside(place)?)));
        let Some((place, copy, mut beside)) = begun else { break 'first first.await };
        let begun = Instant::now();
        let won = {
            let mut second = pin!(attempts(&mut beside, request, copy, &mut second_tried));
            // Both are dropped with what they hold; who is asked again goes on where it was.
            tokio::select! {
                biased;
                answered = first.as_mut() => match answered {
                    Ok(answered) => Won::First(Ok(answered)),
                    Err(error) => second.await.map_or_else(|_| Won::First(Err(error)), Won::Second),
                },
                answered = second.as_mut() => match answered {
                    Ok(answered) if !terms.statuses.contains(&answered.head.status.as_u16()) => Won::Second(answered),
                    _ => Won::First(first.await),
                },
            }
        };
        let now = Instant::now();
        upstream.hedged(matches!(won, Won::Second(_)), (place, after + now.saturating_duration_since(begun)), now);
        match won {
            Won::First(answered) => answered,
            Won::Second(answered) => Ok(answered),
        }
    };
    let tries = first_tried.attempts + second_tried.attempts;
    match answered {
        Ok(mut answered) => {
            answered.attempt.attempts = tries;
            attempt.clone_from(&answered.attempt);
            Ok(answered)
        }
        Err(error) => {
            *attempt = Attempt { attempts: tries, ..first_tried };
            Err(error)
        }
    }
}

/// Whose answer counts.
enum Won<B> {
    First(Result<Answered<B>, SendError>),
    Second(Answered<B>),
}
