//! `wit/*.wit` as a page: each interface with its functions and types, their comments as text. Reads the layout that the files have (items
//! indented by two), not WIT as such; what it does not understand is an error.

use portcullis_tests::tools::repository;
use std::fmt::Write;
use std::fs;

const ABOUT: &str = "\
The contract between the proxy and its plugins, package `portcullis:plugin`, as `wit/*.wit` has it. A plugin exports *phases*, which the proxy calls, and imports *capabilities*, which it \
calls and the operator grants. For Rust, [portcullis-sdk](../sdk/README.md) says all of this in Rust's terms.";

/// In reading order: what is exported, what is imported, what both speak of.
const FILES: [&str; 5] = ["phases.wit", "connection.wit", "bodies.wit", "capabilities.wit", "types.wit"];

pub fn page() -> String {
    let mut out = format!("# The contract\n\n<!-- Made from `wit/` by `cargo xtask book --write`: change it there. -->\n\n{ABOUT}\n");
    let folder = repository().join("wit");
    let mut names: Vec<String> =
        fs::read_dir(&folder).expect("wit/").map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned()).collect();
    // New files stand before the types, which are last.
    names.sort_by_key(|name| (name == "types.wit", FILES.iter().position(|known| known == name).unwrap_or(FILES.len()), name.clone()));
    for name in names {
        let text = fs::read_to_string(folder.join(&name)).expect("readable");
        file(&text, &mut out);
    }
    out
}

fn file(text: &str, out: &mut String) {
    let mut comment = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(about) = line.strip_prefix("///") {
            comment.push(about.trim());
        } else if let Some(name) = line.strip_prefix("interface ") {
            heading(2, &format!("interface {}", name.trim_end_matches(" {")), &mut comment, out);
            let body: Vec<&str> = lines.by_ref().take_while(|line| *line != "}").collect();
            items(&body, out);
        } else if let Some(name) = line.strip_prefix("world ") {
            heading(2, &format!("world {}", name.trim_end_matches(" {")), &mut comment, out);
            let body: Vec<&str> = lines.by_ref().take_while(|line| *line != "}").map(str::trim).collect();
            let _ = write!(out, "\n```wit\n{}\n```\n", body.join("\n"));
        } else if line.starts_with("package ") || line.is_empty() {
            paragraphs(&mut comment, out);
        } else {
            panic!("wit/: what is `{line}`?");
        }
    }
    paragraphs(&mut comment, out);
}

/// Functions and types of an interface.
fn items(body: &[&str], out: &mut String) {
    let mut comment = Vec::new();
    let mut lines = body.iter().map(|line| line.strip_prefix("  ").unwrap_or(line)).peekable();
    while let Some(line) = lines.next() {
        if let Some(about) = line.strip_prefix("///") {
            comment.push(about.trim());
            continue;
        }
        if line.is_empty() || line.starts_with("use ") {
            continue;
        }
        let mut item = vec![line];
        let open = line.ends_with('{');
        let is_over = |line: &str| if open { line == "}" } else { line.ends_with(';') || line.ends_with('}') };
        while !is_over(item.last().copied().unwrap_or_default()) {
            item.push(lines.next().expect("an item ends"));
        }
        let name = line.split([':', '{', ' ']).find(|word| !["record", "variant", "enum", "flags", "resource", "type", ""].contains(word));
        heading(3, name.expect("an item has a name"), &mut comment, out);
        let _ = write!(out, "\n```wit\n{}\n```\n", item.join("\n"));
    }
    assert!(comment.is_empty(), "a comment without an item: {comment:?}");
}

fn heading(level: usize, name: &str, comment: &mut Vec<&str>, out: &mut String) {
    let _ = write!(out, "\n{} {name}\n", "#".repeat(level));
    paragraphs(comment, out);
}

fn paragraphs(comment: &mut Vec<&str>, out: &mut String) {
    if !comment.is_empty() {
        // In comments of WIT, as in Markdown, an empty line ends a paragraph.
        let _ = write!(out, "\n{}\n", comment.join("\n"));
        comment.clear();
    }
}
