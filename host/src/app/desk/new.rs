//! `plugin new`: a crate that builds, with a filter, its test, and cases for the sandbox.

use std::io;
use std::path::{Path, PathBuf};

/// What to make.
pub struct New<'n> {
    pub name: &'n str,
    /// Where; `None`: in a directory of that name here.
    pub path: Option<&'n Path>,
    /// The SDK: a directory, or the URL of a git repository that has it. `None`: that of the repository around the new crate.
    pub sdk: Option<&'n str>,
}

/// What was made.
pub struct Made {
    pub folder: PathBuf,
    /// Below it.
    pub files: Vec<&'static str>,
}

/// Why nothing was made, or not all.
#[derive(Debug, thiserror::Error)]
pub enum NewError {
    #[error("`{0}` is no name for a plugin: {1}")]
    Name(String, &'static str),
    #[error("{} is there already, and not empty", .0.display())]
    Taken(PathBuf),
    #[error(
        "where is the SDK? It is on no registry yet, and {} lies in no checkout of Portcullis\n  = name a checkout: --sdk PATH/sdk\n  = or a git repository that has it: --sdk https://…",
        .0.display()
    )]
    NoSdk(PathBuf),
    #[error("{} is not the SDK: it has no Cargo.toml of `portcullis-sdk`\n  = name the directory sdk/ of a checkout, or a git repository's URL", .0.display())]
    NotTheSdk(PathBuf),
    #[error("{}: {source}", path.display())]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// File and text, with places for names.
const FILES: [(&str, &str); 7] = [
    ("Cargo.toml", include_str!("new/Cargo.toml.in")),
    (".cargo/config.toml", include_str!("new/config.toml.in")),
    (".gitignore", include_str!("new/gitignore.in")),
    ("src/lib.rs", include_str!("new/lib.rs.in")),
    ("cases.toml", include_str!("new/cases.toml.in")),
    ("portcullis.toml", include_str!("new/portcullis.toml.in")),
    ("README.md", include_str!("new/README.md.in")),
];

/// Words that no crate, or no struct, can be called.
const TAKEN: [&str; 16] = [
    "self",
    "super",
    "crate",
    "test",
    "core",
    "std",
    "alloc",
    "build",
    "deps",
    "examples",
    "proc-macro",
    "portcullis-sdk",
    // The struct would be called as what the crate uses.
    "request",
    "request-edits",
    "string",
    "harness",
];

/// Makes the crate. What was written before an error stays.
pub fn new(new: &New<'_>) -> Result<Made, NewError> {
    let name = named(new.name)?;
    let folder = new.path.map_or_else(|| PathBuf::from(name), Path::to_path_buf);
    if std::fs::read_dir(&folder).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(NewError::Taken(folder));
    }
    let file_error = |path: &Path| {
        let path = path.to_path_buf();
        move |source| NewError::File { path, source }
    };
    let whole = std::path::absolute(&folder).map_err(file_error(&folder))?;
    let sdk = match new.sdk {
        Some(given) => given_sdk(given)?,
        None => sdk_around(&whole).ok_or(NewError::NoSdk(whole.clone()))?,
    };
    let texts = Texts { name, sdk: &sdk, apart: below_a_workspace(&whole) };
    let mut files = Vec::new();
    for (file, template) in FILES {
        let path = folder.join(file);
        let parent = path.parent().unwrap_or(&folder);
        std::fs::create_dir_all(parent).map_err(file_error(parent))?;
        std::fs::write(&path, texts.fill(template)).map_err(file_error(&path))?;
        files.push(file);
    }
    Ok(Made { folder, files })
}

fn named(name: &str) -> Result<&str, NewError> {
    let wrong = |why| Err(NewError::Name(name.to_owned(), why));
    if crate::config::plugin_name(name).is_err() || !name.starts_with(|c: char| c.is_ascii_lowercase()) {
        return wrong("write lower-case letters, digits and `-`, a letter first");
    }
    if name.ends_with('-') || name.contains("--") {
        return wrong("a `-` stands between two words");
    }
    if TAKEN.contains(&name) || syntax_word(name) {
        return wrong("Rust has another meaning for it");
    }
    Ok(name)
}

/// A keyword of Rust.
fn syntax_word(name: &str) -> bool {
    const WORDS: &str = "abstract as async await become box break const continue do dyn else enum extern false final fn for gen if impl in \
                         let loop macro match mod move mut override priv pub ref return static struct trait true try type typeof unsafe \
                         unsized use virtual where while yield";
    WORDS.split_whitespace().any(|word| word == name)
}

/// What stands behind `portcullis-sdk = { … }`, without features.
fn given_sdk(given: &str) -> Result<String, NewError> {
    if given.contains("://") || given.starts_with("git@") {
        return Ok(format!("git = {given:?}"));
    }
    let path = std::fs::canonicalize(given).unwrap_or_else(|_| PathBuf::from(given));
    if is_sdk(&path) { Ok(format!("path = {:?}", path.display().to_string())) } else { Err(NewError::NotTheSdk(path)) }
}

/// That of the checkout around a folder, by a relative path, so that both can be moved together.
fn sdk_around(folder: &Path) -> Option<String> {
    let mut up = PathBuf::new();
    for above in folder.ancestors().skip(1) {
        up.push("..");
        if is_sdk(&above.join("sdk")) {
            return Some(format!("path = {:?}", up.join("sdk").display().to_string()));
        }
    }
    None
}

fn is_sdk(folder: &Path) -> bool {
    std::fs::read_to_string(folder.join("Cargo.toml")).is_ok_and(|manifest| manifest.contains("name = \"portcullis-sdk\""))
}

/// Cargo would take the crate for a member that its workspace forgot.
fn below_a_workspace(folder: &Path) -> bool {
    let has_one = |above: &Path| std::fs::read_to_string(above.join("Cargo.toml")).is_ok_and(|manifest| manifest.contains("[workspace]"));
    folder.ancestors().skip(1).any(has_one)
}

struct Texts<'t> {
    name: &'t str,
    sdk: &'t str,
    apart: bool,
}

impl Texts<'_> {
    fn fill(&self, template: &str) -> String {
        let words = self.name.split('-').map(|word| {
            let (first, rest) = word.split_at(word.len().min(1));
            format!("{}{rest}", first.to_uppercase())
        });
        let workspace = if self.apart { "\n# A workspace of its own: it is no member of the one around it.\n[workspace]\n" } else { "" };
        template
            .replace("{name}", self.name)
            .replace("{crate}", &self.name.replace('-', "_"))
            .replace("{Type}", &words.collect::<String>())
            .replace("{sdk}", self.sdk)
            .replace("{workspace}", workspace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_cargo_or_rust_would_refuse_are_refused_first() {
        for (name, says) in
            [("Mark", "lower-case"), ("2x", "letter first"), ("a--b", "two words"), ("match", "another meaning"), ("", "lower-case")]
        {
            let error = named(name).expect_err(name).to_string();
            assert!(error.contains(says), "{error}");
        }
        assert!(named("auth-cache2").is_ok());
    }

    #[test]
    fn places_for_names_are_filled() {
        let texts = Texts { name: "auth-cache", sdk: "git = \"x\"", apart: false };
        for (file, template) in FILES {
            let text = texts.fill(template);
            for place in ["{name}", "{crate}", "{Type}", "{sdk}", "{workspace}"] {
                assert!(!text.contains(place), "{file} has {place}");
            }
        }
        assert_eq!(texts.fill("{Type} {crate} {sdk}{workspace}"), "AuthCache auth_cache git = \"x\"");
    }

    #[test]
    fn without_an_sdk_nothing_is_made() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("mark");
        let made = |sdk: Option<&str>| new(&New { name: "mark", path: Some(&path), sdk });
        assert!(matches!(made(None), Err(NewError::NoSdk(_))));
        assert!(matches!(made(Some("/nowhere")), Err(NewError::NotTheSdk(_))));
        assert!(!path.exists());
        let made_it = made(Some("https://example.test/portcullis")).expect("made");
        assert_eq!(made_it.files.len(), FILES.len());
        let manifest = std::fs::read_to_string(path.join("Cargo.toml")).expect("there");
        assert!(manifest.contains("portcullis-sdk = { git = \"https://example.test/portcullis\", features = [\"bare\"] }"), "{manifest}");
        assert!(!manifest.contains("[workspace]"), "{manifest}");
        assert!(matches!(made(Some("https://example.test/portcullis")), Err(NewError::Taken(_))));
    }

    #[test]
    fn in_a_checkout_its_own_sdk_is_taken() {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::create_dir_all(dir.path().join("sdk")).expect("made");
        std::fs::write(dir.path().join("sdk/Cargo.toml"), "[package]\nname = \"portcullis-sdk\"\n").expect("written");
        std::fs::write(dir.path().join("Cargo.toml"), "[workspace]\n").expect("written");
        let path = dir.path().join("a/mark");
        new(&New { name: "mark", path: Some(&path), sdk: None }).unwrap_or_else(|error| panic!("{error}"));
        let manifest = std::fs::read_to_string(path.join("Cargo.toml")).expect("there");
        assert!(manifest.contains("path = \"../../sdk\"") && manifest.contains("\n[workspace]\n"), "{manifest}");
    }
}
