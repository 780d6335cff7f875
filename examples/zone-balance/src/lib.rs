//! Keeps requests in their zone while that is sound: servers that carry the zone's tag go first, the others when the near ones are too busy or
//! fail. Tells what became of it in metrics.

use portcullis_sdk::{metrics, prelude::*};
use std::cell::Cell;

/// Where requests are to stay.
#[settings]
pub struct Zone {
    /// The tag of the zone's servers.
    zone: String,
    /// How many requests may run on a near server before a far one is as good, on each worker.
    #[setting(default = 32, min = 1)]
    busy: u32,
}

/// The plugin: its settings, and what it has seen since the last tick.
pub struct Balancer {
    settings: Zone,
    far: Cell<u64>,
}

#[plugin]
impl Balancer {
    fn configure(settings: Zone) -> Result<Self, Vec<Problem>> {
        Ok(Self { settings, far: Cell::new(0) })
    }

    /// The least busy server nearby, or the least busy of all.
    #[interest(tags, weight, load)]
    fn on_balance(&self, choice: &Choice, edit: &mut UpstreamEdits) -> BalanceVerdict {
        let load = |server: &Candidate| (u64::from(server.running()) << 16) / u64::from(server.weight());
        let near = |server: &Candidate| server.has_tag(&self.settings.zone);
        let nearest = choice.candidates().filter(near).min_by_key(load);
        let chosen = nearest.filter(|server| server.running() < self.settings.busy).or_else(|| choice.candidates().min_by_key(load));
        if chosen.as_ref().is_some_and(|server| !near(server)) {
            edit.set_attribute("log.zone", "left");
            self.far.set(self.far.get() + 1);
        }
        chosen.into()
    }

    /// A server that is overloaded says so; another may not be. One that answers slowly is not helped by asking twice.
    #[interest(reason, statuses = [503])]
    fn on_attempt(&self, failed: &FailedAttempt, _: &mut UpstreamEdits) -> AttemptVerdict {
        match (failed.status(), failed.reason()) {
            (Some(_), _) => AttemptVerdict::Again,
            (None, "response_timeout") => AttemptVerdict::Stop,
            _ => AttemptVerdict::Next,
        }
    }

    #[interest(server)]
    fn on_done(&self, done: &Done) {
        let class = done.status().map_or("none".to_owned(), |status| format!("{}xx", status / 100));
        metrics::count("done", &[("server", done.server().unwrap_or("-")), ("status", &class)], 1);
    }

    /// Reported now and then rather than for each request.
    #[interest(every = "1s")]
    fn on_tick(&self, _: &Tick) {
        metrics::count("left_zone", &[("zone", &self.settings.zone)], self.far.take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_sdk::test::{After, Harness, Outside, answered, choice, failed_attempt, failed_status, server};

    fn zone() -> Harness<Balancer> {
        Harness::new(r#"{ "zone": "a", "busy": 2 }"#)
    }

    #[test]
    fn near_servers_go_first_until_they_are_busy() {
        let with = |running| choice("app").server(server("far:1")).server(server("near:1").tag("a").running(running));
        let outcome = zone().on_balance(with(1));
        assert_eq!((outcome.chosen(), outcome.attribute("log.zone")), (Some("near:1"), None));
        let outcome = zone().on_balance(with(2));
        assert_eq!((outcome.chosen(), outcome.attribute("log.zone")), (Some("far:1"), Some("left")));
    }

    #[test]
    fn of_equals_the_least_busy_for_its_weight() {
        let heavy = server("heavy:1").tag("a").weight(4).running(1);
        let light = server("light:1").tag("a").running(1);
        assert_eq!(zone().on_balance(choice("app").server(light).server(heavy)).chosen(), Some("heavy:1"));
    }

    #[test]
    fn an_overloaded_server_is_not_the_last_word() {
        assert_eq!(zone().on_attempt(failed_status("a:1", 503)).after(), &After::Again);
        assert_eq!(zone().on_attempt(failed_attempt("a:1", "response_timeout").sent()).after(), &After::Stop);
        assert_eq!(zone().on_attempt(failed_attempt("a:1", "connect_refused")).after(), &After::Next);
    }

    #[test]
    fn what_happened_is_counted() {
        let outside = Outside::new().metrics().install();
        let zone = zone();
        zone.on_balance(choice("app").server(server("far:1")).server(server("far:2")));
        zone.on_done(&answered(503).by("app", "far:1", 2));
        zone.on_tick(0);
        assert_eq!(outside.counted("done", &[("server", "far:1"), ("status", "5xx")]), 1);
        assert_eq!(outside.counted("left_zone", &[("zone", "a")]), 1);
    }
}
