//! Findings as text for people and as JSON for programs.

use super::diagnostic::{Diagnostic, Extent, Place, Report, Severity};
use super::source::Source;
use serde_json::{Value, json};
use std::fmt::Write;

impl Report {
    /// Every finding with its snippet, then the counts. Ends with a line break; empty if nothing was found.
    pub fn text(&self) -> String {
        let mut out = String::new();
        for found in self.found.iter().filter(|found| !self.is_said_in_summary(found)) {
            self.one(&mut out, found);
            out.push('\n');
        }
        if !self.found.is_empty() {
            let _ = writeln!(out, "{}", self.summary());
        }
        out
    }

    /// `2 errors, 1 warning (…). Nothing was applied.`
    pub fn summary(&self) -> String {
        let (errors, warnings) = (self.errors(), self.warnings());
        let mut parts = Vec::new();
        if errors > 0 {
            parts.push(counted(errors, "error"));
        }
        if warnings > 0 {
            parts.push(counted(warnings, "warning"));
        }
        let mut line = parts.join(", ");
        // A lone warning is easily overlooked among errors, so it is said again.
        if let Some(warning) = self.lone_warning() {
            let _ = write!(line, " ({})", printable(&warning.message));
        }
        line.push('.');
        if errors > 0 {
            line.push_str(" Nothing was applied.");
        }
        line
    }

    /// The only warning among errors.
    fn lone_warning(&self) -> Option<&Diagnostic> {
        let lone = self.errors() > 0 && self.warnings() == 1;
        self.found.iter().find(|found| lone && found.severity == Severity::Warning)
    }

    /// Without a place there is nothing more to show of it.
    fn is_said_in_summary(&self, found: &Diagnostic) -> bool {
        found.place.is_none() && self.lone_warning() == Some(found)
    }

    /// `[{code, severity, message, file, line, column, end, help, label, notes}]`, in the order of [`Report::diagnostics`].
    pub fn json(&self) -> Value {
        self.found.iter().map(|found| self.one_json(found)).collect()
    }

    fn one(&self, out: &mut String, found: &Diagnostic) {
        let _ = writeln!(out, "{}[{}]: {}", found.severity.word(), found.code, printable(&found.message));
        let places = found.place.iter().chain(found.notes.iter().map(|(place, _)| place));
        // Two columns at least, so that most findings of a file line up.
        let width = places.map(|place| place.at.line.to_string().len()).max().unwrap_or(0).max(2);
        if let Some(place) = &found.place {
            self.snippet(out, place, "-->", width, '^', found.label.as_deref());
        }
        for (place, text) in &found.notes {
            self.snippet(out, place, ":::", width, '-', Some(text));
        }
        for line in &found.help {
            let _ = writeln!(out, "{:width$} = {}", "", printable(line));
        }
    }

    fn snippet(&self, out: &mut String, place: &Place, arrow: &str, width: usize, mark: char, label: Option<&str>) {
        let _ = writeln!(out, "{:width$}{arrow} {}", "", place.at);
        let Some((_, source)) = self.sources.named(&place.at.file).filter(|_| place.extent != Extent::None) else {
            if let Some(label) = label {
                let _ = writeln!(out, "{:width$} = {}", "", printable(label));
            }
            return;
        };
        let (line, column) = (place.at.line, (place.at.column as usize).saturating_sub(1));
        let text = source.line(line);
        let marks = end_column(source, place).saturating_sub(column + 1).max(1);
        let _ = writeln!(out, "{:width$} |", "");
        let _ = writeln!(out, "{line:>width$} | {}", printable(text).trim_end());
        let _ = write!(out, "{:width$} | {:column$}", "", "");
        out.extend(std::iter::repeat_n(mark, marks));
        let _ = writeln!(out, "{}{}", if label.is_some() { " " } else { "" }, printable(label.unwrap_or_default()));
    }

    fn one_json(&self, found: &Diagnostic) -> Value {
        let place = found.place.as_ref();
        json!({
            "code": found.code,
            "severity": found.severity.word(),
            "message": found.message,
            "file": place.map(|place| &*place.at.file),
            "line": place.map(|place| place.at.line),
            "column": place.map(|place| place.at.column),
            "end": place.and_then(|place| self.end(place)),
            "help": found.help,
            "label": found.label,
            "notes": found.notes.iter().map(|(place, text)| json!({
                "file": &*place.at.file, "line": place.at.line, "column": place.at.column, "end": self.end(place), "message": text,
            })).collect::<Vec<_>>(),
        })
    }

    /// Line and column just after the place.
    fn end(&self, place: &Place) -> Option<Value> {
        match place.extent {
            Extent::To(line, column) => Some(json!({ "line": line, "column": column })),
            Extent::None => None,
            Extent::Token => {
                let (_, source) = self.sources.named(&place.at.file)?;
                Some(json!({ "line": place.at.line, "column": end_column(source, place) }))
            }
        }
    }
}

impl Severity {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// The column after what is marked on the place's first line.
fn end_column(source: &Source, place: &Place) -> usize {
    let text = source.line(place.at.line);
    let (start, length) = (place.at.column as usize, text.chars().count());
    match place.extent {
        Extent::To(line, column) if line == place.at.line => column as usize,
        Extent::To(..) => text.trim_end().chars().count() + 1,
        Extent::Token | Extent::None => {
            // In a header, a token is one of its keys, unless it is the first: that stands for the whole.
            let before: String = text.chars().take(start.saturating_sub(1)).collect();
            let within_header = before.starts_with('[') && before.contains('.');
            start + token(text.chars().skip(start.saturating_sub(1)), length, within_header)
        }
    }
}

/// How many characters the first token of a line's rest has.
fn token(rest: impl Iterator<Item = char>, most: usize, ends_at_dot: bool) -> usize {
    let rest: Vec<char> = rest.take(most).collect();
    match rest.first() {
        Some(quote @ ('"' | '\'')) => rest.iter().skip(1).position(|c| c == quote).map_or(rest.len(), |at| at + 2),
        Some('{' | '[') => bracketed(&rest),
        _ => {
            let ends = |c: char| c.is_whitespace() || matches!(c, '=' | ',' | ']' | '}' | '#') || (ends_at_dot && c == '.');
            rest.iter().position(|c| ends(*c)).unwrap_or(rest.len())
        }
    }
}

/// To the bracket that closes the first one. Brackets in strings are rare enough to be miscounted.
fn bracketed(rest: &[char]) -> usize {
    let mut depth = 0;
    for (at, c) in rest.iter().enumerate() {
        match c {
            '{' | '[' => depth += 1,
            '}' | ']' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    rest.len()
}

fn counted(n: usize, word: &str) -> String {
    format!("{n} {word}{}", if n == 1 { "" } else { "s" })
}

/// Text of a file is shown on terminals: nothing in it may move the cursor. Tabs become one blank, as columns count characters.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\t' => ' ',
            c if c.is_control() => '\u{fffd}',
            c => c,
        })
        .collect()
}
