//! A directive of another server's configuration, with its place.

use super::draft::Lost;
use std::path::PathBuf;

/// `NAME ARG … { LINES }`
#[derive(Debug, Clone, Default)]
pub struct Line {
    pub file: PathBuf,
    pub line: usize,
    pub name: String,
    pub args: Vec<String>,
    pub block: Option<Vec<Line>>,
}

impl Line {
    /// Empty: there is none.
    pub fn arg(&self, index: usize) -> &str {
        self.args.get(index).map_or("", String::as_str)
    }

    /// Of its block.
    pub fn lines(&self) -> &[Self] {
        self.block.as_deref().unwrap_or_default()
    }

    /// As it stands there.
    fn shown(&self) -> String {
        let words: Vec<&str> = std::iter::once(&*self.name).chain(self.args.iter().map(String::as_str)).collect();
        let text = words.join(" ");
        // Enough to find it again.
        if text.chars().count() > 80 { text.chars().take(79).chain(['…']).collect() } else { text }
    }

    pub fn lost(&self, why: impl Into<String>) -> Lost {
        Lost { file: self.file.clone(), line: self.line, what: self.shown(), why: why.into() }
    }
}
