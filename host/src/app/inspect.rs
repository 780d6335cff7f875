//! `portcullis plugin inspect FILE`: what a component is, wants to see and may do.

use super::depot::{self, DepotError};
use super::prepare::sandbox;
use crate::chain::ConnectionPhases;
use crate::config::{Reference, SigningKey};
use crate::sandbox::{
    Capability, ConfigureError, Forgets, Inspection, Interest, LoadError, Plans, RequestInterest, SandboxError, ServerInterest, Standing,
    UpstreamPhases, UpstreamPlan, bundled, read_component,
};
use crate::trust::{self, SignatureError};
use serde_json::{Value, json};
use std::fmt::Write;
use std::path::Path;

/// Why nothing can be said.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    #[error("{file}: {source}")]
    Load {
        file: String,
        #[source]
        source: LoadError,
    },
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    #[error(transparent)]
    Depot(#[from] DepotError),
}

/// All there is to say.
pub struct Inspected {
    file: String,
    inspection: Inspection,
    /// What the binary grants it, if it is one of its own.
    due: &'static [Capability],
    signature: Signature,
}

/// What is known of a component's signature.
enum Signature {
    /// In the binary: whoever has the proxy has it.
    Bundled,
    None,
    /// Nobody said whose keys to believe; what it claims.
    Unchecked(String),
    By(trust::Signed),
    Refused(SignatureError),
}

/// Looks into a component file, into an artefact of a registry, or into the bundled plugin of this name if there is no such file. `keys`: one of
/// these must have signed it; none if that is not asked.
pub fn inspect(file: &Path, keys: &[SigningKey]) -> Result<Inspected, InspectError> {
    let named = file.display().to_string();
    let failed = |source| InspectError::Load { file: named.clone(), source };
    if Reference::is_meant(&named) {
        let (reference, artefact) = depot::look(&named)?;
        let signature = signature(&artefact.wasm, Ok(artefact.signature), keys);
        let inspection = sandbox(None)?.inspect(&artefact.wasm).map_err(failed)?;
        return Ok(Inspected { file: reference.to_string(), inspection, due: &[], signature });
    }
    if let Some(bytes) = bundled::bundled(&named).filter(|_| !file.exists()) {
        return Ok(Inspected {
            file: named.clone(),
            inspection: sandbox(None)?.inspect(bytes).map_err(failed)?,
            due: bundled::rights(&named),
            signature: Signature::Bundled,
        });
    }
    let bytes = read_component(file).map_err(failed)?;
    let signature = signature(&bytes, trust::signature_in(&trust::beside(file)).map(Some), keys);
    Ok(Inspected { file: named.clone(), inspection: sandbox(None)?.inspect(&bytes).map_err(failed)?, due: &[], signature })
}

fn signature(bytes: &[u8], text: Result<Option<String>, SignatureError>, keys: &[SigningKey]) -> Signature {
    let checked = match (text, keys) {
        (Err(SignatureError::Missing(_)) | Ok(None), []) => return Signature::None,
        (Ok(Some(text)), []) => trust::glance(&text).map(Signature::Unchecked),
        (text, keys) => text.and_then(|text| trust::verify(bytes, text.as_deref(), keys)).map(Signature::By),
    };
    checked.unwrap_or_else(Signature::Refused)
}

impl Signature {
    fn text(&self) -> String {
        match self {
            Self::Bundled => "in this binary".to_owned(),
            Self::None => "none".to_owned(),
            Self::Unchecked(comment) => format!("not checked (--signed-by says whose it must be); it says: {comment}"),
            Self::By(signed) => format!("by {}: {}", signed.by, signed.comment),
            Self::Refused(error) => format!("REFUSED: it {error}"),
        }
    }
}

impl Inspected {
    /// Whether this proxy would take it.
    pub fn loadable(&self) -> bool {
        self.inspection.plugin.is_ok() && !matches!(self.signature, Signature::Refused(_))
    }

    pub fn text(&self) -> String {
        let mut out = String::new();
        let mut line = |title: &str, text: &str| {
            // Writing to a string cannot fail.
            let _ = writeln!(out, "{title:<13}{text}");
        };
        let found = &self.inspection;
        line("file", &format!("{} ({} bytes)", self.file, found.size));
        line("sha256", &hex(&found.digest));
        line("signature", &self.signature.text());
        match &found.plugin {
            Ok(plugin) => {
                let about = &plugin.description;
                line("plugin", &format!("{} {}", about.name, about.version));
                if let Some(description) = &about.description {
                    line("", description);
                }
                line("phases", &phases(plugin).join(", "));
                match &plugin.plan {
                    Ok(plans) => interest(plans, |text| line("interest", text)),
                    Err(error) => line("interest", &format!("depends on its settings: {}", problems(error).join("; "))),
                }
                line("remembered", &remembers(&plugin.remembers));
            }
            Err(error) => line("refused", &error.to_string()),
        }
        if found.imports.is_empty() {
            line("imports", "none: it can do nothing but decide");
        }
        for (index, import) in found.imports.iter().enumerate() {
            line(if index == 0 { "imports" } else { "" }, &format!("{}  ({})", import.name, self.standing(&import.standing)));
        }
        for producer in &found.producers {
            line(&producer.field, &format!("{} {}", producer.name, producer.version));
        }
        if let Ok(plugin) = &found.plugin {
            match &plugin.description.settings {
                Some(schema) => line("settings", &format!("{schema:#}")),
                None => line("settings", "none"),
            }
        }
        out
    }

    pub fn json(&self) -> Value {
        let found = &self.inspection;
        let imports: Vec<_> = found
            .imports
            .iter()
            .map(|import| json!({ "name": import.name, "items": import.items, "standing": self.standing(&import.standing) }))
            .collect();
        let producers: Vec<_> =
            found.producers.iter().map(|tool| json!({ "field": tool.field, "name": tool.name, "version": tool.version })).collect();
        let mut json = json!({ "file": self.file, "size": found.size, "sha256": hex(&found.digest), "signature": self.signature.text(), "imports": imports, "producers": producers });
        match &found.plugin {
            Ok(plugin) => {
                let about = &plugin.description;
                json["name"] = json!(about.name);
                json["version"] = json!(about.version);
                json["description"] = json!(about.description);
                json["phases"] = json!(phases(plugin));
                json["settings"] = json!(about.settings);
                json["remembered"] = json!(remembers(&plugin.remembers));
                match &plugin.plan {
                    Ok(plans) => {
                        let mut wants = Vec::new();
                        interest(plans, |text| wants.push(text.to_owned()));
                        json["interest"] = json!(wants);
                    }
                    Err(error) => json["needs"] = json!(problems(error)),
                }
            }
            Err(error) => json["refused"] = json!(error.to_string()),
        }
        json
    }
}

impl Inspected {
    fn standing(&self, standing: &Standing) -> String {
        match standing {
            Standing::Types => "types only".to_owned(),
            Standing::Stub => "harmless: leads nowhere outside the sandbox".to_owned(),
            Standing::Capability(Capability::Kv) if self.due.contains(&Capability::Kv) => {
                "granted, being bundled: a store of this process, and those that its settings name".to_owned()
            }
            Standing::Capability(Capability::HttpClient) if self.due.contains(&Capability::HttpClient) => {
                "granted, being bundled: upstreams that its settings name".to_owned()
            }
            Standing::Capability(capability) if self.due.contains(capability) => "granted, being bundled".to_owned(),
            Standing::Capability(capability) => format!("must be granted: allow = {{ {} }}", capability.grant()),
            Standing::Refused(refusal) => format!("REFUSED: {refusal}"),
        }
    }
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn phases(plugin: &crate::sandbox::Inspected) -> Vec<&'static str> {
    let ((request, response), (request_body, response_body)) = (plugin.phases, plugin.body_phases);
    let (of, out): (ConnectionPhases, UpstreamPhases) = (plugin.connection_phases, plugin.upstream_phases);
    let all = [
        (request, "on-request"),
        (request_body, "on-request-body"),
        (response, "on-response"),
        (response_body, "on-response-body"),
        (of.accept, "on-accept"),
        (of.client_hello, "on-client-hello"),
        (of.close, "on-close"),
        (out.balance, "on-balance"),
        (out.attempt, "on-attempt"),
        (out.done, "on-done"),
        (out.tick, "on-tick"),
    ];
    all.into_iter().filter(|(there, _)| *there).map(|(_, name)| name).collect()
}

fn remembers(remembers: &Result<(), Forgets>) -> String {
    match remembers {
        Ok(()) => "pure: decisions may be remembered, with isolate = \"request\"".to_owned(),
        Err(why @ Forgets::Impure(_)) => format!("no, not pure: {why}"),
        Err(why) => format!("no, though pure: {why}"),
    }
}

fn problems(error: &ConfigureError) -> Vec<String> {
    match error {
        ConfigureError::Problems(problems) => {
            problems.iter().map(|problem| format!("{} {}", problem.path, problem.message).trim().to_owned()).collect()
        }
        ConfigureError::Fault(fault) => vec![fault.detail.clone()],
    }
}

/// A line for each phase that is entered under the settings `{}`.
fn interest(Plans { heads: plan, connections, bodies, upstreams }: &Plans, mut line: impl FnMut(&str)) {
    if let Some(wants) = &plan.request {
        line(&format!("requests: {}", of_request(wants)));
    }
    if let Some(wants) = &bodies.request {
        line(&format!("request bodies, chosen by: length, {}", of_request(wants)));
    }
    if let Some(wants) = &plan.response {
        let fields = if wants.exchange { vec!["status".to_owned(), "exchange".to_owned()] } else { vec!["status".to_owned()] };
        line(&format!("responses: {}", wanted(fields, &wants.shown)));
    }
    if let Some(wants) = &bodies.response {
        line(&format!("response bodies, chosen by: length, {}", wanted(vec!["status".to_owned()], &wants.shown)));
    }
    if let Some(wants) = &connections.accept {
        let fields = [(wants.peer, "peer"), (wants.local, "local"), (wants.connection, "connection")];
        line(&format!("accepted connections: {}", shown(&fields, &wants.attributes)));
    }
    if let Some(wants) = &connections.client_hello {
        let fields = [
            (wants.sni, "sni"),
            (wants.alpn, "alpn"),
            (wants.versions, "versions"),
            (wants.ciphers, "ciphers"),
            (wants.ja4, "ja4"),
            (wants.raw, "raw"),
            (wants.connection, "connection"),
        ];
        line(&format!("client hellos: {}", shown(&fields, &wants.attributes)));
    }
    if let Some(wants) = &connections.close {
        let fields = [
            (wants.peer, "peer"),
            (wants.bytes, "bytes"),
            (wants.duration, "duration"),
            (wants.reason, "reason"),
            (wants.connection, "connection"),
        ];
        line(&format!("closed connections: {}", shown(&fields, &wants.attributes)));
    }
    going_out(upstreams, &mut line);
    let heads = plan.request.is_some() || plan.response.is_some();
    if !heads && !connections.phases().any() && !bodies.any() && !upstreams.any() {
        line("nothing with empty settings");
    }
}

fn of_request(wants: &RequestInterest) -> String {
    let fields = [
        (wants.method, "method"),
        (wants.scheme, "scheme"),
        (wants.authority, "authority"),
        (wants.path, "path"),
        (wants.query, "query"),
        (wants.exchange, "exchange"),
    ];
    let fields = fields.into_iter().filter(|(wanted, _)| *wanted).map(|(_, name)| name.to_owned()).collect();
    wanted(fields, &wants.shown)
}

fn going_out(upstreams: &UpstreamPlan, line: &mut impl FnMut(&str)) {
    if let Some(wants) = &upstreams.balance {
        let ServerInterest { address, weight, tags, load } = wants.servers;
        let fields = [
            (wants.upstream, "upstream"),
            (wants.method, "method"),
            (wants.path, "path"),
            (address, "servers' address"),
            (weight, "servers' weight"),
            (tags, "servers' tags"),
            (load, "servers' load"),
            (wants.exchange, "exchange"),
        ];
        let mut names: Vec<String> = wants.headers.iter().map(|name| format!("header {name}")).collect();
        names.extend(wants.attributes.iter().map(|name| format!("attribute {name}")));
        line(&format!("choices of servers: {}", listed(&fields, names)));
    }
    if let Some(wants) = &upstreams.attempt {
        let fields = [(wants.server, "server"), (wants.reason, "reason"), (wants.candidates, "candidates"), (wants.exchange, "exchange")];
        let mut names: Vec<String> = wants.statuses.iter().map(|status| format!("status {status}")).collect();
        names.extend(wants.attributes.iter().map(|name| format!("attribute {name}")));
        line(&format!("failed attempts: {}", listed(&fields, names)));
    }
    if let Some(wants) = &upstreams.done {
        let fields = [
            (wants.upstream, "upstream"),
            (wants.server, "server"),
            (wants.reason, "reason"),
            (wants.times, "times"),
            (wants.bytes, "bytes"),
            (wants.exchange, "exchange"),
        ];
        line(&format!("ends of exchanges: {}", shown(&fields, &wants.attributes)));
    }
    if let Some(every) = upstreams.tick {
        line(&format!("ticks: every {every:?} on each worker"));
    }
}

fn listed(fields: &[(bool, &str)], more: Vec<String>) -> String {
    let mut names: Vec<String> = fields.iter().filter(|(wanted, _)| *wanted).map(|(_, name)| (*name).to_owned()).collect();
    names.extend(more);
    if names.is_empty() { "entered, sees nothing".to_owned() } else { names.join(", ") }
}

fn shown(fields: &[(bool, &str)], attributes: &[String]) -> String {
    listed(fields, attributes.iter().map(|name| format!("attribute {name}")).collect())
}

fn wanted(mut names: Vec<String>, shown: &Interest) -> String {
    if shown.all_headers {
        names.push("all headers".to_owned());
    }
    names.extend(shown.headers.iter().filter(|_| !shown.all_headers).map(|name| format!("header {name}")));
    names.extend(shown.attributes.iter().map(|name| format!("attribute {name}")));
    if names.is_empty() { "entered, sees nothing".to_owned() } else { names.join(", ") }
}
