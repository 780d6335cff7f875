//! A Caddyfile as lines of words. Its grammar is words between white space, so no crate: those that there are take the `{` of a placeholder for the
//! beginning of a block, or lose the places.

use super::super::ImportError;
use super::super::line::Line;
use std::path::Path;

/// A word; `plain`: without quotes, so that braces may mean blocks.
#[derive(Debug)]
struct Word {
    text: String,
    line: usize,
    plain: bool,
    /// It begins a line.
    first: bool,
}

/// The lines of a text, with the lines of their blocks.
pub fn lines(text: &str, file: &Path) -> Result<Vec<Line>, ImportError> {
    let failed = |line, message: &str| ImportError::Syntax { path: file.into(), line, message: message.into() };
    let words = words(text).map_err(|(line, message)| failed(line, message))?;
    // The lines that are being read, and the blocks around them.
    let mut open: Vec<Vec<Line>> = vec![Vec::new()];
    for (index, word) in words.iter().enumerate() {
        let last = words.get(index + 1).is_none_or(|next| next.first);
        let is = |brace: &str| word.plain && word.text == brace;
        // A list of addresses goes on in the next line.
        let goes_on = open.len() == 1 && index > 0 && words.get(index - 1).is_some_and(|before| before.text.ends_with(','));
        let first = word.first && !goes_on;
        if is("}") {
            let block = open.pop().filter(|_| !open.is_empty()).ok_or_else(|| failed(word.line, "a `}` without its `{`"))?;
            let around = open.last_mut().and_then(|lines| lines.last_mut());
            around.ok_or_else(|| failed(word.line, "a `}` without its `{`"))?.block = Some(block);
        } else if is("{") && last {
            let Some(lines) = open.last_mut() else { break };
            if first {
                // Global options: a block without a name.
                lines.push(Line { file: file.into(), line: word.line, ..Line::default() });
            }
            open.push(Vec::new());
        } else if let Some(lines) = open.last_mut() {
            if first {
                lines.push(Line { file: file.into(), line: word.line, name: word.text.clone(), ..Line::default() });
            } else if let Some(line) = lines.last_mut() {
                line.args.push(word.text.clone());
            }
        }
    }
    match (open.pop(), open.is_empty()) {
        (Some(lines), true) => Ok(lines),
        _ => Err(failed(text.lines().count(), "a `{` without its `}`")),
    }
}

fn words(text: &str) -> Result<Vec<Word>, (usize, &'static str)> {
    let mut words: Vec<Word> = Vec::new();
    let mut rest = text.trim_start_matches('\u{feff}').chars().peekable();
    let (mut line, mut first) = (1, true);
    while let Some(c) = rest.next() {
        match c {
            '\n' => {
                line += 1;
                first = true;
            }
            c if c.is_whitespace() => {}
            '#' => while rest.next_if(|c| *c != '\n').is_some() {},
            '\\' if rest.peek() == Some(&'\n') => {
                let _ = rest.next();
                line += 1;
            }
            quote @ ('"' | '`') => {
                let begun = line;
                let mut word = String::new();
                loop {
                    match rest.next() {
                        None => return Err((begun, "a quote without its other half")),
                        Some(c) if c == quote => break,
                        Some('\\') if quote == '"' && rest.peek() == Some(&'"') => word.extend(rest.next()),
                        Some(c) => {
                            line += usize::from(c == '\n');
                            word.push(c);
                        }
                    }
                }
                words.push(Word { text: word, line: begun, plain: false, first });
                first = false;
            }
            c => {
                let mut word = String::from(c);
                while let Some(c) = rest.next_if(|c| !c.is_whitespace()) {
                    word.push(c);
                }
                let begun = line;
                let text = match word.strip_prefix("<<").filter(|marker| !marker.is_empty()) {
                    Some(marker) => heredoc(marker, &mut rest, &mut line).ok_or((begun, "a heredoc without its end"))?,
                    None => word,
                };
                words.push(Word { text, line: begun, plain: true, first });
                first = false;
            }
        }
    }
    Ok(words)
}

/// Lines up to the one that is the marker, whose indentation is taken from each.
fn heredoc(marker: &str, rest: &mut std::iter::Peekable<std::str::Chars<'_>>, line: &mut usize) -> Option<String> {
    let mut lines: Vec<String> = Vec::new();
    while rest.next_if(|c| *c != '\n').is_some() {}
    let _ = rest.next()?;
    *line += 1;
    loop {
        let ahead: String = rest.clone().take_while(|c| *c != '\n').collect();
        let end = ahead.trim_start().strip_prefix(marker).filter(|after| after.is_empty() || after.starts_with(char::is_whitespace));
        if let Some(after) = end {
            let indent = ahead.len() - ahead.trim_start().len();
            // Words may follow the marker.
            rest.by_ref().take(ahead.chars().count() - after.chars().count()).for_each(drop);
            let outdented = lines.iter().map(|line| line.get(indent..).unwrap_or(line.trim_start()));
            return Some(outdented.collect::<Vec<_>>().join("\n"));
        }
        rest.by_ref().take(ahead.chars().count()).for_each(drop);
        lines.push(ahead);
        rest.next()?;
        *line += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<Line> {
        lines(text, Path::new("Caddyfile")).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn blocks_placeholders_quotes_and_comments() {
        let text = "{\n\temail a@b.c\n}\n# a site\nexample.com, www.example.com {\n\theader_up X {remote_host} # who\n\trespond \"a \\\"b\\\" {\" 200\n}\n";
        let lines = read(text);
        assert_eq!((lines.len(), &*lines[0].name, &*lines[0].lines()[0].args[0]), (2, "", "a@b.c"));
        assert_eq!((lines[1].line, &lines[1].args), (5, &vec!["www.example.com".to_owned()]));
        let site = lines[1].lines();
        assert_eq!(site[0].args, ["X", "{remote_host}"]);
        assert_eq!((site[1].line, &*site[1].args[0]), (7, "a \"b\" {"));
    }

    #[test]
    fn heredocs_lose_their_indentation() {
        let lines = read("a.test {\n\trespond <<END\n\t  <p>\n\t</p>\n\tEND 404\n}\n");
        assert_eq!(lines[0].lines()[0].args, ["  <p>\n</p>", "404"]);
    }

    #[test]
    fn what_does_not_end_is_told_with_its_line() {
        for (text, place) in [("a {\n", 1), ("a {\n}\n}\n", 3), ("a {\n respond \"x\n}", 2)] {
            let error = lines(text, Path::new("Caddyfile")).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.starts_with(&format!("Caddyfile:{place}:")), "{error}");
        }
    }
}
