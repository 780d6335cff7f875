//! What answers make of upstreams.

use super::*;
use crate::config::{Location, UpstreamServer};
use query::{Record, expand};
use std::net::IpAddr;

fn at() -> Location {
    Location { file: "test".into(), line: 1, column: 1 }
}

fn tcp(host: &str, port: u16) -> ServerAddress {
    ServerAddress::Tcp { host: host.into(), port }
}

fn ip(last: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, last])
}

fn hosts(last: &[u8]) -> Vec<Found> {
    last.iter().map(|last| Found { ip: ip(*last), also: None, record: None }).collect()
}

fn discovery(servers: Vec<ServerAddress>, before: Option<&Discovery>) -> Discovery {
    let specs = BTreeMap::from([(UpstreamName("app".into()), UpstreamSpec::plain(servers, at()))]);
    Discovery::succeed(before, &Arc::new(specs), &Arc::default())
}

fn servers(discovery: &Discovery) -> Vec<String> {
    discovery.now().specs[&UpstreamName("app".into())].servers.iter().map(|server| server.address.to_string()).collect()
}

/// Whether that changed anything.
fn found(discovery: &Discovery, name: &str, answer: Result<Vec<Found>, &str>) -> bool {
    let answer = answer.map_err(str::to_owned);
    let changed = discovery.take(News { query: Query::Host(name.into()), answer, next: Instant::now() });
    if changed {
        discovery.change();
    }
    changed
}

#[tokio::test]
async fn a_set_follows_what_is_found_and_never_what_is_not() {
    let discovery = discovery(vec![tcp("10.0.0.9", 1), tcp("app.test", 80), tcp("localhost", 2)], None);
    assert!(discovery.has_work());
    assert_eq!(servers(&discovery), ["10.0.0.9:1", "localhost:2"], "nothing is known yet");
    assert!(!found(&discovery, "app.test", Err("SERVFAIL")));
    assert!(found(&discovery, "app.test", Ok(hosts(&[1, 2]))));
    assert_eq!(servers(&discovery), ["10.0.0.9:1", "10.0.0.1:80", "10.0.0.2:80", "localhost:2"]);
    assert!(!found(&discovery, "app.test", Ok(hosts(&[1, 2]))), "the same again");
    assert!(!found(&discovery, "app.test", Err("there is no such name")));
    assert_eq!(servers(&discovery).len(), 4);
    let known = &discovery.look_ups()[&Query::Host("app.test".into())];
    assert_eq!((known.lookups, known.failed, known.failures, known.why.as_deref()), (4, 2, 1, Some("there is no such name")));
    assert!(found(&discovery, "app.test", Ok(hosts(&[2]))));
    assert_eq!(servers(&discovery), ["10.0.0.9:1", "10.0.0.2:80", "localhost:2"]);
    assert!(!found(&discovery, "other.test", Ok(hosts(&[3]))), "nobody has asked for that");
}

#[tokio::test]
async fn what_is_known_goes_over_to_the_next_configuration() {
    let one = discovery(vec![tcp("app.test", 80)], None);
    found(&one, "app.test", Ok(hosts(&[1])));
    let next = discovery(vec![tcp("more.test", 80), tcp("app.test", 81)], Some(&one));
    assert_eq!(servers(&next), ["10.0.0.1:81"]);
    let lookups: Vec<u64> = next.look_ups().values().map(|known| known.lookups).collect();
    assert_eq!(lookups, [1, 0], "app.test, more.test");
    assert!(!discovery(vec![tcp("localhost", 80), tcp("10.0.0.1", 80), tcp("a.localhost", 80)], None).has_work());
}

#[test]
fn records_say_where_and_how_much_and_what_is_found_twice_is_one() {
    let service = ServerAddress::Service { name: "_api._tcp.test".into() };
    let written = UpstreamServer { tags: vec!["t".into()], zone: Some("z".into()), ..UpstreamServer::plain(service.clone(), at()) };
    let weighty = UpstreamServer { weight: 7, priority: 3, ..UpstreamServer::plain(tcp("app.test", 80), at()) };
    let spec = UpstreamSpec { servers: vec![written, weighty], ..UpstreamSpec::plain(Vec::new(), at()) };
    let record = |port, priority, weight| Some(Record { port, priority, weight, host: "h".into() });
    let (hosts, records) = (
        hosts(&[1, 2]),
        vec![Found { ip: ip(1), also: None, record: record(80, 0, 0) }, Found { ip: ip(3), also: None, record: record(81, 20, 65_535) }],
    );
    let all = expand(&spec, |query| match query {
        Query::Host(_) => &hosts,
        Query::Service(_) => &records,
    });
    let shown: Vec<_> =
        all.servers.iter().map(|server| (server.address.to_string(), server.weight, server.priority, server.tags.len())).collect();
    let wanted = [("10.0.0.1:80", 1, 0, 1), ("10.0.0.3:81", 65_535, 20, 1), ("10.0.0.2:80", 7, 3, 0)];
    assert_eq!(shown, wanted.map(|(address, weight, priority, tags)| (address.to_owned(), weight, priority, tags)));
    assert_eq!(all.servers[1].written(), &service);
    assert_eq!(all.servers[1].zone.as_deref(), Some("z"));
}
