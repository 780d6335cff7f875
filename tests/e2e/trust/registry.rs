//! Plugins from a registry: Debian's docker-registry on loopback, and one of our own that lies.

use super::{check, command, key, refused, runs, sign, site, with_plugin};
use portcullis_tests::origin::read_head;
use portcullis_tests::{Origin, Proxy, Server, compiled, nobody, tools};
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A registry with what it holds.
struct Registry {
    server: Option<Server>,
    address: SocketAddr,
    folder: tempfile::TempDir,
    more: String,
}

impl Registry {
    fn start() -> Self {
        Self::with(String::new())
    }

    /// `more`: of its configuration.
    fn with(more: String) -> Self {
        let mut this = Self { server: None, address: nobody(), folder: tempfile::tempdir().unwrap(), more };
        this.again();
        this
    }

    fn again(&mut self) {
        self.server = Some(Server::registry_at(self.address, self.folder.path(), &self.more));
    }

    fn stop(&mut self) {
        self.server = None;
    }

    /// `oci://…/plugins/light` with what follows.
    fn name(&self, more: &str) -> String {
        format!("oci://{}/plugins/light{more}", self.address)
    }

    /// The file of a blob in its storage.
    fn blob(&self, digest: &str) -> PathBuf {
        let hex = digest.trim_start_matches("sha256:");
        self.folder.path().join("docker/registry/v2/blobs/sha256").join(&hex[..2]).join(hex).join("data")
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}/v2/plugins/light/{path}", self.address)
    }

    /// Sends a blob, as any client would; gives its digest.
    fn send_blob(&self, bytes: &[u8]) -> String {
        let digest = sha256(bytes);
        let started = curl(&["-s", "-D", "-", "-X", "POST", &self.url("blobs/uploads/")], None);
        let place =
            started.lines().find_map(|line| line.strip_prefix("Location: ")).unwrap_or_else(|| panic!("{started}")).trim().to_owned();
        let sent = curl(
            &[
                "-s",
                "-D",
                "-",
                "-X",
                "PUT",
                "--data-binary",
                "@-",
                "-H",
                "Content-Type: application/octet-stream",
                &format!("{place}&digest={digest}"),
            ],
            Some(bytes),
        );
        assert!(sent.contains("201 Created"), "{sent}");
        digest
    }

    /// Sends a manifest; gives its digest.
    fn send_manifest(&self, media_type: &str, manifest: &str) -> String {
        let digest = sha256(manifest.as_bytes());
        let field = format!("Content-Type: {media_type}");
        let sent = curl(
            &["-s", "-D", "-", "-X", "PUT", "--data-binary", "@-", "-H", &field, &self.url(&format!("manifests/{digest}"))],
            Some(manifest.as_bytes()),
        );
        assert!(sent.contains("201 Created"), "{sent}");
        digest
    }
}

fn curl(arguments: &[&str], input: Option<&[u8]>) -> String {
    let mut curl = Command::new(tools::need("curl", "curl"));
    curl.args(arguments).stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut child = curl.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.unwrap_or_default()).unwrap();
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
}

fn sha256(bytes: &[u8]) -> String {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    let said = Command::new("sha256sum").arg(file.path()).output().unwrap().stdout;
    format!("sha256:{}", String::from_utf8(said).unwrap().split_whitespace().next().unwrap())
}

/// What a command says is the source to write.
fn source(text: &str) -> String {
    text.lines().find_map(|line| line.strip_prefix("source = \"")).unwrap_or_else(|| panic!("{text}")).trim_end_matches('"').to_owned()
}

fn push(dir: &Path, registry: &Registry) -> String {
    let (well, text) = command(dir, &["plugin", "push", "light.wasm", &registry.name(":1.0")]);
    assert!(well && text.contains("plugin      light 1.0.0"), "{text}");
    source(&text)
}

#[test]
fn what_was_pushed_can_be_fetched_and_run_and_needs_no_registry_then() {
    let (app, dir, mut registry) = (Origin::echo(), with_plugin(), Registry::start());
    let ours = key(dir.path(), "ours");
    sign(dir.path(), "ours", "light.wasm", &["-t", "light 1.0"]);
    let pushed = push(dir.path(), &registry);
    assert!(pushed.starts_with(&registry.name(":1.0@sha256:")), "{pushed}");
    assert_eq!(push(dir.path(), &registry), pushed, "the same file gives the same artefact");

    let (well, text) = command(dir.path(), &["plugin", "fetch", &registry.name(":1.0"), "-o", "copy.wasm"]);
    assert!(well && source(&text) == pushed && text.contains("signature   copy.wasm.minisig"), "{text}");
    assert_eq!(std::fs::read(dir.path().join("copy.wasm")).unwrap(), std::fs::read(dir.path().join("light.wasm")).unwrap());
    let (well, text) = command(dir.path(), &["plugin", "inspect", &pushed, "--signed-by", "ours.pub"]);
    assert!(well && text.contains(&format!("file         {pushed}")) && text.contains("signature    by ours.pub: light 1.0"), "{text}");

    // Nothing is asked by `check`, so it cannot say much yet.
    let config = site(&app, &format!("source = \"{pushed}\"\nsigned-by = \"{ours}\""));
    let (well, text) = check(dir.path(), &config);
    assert!(
        well && text.contains("warning[E036]: plugin `light` is not in the state directory yet") && text.contains("portcullis.toml:7:10"),
        "{text}"
    );
    let proxy = Proxy::start_in(dir, &config);
    runs(&proxy);
    proxy.logged("plugin `light`: signed by ");

    // It lies in the state directory, closed to others; the registry may go.
    registry.stop();
    let state = proxy.dir.path().join("state/plugins");
    assert_eq!(std::fs::metadata(&state).unwrap().permissions().mode() & 0o777, 0o700);
    for file in std::fs::read_dir(&state).unwrap().map(|file| file.unwrap()) {
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
    let (well, text) = check(proxy.dir.path(), &config);
    assert!(well && text.contains("nothing is wrong"), "{text}");
    let again = Proxy::start_in(
        tempfile::tempdir().unwrap(),
        &config.replace("[plugin", &format!("[server]\nstate = \"{}\"\n[plugin", state.parent().unwrap().display())),
    );
    runs(&again);

    // What was altered there is as good as not there, and asked for again.
    for file in std::fs::read_dir(&state).unwrap().map(|file| file.unwrap().path()) {
        std::fs::write(&file, "altered").unwrap();
    }
    let (well, text) = check(proxy.dir.path(), &config);
    assert!(well && text.contains("warning[E036]"), "{text}");
    let text = refused(proxy.dir.path(), &config);
    assert!(text.contains("error[E036]: plugin `light` cannot be fetched") && text.contains("cannot be reached"), "{text}");
    registry.again();
    let dir = tempfile::tempdir().unwrap();
    let healed =
        Proxy::start_in(dir, &config.replace("[plugin", &format!("[server]\nstate = \"{}\"\n[plugin", state.parent().unwrap().display())));
    runs(&healed);
}

#[test]
fn a_signature_that_came_with_it_must_be_by_whom_it_must_be() {
    let (app, dir, registry) = (Origin::echo(), with_plugin(), Registry::start());
    let (_, other) = (key(dir.path(), "ours"), key(dir.path(), "other"));
    let unsigned = push(dir.path(), &registry);
    let text = refused(dir.path(), &site(&app, &format!("source = \"{unsigned}\"\nsigned-by = \"{other}\"")));
    assert!(text.contains("error[E035]: plugin `light` has no signature\n"), "{text}");
    sign(dir.path(), "ours", "light.wasm", &[]);
    let signed = push(dir.path(), &registry);
    assert_ne!(signed, unsigned);
    let text = refused(dir.path(), &site(&app, &format!("source = \"{signed}\"\nsigned-by = \"{other}\"")));
    assert!(text.contains("error[E035]: plugin `light` is signed with another key"), "{text}");
}

#[test]
fn the_registry_is_asked_again_until_it_answers() {
    let (app, dir, mut registry) = (Origin::echo(), with_plugin(), Registry::start());
    let pushed = push(dir.path(), &registry);
    registry.stop();
    std::fs::write(dir.path().join("portcullis.toml"), portcullis_tests::proxy::complete(&site(&app, &format!("source = \"{pushed}\""))))
        .unwrap();
    let starting = std::thread::spawn({
        let config = site(&app, &format!("source = \"{pushed}\""));
        move || Proxy::start_in(dir, &config)
    });
    // It tries for some seconds; a registry that starts in less is found.
    registry.again();
    runs(&starting.join().unwrap());
}

#[test]
fn damaged_and_missing_artefacts_are_refused() {
    let (app, dir, registry) = (Origin::echo(), with_plugin(), Registry::start());
    let pushed = push(dir.path(), &registry);
    let config = site(&app, &format!("source = \"{pushed}\""));
    let layer = registry.blob(&sha256(&std::fs::read(dir.path().join("light.wasm")).unwrap()));
    let whole = std::fs::read(&layer).unwrap();
    let fails = |why: &str| {
        let text = refused(dir.path(), &config);
        assert!(text.contains("error[E036]: plugin `light` cannot be fetched") && text.contains(why), "{why}:\n{text}");
    };
    std::fs::write(&layer, &whole[..whole.len() / 2]).unwrap();
    fails("not what was asked for");
    let mut altered = whole.clone();
    altered[whole.len() / 2] ^= 1;
    std::fs::write(&layer, &altered).unwrap();
    fails("not what was asked for");
    std::fs::write(&layer, &whole).unwrap();
    assert!(command(dir.path(), &["plugin", "fetch", &pushed]).0);
    let other = pushed.split_once('@').unwrap().0.to_owned() + "@sha256:" + &"ab".repeat(32);
    let text = refused(dir.path(), &site(&app, &format!("source = \"{other}\"")));
    assert!(text.contains("E036") && text.contains("is not there"), "{text}");
    let (well, text) = command(dir.path(), &["plugin", "fetch", &registry.name(":2.0")]);
    assert!(!well && text.contains("is not there"), "{text}");
    let (well, text) = command(dir.path(), &["plugin", "push", "light.wasm", &registry.name("")]);
    assert!(!well && text.contains("needs a tag"), "{text}");
}

#[test]
fn a_registry_that_wants_to_know_who_we_are_is_told_what_docker_knows() {
    let (app, dir) = (Origin::echo(), with_plugin());
    let users = dir.path().join("htpasswd");
    let made = Command::new(tools::need("htpasswd", "apache2-utils")).args(["-Bbn", "ann", "s3cret"]).output().unwrap();
    std::fs::write(&users, made.stdout).unwrap();
    let registry = Registry::with(format!("auth:\n  htpasswd:\n    realm: test\n    path: {}", users.display()));
    let (well, text) = command(dir.path(), &["plugin", "push", "light.wasm", &registry.name(":1.0")]);
    assert!(!well && text.contains(&format!("docker login {}", registry.address)), "{text}");

    // Base64 of `ann:s3cret`, as `docker login` writes it.
    let login = format!("{{\"auths\":{{\"{}\":{{\"auth\":\"YW5uOnMzY3JldA==\"}}}}}}", registry.address);
    std::fs::create_dir(dir.path().join("docker")).unwrap();
    std::fs::write(dir.path().join("docker/config.json"), login).unwrap();
    let docker = dir.path().join("docker");
    let docker = docker.to_str().unwrap();
    let pushed = Command::new(tools::portcullis())
        .args(["plugin", "push", "light.wasm", &registry.name(":1.0")])
        .current_dir(dir.path())
        .env("DOCKER_CONFIG", docker)
        .env("STATE_DIRECTORY", compiled::state())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&pushed.stdout).into_owned();
    assert!(pushed.status.success(), "{}", String::from_utf8_lossy(&pushed.stderr));
    let config = site(&app, &format!("source = \"{}\"", source(&text)));
    let text = refused(dir.path(), &config);
    assert!(text.contains("E036") && text.contains("wants to know who we are"), "{text}");
    let docker = docker.to_owned();
    runs(&Proxy::start_with(dir, &config, &[], &[("DOCKER_CONFIG", &docker)]));
}

#[test]
fn other_layouts_are_read() {
    let (app, dir, registry) = (Origin::echo(), with_plugin(), Registry::start());
    let wasm = std::fs::read(dir.path().join("light.wasm")).unwrap();
    std::fs::copy(dir.path().join("light.wasm"), dir.path().join("plugin.wasm")).unwrap();
    let packed = Command::new("tar").args(["-czf", "layer.tar.gz", "./plugin.wasm"]).current_dir(dir.path()).status().unwrap();
    assert!(packed.success());
    let image = std::fs::read(dir.path().join("layer.tar.gz")).unwrap();
    let config = registry.send_blob(b"{}");
    let manifest_type = "application/vnd.oci.image.manifest.v1+json";
    let sent = |media_type: &str, layer: &[u8]| {
        let digest = registry.send_blob(layer);
        registry.send_manifest(
            manifest_type,
            &format!(
                r#"{{"schemaVersion":2,"mediaType":"{manifest_type}","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{config}","size":2}},"layers":[{{"mediaType":"{media_type}","digest":"{digest}","size":{}}}]}}"#,
                layer.len()
            ),
        )
    };
    let older = sent("application/vnd.wasm.content.layer.v1+wasm", &wasm);
    let istio = sent("application/vnd.oci.image.layer.v1.tar+gzip", &image);
    // Of several, the one for Wasm.
    let index = registry.send_manifest(
        "application/vnd.oci.image.index.v1+json",
        &format!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{{"mediaType":"{manifest_type}","digest":"{older}","size":1,"platform":{{"architecture":"wasm","os":"wasip2"}}}},{{"mediaType":"{manifest_type}","digest":"{istio}","size":1,"platform":{{"architecture":"amd64","os":"linux"}}}}]}}"#
        ),
    );
    for digest in [&older, &istio, &index] {
        let (well, text) = command(dir.path(), &["plugin", "fetch", &registry.name(&format!("@{digest}")), "-o", "got.wasm"]);
        assert!(well, "{text}");
        assert_eq!(std::fs::read(dir.path().join("got.wasm")).unwrap(), wasm);
    }
    // From the state directory too, by way of the index.
    let config = site(&app, &format!("source = \"{}\"", registry.name(&format!("@{index}"))));
    let proxy = Proxy::start_in(dir, &config);
    runs(&proxy);
    let (well, text) = check(proxy.dir.path(), &config);
    assert!(well && text.contains("nothing is wrong"), "{text}");
}

#[test]
fn a_registry_that_lies_or_breaks_off_is_found_out() {
    let (app, dir) = (Origin::echo(), with_plugin());
    let wasm = std::fs::read(dir.path().join("light.wasm")).unwrap();
    let layer = sha256(&wasm);
    let manifest = format!(
        r#"{{"schemaVersion":2,"config":{{"mediaType":"x","digest":"{layer}","size":2}},"layers":[{{"mediaType":"application/wasm","digest":"{layer}","size":{}}}]}}"#,
        wasm.len()
    );
    let digest = sha256(manifest.as_bytes());
    // `lies`: another manifest than was asked for; else blobs that break off.
    let serve = |lies: bool| {
        let (manifest, half) = (manifest.clone(), wasm[..wasm.len() / 2].to_vec());
        let whole = wasm.len();
        Origin::serve(move |stream, _| {
            while let Some((head, _)) = read_head(stream) {
                let (body, length) = match head.split(' ').nth(1).unwrap_or_default() {
                    path if path.contains("/manifests/") && lies => {
                        (manifest.replace("application/wasm", "application/evil").into_bytes(), None)
                    }
                    path if path.contains("/manifests/") => (manifest.clone().into_bytes(), None),
                    path if path.contains("/blobs/") => (half.clone(), Some(whole)),
                    _ => (b"{}".to_vec(), None),
                };
                let length = length.unwrap_or(body.len());
                let sent = stream
                    .write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").as_bytes())
                    .and_then(|()| stream.write_all(&body));
                if sent.is_err() || length != body.len() {
                    return;
                }
            }
        })
    };
    for (lies, why) in [(true, "not what was asked for"), (false, "cannot be reached")] {
        let registry = serve(lies);
        let text = refused(dir.path(), &site(&app, &format!("source = \"oci://{}/x@{digest}\"", registry.name())));
        assert!(text.contains("error[E036]") && text.contains(why), "{why}:\n{text}");
    }
}
