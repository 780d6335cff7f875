//! Interim responses (RFC 9110, section 15.2): what a server says before its response proper.

use http::{HeaderMap, StatusCode};
use std::fmt;
use std::rc::Weak;

/// Sends interim responses to a client.
pub trait Herald {
    /// Sends one, if the exchange of this number on the connection still runs and its response has not begun. `headers` have no fields
    /// that are for one connection only.
    fn interim(&self, exchange: u32, status: StatusCode, headers: &HeaderMap);
}

/// The way to the client of one request for what comes before its response. One that leads nowhere: nobody wants to hear it (a client
/// that speaks HTTP/1.0, a request of our own), or the client is gone.
#[derive(Clone)]
pub struct Interim {
    to: Option<Weak<dyn Herald>>,
    exchange: u32,
}

impl Interim {
    pub const NOBODY: Self = Self { to: None, exchange: 0 };

    pub const fn new(to: Weak<dyn Herald>, exchange: u32) -> Self {
        Self { to: Some(to), exchange }
    }

    /// Passes an interim response on. 100 is not for the next hop: whether a client waits for it, and is told, is between the client and
    /// the wall (section 10.1.1). Nor is 101, which is a response of its own kind.
    pub fn pass(&self, status: StatusCode, headers: &HeaderMap) {
        let ours = status == StatusCode::CONTINUE || status == StatusCode::SWITCHING_PROTOCOLS;
        if status.is_informational()
            && !ours
            && let Some(to) = self.to.as_ref().and_then(Weak::upgrade)
        {
            to.interim(self.exchange, status, headers);
        }
    }
}

impl fmt::Debug for Interim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interim").field("exchange", &self.exchange).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::fields;
    use std::cell::RefCell;
    use std::rc::Rc;

    #[derive(Default)]
    struct Ear(RefCell<Vec<(u32, u16, usize)>>);

    impl Herald for Ear {
        fn interim(&self, exchange: u32, status: StatusCode, headers: &HeaderMap) {
            self.0.borrow_mut().push((exchange, status.as_u16(), headers.len()));
        }
    }

    #[test]
    fn what_is_interim_and_not_the_wall_s_own_is_passed() {
        let ear = Rc::new(Ear::default());
        let to: Weak<dyn Herald> = Rc::downgrade(&(Rc::clone(&ear) as Rc<dyn Herald>));
        let interim = Interim::new(to, 7);
        for status in [100, 101, 102, 103, 199, 200, 404] {
            interim.pass(StatusCode::from_u16(status).expect("a status"), &fields(&[("link", "</a>")]));
        }
        assert_eq!(*ear.0.borrow(), [(7, 102, 1), (7, 103, 1), (7, 199, 1)]);
        drop(ear);
        interim.pass(StatusCode::EARLY_HINTS, &HeaderMap::new());
        Interim::NOBODY.pass(StatusCode::EARLY_HINTS, &HeaderMap::new());
    }
}
