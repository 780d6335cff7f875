//! Connecting to a host that has more than one address: Happy Eyeballs (RFC 8305), from its section 4 on. Looking names up is others' work, and
//! so is the clock: who waits says for how long.

use std::future::{pending, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::sleep;

/// An address that has not answered for so long gets company ("Connection Attempt Delay"): what section 8 recommends.
const DELAY: Duration = Duration::from_millis(250);

/// On its way to one address.
type Attempt = Pin<Box<dyn Future<Output = io::Result<TcpStream>> + Send>>;

/// The first connection that is made; what is on its way to other addresses is given up. Where there is one address, nothing else happens.
///
/// # Errors
/// If no address takes it, that of the last one to fail.
pub async fn dial(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    if let [only] = &*addresses {
        return TcpStream::connect(only).await;
    }
    let mut left = interleaved(addresses).into_iter();
    let mut attempts: Vec<Attempt> = Vec::new();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    loop {
        match left.next() {
            Some(address) => attempts.push(Box::pin(TcpStream::connect(address))),
            None if attempts.is_empty() => return Err(last),
            None => {}
        }
        let patience = async { if left.len() > 0 { sleep(DELAY).await } else { pending().await } };
        // Both can be dropped: what was begun stays in `attempts`.
        tokio::select! {
            biased;
            ended = first_of(&mut attempts) => match ended {
                Ok(stream) => return Ok(stream),
                // The next one need not wait (section 5).
                Err(error) => last = error,
            },
            () = patience => {}
        }
    }
}

/// The first of these that is over, which is taken out.
async fn first_of(attempts: &mut Vec<Attempt>) -> io::Result<TcpStream> {
    poll_fn(|cx| {
        for at in 0..attempts.len() {
            if let Some(Poll::Ready(ended)) = attempts.get_mut(at).map(|attempt| attempt.as_mut().poll(cx)) {
                drop(attempts.swap_remove(at));
                return Poll::Ready(ended);
            }
        }
        Poll::Pending
    })
    .await
}

/// Families in turn, that of the first address first; within each the order stays (section 4, with a "First Address Family Count" of 1).
fn interleaved(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first = addresses.first().is_some_and(SocketAddr::is_ipv4);
    let (ours, others): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|address| address.is_ipv4() == first);
    let (mut ours, mut others) = (ours.into_iter(), others.into_iter());
    std::iter::from_fn(|| {
        let pair = [ours.next(), others.next()];
        pair.iter().any(Option::is_some).then_some(pair)
    })
    .flatten()
    .flatten()
    .collect()
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use tokio::net::{TcpListener, TcpSocket};
    use tokio::time::timeout;

    /// An address that takes no connection and refuses none: its queue is full.
    pub async fn silent() -> (SocketAddr, TcpListener, Vec<TcpStream>) {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(([127, 0, 0, 1], 0).into()).expect("a port");
        let listener = socket.listen(1).expect("listening");
        let address = listener.local_addr().expect("bound");
        let mut waiting = Vec::new();
        while let Ok(stream) = timeout(Duration::from_millis(50), TcpStream::connect(address)).await {
            waiting.push(stream.expect("a connection"));
        }
        (address, listener, waiting)
    }

    async fn listener() -> (SocketAddr, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        (listener.local_addr().expect("bound"), listener)
    }

    #[tokio::test]
    async fn who_does_not_answer_soon_gets_company() {
        let ((hole, _full, _waiting), (good, _listener)) = (silent().await, listener().await);
        let stream = timeout(Duration::from_secs(20), dial(vec![hole, good])).await.expect("in time").expect("a connection");
        assert_eq!(stream.peer_addr().expect("connected"), good);
    }

    #[tokio::test]
    async fn who_is_refused_goes_on_and_says_so_if_nobody_is_left() {
        let (nobody, listening) = listener().await;
        drop(listening);
        let (good, _listener) = listener().await;
        assert_eq!(dial(vec![nobody, good]).await.expect("a connection").peer_addr().expect("connected"), good);
        for addresses in [vec![nobody], vec![nobody, nobody, nobody]] {
            assert_eq!(dial(addresses).await.expect_err("nobody").kind(), io::ErrorKind::ConnectionRefused);
        }
        assert_eq!(dial(Vec::new()).await.expect_err("no address").kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn families_take_turns() {
        let read = |all: &[&str]| all.iter().map(|text| text.parse().expect("an address")).collect::<Vec<SocketAddr>>();
        let order = interleaved(read(&["[::1]:1", "[::2]:1", "[::3]:1", "10.0.0.1:1", "10.0.0.2:1"]));
        assert_eq!(order, read(&["[::1]:1", "10.0.0.1:1", "[::2]:1", "10.0.0.2:1", "[::3]:1"]));
        assert_eq!(interleaved(read(&["10.0.0.1:1", "10.0.0.2:1"])), read(&["10.0.0.1:1", "10.0.0.2:1"]));
    }
}
