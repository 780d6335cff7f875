//! The latest exchanges that did not end as they should, for whoever wants to see one. A sample: who refuses thousands a second shows some of them.

use super::RateCap;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// One of them. The query is not kept, as secrets stand there.
#[derive(Debug, Clone)]
pub struct Refusal {
    pub at: SystemTime,
    pub reason: &'static str,
    pub status: Option<u16>,
    pub method: String,
    pub scheme: &'static str,
    /// As the client named it, normalised; empty: it named none that could be read.
    pub host: String,
    pub path: String,
}

/// One worker's.
pub struct Recent(Mutex<Kept>);

struct Kept {
    all: VecDeque<Refusal>,
    cap: RateCap,
}

/// Of each worker.
const MOST: usize = 64;
/// Of a host and of a path, bytes; what is longer is cut.
const LONGEST: usize = 256;

impl Default for Recent {
    fn default() -> Self {
        // Arbitrary: five at once, one each 200 ms. More than anybody reads.
        Self(Mutex::new(Kept { all: VecDeque::new(), cap: RateCap::new(5, Duration::from_millis(200)) }))
    }
}

impl Recent {
    /// Never waits: while somebody reads, it is left out.
    pub fn take(&self, made: impl FnOnce() -> Refusal) {
        let Ok(mut kept) = self.0.try_lock() else { return };
        if kept.cap.admit(Instant::now()).is_none() {
            return;
        }
        if kept.all.len() == MOST {
            kept.all.pop_front();
        }
        let mut refusal = made();
        [&mut refusal.method, &mut refusal.host, &mut refusal.path]
            .into_iter()
            .for_each(|text| text.truncate(text.floor_char_boundary(LONGEST)));
        kept.all.push_back(refusal);
    }

    pub fn all(&self) -> Vec<Refusal> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).all.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_of_many_are_kept_and_none_is_long() {
        let recent = Recent::default();
        for _ in 0..1000 {
            recent.take(|| Refusal {
                at: SystemTime::now(),
                reason: "no_site",
                status: Some(404),
                method: "GET".into(),
                scheme: "http",
                host: "ü".repeat(1000),
                path: "/".into(),
            });
        }
        let kept = recent.all();
        assert!((5..=MOST).contains(&kept.len()), "{}", kept.len());
        assert!(kept.iter().all(|refusal| refusal.host.len() <= LONGEST));
    }
}
