//! What there is to see and to ask for. `app` answers: it alone knows all rooms.

use crate::observe::Exposition;
use serde::Deserialize;
use serde_json::Value;
use std::pin::Pin;

/// What the admin listener shows. Asked on its own thread.
pub trait Board: Send + Sync + 'static {
    /// All metrics.
    fn metrics(&self, out: &mut Exposition);

    /// Whether new requests should be sent here.
    fn readiness(&self) -> Readiness;

    /// As `openapi.json` describes it. `None`: there is no configuration yet.
    fn shown(&self, topic: Topic) -> Option<Value>;

    /// What the configuration that is served would make of a request. May take as long as a compiler does.
    fn explain(&self, question: &Explain) -> Result<Value, Refusal>;

    /// What the log lets through.
    fn log_filter(&self) -> String;

    /// Errors: why not.
    fn set_log_filter(&self, filter: &str) -> Result<(), String>;

    /// What there is to know of a server of an upstream.
    fn server(&self, upstream: &str, server: &str) -> Result<Value, Refusal>;

    /// Takes a server of an upstream out (nothing new goes there, what runs goes on), or lets it have requests again; what there is to know of
    /// it then.
    fn drain(&self, upstream: &str, server: &str, out: bool) -> Result<Value, Refusal>;

    /// Asks the process for something; takes as long as it takes.
    fn ask(&self, wish: Wish) -> Later<Result<Done, Refusal>>;
}

pub type Later<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic {
    Status,
    Sites,
    Routes,
    Upstreams,
    Certificates,
    Plugins,
    /// The latest exchanges that did not end as they should.
    Refusals,
}

/// What can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// To take over what the files say now.
    Reload,
    /// To say what that would change.
    Diff,
}

/// What came of a wish.
#[derive(Debug)]
pub struct Done {
    /// What was asked for is done, or there was nothing to do.
    pub well: bool,
    pub said: Value,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The process is starting, or about to end.
    NotNow,
    /// There is no such server.
    NoServer,
    /// The question is none.
    Question(String),
}

/// A request to be explained.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Explain {
    /// Absolute.
    pub url: String,
    #[serde(default = "get")]
    pub method: String,
    /// `Name: value`
    #[serde(default)]
    pub headers: Vec<String>,
}

fn get() -> String {
    "GET".to_owned()
}

/// Why not, in words for an operator; ready if there is no reason.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Readiness {
    pub against: Vec<String>,
}

impl Readiness {
    pub fn is_ready(&self) -> bool {
        self.against.is_empty()
    }
}
