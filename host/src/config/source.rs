//! Configuration files and places in them. Reads nothing itself: [`Surroundings`] says where texts come from.

use super::Location;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One file as read.
#[derive(Debug, Clone)]
pub struct Source {
    /// As the operator named it, or the including file's folder and the name below it.
    pub name: Arc<str>,
    pub text: Arc<str>,
    /// Relative paths in this file start here.
    pub folder: PathBuf,
    /// Byte offset of each line's first byte.
    lines: Vec<usize>,
}

/// Bytes `start..end` of a file; offsets may lie past the end of text, places are clamped to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Span {
    pub file: usize,
    pub start: usize,
    pub end: usize,
}

/// All files of one configuration, in the order they were read: the main file first.
#[derive(Debug, Clone, Default)]
pub struct Sources(Vec<Source>);

impl Source {
    pub fn new(path: &Path, text: String) -> Self {
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        let folder = path.parent().map(Path::to_path_buf).unwrap_or_default();
        Self { name: path.to_string_lossy().into(), text: text.into(), folder, lines }
    }

    /// Line and column of a byte, both 1-based; columns count characters.
    pub fn place(&self, offset: usize) -> (u32, u32) {
        let offset = floor(&self.text, offset);
        let line = self.lines.partition_point(|start| *start <= offset).saturating_sub(1);
        let start = self.lines.get(line).copied().unwrap_or_default();
        let column = self.text.get(start..offset).unwrap_or_default().chars().count();
        (number(line) + 1, number(column) + 1)
    }

    /// A line without its line break; empty if there is no such line.
    pub fn line(&self, line: u32) -> &str {
        let index = line.saturating_sub(1) as usize;
        let Some(start) = self.lines.get(index).copied() else { return "" };
        let end = self.lines.get(index + 1).copied().unwrap_or(self.text.len());
        self.text.get(start..end).unwrap_or_default().trim_end_matches(['\n', '\r'])
    }
}

impl Sources {
    /// Adds a file and says its number.
    pub fn add(&mut self, source: Source) -> usize {
        self.0.push(source);
        self.0.len() - 1
    }

    pub fn file(&self, index: usize) -> Option<&Source> {
        self.0.get(index)
    }

    /// The first file of this name, with its number.
    pub fn named(&self, name: &str) -> Option<(usize, &Source)> {
        self.0.iter().enumerate().find(|(_, source)| &*source.name == name)
    }

    /// Where a span begins.
    pub fn location(&self, span: Span) -> Location {
        self.at(span.file, span.start)
    }

    /// Line and column just after a span.
    pub fn end(&self, span: Span) -> (u32, u32) {
        self.file(span.file).map_or((1, 1), |source| source.place(span.end))
    }

    fn at(&self, file: usize, offset: usize) -> Location {
        match self.file(file) {
            None => Location { file: "".into(), line: 1, column: 1 },
            Some(source) => {
                let (line, column) = source.place(offset);
                Location { file: source.name.clone(), line, column }
            }
        }
    }

    /// The bytes of a span as written.
    pub fn text(&self, span: Span) -> &str {
        self.file(span.file).and_then(|source| source.text.get(span.start..span.end)).unwrap_or_default()
    }

    /// A path in a file, made relative to that file's folder.
    pub fn resolve(&self, file: usize, path: &str) -> PathBuf {
        self.file(file).map_or_else(|| PathBuf::from(path), |source| source.folder.join(path))
    }

    /// The part of a string value that `inside` (bytes of its decoded text) covers. The whole value where escapes over several
    /// lines make that uncertain.
    pub fn inside(&self, value: Span, inside: std::ops::Range<usize>) -> Span {
        let raw = self.text(value);
        let (Some(start), Some(end)) = (written_offset(raw, inside.start), written_offset(raw, inside.end)) else { return value };
        Span { file: value.file, start: value.start + start, end: value.start + end }
    }
}

/// Where the decoded byte `wanted` of a TOML string stands in the string as written.
fn written_offset(raw: &str, wanted: usize) -> Option<usize> {
    let quote = raw.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    if raw.starts_with("\"\"\"") || raw.starts_with("'''") {
        return None;
    }
    let (mut decoded, mut written) = (0, 1);
    while decoded < wanted {
        let rest = raw.get(written..)?;
        let c = rest.chars().next()?;
        let (length, width) = if quote == '"' && c == '\\' { escape(rest)? } else { (c.len_utf8(), c.len_utf8()) };
        written += length;
        decoded += width;
    }
    Some(written)
}

/// How long an escape is as written, and how many bytes it stands for.
fn escape(rest: &str) -> Option<(usize, usize)> {
    let digits = match rest.as_bytes().get(1)? {
        b'x' => 2,
        b'u' => 4,
        b'U' => 8,
        _ => return Some((2, 1)),
    };
    let code = u32::from_str_radix(rest.get(2..2 + digits)?, 16).ok()?;
    Some((2 + digits, char::from_u32(code)?.len_utf8()))
}

/// The last character boundary at or before `offset`.
fn floor(text: &str, offset: usize) -> usize {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}

/// A file with more than 2³² lines or columns has no places we could print.
fn number(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters_not_bytes() {
        let source = Source::new(Path::new("a.toml"), "# ü\nö = \"ä\"\n".into());
        assert_eq!(source.place(0), (1, 1));
        assert_eq!(source.place(5), (2, 1));
        assert_eq!(source.place(10), (2, 5)); // the quote, after a two-byte ö
        assert_eq!(source.line(2), "ö = \"ä\"");
        assert_eq!(source.place(1000), (3, 1));
    }

    #[test]
    fn places_inside_strings_skip_escapes() {
        let text = r#"k = "a\u00e4\tb""#;
        let mut sources = Sources::default();
        let file = sources.add(Source::new(Path::new("a.toml"), text.into()));
        let value = Span { file, start: 4, end: text.len() };
        let b = sources.inside(value, 4..5); // a, two bytes of ä, tab
        assert_eq!(sources.text(b), "b");
    }
}
