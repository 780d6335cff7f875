//! Levels of servers: those of the lowest priority come first, and of one priority those in our own zone. A level bears the load as long as five
//! in seven of its servers are well; with fewer, what is too much for them goes to the next, little by little, as Envoy has it
//! (an overprovisioning factor of 1.4).

use crate::config::{UpstreamServer, UpstreamSpec};
use smallvec::SmallVec;

/// Of a level whose servers are all well, in per cent, so much can be borne.
const OVERPROVISIONED: u32 = 140;

/// All of the load, in per cent.
const ALL: u32 = 100;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Levels {
    /// Beside the servers; 0 comes first.
    of: Box<[u16]>,
    count: usize,
}

/// How a level is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Health {
    pub servers: u32,
    pub well: u32,
}

/// The part of the load that each level gets, in per cent of all that can be borne.
pub(super) type Loads = SmallVec<[u32; 4]>;

impl Levels {
    /// `None`: there is only one.
    pub fn of(spec: &UpstreamSpec) -> Option<Self> {
        let rank = |server: &UpstreamServer| (server.priority, spec.zone.is_some() && server.zone != spec.zone);
        let mut ranks: Vec<_> = spec.servers.iter().map(rank).collect();
        ranks.sort_unstable();
        ranks.dedup();
        let level = |server: &UpstreamServer| {
            ranks.binary_search(&rank(server)).ok().and_then(|level| u16::try_from(level).ok()).unwrap_or(u16::MAX)
        };
        (ranks.len() > 1).then(|| Self { of: spec.servers.iter().map(level).collect(), count: ranks.len() })
    }

    pub fn level(&self, server: usize) -> usize {
        self.of.get(server).copied().unwrap_or_default().into()
    }

    /// Of each level.
    pub fn healths(&self, is_well: impl Fn(usize) -> bool) -> SmallVec<[Health; 4]> {
        let mut healths: SmallVec<[Health; 4]> = SmallVec::from_elem(Health::default(), self.count);
        for (server, level) in self.of.iter().enumerate() {
            if let Some(health) = healths.get_mut(usize::from(*level)) {
                health.servers += 1;
                health.well += u32::from(is_well(server));
            }
        }
        healths
    }
}

impl Health {
    /// What it can bear, in per cent of the whole load.
    fn bears(self) -> u32 {
        (OVERPROVISIONED * self.well).checked_div(self.servers).unwrap_or_default().min(ALL)
    }

    /// Whether fewer than half are well: then checks are more likely wrong than so many servers down.
    pub const fn is_doubtful(self) -> bool {
        self.well * 2 < self.servers
    }
}

/// Each level takes what it can bear of what those before it have left.
pub(super) fn loads(healths: &[Health]) -> Loads {
    let mut left = ALL;
    healths
        .iter()
        .map(|health| {
            let load = health.bears().min(left);
            left -= load;
            load
        })
        .collect()
}

/// Whether all of them together can bear the load.
pub(super) fn suffice(loads: &Loads) -> bool {
    loads.iter().sum::<u32>() >= ALL
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Location, ServerAddress};

    fn health(well: u32, servers: u32) -> Health {
        Health { servers, well }
    }

    fn spec(servers: &[(u16, Option<&str>)], zone: Option<&str>) -> UpstreamSpec {
        let at = Location { file: "test".into(), line: 1, column: 1 };
        let server = |(port, (priority, zone)): (u16, &(u16, Option<&str>))| UpstreamServer {
            priority: *priority,
            zone: zone.map(str::to_owned),
            ..UpstreamServer::plain(ServerAddress::Tcp { host: "10.0.0.1".into(), port }, at.clone())
        };
        let servers = (0..).zip(servers).map(server).collect();
        UpstreamSpec { servers, zone: zone.map(str::to_owned), ..UpstreamSpec::plain(Vec::new(), at.clone()) }
    }

    #[test]
    fn priorities_come_before_zones_and_gaps_do_not_matter() {
        let of = |servers: &[(u16, Option<&str>)], zone| Levels::of(&spec(servers, zone)).map(|levels| levels.of.to_vec());
        assert_eq!(of(&[(10, None), (0, None), (10, None)], None), Some(vec![1, 0, 1]));
        assert_eq!(of(&[(3, None), (3, None)], None), None);
        assert_eq!(of(&[(0, Some("a")), (0, Some("b")), (0, None)], Some("b")), Some(vec![1, 0, 1]));
        assert_eq!(of(&[(0, Some("a")), (0, Some("b")), (1, Some("b")), (1, Some("c"))], Some("b")), Some(vec![1, 0, 2, 3]));
        assert_eq!(of(&[(0, Some("a")), (0, Some("a"))], Some("b")), None, "all are elsewhere");
    }

    #[test]
    fn the_next_level_gets_what_is_too_much_for_those_before() {
        let loads = |healths: &[Health]| loads(healths).to_vec();
        assert_eq!(loads(&[health(3, 3), health(3, 3)]), [100, 0]);
        assert_eq!(loads(&[health(5, 7), health(3, 3)]), [100, 0]);
        assert_eq!(loads(&[health(1, 2), health(3, 3)]), [70, 30]);
        assert_eq!(loads(&[health(0, 2), health(1, 1), health(9, 9)]), [0, 100, 0]);
        assert_eq!(loads(&[health(1, 4), health(1, 4)]), [35, 35]);
        assert!(!suffice(&super::loads(&[health(1, 4), health(1, 4)])) && suffice(&super::loads(&[health(0, 3), health(5, 7)])));
        assert!(health(1, 3).is_doubtful() && !health(1, 2).is_doubtful() && health(0, 1).is_doubtful());
    }
}
