//! How servers are chosen, and how many retries may run.

use super::*;
use crate::config::Location;
use std::collections::BTreeSet;

fn upstream(servers: u16, balance: Balance) -> Rc<Upstream> {
    let servers = (0..servers).map(|port| ServerAddress::Tcp { host: "127.0.0.1".into(), port }).collect();
    let at = Location { file: "test".into(), line: 1, column: 1 };
    Rc::new(Upstream::new(
        "app",
        &UpstreamSpec { balance, ..UpstreamSpec::plain(servers, at) },
        None,
        &Limits::default(),
        Default::default(),
    ))
}

#[test]
fn round_robin_takes_turns() {
    let upstream = upstream(3, Balance::RoundRobin);
    let picked: Vec<_> = (0..6).filter_map(|_| upstream.pick(&Tried::new())).collect();
    assert_eq!(picked, [0, 1, 2, 0, 1, 2]);
}

#[test]
fn the_less_busy_of_two_is_picked() {
    let upstream = upstream(2, Balance::P2c);
    let _busy = Ticket::new(&upstream, &upstream.servers[0]);
    assert!((0..100).all(|_| upstream.pick(&Tried::new()) == Some(1)));
}

#[test]
fn every_server_gets_its_share_when_none_is_busy() {
    let upstream = upstream(5, Balance::P2c);
    let picked: BTreeSet<_> = (0..500).filter_map(|_| upstream.pick(&Tried::new())).collect();
    assert_eq!(picked, BTreeSet::from([0, 1, 2, 3, 4]));
}

#[test]
fn servers_that_failed_are_passed_over_while_others_are_left() {
    for balance in [Balance::P2c, Balance::RoundRobin] {
        let upstream = upstream(3, balance);
        let tried = Tried::from_slice(&[0, 2]);
        assert!((0..20).all(|_| upstream.pick(&tried) == Some(1)));
        assert!(upstream.has_other(&tried));
        let all = Tried::from_slice(&[0, 2, 1]);
        assert!(upstream.pick(&all).is_some() && !upstream.has_other(&all));
    }
    assert_eq!(upstream(0, Balance::P2c).pick(&Tried::new()), None);
}

#[test]
fn retries_are_a_share_of_what_runs_but_at_least_three() {
    let upstream = upstream(1, Balance::P2c);
    let few: Vec<_> = (0..5).map_while(|_| Retry::new(&upstream, 20)).collect();
    assert_eq!(few.len(), 3);
    drop(few);

    let running: Vec<_> = (0..50).map(|_| Ticket::new(&upstream, &upstream.servers[0])).collect();
    let many: Vec<_> = (0..50).map_while(|_| Retry::new(&upstream, 20)).collect();
    assert_eq!(many.len(), 10);
    drop((running, many));
    assert_eq!((upstream.running.get(), upstream.retrying.get()), (0, 0));
}
