//! The load generator of the TCP corridor: requests over a few connections that stay open, each waiting for its answer. It spends as
//! little as it can on HTTP, and lets what it has begun come to its end, so that every byte it counts has come through.
//!
//! A process of its own (`xtask bench load …`), which prints the line that [`super::load`] reads.

use super::head::Head;
use super::scenario::{BODY, BULK, BULK_CONNECTIONS, Direction};
use super::trouble::Trouble;
use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

/// What is sent and what must come back.
#[derive(Debug, Clone, Copy)]
struct Exchange {
    connections: usize,
    /// Bytes of the request's body; 0: a GET.
    sent: usize,
    received: usize,
}

const DOWN: Exchange = Exchange { connections: BULK_CONNECTIONS, sent: 0, received: BULK };
const UP: Exchange = Exchange { connections: BULK_CONNECTIONS, sent: BULK, received: BODY };
const ROUND_TRIP: Exchange = Exchange { connections: 1, sent: 0, received: BODY };

/// What the process is told to do.
pub fn name(direction: Option<Direction>) -> &'static str {
    match direction {
        Some(Direction::Down) => "down",
        Some(Direction::Up) => "up",
        None => "round-trip",
    }
}

/// Loads a port for a time and prints what it counted.
pub fn run(what: &str, port: &str, seconds: &str) -> Result<(), Trouble> {
    let exchange = match what {
        "down" => DOWN,
        "up" => UP,
        "round-trip" => ROUND_TRIP,
        _ => return Err(Trouble::Usage(format!("{what}: no such load"))),
    };
    let number = |text: &str| text.parse().map_err(|_| Trouble::Usage(format!("{text}: no number")));
    let (port, seconds) = (number(port)?, Duration::from_secs(u64::from(number(seconds)?)));
    let began = Instant::now();
    let turns = |_| thread::spawn(move || exchange.repeat(port, began + seconds));
    let threads: Vec<_> = (0..exchange.connections).map(turns).collect();
    let (mut times, mut errors) = (Vec::new(), 0);
    for thread in threads {
        match thread.join() {
            Ok((taken, failed)) => {
                times.extend(taken);
                errors += failed;
            }
            Err(_) => return Err(Trouble::Load("a thread of the load panicked".into())),
        }
    }
    println!("{}", result(times, began.elapsed(), errors));
    Ok(())
}

/// `RESULT requests seconds p50 p99 errors`, times in µs.
fn result(mut times: Vec<Duration>, took: Duration, errors: u64) -> String {
    times.sort_unstable();
    let at = |share: usize| times.get(times.len() * share / 100).copied().unwrap_or_default().as_secs_f64() * 1e6;
    format!("RESULT {} {:.6} {:.2} {:.2} {errors}", times.len(), took.as_secs_f64(), at(50), at(99))
}

impl Exchange {
    /// How long each exchange took, and how many failed.
    fn repeat(self, port: u16, until: Instant) -> (Vec<Duration>, u64) {
        let mut times = Vec::new();
        let mut errors = 0;
        while Instant::now() < until {
            if self.keep_on(port, until, &mut times).is_err() {
                errors += 1;
                // Nobody there, or a proxy that ends connections: not as fast as one can.
                thread::sleep(Duration::from_millis(10));
            }
        }
        (times, errors)
    }

    /// On one connection.
    fn keep_on(self, port: u16, until: Instant, times: &mut Vec<Duration>) -> io::Result<()> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_nodelay(true)?;
        // No answer takes as long.
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.set_write_timeout(Some(Duration::from_secs(10)))?;
        let request = self.request();
        let mut buffer = vec![0; 256 << 10];
        loop {
            let began = Instant::now();
            stream.write_all(&request)?;
            self.take(&mut stream, &mut buffer)?;
            times.push(began.elapsed());
            if Instant::now() >= until {
                return Ok(());
            }
        }
    }

    fn request(self) -> Vec<u8> {
        let head = match self.sent {
            0 => "GET /bench HTTP/1.1\r\nHost: bench.test\r\n\r\n".to_owned(),
            length => format!("POST /bench HTTP/1.1\r\nHost: bench.test\r\nContent-Length: {length}\r\n\r\n"),
        };
        [head.as_bytes(), &vec![b'x'; self.sent]].concat()
    }

    /// Reads an answer, which must be the right one.
    fn take(self, stream: &mut TcpStream, buffer: &mut [u8]) -> io::Result<()> {
        let head = Head::read(stream, buffer)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let right = head.status() == 200 && head.length == self.received && head.skip_body(stream, buffer)? == self.received;
        if right { Ok(()) } else { Err(io::Error::other(format!("a wrong answer: {head:?}"))) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::bulk_origin;
    use std::net::TcpListener;

    #[test]
    fn big_bodies_go_both_ways() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        thread::spawn(move || bulk_origin::answer(&listener));
        let soon = || Instant::now() + Duration::from_millis(50);
        for exchange in [DOWN, UP] {
            let (times, errors) = exchange.repeat(port, soon());
            assert!(!times.is_empty() && errors == 0, "{exchange:?}: {errors}");
        }
        let (times, errors) = ROUND_TRIP.repeat(port, soon());
        assert!(times.is_empty() && errors > 0, "10 MiB is no small answer");
    }

    #[test]
    fn the_line_has_percentiles_in_microseconds() {
        let times = (1..=200).rev().map(Duration::from_micros).collect();
        assert_eq!(result(times, Duration::from_millis(1500), 3), "RESULT 200 1.500000 101.00 199.00 3");
    }
}
