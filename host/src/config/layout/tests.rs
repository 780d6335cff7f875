//! What a layout looks like, and that it changes nothing else.

use super::*;
use std::path::Path;

fn laid(text: &str) -> String {
    canonical(text).unwrap_or_else(|| panic!("not TOML: {text}"))
}

#[test]
fn lines_come_into_columns_and_tables_apart() {
    let written = "\n\n[site.\"app.example.com\"]\n\ntls={cert=\"a.pem\",key='a.key'}   #papers\nchain =  [ \"request-id\" , ]# ids\n\n\n\"routes\"={}\n# the app\n[upstream.\"app\"]\nservers=[\"a:1\",\n  \"b:2\"]";
    let expected = "\
[site.\"app.example.com\"]
tls   = { cert = \"a.pem\", key = 'a.key' }  #papers
chain = [\"request-id\"]                     # ids

routes = {}

# the app
[upstream.app]
servers = [\"a:1\", \"b:2\"]
";
    assert_eq!(laid(written), expected);
}

#[test]
fn lists_have_a_member_a_line_where_they_must_or_their_author_wanted() {
    let wanted = "a = [\n  1, # one\n# two comes\n  2\n]\n";
    assert_eq!(laid(wanted), "a = [\n  1,  # one\n  # two comes\n  2,\n]\n");
    let link = "{ use = \"ip-filter\", allow = [\"10.0.0.0/8\", \"192.168.0.0/16\"], deny = [\"10.1.0.0/16\"] }";
    let long = format!("chain = [{link}, {link}]\n");
    assert_eq!(laid(&long), format!("chain = [\n  {link},\n  {link},\n]\n"));
    assert_eq!(laid("t = {\n  a = 1,\n  b = { c = 2 }\n}"), "t = {\n  a = 1,\n  b = { c = 2 },\n}\n");
    assert_eq!(laid("a = [\n]\nb = {   }"), "a = [\n]\nb = {}\n");
}

#[test]
fn texts_of_several_lines_stay_as_they_are() {
    let text = "body = \"\"\"\nUser-agent: *\n  Disallow:   \n[x]\"\"\"\nnext   = 1\n";
    assert_eq!(laid(text), "body = \"\"\"\nUser-agent: *\n  Disallow:   \n[x]\"\"\"\nnext = 1\n");
}

#[test]
fn what_is_not_toml_is_left_alone() {
    for text in ["a = [1", "[x", "a b"] {
        assert_eq!(canonical(text), None, "{text}");
    }
    // Not all that is no TOML is seen in its tokens.
    for text in ["a = ", "a = b", "a = 1\na = 2 2"] {
        let report = crate::config::format(Path::new("a.toml"), text).expect_err(text);
        assert!(report.text().contains("E001"), "{text}");
    }
    assert_eq!(canonical(&format!("a = {}", "[".repeat(100_000))), None);
    assert_eq!(laid(""), "");
    assert_eq!(laid("# only\r\n\r\n# this\r\n"), "# only\n\n# this\n");
}

/// All that stands in the repository: means the same, has the same comments, and is not changed again.
#[test]
fn only_the_layout_changes() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository");
    let mut open = vec![root.join("host/src/config/golden"), root.join("examples")];
    let mut seen = 0;
    while let Some(folder) = open.pop() {
        for path in std::fs::read_dir(folder).expect("readable").map(|entry| entry.expect("readable").path()) {
            if path.is_dir() && !path.ends_with("target") {
                open.push(path);
                continue;
            }
            let Some(text) = std::fs::read_to_string(&path).ok().filter(|_| path.extension().is_some_and(|ext| ext == "toml")) else {
                continue;
            };
            let Ok(meaning) = toml::from_str::<toml::Table>(&text) else { continue };
            let after = laid(&text);
            assert_eq!(toml::from_str::<toml::Table>(&after).ok(), Some(meaning), "{}\n{after}", path.display());
            assert_eq!(laid(&after), after, "{}", path.display());
            assert_eq!(comments(&text), comments(&after), "{}", path.display());
            seen += 1;
        }
    }
    assert!(seen > 30, "{seen}");
}

fn comments(text: &str) -> Vec<String> {
    let tokens = tokens(text).expect("TOML");
    tokens.into_iter().filter(|(kind, _)| *kind == EventKind::Comment).map(|(_, text)| text.trim_end().to_owned()).collect()
}
