//! What is wrong with a configuration, and where. Rendering is next door; nothing here prints.

use super::source::{Sources, Span};
use super::{Code, Location};

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    pub code: Code,
    pub severity: Severity,
    /// One line without a full stop; names in backticks.
    pub message: String,
    /// `None`: it concerns no place in a file.
    pub place: Option<Place>,
    /// Under the place: what would be right.
    pub label: Option<String>,
    /// Other places that matter.
    pub notes: Vec<(Place, String)>,
    /// Lines after the snippet.
    pub help: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The configuration is not applied.
    Error,
    /// Doubtful, but it works.
    Warning,
}

/// A location and how much of the text there is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub at: Location,
    pub extent: Extent,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// To this line and column, exclusive, 1-based.
    To(u32, u32),
    /// The word, string or bracket that begins there.
    Token,
    /// No snippet is shown.
    None,
}

/// All findings about a configuration, with the texts to show them in.
#[derive(Debug, Clone, Default)]
pub struct Report {
    pub(super) found: Vec<Diagnostic>,
    pub(super) sources: Sources,
}

impl Diagnostic {
    pub fn error(code: Code, place: Place, message: impl Into<String>) -> Self {
        Self {
            code,
            severity: Severity::Error,
            message: message.into(),
            place: Some(place),
            label: None,
            notes: Vec::new(),
            help: Vec::new(),
        }
    }

    pub fn warning(code: Code, place: Place, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, place, message) }
    }

    /// Says under the place what would be right.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// Adds a line after the snippet.
    #[must_use]
    pub fn help(mut self, line: impl Into<String>) -> Self {
        self.help.push(line.into());
        self
    }

    /// Shows another place.
    #[must_use]
    pub fn note(mut self, place: Place, text: impl Into<String>) -> Self {
        self.notes.push((place, text.into()));
        self
    }
}

impl From<Location> for Place {
    /// The token that begins at the location.
    fn from(at: Location) -> Self {
        Self { at, extent: Extent::Token }
    }
}

impl Sources {
    /// A span as a place.
    pub(super) fn shown(&self, span: Span) -> Place {
        let (line, column) = self.end(span);
        Place { at: self.location(span), extent: Extent::To(line, column) }
    }
}

impl Report {
    pub(super) fn new(found: Vec<Diagnostic>, sources: Sources) -> Self {
        let mut report = Self { found, sources };
        report.sort();
        report
    }

    /// Adds what was found later, by rooms that read certificates and components.
    pub fn add(&mut self, found: impl IntoIterator<Item = Diagnostic>) {
        self.found.extend(found);
        self.sort();
    }

    /// The findings with this code.
    #[must_use]
    pub(super) fn only(mut self, code: Code) -> Self {
        self.found.retain(|found| found.code == code);
        self
    }

    /// In file order: the main file first, included ones as they were read; what has no place comes last.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.found
    }

    pub fn errors(&self) -> usize {
        self.count(Severity::Error)
    }

    pub fn warnings(&self) -> usize {
        self.count(Severity::Warning)
    }

    fn count(&self, severity: Severity) -> usize {
        self.found.iter().filter(|found| found.severity == severity).count()
    }

    fn sort(&mut self) {
        let sources = &self.sources;
        self.found.sort_by_key(|found| match &found.place {
            None => (usize::MAX, 0, 0),
            Some(place) => {
                let file = sources.named(&place.at.file).map_or(usize::MAX - 1, |(file, _)| file);
                (file, place.at.line, place.at.column)
            }
        });
        self.found.dedup();
    }
}
