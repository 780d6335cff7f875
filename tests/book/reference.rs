//! The reference pages are made from what the proxy says of itself (`schema`, `defaults --json`, `why --json`, `--help`), so that they
//! cannot differ from it: a page in the repository that does is an error.

use super::{code, contract, pages};
use portcullis_tests::{proxy, tools};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::Path;

fn said(arguments: &[&str]) -> Value {
    let output = proxy::run(Path::new("."), arguments);
    assert!(output.status.success(), "portcullis {arguments:?}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("portcullis {arguments:?}: {error}"))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// For a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

/// Under what every page begins.
fn head(title: &str, from: &str, about: &str) -> String {
    format!("# {title}\n\n<!-- Made from {from} by `cargo xtask book --write`: change it there. -->\n\n{about}\n")
}

// --- keys of the configuration

const KEYS: &str = "\
Every table and every key. A key that is not here is refused, with the nearest one that is. `portcullis schema` prints the same as JSON Schema, from which editors \
complete and check while you write. What holds when a limit is not written is in [Defaults](defaults.md).

Values: a **duration** is `\"500ms\"`, `\"10s\"`, `\"5m\"`, `\"1h30m\"`, `\"2d\"`; a **size** `\"64KiB\"`, `\"1MiB\"`, `\"10MB\"`; a **rate** `\"100/s\"`, `\"30/m\"`, \
`\"1000/h\"`, `\"5000/d\"`. Paths are relative to the file that they stand in.";

fn keys() -> String {
    tables(&["schema"], head("Every key", "`host/src/config/keys`", KEYS))
}

const CASES: &str = "\
Every table and every key of a file of cases, which `portcullis plugin test` runs against a component: what it is shown, and what it is to decide. [Cases](../sdk/README.md#cases) tells how they are written. \
A key that is not here is refused, with the nearest one that is. `portcullis schema --cases` prints the same as JSON Schema.";

fn cases() -> String {
    tables(&["schema", "--cases"], head("Every key of cases", "`host/src/config/keys/cases.rs`", CASES))
}

/// Each table with its keys.
fn tables(command: &[&str], mut out: String) -> String {
    let schema = said(command);
    let definitions = schema["$defs"].as_object().expect("definitions");
    for (name, definition) in definitions {
        let _ = write!(out, "\n## {name}\n\n{}\n", text(&definition["description"]));
        let required: BTreeSet<&str> = definition["required"].as_array().into_iter().flatten().map(text).collect();
        let properties = definition["properties"].as_object().expect("properties");
        if !properties.is_empty() {
            out.push_str("\n| key | value | for example | what |\n|---|---|---|---|\n");
        }
        for (key, value) in properties {
            let (what, example) = text(&value["description"]).rsplit_once(" For example: ").expect("every key has an example");
            let must = if required.contains(&**key) { " **Required.**" } else { "" };
            let _ = writeln!(out, "| `{key}` | {} | `{}` | {}{must} |", cell(&kind(value)), cell(example), cell(what));
        }
        match &definition["additionalProperties"] {
            Value::Bool(false) => {}
            other => {
                let _ = write!(out, "\nEvery other key is a name of your choice, with {} as its value.\n", kind(other));
            }
        }
    }
    out
}

/// What a value may be.
fn kind(schema: &Value) -> String {
    if let Some(table) = schema["$ref"].as_str().and_then(|at| at.rsplit('/').next()) {
        return format!("[table](#{table})");
    }
    if let Some(kinds) = schema["anyOf"].as_array() {
        let mut each: Vec<String> = kinds.iter().map(kind).collect();
        each.dedup();
        return each.join(", or ");
    }
    if let Some(choices) = schema["enum"].as_array() {
        return choices.iter().map(|choice| format!("`{choice}`")).collect::<Vec<_>>().join(", ");
    }
    match text(&schema["type"]) {
        "string" => schema["title"].as_str().unwrap_or("a string").to_owned(),
        "integer" => format!("{} to {}", schema["minimum"], schema["maximum"]),
        "boolean" => "`true`, `false`".to_owned(),
        "array" => format!("list of: {}", kind(&schema["items"])),
        _ => "anything".to_owned(),
    }
}

// --- what holds when nothing is written

const DEFAULTS: &str = "\
What holds when nothing is written, with the reason. `portcullis defaults` prints the same; `portcullis defaults --toml` prints it as a configuration to begin with.";

fn defaults() -> String {
    let mut out = head("Defaults", "`portcullis defaults --json`", DEFAULTS);
    let mut table = "";
    let rows = said(&["defaults", "--json"]);
    for row in rows.as_array().expect("a list") {
        if table != text(&row["table"]) {
            table = text(&row["table"]);
            let _ = write!(out, "\n## [{table}]\n\n| key | value | what | why |\n|---|---|---|---|\n");
        }
        let _ =
            writeln!(out, "| `{}` | `{}` | {} | {} |", text(&row["key"]), row["value"], cell(text(&row["doc"])), cell(text(&row["why"])));
    }
    out
}

// --- codes of `check`

const ERRORS: &str = "\
Everything that `portcullis check` (and `run`, and `reload`) can find wrong with a configuration. All of it is shown at once, each with file, line and column. \
Numbers never change their meaning and are never used again. `portcullis why E012` says what one means. A code is an error or, where it says so, a warning. What is shown under \
a code is one of its cases as the tests hold it.";

fn errors() -> String {
    let mut out = head("Error codes", "`host/src/config/code.rs` and `host/src/config/golden`", ERRORS);
    for code in said(&["why", "--json"]).as_array().expect("a list").iter().filter(|meaning| meaning["kind"] == "configuration") {
        let _ = write!(out, "\n## {} {}\n\n{}\n", text(&code["name"]), text(&code["title"]), text(&code["meaning"]));
        if let Some(shown) = shown(text(&code["name"])) {
            let _ = write!(out, "\n```text\n{shown}```\n");
        }
    }
    out
}

/// The first finding of the first golden file of a code that has one.
fn shown(code: &str) -> Option<String> {
    let folder = tools::repository().join("host/src/config/golden");
    let mut files: Vec<_> = fs::read_dir(folder).expect("golden files").map(|entry| entry.expect("readable").path()).collect();
    files.sort();
    let own = |file: &&std::path::PathBuf| {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.starts_with(&code.to_ascii_lowercase()) && name.ends_with(".expected")
    };
    files.iter().filter(own).find_map(|file| {
        let text = fs::read_to_string(file).expect("readable");
        let finding = text.split("\n\n").find(|finding| finding.contains(&format!("[{code}]")))?;
        Some(format!("{}\n", finding.trim()))
    })
}

// --- reason tokens

const REASONS: &str = "\
Whenever the proxy answers a request itself, or ends it, there is one word for why: the *reason token*. It is the same in the body of the answer, in `Proxy-Status` \
(`portcullis; error=…; details=\"TOKEN\"`, [RFC 9209](https://www.rfc-editor.org/rfc/rfc9209)), in the access line (`reason`), in `portcullis_reasons_total` and in `portcullis why TOKEN`. \
A request that ended as origin and client wanted has none.";

fn reasons() -> String {
    let mut out = head("Reason tokens", "`host/src/proxy/failure.rs` and `host/src/tunnel/reasons.rs`", REASONS);
    let meanings = said(&["why", "--json"]);
    let of = |kind: &'static str| meanings.as_array().expect("a list").iter().filter(move |meaning| meaning["kind"] == kind);
    out.push_str("\n## Requests\n\n| token | status | `Proxy-Status` error | what |\n|---|---|---|---|\n");
    for reason in of("exchange") {
        let status = reason["status"].as_u64().map_or("no answer".to_owned(), |status| status.to_string());
        let error = reason["error"].as_str().map_or("none: it is no error".to_owned(), |error| format!("`{error}`"));
        let _ = writeln!(out, "| `{}` | {status} | {error} | {} |", text(&reason["name"]), cell(text(&reason["meaning"])));
    }
    out.push_str("\n## TCP connections\n\n`of=\"tunnel\"` in `portcullis_reasons_total`.\n\n| token | what |\n|---|---|\n");
    for reason in of("tunnel") {
        let _ = writeln!(out, "| `{}` | {} |", text(&reason["name"]), cell(text(&reason["meaning"])));
    }
    out
}

// --- commands

const COMMANDS: &str = "\
What `--help` says of each. Exit codes: 0 nothing is wrong, 1 something in the configuration or the answer is, 2 the arguments are. `portcullis completions SHELL` prints a completion \
script, `portcullis man` the manual page.";

fn commands() -> String {
    let mut out = head("Commands", "the commands' `--help`", COMMANDS);
    for (command, help) in code::commands() {
        let name = format!("portcullis {command}");
        let _ = write!(out, "\n## {}\n\n```text\n{}\n```\n", name.trim(), help.trim_end());
    }
    out
}

// --- what stands in the repository already

const BENCHMARKS: &str = "\
What the README says of speed, with the commands that measure it. How to read it, and the rules of the measurement, are in [the benchmark's own README](#benchmark-portcullis-beside-nginx-and-haproxy), below.";

fn benchmarks() -> String {
    let root = tools::repository();
    let readme = fs::read_to_string(root.join("README.md")).expect("readable");
    let (_, rest) = readme.split_once("## How it compares\n").expect("README.md compares");
    let figures = rest.split("\n## ").next().unwrap_or_default().trim().replace("](xtask/bench/README.md)", "](#what-to-read)");
    let bench = fs::read_to_string(root.join("xtask/bench/README.md")).expect("readable");
    // Its headings are one deeper here.
    let bench: String = bench.lines().map(|line| if line.starts_with('#') { format!("#{line}\n") } else { format!("{line}\n") }).collect();
    format!("{}\n{figures}\n\n{bench}", head("Benchmarks", "`README.md` and `xtask/bench/README.md`", BENCHMARKS))
}

const HOUSE: &str = "\
How the code is laid out, as `host/src/lib.rs` says it. `tests/house.rs` reads the source and fails where an import goes against an arrow.";

fn house() -> String {
    let source = fs::read_to_string(tools::repository().join("host/src/lib.rs")).expect("readable");
    let about = source.lines().map_while(|line| line.strip_prefix("//!")).map(|line| line.strip_prefix(' ').unwrap_or(line));
    // Its headings are one deeper here.
    let about: String = about.map(|line| if line.starts_with("# ") { format!("#{line}\n") } else { format!("{line}\n") }).collect();
    format!("{}\n{about}", head("The house", "`host/src/lib.rs`", HOUSE))
}

#[test]
fn reference_pages_are_what_the_proxy_says() {
    let made = [
        ("keys.md", keys()),
        ("cases.md", cases()),
        ("defaults.md", defaults()),
        ("errors.md", errors()),
        ("reasons.md", reasons()),
        ("commands.md", commands()),
        ("contract.md", contract::page()),
        ("benchmarks.md", benchmarks()),
        ("house.md", house()),
    ];
    let mut stale = Vec::new();
    for (name, text) in made {
        let file = pages::source().join("reference").join(name);
        if fs::read_to_string(&file).unwrap_or_default() == text {
            continue;
        }
        if std::env::var_os("PORTCULLIS_WRITE").is_some() {
            fs::write(&file, text).expect("written");
        } else {
            stale.push(name);
        }
    }
    assert!(stale.is_empty(), "docs/src/reference/{stale:?} are not what the proxy says any more: cargo xtask book --write");
}
