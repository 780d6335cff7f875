//! The command line of `cargo xtask bench`.

use super::proxies::{Kind, Proxy};
use super::scenario::{self, Scenario};
use super::trouble::Trouble;
use std::path::PathBuf;

pub const HELP: &str = "\
cargo xtask bench: Portcullis beside Debian's nginx and haproxy, on this machine (xtask/bench/README.md)

  --scenarios A,B     default: all. h1-plain h1-tls h2-tls routes-10 routes-10000 filter-0 filter-1 filter-5 filter-10
                      tunnel-bulk tunnel-upload tunnel-latency handshake-full handshake-resumed idle startup
  --proxies A,B       default: portcullis,nginx,haproxy; also the names given with --peer-bin
  --seconds N         of each run, default 3
  --rounds N          default 5
  --peer-bin NAME=PATH   the binary of a proxy. NAME is portcullis, nginx or haproxy, or one of these with -LABEL: another column
  --connections N     of the scenario `idle`, default 5000, at most 8000
  --cores LOAD,PROXY  default 0,1
  --lock FILE         held while measuring; default target/bench/lock
  --json FILE         every run
  --build-only        build the proxy (cargo xtask dist) and the filters, print where they are, measure nothing
";

#[derive(Debug)]
pub struct Options {
    pub scenarios: Vec<&'static Scenario>,
    pub proxies: Vec<Proxy>,
    pub seconds: u32,
    pub rounds: usize,
    pub connections: usize,
    pub load_core: u32,
    pub proxy_core: u32,
    pub lock: Option<PathBuf>,
    pub json: Option<PathBuf>,
    pub build_only: bool,
    /// As given, for the record.
    pub line: String,
}

impl Options {
    /// `None`: help was asked for.
    pub fn parse(arguments: &[String]) -> Result<Option<Self>, Trouble> {
        let mut options = Self {
            scenarios: scenario::ALL.iter().collect(),
            proxies: Vec::new(),
            seconds: 3,
            rounds: 5,
            connections: 5000,
            load_core: 0,
            proxy_core: 1,
            lock: None,
            json: None,
            build_only: false,
            line: arguments.join(" "),
        };
        let mut wanted = "portcullis,nginx,haproxy".to_owned();
        let mut binaries = Vec::new();
        let mut rest = arguments.iter();
        while let Some(flag) = rest.next() {
            if flag == "--help" || flag == "-h" {
                return Ok(None);
            }
            if flag == "--build-only" {
                options.build_only = true;
                continue;
            }
            let value = rest.next().ok_or_else(|| Trouble::Usage(format!("{flag}: unknown, or its value is missing")))?;
            match flag.as_str() {
                "--scenarios" => options.scenarios = scenarios(value)?,
                "--proxies" => wanted.clone_from(value),
                "--seconds" => options.seconds = number(flag, value, 600)?,
                "--rounds" => options.rounds = number(flag, value, 1000)?,
                "--connections" => options.connections = number(flag, value, 8000)?,
                "--peer-bin" => binaries.push(binary(value)?),
                "--cores" => (options.load_core, options.proxy_core) = cores(value)?,
                "--lock" => options.lock = Some(value.into()),
                "--json" => options.json = Some(value.into()),
                _ => return Err(Trouble::Usage(format!("{flag}: unknown"))),
            }
        }
        options.proxies = wanted.split(',').map(|name| proxy(name, &binaries)).collect::<Result<_, _>>()?;
        Ok(Some(options))
    }
}

fn number<N: TryFrom<u64>>(flag: &str, value: &str, most: u64) -> Result<N, Trouble> {
    let number = value.parse().ok().filter(|number| (1..=most).contains(number));
    number
        .and_then(|number| N::try_from(number).ok())
        .ok_or_else(|| Trouble::Usage(format!("{flag} {value}: not a number from 1 to {most}")))
}

fn scenarios(names: &str) -> Result<Vec<&'static Scenario>, Trouble> {
    let find = |name| scenario::find(name).ok_or_else(|| Trouble::Usage(format!("no scenario {name}")));
    names.split(',').map(find).collect()
}

fn cores(value: &str) -> Result<(u32, u32), Trouble> {
    let pair = value.split_once(',').and_then(|(load, proxy)| Some((load.parse().ok()?, proxy.parse().ok()?)));
    pair.filter(|(load, proxy)| load != proxy).ok_or_else(|| Trouble::Usage(format!("--cores {value}: two different cores, such as 0,1")))
}

fn binary(value: &str) -> Result<(String, PathBuf), Trouble> {
    let (name, path) = value.split_once('=').ok_or_else(|| Trouble::Usage(format!("--peer-bin {value}: NAME=PATH")))?;
    // Proxies run in a folder of their own.
    let path = std::path::absolute(path)?;
    if !path.is_file() {
        return Err(Trouble::Usage(format!("--peer-bin {value}: no such file")));
    }
    Ok((name.to_owned(), path))
}

fn proxy(name: &str, binaries: &[(String, PathBuf)]) -> Result<Proxy, Trouble> {
    let kind = Kind::of(name).ok_or_else(|| Trouble::Usage(format!("no proxy {name}; there are portcullis, nginx and haproxy")))?;
    let binary = binaries.iter().find(|(given, _)| given == name).map(|(_, path)| path.clone());
    if binary.is_none() && name != kind.name() {
        return Err(Trouble::Usage(format!("{name} needs --peer-bin {name}=PATH")));
    }
    Ok(Proxy { name: name.to_owned(), kind, binary })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Option<Options>, Trouble> {
        Options::parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn names_and_numbers_are_read() {
        let options = parse("--scenarios h1-tls,idle --proxies nginx --rounds 2").expect("right").expect("no help");
        assert_eq!(options.scenarios.iter().map(|scenario| scenario.name).collect::<Vec<_>>(), ["h1-tls", "idle"]);
        assert_eq!((options.proxies.len(), options.rounds, options.seconds), (1, 2, 3));
    }

    #[test]
    fn a_labelled_proxy_needs_its_binary() {
        let error = parse("--proxies nginx-new").err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains("--peer-bin nginx-new=PATH"), "{error}");
        assert!(parse("--proxies nginx-new --peer-bin nginx-new=/bin/sh").is_ok());
    }

    #[test]
    fn nonsense_is_refused() {
        for line in ["--rounds 0", "--seconds", "--cores 1,1", "--scenarios h3", "--proxies squid", "--quick yes"] {
            assert!(matches!(parse(line), Err(Trouble::Usage(_))), "{line}");
        }
    }
}
