//! Arguments → command. One file per command; each prints to standard output and says by its exit code whether all is well:
//! 0 nothing is wrong, 1 something in the configuration or the answer is, 2 the arguments are.

mod ask;
mod ca;
mod check;
mod completions;
mod defaults;
mod explain;
mod fmt;
mod import;
mod plugin;
mod run;
mod schema;
mod top;
mod why;

use crate::app::Asking;
use clap::{Parser, Subcommand};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// A reverse proxy that terminates TLS, routes HTTP, and lets chains of sandboxed Wasm components decide.
#[derive(Parser)]
#[command(name = "portcullis", version, about, max_term_width = 110)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve a configuration until SIGTERM or SIGINT
    Run(run::Run),
    /// Let the proxy that runs with a configuration take over what has changed in it, whole or not at all
    Reload(ask::Ask),
    /// Let a new process of the binary take over from the proxy that runs with a configuration, without dropping a connection
    Upgrade(ask::Ask),
    /// Show what a reload would change: the running proxy against its file
    Diff(ask::Ask),
    /// Check a configuration, its certificates and its plugins, without serving; prints every mistake
    Check(check::Check),
    /// Watch a running proxy in the terminal: rates, routes, upstreams, plugins, what was refused
    Top(top::Top),
    /// Show what would happen to a request or a TCP connection: site or listener, route, links, upstream, timeouts
    Explain(explain::Explain),
    /// Say what a code of `check` means, or a reason token of the log, of metrics and of Proxy-Status
    Why(why::Why),
    /// Lay out configuration files canonically; values, comments and order stay as they are
    Fmt(fmt::Fmt),
    /// Print the configuration of another server as one of Portcullis, as far as it can be carried over
    #[command(subcommand)]
    Import(import::Import),
    /// Print every limit and timeout that holds when nothing is written, with its reason
    Defaults(defaults::Defaults),
    /// Print the JSON Schema of the configuration, for editors
    Schema(schema::Schema),
    /// Print a shell's completion script: `portcullis completions bash > /etc/bash_completion.d/portcullis`
    Completions(completions::Completions),
    /// Print the manual page, or write one for each command
    Man(completions::Man),
    /// The local CA: print its root, trust it, make certificates by hand
    #[command(subcommand)]
    Ca(ca::Ca),
    /// Look into plugins
    #[command(subcommand)]
    Plugin(plugin::Plugin),
}

/// Which file, for the commands that read one: all of them take it either way.
#[derive(clap::Args)]
struct ConfigFile {
    /// The configuration file [default: portcullis.toml here, or else /etc/portcullis/portcullis.toml]
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// The same, as an option
    #[arg(short, long, value_name = "FILE", conflicts_with = "file")]
    config: Option<PathBuf>,
}

impl ConfigFile {
    fn is_named(&self) -> bool {
        self.file.is_some() || self.config.is_some()
    }

    fn path(&self) -> &Path {
        self.file.as_deref().or(self.config.as_deref()).unwrap_or_else(|| usual())
    }
}

/// Where nothing lies here, the machine's own configuration is meant. What is not there is asked for by the name that it would have here.
fn usual() -> &'static Path {
    let (here, installed) = (Path::new("portcullis.toml"), Path::new("/etc/portcullis/portcullis.toml"));
    if !here.exists() && installed.exists() { installed } else { here }
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Run(command) => command.execute(),
        Command::Reload(command) => command.execute(&Asking::Reload),
        Command::Upgrade(command) => command.execute(&Asking::Upgrade),
        Command::Diff(command) => command.execute(&Asking::Diff),
        Command::Check(command) => command.execute(),
        Command::Top(command) => command.execute(),
        Command::Explain(command) => command.execute(),
        Command::Why(command) => command.execute(),
        Command::Fmt(command) => command.execute(),
        Command::Import(command) => command.execute(),
        Command::Defaults(command) => command.execute(),
        Command::Schema(command) => command.execute(),
        Command::Completions(command) => command.execute(),
        Command::Man(command) => command.execute(),
        Command::Ca(command) => command.execute(),
        Command::Plugin(command) => command.execute(),
    }
}

/// The exit code for "all is well" or "something is wrong".
fn exit(well: bool) -> ExitCode {
    if well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Prints to standard output. Whoever closes the pipe (`| head`) has seen enough.
fn say(text: &str, end: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.write_all(end.as_bytes())).and_then(|()| out.flush());
}
