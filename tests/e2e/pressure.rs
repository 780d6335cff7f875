//! Clients that hold on to the proxy: many idle ones, slow heads, bodies larger than memory should be. The others are served as ever.

use portcullis_tests::{Origin, Proxy, Raw, get, origin};
use std::io::{Read, Write};
use std::time::{Duration, Instant};

const MIB: u64 = 1 << 20;

fn site(origin: &Origin) -> Proxy {
    Proxy::start(&format!(
        "[limits]\nheader-read = \"1s\"\nbody-idle = \"1s\"\nconnections-per-ip = 5000\n\
         [site.\"a.test\"]\ntls = \"off\"\nroutes = {{ \"/*\" = \"app\" }}\n[upstream.app]\nservers = [\"{}\"]\n",
        origin.name()
    ))
}

/// Bytes that the process holds in memory.
fn resident(proxy: &Proxy) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", proxy.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// Sends and takes as much as it is asked to, a piece at a time.
fn large() -> Origin {
    Origin::serve(|stream, _| {
        let Some((head, early)) = origin::read_head(stream) else { return };
        let mut piece = vec![0; 64 << 10];
        if head.starts_with("GET ") {
            let length = head.split(['/', ' ']).nth(2).and_then(|number| number.parse::<u64>().ok()).unwrap();
            let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
            let _ = std::io::copy(&mut std::io::repeat(b'x').take(length), stream);
            return;
        }
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse::<u64>().unwrap();
        let mut left = length - early.len() as u64;
        while let Ok(count @ 1..) = if left > 0 { stream.read(&mut piece) } else { Ok(0) } {
            left -= count as u64;
        }
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nall");
    })
}

#[test]
fn large_bodies_leave_memory_as_it_is() {
    const LENGTH: u64 = 300 * MIB;
    let origin = large();
    let proxy = site(&origin);
    assert_eq!(get(proxy.http(), "a.test", "/1").status, 200);
    let before = resident(&proxy);
    let mut most = before;

    let mut client = Raw::connect(proxy.http());
    client.send(format!("GET /{LENGTH} HTTP/1.1\r\nHost: a.test\r\n\r\n")).until(b"\r\n\r\n").unwrap();
    let (mut left, mut piece) = (LENGTH - client.exactly(1).unwrap().len() as u64, vec![0; 1 << 20]);
    while left > 64 << 10 {
        let count = client.stream.read(&mut piece).unwrap();
        assert_ne!(count, 0, "{left} bytes are missing");
        left = left.saturating_sub(count as u64);
        most = most.max(resident(&proxy));
    }

    let mut client = Raw::connect(proxy.http());
    client.send(format!("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: {LENGTH}\r\n\r\n"));
    for _ in 0..LENGTH / MIB {
        client.send(&piece);
        most = most.max(resident(&proxy));
    }
    assert_eq!(client.response().text(), "all");
    assert!(most - before < 24 * MIB, "{} MiB more than before", (most - before) / MIB);
}

#[test]
fn idle_and_slow_clients_are_parted_with_and_the_others_served() {
    let origin = Origin::echo();
    let proxy = site(&origin);
    let address = proxy.http();
    assert_eq!(get(address, "a.test", "/").status, 200);
    let before = resident(&proxy);
    let open = |count: usize, request: &'static str| -> Vec<Raw> {
        let connect = |_| {
            let mut client = Raw::connect(address);
            client.send(request);
            client
        };
        (0..count).map(connect).collect()
    };
    let idle = open(200, "");
    let heads = open(100, "GET / HTTP/1.1\r\nHost: a");
    let bodies = open(50, "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 9\r\n\r\nabc");
    let readers = open(20, "GET /bytes/20000000 HTTP/1.1\r\nHost: a.test\r\n\r\n");
    let begun = Instant::now();
    assert_eq!(get(address, "a.test", "/name").text(), "origin");
    assert!(begun.elapsed() < Duration::from_secs(10), "served after {:?}", begun.elapsed());
    // For as long as origins still find room to send to, it grows.
    let more = (0..8).map(|_| {
        std::thread::sleep(Duration::from_millis(50));
        resident(&proxy).saturating_sub(before)
    });
    let more = more.max().unwrap();
    println!("{} KiB for 370 clients", more >> 10);
    // Mostly the 20 readers: what was read ahead for each, and what the allocator keeps for more of it; 12 to 15 MiB were seen.
    assert!(more < 24 * MIB, "{} MiB for 370 clients", more / MIB);
    for mut slow in heads.into_iter().chain(bodies) {
        assert_eq!(slow.response().status, 408);
    }
    // Those who take nothing are cut off, although there is more to send.
    let cut = |proxy: &Proxy| proxy.access_log().iter().filter(|line| line.contains("/bytes/20000000")).count();
    let until = Instant::now() + Duration::from_secs(10);
    while cut(&proxy) < 20 {
        assert!(Instant::now() < until, "{} of 20 were cut off", cut(&proxy));
        std::thread::sleep(Duration::from_millis(50));
    }
    for mut reader in readers {
        assert!(reader.rest().len() < 20_000_000);
    }
    drop(idle);
}
