//! nginx.conf as a draft: `http { server { location … } }`, `upstream`, and plain `stream` servers.
//!
//! In reading order: this file (reading, includes, the top), `scope` (what blocks inherit), `server`, `location`, `action` (where it leads), `door` (who
//! is asked first), `value` (variables), `upstream`, `stream`.

mod action;
mod door;
mod location;
mod scope;
mod server;
mod stream;
mod upstream;
mod value;

use super::ImportError;
use super::draft::{Draft, Lost};
pub(super) use super::line::Line;
use nginx_lint_parser::ast::{Argument, Directive};
use nginx_lint_parser::parse_string;
use scope::Scope;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What has no counterpart because there is nothing to say: how nginx itself runs, and what holds here without being said.
const MEANINGLESS: &[&str] = &[
    "chunked_transfer_encoding",
    "client_body_buffer_size",
    "client_body_temp_path",
    "client_header_buffer_size",
    "daemon",
    "default_type",
    "error_log",
    "etag",
    "events",
    "gzip_buffers",
    "gzip_disable",
    "gzip_http_version",
    "gzip_proxied",
    "gzip_static",
    "gzip_vary",
    "http2",
    "keepalive_requests",
    "large_client_header_buffers",
    "limit_req_log_level",
    "load_module",
    "log_not_found",
    "map_hash_bucket_size",
    "map_hash_max_size",
    "master_process",
    "multi_accept",
    "pcre_jit",
    "pid",
    "proxy_buffer_size",
    "proxy_buffering",
    "proxy_buffers",
    "proxy_busy_buffers_size",
    "proxy_headers_hash_bucket_size",
    "proxy_headers_hash_max_size",
    "proxy_http_version",
    "proxy_max_temp_file_size",
    "proxy_redirect",
    "proxy_request_buffering",
    "proxy_socket_keepalive",
    "proxy_ssl_server_name",
    "proxy_temp_path",
    "reset_timedout_connection",
    "resolver",
    "resolver_timeout",
    "sendfile",
    "sendfile_max_chunk",
    "server_name_in_redirect",
    "server_names_hash_bucket_size",
    "server_names_hash_max_size",
    "server_tokens",
    "ssl_buffer_size",
    "ssl_session_cache",
    "ssl_session_tickets",
    "ssl_session_timeout",
    "tcp_nodelay",
    "tcp_nopush",
    "thread_pool",
    "types",
    "types_hash_bucket_size",
    "types_hash_max_size",
    "user",
    "variables_hash_bucket_size",
    "variables_hash_max_size",
    "worker_connections",
    "worker_priority",
    "worker_processes",
    "worker_rlimit_nofile",
    "worker_shutdown_timeout",
];

pub(super) fn is_meaningless(name: &str) -> bool {
    MEANINGLESS.contains(&name)
}

/// Where what is said in the directive of this name is said here, whichever block it stands in.
fn elsewhere(name: &str) -> Option<&'static str> {
    match name {
        "access_log" => Some("is on standard output, of all sites: `access-log` in [server]"),
        "log_format" => Some("text or JSON, in names of ours, of ECS or of OpenTelemetry: `access-log` in [server]"),
        _ => None,
    }
}

/// An address of `listen` as one of ours: a port alone, like `*:80`, is of both families.
fn ours(listen: &str) -> String {
    let is_port = listen.bytes().all(|byte| byte.is_ascii_digit());
    if is_port { format!(":{listen}") } else { listen.strip_prefix('*').unwrap_or(listen).to_owned() }
}

/// Without those that another is already: `[::]:80` beside `:80`.
fn merged(mut addresses: Vec<String>) -> Vec<String> {
    let both: Vec<String> = addresses.iter().filter_map(|address| Some(format!("[::]:{}", address.strip_prefix(':')?))).collect();
    addresses.retain(|address| !both.contains(address));
    addresses
}

pub fn draft(path: &Path) -> Result<Draft, ImportError> {
    let mut reader = Reader { folder: path.parent().unwrap_or(Path::new("")).to_path_buf(), open: BTreeSet::new(), lost: Vec::new() };
    let lines = reader.file(path)?;
    let mut draft = Draft { lost: reader.lost, ..Draft::default() };
    let mut top = Scope::new(reader.folder);
    // A file of sites-available has `server` at its top.
    let (http, rest): (Vec<&Line>, Vec<&Line>) = lines.iter().partition(|line| line.name == "http");
    let mut blocks: Vec<&[Line]> = http.iter().map(|http| http.lines()).collect();
    if rest.iter().any(|line| ["server", "upstream"].contains(&&*line.name)) {
        blocks.push(&lines);
    }
    for block in blocks {
        self::http(block, &mut top, &mut draft);
    }
    for line in rest {
        match &*line.name {
            "stream" => stream::stream(line, &mut draft),
            "server" | "upstream" | "http" => {}
            name if is_meaningless(name) => {}
            _ if http.is_empty() => {}
            _ => draft.lost.push(line.lost("not known here")),
        }
    }
    Ok(draft)
}

fn http(lines: &[Line], top: &mut Scope, draft: &mut Draft) {
    let mut scope = top.inner(lines);
    for line in lines {
        match &*line.name {
            "upstream" => upstream::upstream(line, &mut scope, draft),
            "server" | "stream" | "http" => {}
            "limit_req_zone" => scope.zone(line, draft),
            "set_real_ip_from" => draft.trusted_proxies.push(line.arg(0).trim_end_matches(':').to_owned()),
            "map" | "geo" | "split_clients" => scope.map(line, draft),
            _ => scope.take(line, draft),
        }
    }
    let servers: Vec<&Line> = lines.iter().filter(|line| line.name == "server").collect();
    server::servers(&servers, &scope, draft);
}

struct Reader {
    /// What relative paths are relative to.
    folder: PathBuf,
    open: BTreeSet<PathBuf>,
    lost: Vec<Lost>,
}

impl Reader {
    fn file(&mut self, path: &Path) -> Result<Vec<Line>, ImportError> {
        let text = super::read(path)?;
        let config = parse_string(&text).map_err(|error| ImportError::Syntax {
            path: path.into(),
            line: error.position().map_or(1, |at| at.line),
            message: error.to_string(),
        })?;
        if !self.open.insert(path.to_path_buf()) {
            return Ok(Vec::new());
        }
        let lines = self.lines(config.directives(), path);
        self.open.remove(path);
        lines
    }

    fn lines<'d>(&mut self, directives: impl Iterator<Item = &'d Directive>, file: &Path) -> Result<Vec<Line>, ImportError> {
        let mut lines = Vec::new();
        for directive in directives {
            let mut line = Line {
                file: file.to_path_buf(),
                line: directive.name_span.start.line,
                name: directive.name.clone(),
                args: words(&directive.args),
                block: None,
            };
            if let Some(block) = &directive.block {
                line.block = Some(self.lines(block.directives(), file)?);
            }
            if line.name == "include" {
                lines.extend(self.included(&line)?);
            } else {
                lines.push(line);
            }
        }
        Ok(lines)
    }

    /// What `include` names; files of media types mean nothing here, and what is not there is nothing.
    fn included(&mut self, line: &Line) -> Result<Vec<Line>, ImportError> {
        let pattern = self.folder.join(line.arg(0));
        let (folder, name) =
            (pattern.parent().unwrap_or(Path::new("/")), pattern.file_name().unwrap_or_default().to_string_lossy().into_owned());
        if ["mime.types", "fastcgi_params", "uwsgi_params", "scgi_params"].contains(&&*name) {
            return Ok(Vec::new());
        }
        let mut files: Vec<PathBuf> = match name.split_once('*') {
            None => vec![pattern.clone()],
            Some((before, after)) => {
                let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
                let fits = |path: &PathBuf| {
                    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                    name.len() >= before.len() + after.len() && name.starts_with(before) && name.ends_with(after) && path.is_file()
                };
                entries.filter(fits).collect()
            }
        };
        files.sort();
        let mut lines = Vec::new();
        for file in files {
            if file.exists() {
                lines.extend(self.file(&file)?);
            } else {
                self.lost.push(line.lost("the file is not there"));
            }
        }
        Ok(lines)
    }
}

/// The parser takes what is one word apart where a variable begins.
fn words(args: &[Argument]) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut end = None;
    for arg in args {
        let text = if arg.is_variable() { arg.raw.clone() } else { unmarked(arg.as_str().to_owned()) };
        match words.last_mut().filter(|_| end == Some(arg.span.start.offset)) {
            Some(word) => word.push_str(&text),
            None => words.push(text),
        }
        end = Some(arg.span.end.offset);
    }
    words
}

/// Escapes of nginx's own grammar, which are none in what is meant.
fn unmarked(arg: String) -> String {
    arg.replace("\\;", ";").replace("\\\"", "\"")
}
