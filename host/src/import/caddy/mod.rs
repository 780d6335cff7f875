//! A Caddyfile as a draft: sites with `reverse_proxy`, `handle`, `redir`, `respond`, `header` and their kind.
//!
//! In reading order: this file (files, snippets, the top), `lexer`, `address` (of sites), `block` (what stands in one), `matcher`, `proxy`, `value`
//! (placeholders).

mod address;
mod block;
mod lexer;
mod matcher;
mod proxy;
mod value;

use super::ImportError;
use super::draft::Draft;
use super::line::Line;
use super::write::quoted;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub fn draft(path: &Path) -> Result<Draft, ImportError> {
    let mut reader = Reader::default();
    let mut lines = reader.file(path, 0)?;
    // A single site needs no braces: its addresses are the first line, and the rest is its block.
    let bare = lines.iter().find(|line| !line.name.is_empty()).is_some_and(|line| line.block.is_none());
    if bare {
        let at = lines.iter().position(|line| !line.name.is_empty()).unwrap_or(0);
        let block = lines.split_off(at + 1);
        lines.iter_mut().skip(at).for_each(|line| line.block = Some(block.clone()));
    }
    let mut draft = Draft { lost: reader.lost, ..Draft::default() };
    let mut top = Top::default();
    for line in &lines {
        match line.name.is_empty() {
            true => line.lines().iter().for_each(|line| top.option(line, &mut draft)),
            false => site(line, &mut top, &mut draft),
        }
    }
    let folder = path.parent().unwrap_or(Path::new(""));
    draft.sites.iter_mut().for_each(|site| site.at(folder));
    top.listeners(&mut draft);
    Ok(draft)
}

/// Global options, and what all sites together make of them.
#[derive(Default)]
pub(super) struct Top {
    http_port: Option<u16>,
    https_port: Option<u16>,
    local_certs: bool,
    http: Vec<u16>,
    https: Vec<u16>,
}

impl Top {
    fn option(&mut self, line: &Line, draft: &mut Draft) {
        match &*line.name {
            "email" => drop(draft.acme.insert("contact", quoted(line.arg(0)))),
            "acme_ca" => drop(draft.acme.insert("directory", quoted(line.arg(0)))),
            "acme_ca_root" => drop(draft.acme.insert("ca", quoted(line.arg(0)))),
            "http_port" => self.http_port = line.arg(0).parse().ok(),
            "https_port" => self.https_port = line.arg(0).parse().ok(),
            "local_certs" => self.local_certs = true,
            "servers" => line.lines().iter().for_each(|line| server_option(line, draft)),
            "admin" => draft.lost.push(line.lost("`[admin] listen` serves metrics and health")),
            "order" | "debug" | "log" | "grace_period" | "persist_config" | "storage" | "skip_install_trust" => {}
            _ => draft.lost.push(line.lost("not known here")),
        }
    }

    fn listeners(&self, draft: &mut Draft) {
        let (http, https) = (self.http_port.unwrap_or(80), self.https_port.unwrap_or(443));
        let usual = self.http.iter().all(|port| *port == 80) && self.https.iter().all(|port| *port == 443) && (http, https) == (80, 443);
        if usual {
            return;
        }
        let listed = |ports: &[u16]| {
            let mut ports = ports.to_vec();
            ports.sort_unstable();
            ports.dedup();
            ports.iter().map(|port| format!(":{port}")).collect::<Vec<_>>()
        };
        draft.https = listed(&self.https);
        // Where TLS is spoken, plain requests are redirected.
        let redirects = (!self.https.is_empty()).then_some(http);
        draft.http = listed(&self.http.iter().copied().chain(redirects).collect::<Vec<_>>());
    }
}

fn server_option(line: &Line, draft: &mut Draft) {
    match (&*line.name, line.arg(0)) {
        ("trusted_proxies", "static") => {
            let private = ["192.168.0.0/16", "172.16.0.0/12", "10.0.0.0/8", "127.0.0.0/8", "fd00::/8", "::1/128"];
            for range in line.args.iter().skip(1) {
                match &**range {
                    "private_ranges" => draft.trusted_proxies.extend(private.map(str::to_owned)),
                    range => draft.trusted_proxies.push(range.to_owned()),
                }
            }
        }
        (
            "protocols"
            | "timeouts"
            | "max_header_size"
            | "keepalive_interval"
            | "metrics"
            | "trusted_proxies_strict"
            | "enable_full_duplex",
            _,
        ) => {
            draft.lost.push(line.lost("see `portcullis defaults`"));
        }
        _ => draft.lost.push(line.lost("not known here")),
    }
}

fn site(line: &Line, top: &mut Top, draft: &mut Draft) {
    let words = std::iter::once(&*line.name).chain(line.args.iter().map(String::as_str));
    let addresses: Vec<&str> = words.flat_map(|word| word.split(',')).map(str::trim).filter(|word| !word.is_empty()).collect();
    for text in addresses {
        match address::read(text, top) {
            Ok(address) => block::site(line, &address, draft),
            Err(why) => draft.lost.push(line.lost(format!("`{text}`: {why}"))),
        }
    }
}

#[derive(Default)]
struct Reader {
    snippets: BTreeMap<String, Vec<Line>>,
    lost: Vec<super::draft::Lost>,
}

/// Files and snippets that import each other for ever.
const DEEPEST: usize = 16;

impl Reader {
    fn file(&mut self, path: &Path, depth: usize) -> Result<Vec<Line>, ImportError> {
        let text = super::read(path)?;
        let lines = lexer::lines(&with_variables(&text), path)?;
        self.expanded(lines, path.parent().unwrap_or(Path::new("")), depth)
    }

    fn expanded(&mut self, lines: Vec<Line>, folder: &Path, depth: usize) -> Result<Vec<Line>, ImportError> {
        let mut out = Vec::new();
        for mut line in lines {
            let snippet = line.name.strip_prefix('(').and_then(|name| name.strip_suffix(')')).map(str::to_owned);
            if let Some(block) = line.block.take() {
                line.block = Some(self.expanded(block, folder, depth)?);
            }
            match (snippet, &*line.name) {
                (Some(name), _) => drop(self.snippets.insert(name, line.block.unwrap_or_default())),
                (None, "import") if depth < DEEPEST => out.extend(self.imported(&line, folder, depth)?),
                (None, "import") => self.lost.push(line.lost("imports itself")),
                (None, _) => out.push(line),
            }
        }
        Ok(out)
    }

    fn imported(&mut self, line: &Line, folder: &Path, depth: usize) -> Result<Vec<Line>, ImportError> {
        if let Some(snippet) = self.snippets.get(line.arg(0)) {
            let mut lines = snippet.clone();
            lines.iter_mut().for_each(|inner| fill(inner, &line.args[1..]));
            return self.expanded(lines, folder, depth + 1);
        }
        let mut lines = Vec::new();
        let files = files(&folder.join(line.arg(0)));
        if files.is_empty() {
            self.lost.push(line.lost("there is no such snippet and no such file"));
        }
        for file in files {
            lines.extend(self.file(&file, depth + 1)?);
        }
        Ok(lines)
    }
}

/// A snippet's arguments.
fn fill(line: &mut Line, args: &[String]) {
    for word in line.args.iter_mut().chain(std::iter::once(&mut line.name)) {
        for (index, arg) in args.iter().enumerate() {
            *word = word.replace(&format!("{{args[{index}]}}"), arg).replace(&format!("{{args.{index}}}"), arg);
        }
    }
    line.block.iter_mut().flatten().for_each(|line| fill(line, args));
}

/// One `*` in the file's name.
fn files(pattern: &Path) -> Vec<PathBuf> {
    let name = pattern.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let Some((before, after)) = name.split_once('*') else { return if pattern.is_file() { vec![pattern.into()] } else { Vec::new() } };
    let entries = std::fs::read_dir(pattern.parent().unwrap_or(Path::new(""))).into_iter().flatten().flatten().map(|entry| entry.path());
    let fits = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.len() >= before.len() + after.len()
            && name.starts_with(before)
            && name.ends_with(after)
            && !name.starts_with('.')
            && path.is_file()
    };
    let mut files: Vec<PathBuf> = entries.filter(fits).collect();
    files.sort();
    files
}

/// `{$NAME:default}` is the default; without one it is the variable's value now.
fn with_variables(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{$") {
        let (inside, after) = after.split_once('}').unwrap_or((after, ""));
        let (name, default) = inside.split_once(':').unwrap_or((inside, ""));
        out.push_str(before);
        out.push_str(&std::env::var(name).unwrap_or_else(|_| default.to_owned()));
        rest = after;
    }
    out + rest
}
