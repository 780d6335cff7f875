//! The canonical layout of a file: `portcullis fmt`. Only white space changes, trailing commas, and quotes around keys that need none; values and
//! comments stay as they are written, and so does the order. What it makes, it leaves alone.
//!
//! One entry a line, `=` and comments of neighbouring lines in a column, one empty line before a table. A list that is too long for a line, or whose
//! author began a new line after its bracket, has one member a line.

use std::iter::Peekable;
use std::vec::IntoIter;
use toml_parser::Source;
use toml_parser::parser::{Event, EventKind, RecursionGuard, parse_document};

/// Columns; what cannot be broken may be longer.
const WIDTH: usize = 120;
/// Keys longer than this do not push others to the right.
const LONG_KEY: usize = 32;
/// Comments are put in a column as long as that is left of this.
const COMMENTS: usize = 90;

/// The text in its canonical layout. `None`: it is not TOML.
pub fn canonical(text: &str) -> Option<String> {
    Some(render(&lines(tokens(text)?)))
}

type Token<'t> = (EventKind, &'t str);

fn tokens(text: &str) -> Option<Vec<Token<'_>>> {
    let source = Source::new(text);
    let lexed = source.lex().into_vec();
    let (mut events, mut error) = (Vec::new(), None);
    // Deeper than any configuration, and far from the end of the stack.
    parse_document(&lexed, &mut RecursionGuard::new(&mut |event: Event| events.push(event), 64), &mut error);
    let said = |event: &Event| text.get(event.span().start()..event.span().end()).map(|said| (event.kind(), said));
    let sound = error.is_none() && events.iter().all(|event| event.kind() != EventKind::Error);
    let seen = events.iter().filter(|event| event.kind() != EventKind::Whitespace).map(said).collect::<Option<Vec<_>>>()?;
    sound.then_some(seen)
}

/// What stands in a line of its own, with the comment behind it.
struct Line<'t> {
    what: What<'t>,
    comment: Option<&'t str>,
}

enum What<'t> {
    Nothing,
    /// With its brackets.
    Header(String),
    Entry(String, Value<'t>),
}

enum Value<'t> {
    Scalar(&'t str),
    List(List<'t>),
}

/// An array, or an inline table.
struct List<'t> {
    brackets: [char; 2],
    members: Vec<Member<'t>>,
    /// Comments behind the last member.
    rest: Vec<&'t str>,
    /// Its author began a new line.
    open: bool,
}

struct Member<'t> {
    /// In lines before it.
    comments: Vec<&'t str>,
    /// In inline tables.
    key: Option<String>,
    value: Value<'t>,
    /// In its own line.
    comment: Option<&'t str>,
}

// --- reading

type Tokens<'t> = Peekable<IntoIter<Token<'t>>>;

fn lines(tokens: Vec<Token<'_>>) -> Vec<Line<'_>> {
    let mut tokens = tokens.into_iter().peekable();
    let mut lines = Vec::new();
    while tokens.peek().is_some() {
        let what = what(&mut tokens);
        let comment = tokens.next_if(|(kind, _)| *kind == EventKind::Comment).map(|(_, text)| text.trim_end());
        // The end of a file may be the end of its last line.
        let _ = tokens.next_if(|(kind, _)| *kind == EventKind::Newline);
        lines.push(Line { what, comment });
    }
    lines
}

fn what<'t>(tokens: &mut Tokens<'t>) -> What<'t> {
    let brackets = match tokens.peek().map(|(kind, _)| *kind) {
        Some(EventKind::StdTableOpen) => ("[", "]"),
        Some(EventKind::ArrayTableOpen) => ("[[", "]]"),
        Some(EventKind::SimpleKey) => {
            let key = key(tokens);
            let _ = tokens.next_if(|(kind, _)| *kind == EventKind::KeyValSep);
            return What::Entry(key, value(tokens));
        }
        _ => return What::Nothing,
    };
    let _open = tokens.next();
    let name = key(tokens);
    let _ = tokens.next_if(|(kind, _)| matches!(kind, EventKind::StdTableClose | EventKind::ArrayTableClose));
    What::Header(format!("{}{name}{}", brackets.0, brackets.1))
}

/// `a."b.c"`, without quotes that say nothing.
fn key(tokens: &mut Tokens<'_>) -> String {
    let mut key = String::new();
    while let Some((kind, text)) = tokens.next_if(|(kind, _)| matches!(kind, EventKind::SimpleKey | EventKind::KeySep)) {
        key.push_str(if kind == EventKind::KeySep { "." } else { bare(text) });
    }
    key
}

fn bare(key: &str) -> &str {
    let quoted = |quote| key.strip_prefix(quote).and_then(|key: &str| key.strip_suffix(quote));
    let inside = quoted('"').or_else(|| quoted('\'')).unwrap_or(key);
    let plain = !inside.is_empty() && inside.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    if plain { inside } else { key }
}

fn value<'t>(tokens: &mut Tokens<'t>) -> Value<'t> {
    match tokens.next() {
        Some((EventKind::ArrayOpen, _)) => Value::List(list(['[', ']'], tokens)),
        Some((EventKind::InlineTableOpen, _)) => Value::List(list(['{', '}'], tokens)),
        Some((_, text)) => Value::Scalar(text),
        None => Value::Scalar(""),
    }
}

fn list<'t>(brackets: [char; 2], tokens: &mut Tokens<'t>) -> List<'t> {
    let open = tokens.peek().is_some_and(|(kind, _)| matches!(kind, EventKind::Newline | EventKind::Comment));
    let mut list = List { brackets, members: Vec::new(), rest: Vec::new(), open };
    // Whether a member stands in the line already, so that a comment is its.
    let mut in_line = false;
    while let Some((kind, text)) = tokens.peek().copied() {
        match kind {
            EventKind::ArrayClose | EventKind::InlineTableClose => {
                let _close = tokens.next();
                break;
            }
            EventKind::Comment => {
                let _comment = tokens.next();
                match list.members.last_mut().filter(|last| in_line && last.comment.is_none()) {
                    Some(last) => last.comment = Some(text.trim_end()),
                    None => list.rest.push(text.trim_end()),
                }
            }
            EventKind::Newline => {
                let _newline = tokens.next();
                in_line = false;
            }
            EventKind::ValueSep => {
                let _comma = tokens.next();
            }
            _ => {
                let key = (kind == EventKind::SimpleKey).then(|| key(tokens));
                let _ = tokens.next_if(|(kind, _)| *kind == EventKind::KeyValSep);
                let member = Member { comments: std::mem::take(&mut list.rest), key, value: value(tokens), comment: None };
                list.members.push(member);
                in_line = true;
            }
        }
    }
    list
}

// --- writing

fn render(lines: &[Line<'_>]) -> String {
    let mut out = String::new();
    let mut rest = lines;
    while let Some((first, others)) = rest.split_first() {
        if first.is_empty() {
            // Not two in a row, and none at the beginning, after a header, or at the end.
            let next = others.iter().find(|line| !line.is_empty());
            if next.is_some() && !out.is_empty() && !out.ends_with("\n\n") && !ends_with_header(&out) {
                out.push('\n');
            }
            rest = others;
            continue;
        }
        if before_table(rest) && !out.is_empty() && !out.ends_with("\n\n") && !ends_with_comment(&out) {
            out.push('\n');
        }
        let run = rest.iter().take_while(|line| line.is_alignable()).count().max(1);
        let (these, others) = rest.split_at(run);
        block(these, &mut out);
        rest = others;
    }
    out
}

fn last_line(out: &str) -> &str {
    out.lines().next_back().unwrap_or_default()
}

/// Nothing between a header and what it heads; a multi-line string may end in what looks like one, which then costs an empty line only.
fn ends_with_header(out: &str) -> bool {
    last_line(out).starts_with('[')
}

/// A comment right before a header belongs to it.
fn ends_with_comment(out: &str) -> bool {
    last_line(out).starts_with('#') && !out.ends_with("\n\n")
}

/// Whether a table begins here: its header, or the comments right before it.
fn before_table(lines: &[Line<'_>]) -> bool {
    lines.iter().find(|line| !line.is_comment()).is_some_and(|line| matches!(line.what, What::Header(_)))
}

impl Line<'_> {
    fn is_empty(&self) -> bool {
        matches!(self.what, What::Nothing) && self.comment.is_none()
    }

    fn is_comment(&self) -> bool {
        matches!(self.what, What::Nothing) && self.comment.is_some()
    }

    /// An entry in one line, whose neighbours may be put into columns with it.
    fn is_alignable(&self) -> bool {
        match &self.what {
            What::Entry(key, value) => !written(value, 0, width(key) + 3).contains('\n'),
            _ => false,
        }
    }
}

/// Neighbouring lines.
fn block(lines: &[Line<'_>], out: &mut String) {
    let keys = lines.iter().filter_map(|line| match &line.what {
        What::Entry(key, _) => Some(width(key)).filter(|width| *width <= LONG_KEY),
        _ => None,
    });
    let column = keys.max().unwrap_or(0);
    let texts: Vec<String> = lines.iter().map(|line| text(line, column)).collect();
    let commented = texts.iter().zip(lines).filter(|(_, line)| line.comment.is_some()).map(|(text, _)| width(text));
    let margin = commented.filter(|width| *width <= COMMENTS).max().unwrap_or(0);
    for (text, line) in texts.iter().zip(lines) {
        out.push_str(text);
        if let Some(comment) = line.comment {
            let gap = if text.is_empty() { 0 } else { margin.saturating_sub(width(last_line(text))) + 2 };
            out.push_str(&" ".repeat(gap));
            out.push_str(comment);
        }
        out.push('\n');
    }
}

fn text(line: &Line<'_>, column: usize) -> String {
    match &line.what {
        What::Nothing => String::new(),
        What::Header(header) => header.clone(),
        What::Entry(key, value) if line.is_alignable() => {
            format!("{key}{} = {}", " ".repeat(column.saturating_sub(width(key))), written(value, 0, width(key) + 3))
        }
        What::Entry(key, value) => format!("{key} = {}", written(value, 0, width(key) + 3)),
    }
}

fn width(text: &str) -> usize {
    text.chars().count()
}

/// A value that begins `used` columns from the left, in a line that is indented by `indent`.
fn written(value: &Value<'_>, indent: usize, used: usize) -> String {
    let list = match value {
        Value::Scalar(text) => return (*text).to_owned(),
        Value::List(list) => list,
    };
    let line = list.in_line();
    let fits = line.as_ref().is_some_and(|line| used + width(line) <= WIDTH);
    match line {
        Some(line) if !list.open && (fits || list.brackets[0] == '{' || list.members.is_empty()) => line,
        _ => list.in_lines(indent),
    }
}

impl List<'_> {
    /// `None`: a comment is in the way, or a text of several lines.
    fn in_line(&self) -> Option<String> {
        let [open, close] = self.brackets;
        if !self.rest.is_empty() {
            return None;
        }
        let members = self.members.iter().map(Member::in_line).collect::<Option<Vec<_>>>()?.join(", ");
        Some(match (open, members.is_empty()) {
            ('{', false) => format!("{{ {members} }}"),
            _ => format!("{open}{members}{close}"),
        })
    }

    fn in_lines(&self, indent: usize) -> String {
        let inner = " ".repeat(indent + 2);
        let mut out = String::from(self.brackets[0]);
        for member in &self.members {
            member.comments.iter().for_each(|comment| out.push_str(&format!("\n{inner}{comment}")));
            let key = member.key.as_ref().map(|key| format!("{key} = ")).unwrap_or_default();
            let value = written(&member.value, indent + 2, indent + 2 + width(&key));
            out.push_str(&format!("\n{inner}{key}{value},"));
            member.comment.iter().for_each(|comment| out.push_str(&format!("  {comment}")));
        }
        self.rest.iter().for_each(|comment| out.push_str(&format!("\n{inner}{comment}")));
        out + "\n" + &" ".repeat(indent) + &String::from(self.brackets[1])
    }
}

impl Member<'_> {
    fn in_line(&self) -> Option<String> {
        if !self.comments.is_empty() || self.comment.is_some() {
            return None;
        }
        let value = match &self.value {
            Value::Scalar(text) if text.contains('\n') => return None,
            Value::Scalar(text) => (*text).to_owned(),
            Value::List(list) if list.open => return None,
            Value::List(list) => list.in_line()?,
        };
        Some(self.key.as_ref().map_or_else(|| value.clone(), |key| format!("{key} = {value}")))
    }
}

#[cfg(test)]
mod tests;
