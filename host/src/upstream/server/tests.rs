//! How servers are chosen, and how many retries may run.

use super::latency::MEMORY;
use super::*;
use crate::config::{LimitsSpec, Location, Running};
use std::collections::BTreeSet;

fn upstream(servers: u16, balance: Balance) -> Rc<Upstream> {
    let servers = (0..servers).map(|port| ServerAddress::Tcp { host: "127.0.0.1".into(), port }).collect();
    let at = Location { file: "test".into(), line: 1, column: 1 };
    Upstream::after(
        None,
        "app",
        (&UpstreamSpec { balance, ..UpstreamSpec::plain(servers, at) }, None),
        &Limits::default(),
        (Default::default(), Default::default(), (&Seal::new(b"key"), 1)),
    )
}

pub(super) fn limited(servers: u16, limits: LimitsSpec) -> Rc<Upstream> {
    let first = upstream(servers, Balance::P2c);
    next(&first, &(0..servers).collect::<Vec<_>>(), 1, |spec| spec.limits = Some(limits), &Limits::default())
}

#[test]
fn round_robin_takes_turns() {
    let upstream = upstream(3, Balance::RoundRobin);
    let picked: Vec<_> = (0..6).filter_map(|_| upstream.pick(&Tried::new(), Wish::default(), Instant::now())).collect();
    assert_eq!(picked, [0, 1, 2, 0, 1, 2]);
}

#[test]
fn the_less_busy_of_two_is_picked() {
    let upstream = upstream(2, Balance::P2c);
    let _busy = Ticket::new(&upstream, &upstream.servers[0], 0);
    assert!((0..100).all(|_| upstream.pick(&Tried::new(), Wish::default(), Instant::now()) == Some(1)));
}

#[test]
fn the_least_busy_of_all_is_picked_and_equals_take_turns() {
    let upstream = upstream(3, Balance::Least);
    let pick = || upstream.pick(&Tried::new(), Wish::default(), Instant::now());
    assert_eq!([pick(), pick(), pick()], [Some(0), Some(1), Some(2)]);
    let busy: Vec<_> = [0, 0, 1, 2].map(|index| Ticket::new(&upstream, &upstream.servers[index], index)).into();
    assert!((0..9).all(|_| pick() != Some(0)));
    drop(busy);
}

#[test]
fn every_server_gets_its_share_when_none_is_busy() {
    let upstream = upstream(5, Balance::P2c);
    let picked: BTreeSet<_> = (0..500).filter_map(|_| upstream.pick(&Tried::new(), Wish::default(), Instant::now())).collect();
    assert_eq!(picked, BTreeSet::from([0, 1, 2, 3, 4]));
}

fn weighted(weights: &[u32], balance: Balance) -> Rc<Upstream> {
    let at = Location { file: "test".into(), line: 1, column: 1 };
    let server = |(port, weight): (u16, &u32)| UpstreamServer {
        weight: *weight,
        tags: vec![format!("n{port}")],
        ..UpstreamServer::plain(ServerAddress::Tcp { host: "127.0.0.1".into(), port }, at.clone())
    };
    let servers = (0..).zip(weights).map(server).collect();
    let spec = UpstreamSpec { balance, servers, ..UpstreamSpec::plain(Vec::new(), at.clone()) };
    Upstream::after(None, "app", (&spec, None), &Limits::default(), (Default::default(), Default::default(), (&Seal::new(b"key"), 1)))
}

#[test]
fn turns_are_shared_by_weight_and_spread() {
    let upstream = weighted(&[1, 3], Balance::RoundRobin);
    let picked: Vec<_> = (0..8).filter_map(|_| upstream.pick(&Tried::new(), Wish::default(), Instant::now())).collect();
    assert_eq!(picked, [1, 0, 1, 1, 1, 0, 1, 1]);
}

#[test]
fn random_picks_go_by_weight_too() {
    let upstream = weighted(&[1, 9, 90], Balance::P2c);
    let mut picked = [0; 3];
    for _ in 0..20_000 {
        if let Some(count) = upstream.pick(&Tried::new(), Wish::default(), Instant::now()).and_then(|index| picked.get_mut(index)) {
            *count += 1;
        }
    }
    let [least, middle, most] = picked;
    assert!((50..800).contains(&least) && (1_000..3_500).contains(&middle) && most > 15_000, "{picked:?}");
}

#[test]
fn what_runs_counts_for_less_on_a_heavy_server() {
    let upstream = weighted(&[1, 4], Balance::P2c);
    let tickets: Vec<_> = [0, 1, 1].into_iter().map(|index| Ticket::new(&upstream, &upstream.servers[index], index)).collect();
    let loads: Vec<_> = (0..2).map(|index| upstream.load_of(index)).collect();
    assert!(loads[0] > loads[1], "{loads:?}");
    drop(tickets);
}

#[test]
fn a_guide_is_shown_what_is_left_and_never_too_many() {
    let upstream = weighted(&[1; 3], Balance::P2c);
    let _running = Ticket::new(&upstream, &upstream.servers[2], 2);
    let eligible = upstream.eligible(&Tried::from_slice(&[1]), Instant::now());
    let shown: Vec<_> = upstream.candidates(&eligible).iter().map(|shown| (shown.number, shown.running, shown.tags[0].clone())).collect();
    assert_eq!(shown, [(0, 0, "n0".to_owned()), (2, 1, "n2".to_owned())]);

    let many = weighted(&[1; 1000], Balance::P2c).eligible(&Tried::new(), Instant::now());
    assert!(many.len() == MOST_SHOWN && many.windows(2).all(|pair| pair[0] < pair[1]));
}

#[test]
fn a_slow_answer_counts_at_once_and_is_forgotten_slowly() {
    let upstream = weighted(&[1; 2], Balance::P2c);
    let (server, now) = (&upstream.servers[0], Instant::now());
    let latency = || server.as_candidate(0).latency.as_millis();
    server.heard(Duration::from_millis(10), now);
    server.heard(Duration::from_millis(100), now);
    assert_eq!(latency(), 100);
    server.heard(Duration::from_millis(10), now + Duration::from_millis(10));
    assert!((95..=100).contains(&latency()), "{}", latency());
    server.heard(Duration::from_millis(10), now + MEMORY * 5);
    assert!((10..=12).contains(&latency()), "{}", latency());
}

#[test]
fn servers_that_failed_are_passed_over_while_others_are_left() {
    for balance in [Balance::P2c, Balance::RoundRobin] {
        let upstream = upstream(3, balance);
        let tried = Tried::from_slice(&[0, 2]);
        assert!((0..20).all(|_| upstream.pick(&tried, Wish::default(), Instant::now()) == Some(1)));
        assert!(upstream.has_other(&tried));
        let all = Tried::from_slice(&[0, 2, 1]);
        assert!(upstream.pick(&all, Wish::default(), Instant::now()).is_some() && !upstream.has_other(&all));
    }
    assert_eq!(upstream(0, Balance::P2c).pick(&Tried::new(), Wish::default(), Instant::now()), None);
}

#[test]
fn retries_are_a_share_of_what_runs_but_at_least_three() {
    let upstream = upstream(1, Balance::P2c);
    let few: Vec<_> = (0..5).map_while(|_| Retry::new(&upstream, 20)).collect();
    assert_eq!(few.len(), 3);
    drop(few);

    let running: Vec<_> = (0..50).map(|_| Ticket::new(&upstream, &upstream.servers[0], 0)).collect();
    let many: Vec<_> = (0..50).map_while(|_| Retry::new(&upstream, 20)).collect();
    assert_eq!(many.len(), 10);
    drop((running, many));
    assert_eq!((upstream.load.running.get(), upstream.load.retrying.get()), (0, 0));
}

fn next(earlier: &Rc<Upstream>, servers: &[u16], line: u32, change: impl FnOnce(&mut UpstreamSpec), limits: &Limits) -> Rc<Upstream> {
    let servers = servers.iter().map(|port| ServerAddress::Tcp { host: "127.0.0.1".into(), port: *port }).collect();
    let mut spec = UpstreamSpec::plain(servers, Location { file: "test".into(), line, column: 1 });
    change(&mut spec);
    Upstream::after(Some(earlier), "app", (&spec, None), limits, (Default::default(), Default::default(), (&Seal::new(b"key"), 1)))
}

#[test]
fn what_has_not_changed_goes_over_to_the_next_snapshot() {
    let (first, limits) = (upstream(3, Balance::P2c), Limits::default());
    assert!(Rc::ptr_eq(&first, &next(&first, &[0, 1, 2], 7, |_| {}, &limits)), "only its line has moved");
    let fewer = next(&first, &[2, 0, 9], 1, |_| {}, &limits);
    let kept = |new: usize, old: usize| Rc::ptr_eq(&fewer.servers[new], &first.servers[old]);
    assert!(kept(0, 2) && kept(1, 0) && !Rc::ptr_eq(&first, &fewer));
    let turns = next(&first, &[0, 1, 2], 1, |spec| spec.balance = Balance::RoundRobin, &limits);
    assert!(!Rc::ptr_eq(&first, &turns) && Rc::ptr_eq(&first.servers[0], &turns.servers[0]), "balanced anew over the same servers");
    let told = next(&first, &[0, 1, 2], 1, |spec| spec.proxy_protocol = Some(crate::config::ProxyVersion::V2), &limits);
    let shorter = next(&first, &[0, 1, 2], 1, |_| {}, &Limits { pool_age: std::time::Duration::from_secs(1), ..limits });
    for other in [told, shorter] {
        assert!(!Rc::ptr_eq(&first.servers[0], &other.servers[0]), "its connections are made otherwise");
    }
}

#[tokio::test]
async fn who_waits_after_a_reload_is_told_of_what_ran_before_it() {
    let spec = LimitsSpec { running: Some(Running::Most(1)), per_server: None, connections: None, queue: 5, wait: Duration::from_secs(60) };
    let first = limited(1, spec);
    let ticket = Ticket::new(&first, &first.servers[0], 0);
    let second = next(&first, &[0], 1, |changed| changed.limits = Some(LimitsSpec { queue: 6, ..spec }), &Limits::default());
    assert!(!Rc::ptr_eq(&first, &second));
    let mut patience = Patience::default();
    let (admitted, ()) = tokio::join!(second.admit(&mut patience), async {
        tokio::task::yield_now().await;
        drop(ticket);
    });
    assert!(admitted.is_ok());
}

#[test]
fn a_server_that_has_other_tags_is_another_and_one_that_counts_for_more_is_not() {
    let (first, limits) = (upstream(2, Balance::RoundRobin), Limits::default());
    let tags = next(&first, &[0, 1], 1, |spec| spec.servers[0].tags.push("a".into()), &limits);
    assert!(!Rc::ptr_eq(&first.servers[0], &tags.servers[0]) && Rc::ptr_eq(&first.servers[1], &tags.servers[1]));
    let weight = next(&first, &[0, 1], 1, |spec| (spec.balance, spec.servers[0].weight) = (Balance::RoundRobin, 3), &limits);
    assert!(Rc::ptr_eq(&first.servers[0], &weight.servers[0]) && Rc::ptr_eq(&first.servers[1], &weight.servers[1]));
    assert_eq!(picked(&weight, 400, Instant::now()), [300, 100]);
}

#[test]
fn who_is_set_aside_stays_so_in_the_next_snapshot() {
    let (first, limits, now) = (upstream(3, Balance::P2c), Limits::default(), Instant::now());
    let gets = |upstream: &Upstream, index: usize| (0..100).any(|_| upstream.pick(&Tried::new(), Wish::default(), now) == Some(index));
    (0..5).for_each(|_| first.failed(1, now));
    let second = next(&first, &[9, 1, 2], 1, |_| {}, &limits);
    assert!(!gets(&second, 1) && gets(&second, 0) && gets(&second, 2));
    // By exchanges of the snapshot before, and seen with the next failure.
    (0..5).for_each(|_| first.failed(2, now));
    assert!(!first.servers[2].standing.is_out(now), "of three, one is enough");
    let third = next(&second, &[7, 8, 1, 2], 1, |_| {}, &limits);
    (0..5).for_each(|_| third.failed(3, now));
    assert!(gets(&third, 0) && gets(&third, 1) && !gets(&third, 2) && !gets(&third, 3));
    let never = next(&third, &[7, 8, 1, 2], 1, |_| {}, &Limits { eject_after: 0, ..limits });
    assert!(!Rc::ptr_eq(&third, &never) && gets(&never, 2));
}

#[test]
fn who_fails_again_and_again_is_set_aside_but_never_more_than_half() {
    for balance in [Balance::P2c, Balance::RoundRobin] {
        let (upstream, now) = (upstream(3, balance), Instant::now());
        (0..5).for_each(|_| upstream.failed(1, now));
        assert!((0..50).all(|_| upstream.pick(&Tried::new(), Wish::default(), now) != Some(1)));
        assert_eq!(upstream.eligible(&Tried::new(), now).as_slice(), [0, 2]);
        (0..5).for_each(|_| upstream.failed(2, now));
        assert!((0..50).any(|_| upstream.pick(&Tried::new(), Wish::default(), now) == Some(2)), "two of three would be more than half");
        assert_eq!(upstream.pick(&Tried::from_slice(&[0, 2]), Wish::default(), now), Some(1), "better than nobody");
        assert_eq!(upstream.eligible(&Tried::from_slice(&[0, 2]), now).as_slice(), [1]);
        let later = now + Duration::from_secs(10);
        assert!((0..100).any(|_| upstream.pick(&Tried::new(), Wish::default(), later) == Some(1)));
    }
}

#[test]
fn a_slow_server_gets_less_until_others_have_far_more_to_do_or_it_is_forgotten() {
    let (upstream, now) = (upstream(2, Balance::P2c), Instant::now());
    let [slow, fast] = &upstream.servers[..] else { panic!("two") };
    slow.heard(Duration::from_millis(40), now);
    let picks = |now: Instant, index: usize| (0..50).all(|_| upstream.pick(&Tried::new(), Wish::default(), now) == Some(index));
    assert!(!picks(now, 0) && !picks(now, 1), "nothing is known of the other");
    fast.heard(Duration::from_micros(700), now);
    assert!(picks(now, 1));
    let some: Vec<_> = (0..6).map(|_| Ticket::new(&upstream, fast, 1)).collect();
    assert!(picks(now, 1), "seven times as much to do");
    let more: Vec<_> = (0..2).map(|_| Ticket::new(&upstream, fast, 1)).collect();
    assert!(picks(now, 0), "nine times");
    drop((some, more));
    let later = now + MEMORY * 4;
    assert!(!picks(later, 0) && !picks(later, 1));
}

#[test]
fn small_differences_are_noise() {
    let (upstream, now) = (upstream(2, Balance::P2c), Instant::now());
    let even = || {
        let mut picked = BTreeSet::new();
        picked.extend((0..50).filter_map(|_| upstream.pick(&Tried::new(), Wish::default(), now)));
        picked.len() == 2
    };
    for (one, other) in [(80, 900), (20_000, 35_000)] {
        upstream.servers[0].heard(Duration::from_micros(one), now + MEMORY * 99);
        upstream.servers[1].heard(Duration::from_micros(other), now + MEMORY * 99);
        assert!(even(), "{one} {other}");
    }
}

/// Servers of these priorities, with this balance, and maybe a slow start.
fn leveled(priorities: &[u16], balance: Balance, slow_start: Option<Duration>, earlier: Option<&Rc<Upstream>>) -> Rc<Upstream> {
    let at = Location { file: "test".into(), line: 1, column: 1 };
    let server = |(port, priority): (u16, &u16)| UpstreamServer {
        priority: *priority,
        ..UpstreamServer::plain(ServerAddress::Tcp { host: "127.0.0.1".into(), port }, at.clone())
    };
    let servers = (0..).zip(priorities).map(server).collect();
    let spec = UpstreamSpec { balance, servers, slow_start, ..UpstreamSpec::plain(Vec::new(), at.clone()) };
    Upstream::after(
        earlier,
        "app",
        (&spec, None),
        &Limits::default(),
        (Default::default(), (None, Arc::default(), Arc::default()), (&Seal::new(b"key"), 1)),
    )
}

/// How often each of `count` servers is picked.
fn picked(upstream: &Upstream, times: usize, now: Instant) -> Vec<usize> {
    let mut picked = vec![0; upstream.servers.len()];
    for _ in 0..times {
        picked[upstream.pick(&Tried::new(), Wish::default(), now).expect("a server")] += 1;
    }
    picked
}

/// Sets a server aside, however many are.
fn set_aside(upstream: &Upstream, index: usize, now: Instant) {
    while !upstream.servers[index].standing.is_out(now) {
        upstream.failed(index, now);
    }
}

#[test]
fn the_next_level_is_used_as_far_as_the_first_is_unwell() {
    let now = Instant::now();
    for balance in [Balance::P2c, Balance::RoundRobin, Balance::Least] {
        let upstream = leveled(&[0, 5, 0, 5], balance.clone(), None, None);
        let all = picked(&upstream, 1000, now);
        assert!(all[1] == 0 && all[3] == 0 && all[0].abs_diff(all[2]) < 150, "{balance}: {all:?}");
        set_aside(&upstream, 0, now);
        let some = picked(&upstream, 2000, now);
        assert!(some[0] == 0 && (1250..1550).contains(&some[2]) && some[1] > 200 && some[3] > 200, "{balance}: {some:?}");
        set_aside(&upstream, 2, now);
        let none = picked(&upstream, 1000, now);
        assert!(none[0] == 0 && none[2] == 0 && none[1].abs_diff(none[3]) < 150, "{balance}: {none:?}");
        let tried = Tried::from_slice(&[1, 3]);
        assert!(upstream.pick(&tried, Wish::default(), now).is_some_and(|index| index == 0 || index == 2), "there is nobody else");
    }
}

#[test]
fn of_several_levels_the_last_server_is_never_set_aside() {
    let (now, upstream) = (Instant::now(), leveled(&[0, 1], Balance::P2c, None, None));
    set_aside(&upstream, 0, now);
    for _ in 0..100 {
        upstream.failed(1, now);
    }
    assert_eq!(picked(&upstream, 10, now), [0, 10]);
}

#[test]
fn a_key_stays_in_its_level() {
    let now = Instant::now();
    let upstream = leveled(&[0, 0, 1, 1], Balance::Hash(crate::config::HashKey::Client), None, None);
    set_aside(&upstream, 0, now);
    let mut second = 0;
    for client in 0..200u8 {
        let wish = upstream.wish(None, std::net::IpAddr::from([10, 0, 0, client]));
        let one = upstream.pick(&Tried::new(), wish, now);
        assert!((0..5).all(|_| upstream.pick(&Tried::new(), wish, now) == one), "{client}");
        assert_ne!(one, Some(0));
        second += usize::from(one != Some(1));
    }
    assert!((30..90).contains(&second), "{second}");
}

#[test]
fn a_new_server_gets_its_share_little_by_little() {
    let time = Duration::from_secs(100);
    for balance in [Balance::P2c, Balance::RoundRobin, Balance::Least] {
        let first = leveled(&[0], balance.clone(), Some(time), None);
        assert!(!first.has_unlike(Instant::now()), "where all are new, none waits");
        let upstream = leveled(&[0, 0], balance.clone(), Some(time), Some(&first));
        let came = upstream.servers[1].since.expect("it is new");
        let share = |after: u64| picked(&upstream, 2200, came + Duration::from_secs(after))[1];
        let (begun, half, done) = (share(0), share(50), share(100));
        // A tenth beside a whole: a part in eleven. A half beside a whole: one in three.
        assert!(
            (120..320).contains(&begun) && (600..870).contains(&half) && (1000..1200).contains(&done),
            "{balance}: {begun} {half} {done}"
        );
        assert!(!upstream.has_unlike(came + time));
    }
}

#[test]
fn a_server_that_comes_back_begins_slowly_too() {
    let now = Instant::now();
    let upstream = leveled(&[0, 0], Balance::RoundRobin, Some(Duration::from_secs(100)), None);
    set_aside(&upstream, 0, now);
    assert_eq!(picked(&upstream, 10, now), [0, 10]);
    let back = now + Limits::default().eject_time;
    let share = picked(&upstream, 1100, back)[0];
    assert!((90..110).contains(&share), "{share}");
    assert!(!upstream.has_unlike(back + Duration::from_secs(100)));
}
