//! What is handed to those who install: the unit, the root of a container, pages and scripts made from the commands.

use portcullis_tests::{Proxy, get, proxy, tools};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

fn packaging() -> PathBuf {
    tools::repository().join("host/packaging")
}

fn systemd_analyze(arguments: &[&str]) -> (bool, String) {
    let program = tools::need("systemd-analyze", "systemd");
    let output = Command::new(program).args(arguments).env("SYSTEMD_COLORS", "0").output().unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr))
}

#[test]
fn the_units_are_right_and_let_little_through() {
    let dir = tempfile::tempdir().unwrap();
    for file in ["portcullis.service", "examples/portcullis.socket"] {
        let file = packaging().join(file);
        let text = fs::read_to_string(&file).unwrap();
        let binary = tools::portcullis().display().to_string();
        fs::write(dir.path().join(file.file_name().unwrap()), text.replace("/usr/bin/portcullis", &binary)).unwrap();
    }
    let (service, socket) = (dir.path().join("portcullis.service"), dir.path().join("portcullis.socket"));
    let (service, socket) = (service.to_str().unwrap(), socket.to_str().unwrap());
    let (well, said) = systemd_analyze(&["verify", "--man=no", service, socket]);
    assert!(well && said.trim().is_empty(), "{said}");
    // In tenths; 0 is nothing at all.
    let (well, said) = systemd_analyze(&["security", "--offline=true", "--threshold=20", service]);
    assert!(well, "{said}");
}

/// The names in a set of system calls, with those of the sets in it.
fn calls(set: &str, sets: &BTreeMap<String, Vec<String>>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for name in sets.get(set).unwrap_or_else(|| panic!("systemd knows no {set}")) {
        match name.starts_with('@') {
            true => found.extend(calls(name, sets)),
            false => found.extend([name.clone()]),
        }
    }
    found
}

#[test]
fn the_filter_of_system_calls_lets_through_what_is_called() {
    let (_, listed) = systemd_analyze(&["syscall-filter"]);
    let mut sets: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut current = String::new();
    for line in listed.lines() {
        match line.strip_prefix("    ") {
            None if line.starts_with('@') => line.clone_into(&mut current),
            Some(name) if !name.starts_with('#') => sets.entry(current.clone()).or_default().push(name.trim().to_owned()),
            _ => {}
        }
    }
    let let_through: BTreeSet<String> = calls("@system-service", &sets).difference(&calls("@privileged", &sets)).cloned().collect();
    let dir = tempfile::tempdir().unwrap();
    let traced = dir.path().join("traced");
    let config = "[server]\nworkers = 1\nstate = \"state\"\n[listen]\nhttp = [\"127.0.0.1:0\"]\n[site.localhost]\ntls = \"off\"\n\
        chain = [\"request-id\", \"compress\"]\nroutes = { \"/*\" = { respond = \"hello\" } }\n";
    fs::write(dir.path().join("portcullis.toml"), config).unwrap();
    let strace = tools::need("strace", "strace");
    let mut command = Command::new(strace);
    command.args(["-f", "-qq", "-o"]).arg(&traced).arg(tools::portcullis()).args(["run", "portcullis.toml"]);
    let mut traced_proxy = Proxy::start_as(dir, command);
    assert_eq!(get(traced_proxy.http(), "localhost", "/").status, 200);
    // The proxy, not who traces it: that would leave it alone.
    let pid = fs::read_to_string(&traced).unwrap().split_whitespace().next().and_then(|pid| pid.parse().ok()).unwrap();
    proxy::signal(pid, libc::SIGTERM);
    assert_eq!(traced_proxy.wait(Duration::from_secs(60)), Some(0));
    let text = fs::read_to_string(&traced).unwrap();
    let name = |line: &str| line.split_whitespace().nth(1)?.split_once('(').map(|(name, _)| name.to_owned());
    let called: BTreeSet<String> = text.lines().filter_map(name).filter(|name| !name.starts_with(['<', '-', '+'])).collect();
    assert!(called.contains("accept4") && called.contains("mmap"), "{called:?}");
    // What execve(2) itself needs comes before the filter.
    let refused: Vec<&String> = called.difference(&let_through).filter(|name| *name != "execve").collect();
    assert!(refused.is_empty(), "{refused:?}");
}

#[test]
fn the_root_of_a_container_has_what_the_proxy_needs() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    tools::need("update-ca-certificates", "ca-certificates");
    let made = Command::new(packaging().join("root.sh")).arg(tools::portcullis()).arg(&root).status().unwrap();
    assert!(made.success());
    // As nobody; whoever is not root here is root of a namespace.
    let own = fs::metadata(dir.path()).map(|about| std::os::unix::fs::MetadataExt::uid(&about)).unwrap();
    let mut command = match own {
        0 => Command::new("chroot"),
        _ => {
            let mut unshare = Command::new("unshare");
            unshare.args(["--map-root-user", "chroot"]);
            unshare
        }
    };
    if own == 0 {
        command.arg("--userspec=65532:65532");
        let owned = Command::new("chown").args(["-R", "65532:65532"]).arg(root.join("var/lib/portcullis")).status().unwrap();
        assert!(owned.success());
        // The folder of the test is its maker's alone.
        fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    command.arg(&root).args(["/usr/bin/portcullis", "check"]);
    let output = command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/bin").env("STATE_DIRECTORY", "/var/lib/portcullis").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("nothing is wrong"), "{said}");
    // Not named: there is none where it was called.
    assert!(said.contains("/etc/portcullis/portcullis.toml"), "{said}");
}

#[test]
fn manual_pages_and_completions_name_every_command() {
    let dir = tempfile::tempdir().unwrap();
    let output = proxy::run(dir.path(), &["man", "--out", "man"]);
    assert!(output.status.success());
    let pages: BTreeSet<String> =
        fs::read_dir(dir.path().join("man")).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    for page in ["portcullis.1", "portcullis-run.1", "portcullis-plugin-inspect.1", "portcullis-import-nginx.1"] {
        assert!(pages.contains(page), "{page}: {pages:?}");
    }
    let page = fs::read_to_string(dir.path().join("man/portcullis-check.1")).unwrap();
    assert!(page.starts_with(".") && page.contains("online"), "{page}");
    for shell in ["bash", "zsh", "fish"] {
        let output = proxy::run(dir.path(), &["completions", shell]);
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(["reload", "explain", "inspect", "--online"].iter().all(|word| script.contains(word.trim_start_matches('-'))), "{shell}");
    }
    // bash takes it, and offers what there is.
    let output = proxy::run(dir.path(), &["completions", "bash"]);
    fs::write(dir.path().join("portcullis.bash"), output.stdout).unwrap();
    let offers =
        "source ./portcullis.bash; COMP_WORDS=(portcullis rel); COMP_CWORD=1; _portcullis portcullis rel portcullis; echo ${COMPREPLY[@]}";
    let output = Command::new("bash").args(["-c", offers]).current_dir(dir.path()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "reload", "{}", String::from_utf8_lossy(&output.stderr));
}

/// An editor asks the schema; a validator that is not ours (PyPI's `jsonschema`) takes it, takes what is right, and refuses what is not.
#[test]
fn another_validator_understands_the_schema() {
    let python = tools::python_with("jsonschema", "jsonschema");
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("schema.json"), proxy::run(Path::new("."), &["schema"]).stdout).unwrap();
    let script = "import json, sys, tomllib, jsonschema\n\
        schema = json.load(open('schema.json'))\n\
        kind = jsonschema.validators.validator_for(schema)\n\
        kind.check_schema(schema)\n\
        print(sum(1 for _ in kind(schema).iter_errors(tomllib.load(open(sys.argv[1], 'rb')))))\n";
    fs::write(dir.path().join("validate.py"), script).unwrap();
    let wrong = |file: &Path| {
        let output = Command::new(&python).arg("validate.py").arg(file).current_dir(dir.path()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).trim().parse::<usize>();
        said.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
    };
    for name in ["hello", "tls-site", "mtls", "canary", "sni-passthrough", "auth-cache"] {
        assert_eq!(wrong(&tools::repository().join("examples").join(name).join("portcullis.toml")), 0, "{name}");
    }
    let golden = tools::repository().join("host/src/config/golden");
    assert!(wrong(&golden.join("e003-unknown-keys.toml")) > 0 && wrong(&golden.join("e002-wrong-types.toml")) > 0);
}

#[test]
fn fmt_lays_out_files_in_place_and_check_only_looks() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("portcullis.toml");
    let (written, laid) = (
        "[site.\"localhost\"]\nroutes={\"/*\"={respond=200}} # all\n",
        "[site.localhost]\nroutes = { \"/*\" = { respond = 200 } }  # all\n",
    );
    fs::write(&file, written).unwrap();
    let output = proxy::run(dir.path(), &["fmt", "--check"]);
    assert_eq!((output.status.code(), &*String::from_utf8_lossy(&output.stdout)), (Some(1), "portcullis.toml\n"));
    assert_eq!(fs::read_to_string(&file).unwrap(), written);
    assert!(proxy::run(dir.path(), &["fmt"]).status.success());
    assert_eq!(fs::read_to_string(&file).unwrap(), laid);
    assert!(proxy::run(dir.path(), &["fmt", "--check"]).status.success());
    fs::write(&file, "[site.localhost\n").unwrap();
    let output = proxy::run(dir.path(), &["fmt"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && said.contains("E001") && said.contains("portcullis.toml:1:"), "{said}");
}

#[test]
fn why_says_what_codes_and_tokens_mean() {
    let said = |word: &str| {
        let output = proxy::run(Path::new("."), &["why", word]);
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr))
    };
    let (code, text) = said("no_route");
    assert!(code == Some(0) && text.contains("404") && text.contains("destination_not_found"), "{text}");
    let (code, text) = said("E012");
    assert!(code == Some(0) && text.starts_with("E012 undefined name"), "{text}");
    let (code, text) = said("no_rout");
    assert!(code == Some(1) && text.contains("did you mean `no_route`?"), "{text}");
}
