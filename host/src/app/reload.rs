//! From one generation to the next while workers serve: the new one is made beside the old, off the workers, and taken over by all of them or by
//! none.

use super::control::{Asked, Question, Said};
use super::generation::{AssembleError, Generation};
use super::handover::Origin;
use super::inherited::Inherited;
use super::keeper::Keepers;
use super::listeners::Bound;
use super::lookout::Lookout;
use super::prepare::{self, Base, PrepareError, Prepared};
use super::systemd::Manager;
use super::worker::{Change, Foreman};
use crate::config::{Change as Difference, How, Recorded};
use crate::listen::Gate;
use crate::sandbox::Population;
use rustls::KeyLog;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

/// How many generations may be there at once. One more waits until the oldest is gone: its exchanges have their time. Only bodies that a
/// link looks at may take longer; they are not cut, and the next generation does not wait for them.
const MOST: usize = 3;
/// Between two looks whether it is.
const LOOK: Duration = Duration::from_millis(20);

/// A process that serves.
pub struct Process {
    pub base: Arc<Base>,
    pub serving: Arc<Generation>,
    pub foremen: Vec<Foreman>,
    pub gate: Arc<Gate>,
    pub keepers: Keepers,
    pub lookout: Lookout,
    pub manager: Arc<Manager>,
    pub key_log: Option<Arc<dyn KeyLog>>,
    pub origin: Origin,
}

/// What became of a configuration.
enum Made {
    /// It means what is served already.
    Same(String),
    New(Box<New>),
    Refused(String),
}

struct New {
    generation: Generation,
    /// For each worker.
    orders: Vec<Change>,
    differences: Vec<String>,
    /// Warnings.
    text: String,
}

impl Process {
    /// Answers what was asked. `Some`: another process, of that number, serves now.
    pub async fn answer(&mut self, asked: Vec<Asked>) -> Option<u32> {
        let (mut reloaded, mut compared, mut successor, mut told) = (None, None, None, Vec::new());
        for Asked { question, answer } in asked {
            // All who have asked by now are told of the same reload: it reads files as they are after their questions.
            let said = match question {
                Question::Reload => match &reloaded {
                    Some(said) => Said::clone(said),
                    // What was told before of a difference is no longer so.
                    None => {
                        compared = None;
                        reloaded.insert(self.reload().await).clone()
                    }
                },
                Question::Upgrade => match successor {
                    Some(successor) => self.handed_over(successor),
                    None => match self.hand_over().await {
                        Ok(number) => self.handed_over(*successor.insert(number)),
                        Err(why) => self.say(false, Vec::new(), why),
                    },
                },
                // Who asked only to know, and has gone, is no reason for the work.
                Question::Diff if answer.as_ref().is_none_or(mpsc::Sender::is_closed) => continue,
                Question::Diff => match &compared {
                    Some(said) => Said::clone(said),
                    None => compared.insert(self.diff().await).clone(),
                },
            };
            // Whoever has gone does not want to know.
            told.extend(answer.filter(|answer| answer.try_send(said).is_ok()));
        }
        if successor.is_some() {
            // We are about to leave, perhaps at once, and what is not passed on by then never is.
            for answer in told {
                answer.closed().await;
            }
        }
        successor
    }

    /// Lets another process take over.
    async fn hand_over(&self) -> Result<u32, String> {
        self.manager.reloading();
        tracing::info!("upgrade: another process is started, which gets all listening sockets");
        match self.origin.succeed().await {
            Ok(successor) => {
                tracing::info!("upgrade: process {successor} serves");
                self.manager.handed_over(successor);
                Ok(successor)
            }
            Err(error) => {
                tracing::error!("upgrade: this process goes on: {error}");
                self.manager.ready(&self.serving.words());
                Err(format!("error: {error}\n"))
            }
        }
    }

    fn handed_over(&self, successor: u32) -> Said {
        self.say(true, vec![format!("process {successor} serves; process {} finishes what runs", std::process::id())], String::new())
    }

    /// Takes over what the files say now, if it is right and differs from what is served.
    pub async fn reload(&mut self) -> Said {
        let begun = Instant::now();
        self.manager.reloading();
        // Before anything is bound: nobody accepts there until the workers have turned.
        self.wait_for_room().await;
        let (read, made) = self.make().await;
        let said = match made {
            Made::Same(text) => {
                self.lookout.served(read);
                tracing::info!("reload: nothing has changed");
                self.say(true, Vec::new(), text)
            }
            Made::New(new) => match self.turn(*new).await {
                Ok(said) => {
                    self.lookout.served(read);
                    self.announce(&said, begun.elapsed());
                    said
                }
                Err(why) => self.refused(read, why),
            },
            Made::Refused(why) => self.refused(read, why),
        };
        self.manager.ready(&self.serving.words());
        if !said.text.is_empty() {
            eprint!("{}", said.text);
        }
        said
    }

    /// What a reload would change. Addresses are not bound, so that one is taken turns out only then.
    async fn diff(&self) -> Said {
        let (base, serving) = (self.base.clone(), self.serving.clone());
        let compared = spawn_blocking(move || compare(&base, &serving).1.map(|(_, differences, text)| (told(&differences), text))).await;
        match compared {
            Ok(Ok((changes, text))) => self.say(true, changes, text),
            Ok(Err(why)) => self.say(false, Vec::new(), why),
            Err(panic) => self.say(false, Vec::new(), format!("error: the configuration is too much for us: {panic}\n")),
        }
    }

    fn refused(&mut self, read: Recorded, why: String) -> Said {
        self.lookout.refused(read);
        let generation = self.serving.number;
        tracing::error!("reload: generation {generation} is still served, nothing of the new configuration");
        self.say(false, Vec::new(), why)
    }

    fn announce(&self, said: &Said, took: Duration) {
        tracing::info!("reload: generation {} is served after {} ms", said.generation, took.as_millis());
        said.changes.iter().for_each(|change| tracing::info!("reload: {change}"));
    }

    fn say(&self, well: bool, changes: Vec<String>, text: String) -> Said {
        let Population { plugins, guests } = self.base.sandbox.population();
        let (generation, generations) = (self.serving.number, self.base.watch.generations.alive());
        Said { well, generation, generations, plugins, guests, changes, text }
    }

    /// Everything that can go wrong but for the workers. They serve meanwhile, and so does whoever waits for signals.
    async fn make(&self) -> (Recorded, Made) {
        let (base, serving, key_log, workers) = (self.base.clone(), self.serving.clone(), self.key_log.clone(), self.foremen.len());
        let made = spawn_blocking(move || make(&base, &serving, workers, key_log.as_ref())).await;
        made.unwrap_or_else(|panic| {
            (Recorded::default(), Made::Refused(format!("error: the new configuration is too much for us: {panic}\n")))
        })
    }

    /// All workers, or none.
    async fn turn(&mut self, New { generation, orders, differences, text }: New) -> Result<Said, String> {
        for (foreman, order) in self.foremen.iter().zip(orders) {
            if let Err(error) = foreman.prepare(order).await {
                self.foremen.iter().for_each(Foreman::forget);
                return Err(format!("error: a worker cannot take the new configuration: {error}\n"));
            }
        }
        self.gate.adjust(&generation.snapshot.limits);
        self.base.watch.generations.turn(&generation);
        self.base.watch.looks_at(generation.discovery());
        let turns: Vec<_> = self.foremen.iter().map(Foreman::turn).collect();
        for turn in turns {
            // A worker that ended is seen by whoever waits for its thread.
            let _ = turn.await;
        }
        let earlier = std::mem::replace(&mut self.serving, Arc::new(generation));
        self.base.watch.show(&self.serving);
        if let Err(error) = self.keepers.turn(&self.serving.prepared.papers, Some(&earlier.prepared.papers)) {
            tracing::error!("nobody looks after certificates until the next reload: {error}");
        }
        self.serving.listeners.iter().for_each(Bound::settle);
        let changes = differences.into_iter().chain(listeners(&self.serving, &earlier)).collect();
        drop(earlier);
        Ok(self.say(true, changes, text))
    }

    async fn wait_for_room(&self) {
        let mut told = false;
        let limits = &self.serving.snapshot.limits;
        let (since, patience) = (Instant::now(), limits.stop.max(limits.stop_upgraded));
        while self.base.watch.generations.alive() >= MOST {
            if !std::mem::replace(&mut told, true) {
                let numbers = self.base.watch.generations.numbers();
                tracing::info!("reload: generations {numbers:?} are still there; the next one waits until one is gone");
            }
            if since.elapsed() > patience {
                tracing::warn!("reload: the oldest generation is still there; plugins look at bodies that began with it");
                return;
            }
            sleep(LOOK).await;
        }
    }
}

/// What the files say now, prepared, with what differs from what is served, and warnings.
type Compared = (Prepared, Vec<Difference>, String);

/// Errors: why it cannot be served.
fn compare(base: &Base, serving: &Generation) -> (Recorded, Result<Compared, String>) {
    let (read, written) = prepare::read(&base.path);
    let prepared = match written.and_then(|written| base.prepare(written, Some(&serving.prepared))) {
        Ok(prepared) => prepared,
        Err(PrepareError::Config(report)) => return (read, Err(report.text())),
        Err(error) => return (read, Err(format!("error: {error}\n"))),
    };
    let before = &serving.prepared;
    let mut differences = prepared.config.changes(&before.config);
    let (now, then) = (prepared.filters.digests(), before.filters.digests());
    let other = now.iter().filter(|(plugin, digest)| then.get(*plugin).is_some_and(|then| then != *digest));
    differences.extend(other.map(|(plugin, _)| Difference::new("plugin", plugin.to_string(), How::File)));
    let (now, then) = (prepared.services.digests(), before.services.digests());
    let other = now.iter().filter(|(component, digest)| then.get(*component).is_some_and(|then| then != *digest));
    differences.extend(other.map(|(component, _)| Difference::new("component", component.to_string(), How::File)));
    let text = if prepared.report.warnings() > 0 { prepared.report.text() } else { String::new() };
    (read, Ok((prepared, differences, text)))
}

fn told(differences: &[Difference]) -> Vec<String> {
    differences.iter().map(ToString::to_string).collect()
}

fn make(base: &Base, serving: &Generation, workers: usize, key_log: Option<&Arc<dyn KeyLog>>) -> (Recorded, Made) {
    let (read, compared) = compare(base, serving);
    let (prepared, differences, text) = match compared {
        Ok(compared) => compared,
        Err(why) => return (read, Made::Refused(why)),
    };
    if differences.is_empty() {
        return (read, Made::Same(text));
    }
    let differences = told(&differences);
    let made = match Generation::assemble(&base.watch, prepared, (Some(serving), &mut Inherited::default()), workers, key_log) {
        Ok((generation, orders)) => Made::New(Box::new(New { generation, orders, differences, text })),
        Err(AssembleError::Bind(report)) => Made::Refused(report.text()),
        Err(error @ (AssembleError::Tls(_) | AssembleError::Telemetry(_) | AssembleError::Checks(_))) => {
            Made::Refused(format!("error: {error}\n"))
        }
    };
    (read, made)
}

/// Which were opened and closed.
fn listeners(now: &Generation, before: &Generation) -> Vec<String> {
    let of = |generation: &Generation| -> BTreeSet<(u64, String)> {
        generation.listeners.iter().flat_map(|bound| bound.words().map(|word| (bound.id, format!("{word} {}", bound.address)))).collect()
    };
    let (now, before) = (of(now), of(before));
    let opened = now.difference(&before).map(|(_, words)| format!("listening {words}"));
    opened.chain(before.difference(&now).map(|(_, words)| format!("no longer listening {words}"))).collect()
}
