//! The file that is on the desk.

use crate::app::filters::Loaded;
use crate::app::prepare::sandbox;
use crate::config::cases::Cases;
use crate::config::{
    Allow, GuestLimits, Isolation, LinkOrigin, LinkSpec, Location, PluginName, PluginRef, Report, SettingsSchema, StoreName, UpstreamName,
};
use crate::sandbox::{Capability, Grant, LoadError, Sandbox, SandboxError, bundled, read_component};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;

/// Why a tool cannot do its work. What is wrong with the plugin's decisions is no error of this kind.
#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    #[error("{file}: {source}{}", advised(source))]
    Load {
        file: String,
        #[source]
        source: LoadError,
    },
    #[error("{file}: {why}")]
    Schema { file: String, why: String },
    /// Import and what would grant it.
    #[error("{}", ungranted(.0))]
    NotGranted(Vec<(String, &'static str)>),
    #[error("{}", .0.text())]
    Text(Report),
    #[error("{file}: {why}")]
    Settings { file: String, why: String },
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    #[error("the system refuses a runtime: {0}")]
    System(io::Error),
}

fn advised(error: &LoadError) -> String {
    error.advice().map(|advice| format!("\n  = {advice}")).unwrap_or_default()
}

fn ungranted(missing: &[(String, &'static str)]) -> String {
    let line = |(import, grant): &(String, &str)| format!("imports `{import}` but has no right to it\n  = add: allow = {{ {grant} }}");
    missing.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// A component with what it is called.
pub struct Subject {
    pub file: String,
    /// The file's name as that of a plugin: `auth_cache.wasm` is `auth-cache`.
    pub name: String,
    bytes: Cow<'static, [u8]>,
    /// The bundled plugin that it is.
    own: Option<&'static str>,
}

impl Subject {
    /// A component file, or the bundled plugin of this name if there is no such file.
    pub fn read(path: &Path) -> Result<Self, DeskError> {
        let file = path.display().to_string();
        let own = bundled::bundled(&file).filter(|_| !path.exists());
        let bytes = match own {
            Some(bytes) => Cow::Borrowed(bytes),
            None => Cow::Owned(read_component(path).map_err(|source| DeskError::Load { file: file.clone(), source })?),
        };
        let own = own.and_then(|_| bundled::names().find(|name| *name == file));
        Ok(Self { name: plugin_name(path), file, bytes, own })
    }

    /// What the proxy has for it where nothing is written.
    pub fn limits(&self) -> GuestLimits {
        self.own.map_or_else(GuestLimits::default, GuestLimits::of_bundled)
    }

    /// What the proxy has for a link of it where nothing is written; with no rights.
    pub fn terms(&self, loaded: &Loaded) -> Grant {
        let isolation = match self.own {
            None => Some(Isolation::default()),
            Some(_) if loaded.plugin.body_phases() != (false, false) => Some(Isolation::Request),
            Some(_) => None,
        };
        Grant { limits: self.limits(), isolation, ..Grant::default() }
    }

    /// With what the binary grants a plugin of its own, of the stores and upstreams that there are.
    pub fn allow(&self, mut allow: Allow, stores: &[&str], upstreams: &[&str]) -> Allow {
        for capability in self.own.map(bundled::rights).unwrap_or_default() {
            match capability {
                Capability::Log => allow.log = true,
                Capability::Clock => allow.clock = true,
                Capability::Random => allow.random = true,
                Capability::Metrics => allow.metrics = true,
                Capability::Kv => allow.kv.extend(stores.iter().chain([&bundled::LOCAL_STORE]).map(|name| StoreName((*name).to_owned()))),
                Capability::HttpClient => allow.http.extend(upstreams.iter().map(|name| UpstreamName((*name).to_owned()))),
                Capability::Tracing => allow.tracing = true,
                // No plugin of its own reads secrets.
                Capability::Secret => {}
            }
        }
        allow
    }

    /// Cases with what the proxy would grant and allow beside what is written.
    pub fn cases(&self, path: &Path) -> Result<(Cases, Report), DeskError> {
        let (mut cases, warnings) = crate::config::load_cases(path, &self.name).map_err(DeskError::Text)?;
        let stores: Vec<&str> = cases.stores.keys().map(|name| &*name.0).collect();
        let upstreams: Vec<&str> = cases.upstreams.keys().map(|name| &*name.0).collect();
        cases.allow = self.allow(cases.allow.clone(), &stores, &upstreams);
        cases.limits = Some(cases.limits.unwrap_or_else(|| self.limits()));
        Ok((cases, warnings))
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// In a sandbox without a cache.
    pub fn load(&self) -> Result<(Sandbox, Loaded), DeskError> {
        let sandbox = sandbox(None)?;
        let plugin = sandbox.load(&self.bytes, None).map_err(|source| DeskError::Load { file: self.file.clone(), source })?;
        let schema = plugin.description().settings.as_ref().map(SettingsSchema::new).transpose();
        let schema = schema.map_err(|why| DeskError::Schema { file: self.file.clone(), why })?;
        Ok((sandbox, Loaded { plugin, schema }))
    }

    /// A link of it without settings.
    pub fn bare_link(&self) -> LinkSpec {
        let at = Location { file: self.file.as_str().into(), line: 1, column: 1 };
        LinkSpec {
            name: self.name.clone(),
            plugin: PluginRef::Declared(PluginName(self.name.clone())),
            settings: serde_json::Value::Object(serde_json::Map::new()),
            settings_at: BTreeMap::new(),
            when: None,
            origin: LinkOrigin::Route,
            at,
        }
    }

    /// A link of it with the settings of a TOML or JSON file.
    pub fn link(&self, settings: Option<&Path>) -> Result<LinkSpec, DeskError> {
        let Some(path) = settings else { return Ok(self.bare_link()) };
        if path.extension().is_none_or(|ending| ending != "json") {
            return crate::config::load_settings(path, &self.name).map(|(link, _)| link).map_err(DeskError::Text);
        }
        let file = path.display().to_string();
        let failed = |why: String| DeskError::Settings { file: file.clone(), why };
        let text = std::fs::read_to_string(path).map_err(|error| failed(format!("cannot be read: {error}")))?;
        let settings: serde_json::Value = serde_json::from_str(&text).map_err(|error| failed(format!("is not JSON: {error}")))?;
        if !settings.is_object() {
            return Err(failed("settings are a JSON object".to_owned()));
        }
        Ok(LinkSpec { settings, at: Location { file: file.as_str().into(), line: 1, column: 1 }, ..self.bare_link() })
    }
}

fn plugin_name(path: &Path) -> String {
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().to_lowercase()).unwrap_or_default();
    let name: String = stem.chars().map(|c| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' }).take(100).collect();
    if name.is_empty() { "plugin".to_owned() } else { name }
}

/// Imports that `allow` does not grant, each with what would.
pub fn not_granted(loaded: &Loaded, allow: &Allow) -> Vec<(String, &'static str)> {
    let missing = loaded.plugin.needs().iter().filter(|(capability, _)| !capability.is_in(allow));
    missing.map(|(capability, import)| (import.clone(), capability.grant())).collect()
}

/// `--allow log`, `--allow kv=sessions,seen`: one capability, with the names that are granted of it.
#[derive(Debug, Clone)]
pub struct AllowArgument {
    capability: String,
    names: Vec<String>,
}

impl std::str::FromStr for AllowArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (capability, names) = text.split_once('=').map_or((text, None), |(capability, names)| (capability, Some(names)));
        let names: Vec<String> = names.into_iter().flat_map(|names| names.split(',')).map(str::to_owned).collect();
        match capability {
            "log" | "clock" | "random" | "metrics" | "tracing" if names.is_empty() => {}
            "log" | "clock" | "random" | "metrics" | "tracing" => {
                return Err(format!("`{capability}` has no names: write --allow {capability}"));
            }
            "secret" | "kv" | "http" if names.iter().all(|name| !name.is_empty()) && !names.is_empty() => {}
            "secret" | "kv" | "http" => return Err(format!("`{capability}` is granted by name: write --allow {capability}=NAME,…")),
            _ => return Err(format!("`{capability}` is no capability: log, clock, random, metrics, tracing, secret=…, kv=…, http=…")),
        }
        Ok(Self { capability: capability.to_owned(), names })
    }
}

impl AllowArgument {
    /// All of them together.
    pub fn all(arguments: &[Self]) -> Allow {
        let mut allow = Allow::default();
        for Self { capability, names } in arguments {
            let names = names.iter().cloned();
            match &**capability {
                "log" => allow.log = true,
                "clock" => allow.clock = true,
                "random" => allow.random = true,
                "metrics" => allow.metrics = true,
                "tracing" => allow.tracing = true,
                "secret" => allow.secret.extend(names),
                "kv" => allow.kv.extend(names.map(StoreName)),
                _ => allow.http.extend(names.map(UpstreamName)),
            }
        }
        allow
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_granted_by_arguments() {
        let all = ["log", "kv=a,b", "http=idp", "kv=c"].map(|text| text.parse().expect("fine"));
        let allow = AllowArgument::all(&all);
        assert!(allow.log && !allow.clock);
        assert_eq!((allow.kv.len(), allow.http.len()), (3, 1));
        for (wrong, says) in [("kv", "by name"), ("kv=", "by name"), ("log=x", "no names"), ("files", "no capability")] {
            let error = wrong.parse::<AllowArgument>().expect_err(wrong);
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn files_are_called_as_plugins_are() {
        for (file, name) in [("target/Auth_Cache.wasm", "auth-cache"), ("x.y.wasm", "x-y"), ("/", "plugin")] {
            assert_eq!(plugin_name(Path::new(file)), name);
        }
    }
}
