//! What processes and cores have used, read from `/proc`.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// Linux has shown times in `/proc` in hundredths of a second on every architecture for decades (USER_HZ).
const TICK: Duration = Duration::from_millis(10);

/// CPU time of a process and its descendants: scheduler nanoseconds, else ticks.
pub fn cpu(pid: u32) -> Duration {
    tree(pid).into_iter().map(|pid| own_cpu(Path::new(&format!("/proc/{pid}")))).sum()
}

fn own_cpu(process: &Path) -> Duration {
    let fields = stat(process);
    let ticks = ticks(fields.get(11)) + ticks(fields.get(12));
    let reaped = self::ticks(fields.get(13)) + self::ticks(fields.get(14));
    let threads = fs::read_dir(process.join("task")).into_iter().flatten().flatten();
    let nanoseconds = threads.filter_map(|thread| {
        let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split_ascii_whitespace().next()?.parse::<u64>().ok()
    });
    let exact = Duration::from_nanos(nanoseconds.sum());
    // Threads that have ended are in ticks only; within the error of three ticks, nanoseconds are the better figure.
    (if exact + TICK * 3 > ticks { exact } else { ticks }) + reaped
}

/// CPU time of the children that this process has waited for, in ticks.
pub fn reaped() -> Duration {
    let fields = stat(Path::new("/proc/self"));
    ticks(fields.get(13)) + ticks(fields.get(14))
}

/// The fields of `stat` after the command's name: state is 0, utime 11, stime 12, cutime 13, cstime 14.
fn stat(process: &Path) -> Vec<String> {
    let text = fs::read_to_string(process.join("stat")).unwrap_or_default();
    let rest = text.rsplit_once(')').map(|(_, rest)| rest).unwrap_or_default();
    rest.split_ascii_whitespace().map(str::to_owned).collect()
}

fn ticks(field: Option<&String>) -> Duration {
    TICK * field.and_then(|field| field.parse().ok()).unwrap_or(0)
}

/// The process and its descendants.
fn tree(pid: u32) -> Vec<u32> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        if let Some(child) = entry.file_name().to_str().and_then(|name| name.parse().ok()) {
            let parent = stat(&entry.path()).get(1).and_then(|field| field.parse().ok());
            children.entry(parent.unwrap_or(0)).or_default().push(child);
        }
    }
    let mut found = vec![pid];
    let mut next = 0;
    while let Some(pid) = found.get(next) {
        found.extend(children.get(pid).into_iter().flatten().copied().collect::<Vec<_>>());
        next += 1;
    }
    found
}

/// Memory of a process and its descendants, bytes, each shared page split among those that share it.
pub fn pss(pid: u32) -> u64 {
    tree(pid).into_iter().map(|pid| kibibytes(&format!("/proc/{pid}/smaps_rollup"), "Pss:") * 1024).sum()
}

fn kibibytes(file: &str, key: &str) -> u64 {
    let text = fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    line.and_then(|line| line.split_ascii_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// How long a core has been busy, or with the hypervisor's other guests.
pub fn core(number: u32) -> Duration {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("cpu{number} ")));
    let times = line.unwrap_or_default().split_ascii_whitespace().filter_map(|field| field.parse::<u32>().ok());
    // user nice system idle iowait irq softirq steal; guests' time is within user.
    times.take(8).enumerate().filter(|(index, _)| ![3, 4].contains(index)).map(|(_, ticks)| TICK * ticks).sum()
}

/// Connections that a local port holds, on the side that accepted them.
pub fn accepted(port: u16) -> usize {
    let local = format!(":{port:04X}");
    let text = fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    // Fields: slot, local address, remote address, state; 01 is established.
    let established = |line: &&str| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        fields.next().is_some_and(|address| address.ends_with(&local)) && fields.nth(1) == Some("01")
    };
    text.lines().filter(established).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};
    use std::time::Instant;

    #[test]
    fn work_is_counted() {
        let before = cpu(std::process::id());
        let started = Instant::now();
        while started.elapsed() < Duration::from_millis(60) {
            std::hint::spin_loop();
        }
        let used = cpu(std::process::id()) - before;
        assert!(used > Duration::from_millis(5), "{used:?}");
    }

    #[test]
    fn accepted_connections_are_counted() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
        let address = listener.local_addr().expect("bound");
        assert_eq!(accepted(address.port()), 0);
        let _clients = [TcpStream::connect(address).expect("connects"), TcpStream::connect(address).expect("connects")];
        assert_eq!(accepted(address.port()), 2);
    }

    #[test]
    fn this_process_has_memory() {
        assert!(pss(std::process::id()) > 100 << 10);
    }
}
