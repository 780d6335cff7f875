//! Clients that ask all the time while a test does something to the proxy or to its servers.

use crate::{Proxy, Raw, Response};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// So many clients ask for `path` at `a.test`, each on a connection of its own and on a new one when it is told that one ends, until `meanwhile`
/// is done. That gets a function which waits until some hundred more have been answered.
///
/// # Panics
/// If an answer is not `good`, or requests hang.
pub fn while_asked(proxy: &Proxy, clients: usize, path: &str, good: impl Fn(&Response) -> bool + Sync, meanwhile: impl FnOnce(&dyn Fn())) {
    let (over, done, failed) = (AtomicBool::new(false), AtomicUsize::new(0), Mutex::new(Vec::new()));
    let request = format!("GET {path} HTTP/1.1\r\nHost: a.test\r\n\r\n");
    std::thread::scope(|scope| {
        for _ in 0..clients {
            scope.spawn(|| {
                let mut client = Raw::connect(proxy.http());
                while !over.load(Ordering::SeqCst) {
                    let response = client.send(&request).response();
                    // As after so and so many requests.
                    if response.header("connection").is_some_and(|field| field.eq_ignore_ascii_case("close")) {
                        client = Raw::connect(proxy.http());
                    }
                    if !good(&response) {
                        failed.lock().expect("not poisoned").push(format!("{} {:?}", response.status, response.reason()));
                    }
                    done.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        let _stop = Stop(&over);
        meanwhile(&|| {
            let (begun, until) = (Instant::now(), done.load(Ordering::SeqCst) + 300);
            while done.load(Ordering::SeqCst) < until {
                assert!(begun.elapsed() < Duration::from_secs(60), "requests hang");
                std::thread::sleep(Duration::from_millis(1));
            }
        });
    });
    let (done, failed) = (done.into_inner(), failed.into_inner().expect("not poisoned"));
    assert!(failed.is_empty(), "{} of {done}: {failed:?}", failed.len());
}

/// So that nobody runs on if something panics.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}
