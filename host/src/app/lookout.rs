//! Whether files of the configuration have changed: looked at every few seconds, for the reasons that certificates are.

use crate::certs::Watch;
use crate::config::Recorded;
use std::time::Duration;

/// What was read, and what was last seen of it.
pub struct Lookout {
    used: Recorded,
    seen: Recorded,
}

impl Lookout {
    pub const PERIOD: Duration = Watch::PERIOD;

    pub fn new(read: Recorded) -> Self {
        Self { seen: read.now(), used: read }
    }

    /// Something was read anew, and is what is served now.
    pub fn served(&mut self, read: Recorded) {
        *self = Self::new(read);
    }

    /// Something was read anew, and is not served: what is served is looked at too, since it may be what gets changed next.
    pub fn refused(&mut self, mut read: Recorded) {
        read.add(self.used.now());
        *self = Self::new(read);
    }

    /// Looks once: whether there is something new which has been the same for two looks, so that files are not read before all of them are
    /// there.
    pub fn look(&mut self) -> bool {
        let now = self.used.now();
        let settled = now == self.seen;
        self.seen = now;
        settled && self.seen != self.used
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_change_counts_once_it_has_settled() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("a.toml");
        fs::write(&path, "one").expect("written");
        let read = || {
            let mut read = Recorded::default();
            read.note(&path);
            read
        };
        let mut watching = Lookout::new(read());
        assert!(!watching.look() && !watching.look());
        fs::write(&path, "three").expect("written");
        assert!(!watching.look(), "it may still be written to");
        assert!(watching.look());
        watching.served(read());
        assert!(!watching.look() && !watching.look());
        fs::remove_file(&path).expect("removed");
        assert!(!watching.look() && watching.look());
        watching.refused(Recorded::default());
        assert!(!watching.look() && !watching.look(), "told once");
        fs::write(&path, "back").expect("written");
        assert!(!watching.look() && watching.look());
    }
}
