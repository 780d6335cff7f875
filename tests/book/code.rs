//! The code in the book. What stands between ```` ```toml ```` fences is a whole configuration, which `portcullis check` finds nothing wrong
//! with; one that lacks something says so, ```` ```toml,fragment ````, and has nothing wrong but what it lacks. Commands exist, with their options.

use super::pages;
use portcullis_tests::pki::Authority;
use portcullis_tests::{proxy, tools};
use pulldown_cmark::{CodeBlockKind, Event, Parser, Tag, TagEnd};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

struct Block {
    /// `page.md:12`
    place: String,
    /// `toml,fragment`
    kind: String,
    text: String,
}

fn blocks() -> Vec<Block> {
    let mut found = Vec::new();
    for page in pages::all() {
        let mut open: Option<Block> = None;
        for (event, range) in Parser::new(&page.text).into_offset_iter() {
            match event {
                Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(kind))) => {
                    let line = page.text[..range.start].lines().count() + 1;
                    open = Some(Block { place: format!("{}:{line}", page.name.display()), kind: kind.into_string(), text: String::new() });
                }
                Event::Text(text) => open.iter_mut().for_each(|block| block.text.push_str(&text)),
                Event::End(TagEnd::CodeBlock) => found.extend(open.take()),
                _ => {}
            }
        }
    }
    assert!(found.len() > 50, "only {} blocks: they are not read as they should be", found.len());
    found
}

/// What a fragment may lack after its names were declared for it: parts of the file, plugins of its own, and files; and a warning of what it
/// is there to show (E055).
const LACKING: [&str; 8] = ["E008", "E012", "E025", "E026", "E030", "E036", "E055", "E060"];

#[test]
fn configurations_are_right() {
    let mut wrong = Vec::new();
    for block in blocks().into_iter().filter(|block| block.kind.split(',').next() == Some("toml")) {
        let fragment = match &*block.kind {
            "toml" => false,
            "toml,fragment" => true,
            // Of another program: Cargo.toml.
            "toml,other" => continue,
            kind => panic!("{}: ```{kind}: wanted is toml, toml,fragment or toml,other", block.place),
        };
        let said = checked(&block.text);
        let pieces = || pieces(&block.text).iter().all(|piece| lacks_only(piece));
        match (said.nothing(), fragment) {
            (true, false) => {}
            (true, true) => wrong.push(format!("{}: it is whole: write ```toml", block.place)),
            (false, true) if lacks_only(&block.text) || pieces() => {}
            (false, _) => wrong.push(format!("{}: {}", block.place, said.text)),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whether nothing is wrong with it but what it lacks.
fn lacks_only(text: &str) -> bool {
    let mut text = text.to_owned();
    // Each round declares what the one before found missing.
    for _ in 0..4 {
        let said = checked(&text);
        let declared: BTreeSet<String> = said.findings.iter().filter_map(|(code, message)| declaration(code, message)).collect();
        if declared.is_empty() {
            // What is left out in a value cannot be right.
            let shortened = |code: &str| text.contains('…') && code == "E032";
            return said.findings.iter().all(|(code, _)| LACKING.contains(&&**code) || shortened(code));
        }
        text = format!("{text}\n{}", declared.into_iter().collect::<String>());
    }
    false
}

/// What would mend it.
fn declaration(code: &str, message: &str) -> Option<String> {
    let named = message.split('`').nth(1)?;
    match (code, message.split_whitespace().next()?) {
        ("E012", "upstream") => Some(format!("[upstream.{named}]\nservers = \"127.0.0.1:9\"\n")),
        ("E012", "kv") => Some(format!("[kv.{named}]\nstore = \"memory\"\n")),
        ("E008", table) if named == "routes" => Some(format!("{}.routes]\n\"/*\" = {{ respond = \"x\" }}\n", table.trim_end_matches(']'))),
        _ => None,
    }
}

/// Alternatives that stand below each other, each in a configuration of its own: a fragment shows several lines `chain = …`.
fn pieces(text: &str) -> Vec<String> {
    let mut pieces: Vec<Vec<&str>> = Vec::new();
    let key = |line: &str| line.split('=').next().unwrap_or_default().trim().to_owned();
    for paragraph in text.split("\n\n") {
        let mut piece: Vec<&str> = Vec::new();
        for line in paragraph.lines() {
            let again = !line.starts_with([' ', '#', '[', '}', ']']) && piece.iter().any(|before| key(before) == key(line));
            if again {
                pieces.push(std::mem::take(&mut piece));
            }
            piece.push(line);
        }
        pieces.push(piece);
    }
    pieces.iter().map(|lines| wrapped(&lines.join("\n"))).collect()
}

fn wrapped(piece: &str) -> String {
    match piece.lines().find(|line| !line.starts_with('#')).and_then(|line| line.chars().next()) {
        Some('[') | None => piece.to_owned(),
        Some('"') => format!("[site.localhost.routes]\n{piece}"),
        Some(_) => format!("[site.localhost]\n{piece}"),
    }
}

struct Said {
    /// Code and message.
    findings: Vec<(String, String)>,
    text: String,
    well: bool,
}

impl Said {
    fn nothing(&self) -> bool {
        self.well && self.findings.is_empty()
    }
}

/// What `check` says of a text, in a directory that has the certificates which the text names.
fn checked(text: &str) -> Said {
    let dir = tempfile::tempdir().expect("a directory");
    let at_home = text.replace("\"/etc/", &format!("\"{}/etc/", dir.path().display()));
    papers(dir.path(), &at_home);
    fs::write(dir.path().join("portcullis.toml"), at_home).expect("written");
    let run = |options: &[&str]| proxy::run(dir.path(), &[&["check", "portcullis.toml"], options].concat());
    let output = run(&["--json"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let findings = json.as_array().into_iter().flatten().map(|found| (text(&found["code"]), text(&found["message"]))).collect();
    let well = output.status.success();
    let text = if well { String::new() } else { String::from_utf8_lossy(&run(&[]).stdout).into_owned() };
    Said { findings, text, well }
}

/// Makes every `x.pem` with its `x.key`, for all sites and names of the text, by one CA; a `.crl` of it, and what is read as a secret.
fn papers(dir: &Path, text: &str) {
    let words: BTreeSet<&str> = text.split('"').skip(1).step_by(2).collect();
    let is_name = |word: &&str| word.contains('.') && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.*".contains(&b)) && !ends(word);
    let names: Vec<&str> = words.iter().copied().filter(is_name).chain(["localhost"]).collect();
    let authority = Authority::new("the book");
    for word in words.iter().filter(|word| ends(word)) {
        let file = dir.join(word);
        let Some(folder) = file.parent() else { continue };
        fs::create_dir_all(folder).expect("made");
        let stem = file.file_stem().expect("named").to_string_lossy().into_owned();
        if words.iter().any(|key| *key == word.replace(".pem", ".key") && key != word) {
            authority.issue(folder, &stem, &names);
        } else if word.ends_with(".pem") {
            authority.write(folder, &stem);
        } else if word.ends_with(".crl") {
            authority.revoke(folder, &format!("{stem}.crl"), &[7]);
        }
    }
}

fn ends(word: &str) -> bool {
    [".pem", ".key", ".crl"].iter().any(|end| word.ends_with(end))
}

/// The proxy's commands with what `--help` says of each, by `plugin inspect` and the like.
pub fn commands() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut open = vec![String::new()];
    while let Some(command) = open.pop() {
        let words: Vec<&str> = command.split_whitespace().chain(["--help"]).collect();
        let output = proxy::run(Path::new("."), &words);
        assert!(output.status.success(), "portcullis {command} --help");
        let help = String::from_utf8(output.stdout).expect("text");
        let below = help.split_once("\nCommands:\n").map_or("", |(_, rest)| rest.split("\n\n").next().unwrap_or_default());
        let names =
            below.lines().filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next().filter(|_| !line.starts_with("   ")));
        open.extend(names.filter(|name| *name != "help").map(|name| format!("{command} {name}").trim().to_owned()));
        found.insert(command, help);
    }
    found
}

#[test]
fn commands_exist() {
    let commands = commands();
    let xtask = fs::read_to_string(tools::repository().join("xtask/src/main.rs")).expect("readable");
    let mut wrong = Vec::new();
    for block in blocks().into_iter().filter(|block| ["console", "sh"].contains(&&*block.kind)) {
        let joined = block.text.replace("\\\n", " ");
        for line in joined.lines().map(|line| line.trim_start_matches(['$', '#', ' '])) {
            let words: Vec<&str> = line.split('#').next().unwrap_or_default().split_whitespace().collect();
            match words[..] {
                ["portcullis", ref rest @ ..] | ["sudo", "portcullis", ref rest @ ..] => {
                    wrong.extend(misused(&commands, rest).map(|what| format!("{}: `{line}`: {what}", block.place)));
                }
                ["cargo", "xtask", command, ..] if !xtask.contains(&format!("name: \"{command}\"")) => {
                    wrong.push(format!("{}: `{line}`: no such command of xtask", block.place));
                }
                _ => {}
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is wrong with the arguments: a command or an option that there is not.
fn misused(commands: &BTreeMap<String, String>, words: &[&str]) -> Option<String> {
    let (first, second) = (words.first().copied().unwrap_or_default(), words.get(1).copied().unwrap_or_default());
    let whole = commands.get(&format!("{first} {second}"));
    let Some(help) = whole.or_else(|| commands.get(first)) else {
        return Some("no such command".to_owned());
    };
    // Not another word behind a command that has commands of its own.
    if whole.is_none() && help.contains("\nCommands:\n") && !second.is_empty() && !second.starts_with('-') {
        return Some(format!("`{first}` has no command `{second}`"));
    }
    let options =
        words.iter().take_while(|word| !["|", "&&", ">", "&"].contains(word)).filter(|word| word.starts_with('-') && word.len() > 1);
    let known = |option: &&&str| {
        let option = option.split('=').next().unwrap_or_default();
        help.split(|c: char| c.is_whitespace() || c == ',' || c == '=').any(|word| word == option)
    };
    options.clone().find(|option| !known(option)).map(|option| format!("no option {option}"))
}

/// What a recipe begins with can be imported whole.
#[test]
fn configurations_of_others_can_be_imported() {
    let mut imported = 0;
    for block in blocks() {
        let from = match &*block.kind {
            "nginx" => "nginx",
            "caddyfile" => "caddy",
            _ => continue,
        };
        let dir = tempfile::tempdir().expect("a directory");
        fs::write(dir.path().join("theirs"), &block.text).expect("written");
        let output = proxy::run(dir.path(), &["import", from, "theirs"]);
        assert!(output.status.success(), "{}: {}", block.place, String::from_utf8_lossy(&output.stderr));
        let said = checked(&String::from_utf8_lossy(&output.stdout));
        assert!(said.nothing(), "{}: {}", block.place, said.text);
        imported += 1;
    }
    assert!(imported >= 2, "{imported}");
}

#[test]
fn json_is_json() {
    for block in blocks().into_iter().filter(|block| block.kind == "json") {
        serde_json::from_str::<serde_json::Value>(&block.text).unwrap_or_else(|error| panic!("{}: {error}", block.place));
    }
}
