//! `portcullis top [FILE]`: what a running proxy does, as its admin listener tells it, in a terminal.

mod screen;

use super::ConfigFile;
use crate::app::{Look, Sight, Watcher, WatcherError};
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use std::collections::VecDeque;
use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// How many rates are remembered for the curve.
const POINTS: usize = 240;

#[derive(clap::Args)]
pub struct Top {
    #[command(flatten)]
    file: ConfigFile,
    /// Seconds between two looks
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3600))]
    every: u64,
    /// Print one screen after two looks, and end; this is what happens too where there is no terminal
    #[arg(long)]
    once: bool,
}

/// Why it ends before its time.
#[derive(Debug, thiserror::Error)]
enum TopError {
    #[error("error: {0}")]
    Watcher(#[from] WatcherError),
    #[error("error: the terminal: {0}")]
    Terminal(#[from] io::Error),
    /// The report of a configuration.
    #[error("{0}")]
    Report(String),
}

impl Top {
    pub fn execute(self) -> ExitCode {
        match self.run() {
            Ok(()) => ExitCode::SUCCESS,
            Err(TopError::Report(text)) => {
                eprint!("{text}");
                ExitCode::FAILURE
            }
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        }
    }

    fn run(&self) -> Result<(), TopError> {
        let watcher = Watcher::new(self.file.path()).map_err(|wrong| wrong.map_or_else(TopError::Report, TopError::Watcher))?;
        let (every, first) = (Duration::from_secs(self.every), watcher.look()?);
        if self.once || !io::stdout().is_terminal() {
            std::thread::sleep(every);
            let sight = Sight::of(&first, &watcher.look()?);
            super::say(&screen::text(&sight, &VecDeque::from([sight.rate])), "\n");
            return Ok(());
        }
        let mut terminal = ratatui::try_init()?;
        let shown = watch(&mut terminal, &watcher, first, every);
        ratatui::restore();
        shown
    }
}

/// Until the user has seen enough, or the proxy is gone.
fn watch(terminal: &mut ratatui::DefaultTerminal, watcher: &Watcher, first: Look, every: Duration) -> Result<(), TopError> {
    let (mut before, mut rates, mut sight) = (first, VecDeque::new(), None);
    let mut next = Instant::now() + every;
    loop {
        terminal.draw(|frame| screen::draw(frame, sight.as_ref(), &rates))?;
        if event::poll(next.saturating_duration_since(Instant::now()))? {
            match event::read()? {
                Event::Key(key) if is_the_end(key) => return Ok(()),
                // Drawn anew, also after the terminal has another size.
                _ => continue,
            }
        }
        let now = watcher.look()?;
        let seen = Sight::of(&before, &now);
        rates.push_back(seen.rate);
        while rates.len() > POINTS {
            rates.pop_front();
        }
        (before, sight, next) = (now, Some(seen), Instant::now() + every);
    }
}

fn is_the_end(key: KeyEvent) -> bool {
    let interrupt = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
    key.kind == KeyEventKind::Press && (interrupt || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc))
}
