//! Files that change under a store: by rename, by symbolic link, in halves, and into something useless.

use super::*;
use crate::certs::Store;
use crate::config::{CertifiedFiles, Location, Site, SiteName, TlsSpec};
use std::fs;
use std::os::unix::fs::symlink;
use std::sync::Arc;
use tempfile::TempDir;

struct Pair {
    cert: String,
    key: String,
}

fn pair(names: &[&str]) -> Pair {
    let made = rcgen::generate_simple_self_signed(names.iter().map(|name| name.to_string()).collect::<Vec<_>>()).expect("made");
    Pair { cert: made.cert.pem(), key: made.signing_key.serialize_pem() }
}

fn write(dir: &Path, pair: &Pair) {
    fs::write(dir.join("cert.pem"), &pair.cert).expect("written");
    fs::write(dir.join("key.pem"), &pair.key).expect("written");
}

/// A store with one site whose files stand in `dir`, and its watch.
fn watched(dir: &Path, name: SiteName) -> (Arc<Store>, Watch) {
    let at = Location { file: "edge.toml".into(), line: 1, column: 1 };
    let files = CertifiedFiles { cert: dir.join("cert.pem"), key: dir.join("key.pem"), ocsp: None, at: at.clone(), key_at: at.clone() };
    let sites = [Site { name, aliases: Vec::new(), tls: TlsSpec::Files(files), client: None, routes: Vec::new(), at }];
    let (store, _) = Store::open(&sites, dir).expect("good");
    let store = Arc::new(store);
    let watch = store.watch().expect("something to watch");
    (store, watch)
}

/// The certificate that `name` gets, as PEM would have it.
fn served(store: &Store, name: &str) -> Option<Vec<u8>> {
    store.choose(Some(name), None).map(|key| key.cert[0].to_vec())
}

fn der(pair: &Pair) -> Option<Vec<u8>> {
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    CertificateDer::from_pem_slice(pair.cert.as_bytes()).ok().map(|der| der.to_vec())
}

fn exact() -> SiteName {
    SiteName::Exact("a.test".into())
}

fn directory(pair: &Pair) -> TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    write(dir.path(), pair);
    dir
}

#[test]
fn a_change_is_used_once_it_has_settled() {
    let (old, new) = (pair(&["a.test"]), pair(&["a.test"]));
    let dir = directory(&old);
    let (store, mut watch) = watched(dir.path(), exact());
    watch.look();
    assert_eq!(served(&store, "a.test"), der(&old));
    write(dir.path(), &new);
    watch.look();
    assert_eq!(served(&store, "a.test"), der(&old), "it may be half written");
    watch.look();
    assert_eq!(served(&store, "a.test"), der(&new));
}

#[test]
fn half_a_change_keeps_the_old_one_until_the_other_half_comes() {
    let (old, new) = (pair(&["a.test"]), pair(&["a.test"]));
    let dir = directory(&old);
    let (store, mut watch) = watched(dir.path(), exact());
    fs::write(dir.path().join("cert.pem"), &new.cert).expect("written");
    (0..3).for_each(|_| watch.look());
    assert_eq!(served(&store, "a.test"), der(&old));
    fs::write(dir.path().join("key.pem"), &new.key).expect("written");
    (0..2).for_each(|_| watch.look());
    assert_eq!(served(&store, "a.test"), der(&new));
}

#[test]
fn files_that_vanish_or_are_for_another_name_change_nothing() {
    let old = pair(&["a.test"]);
    let dir = directory(&old);
    let (store, mut watch) = watched(dir.path(), exact());
    fs::remove_file(dir.path().join("cert.pem")).expect("removed");
    (0..2).for_each(|_| watch.look());
    assert_eq!(served(&store, "a.test"), der(&old));
    write(dir.path(), &pair(&["b.test"]));
    (0..2).for_each(|_| watch.look());
    assert_eq!(served(&store, "a.test"), der(&old));
}

#[test]
fn a_symbolic_link_on_the_way_may_be_swapped() {
    let (old, new) = (pair(&["a.test"]), pair(&["a.test"]));
    let (one, two) = (directory(&old), directory(&new));
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().join("..data");
    symlink(one.path(), &data).expect("linked");
    let (store, mut watch) = watched(&data, exact());
    symlink(two.path(), dir.path().join("..data_tmp")).expect("linked");
    fs::rename(dir.path().join("..data_tmp"), &data).expect("swapped");
    (0..2).for_each(|_| watch.look());
    assert_eq!(served(&store, "a.test"), der(&new));
}

#[test]
fn the_new_certificate_s_other_names_are_answered_too() {
    let dir = directory(&pair(&["*.w.test"]));
    let (store, mut watch) = watched(dir.path(), SiteName::Wildcard("w.test".into()));
    assert_eq!(served(&store, "x.deep.w.test"), None);
    let new = pair(&["*.w.test", "*.deep.w.test"]);
    write(dir.path(), &new);
    (0..2).for_each(|_| watch.look());
    assert_eq!(served(&store, "x.deep.w.test"), der(&new));
}
