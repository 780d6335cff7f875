//! The cache: used when it is sound, never when it is not.

use super::*;
use std::os::unix::fs::PermissionsExt;

const WAT: &str = "(component (core module $m (func (export \"f\"))) (core instance (instantiate $m)))";

fn engine() -> Engine {
    Engine::default()
}

fn component(engine: &Engine) -> (Component, [u8; 32]) {
    let bytes = wat::parse_str(WAT).unwrap();
    (Component::from_binary(engine, &bytes).unwrap(), super::super::digest(&bytes))
}

/// A filled cache, and the one file in it.
fn filled(engine: &Engine, dir: &Path) -> (Cache, [u8; 32], PathBuf) {
    let cache = Cache::open(dir, engine).unwrap();
    let (component, digest) = component(engine);
    cache.store(&component, &digest);
    let file = dir.join(cache.name(&digest, What::Component));
    assert!(file.exists());
    (cache, digest, file)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn what_was_stored_is_loaded_also_by_the_next_process() {
    let (engine, dir) = (engine(), tempfile::tempdir().unwrap());
    let dir = dir.path().join("deep/aot");
    let (cache, digest, file) = filled(&engine, &dir);
    assert!(cache.load(&engine, &digest).is_some());
    assert!(cache.load(&engine, &[1; 32]).is_none());
    assert!(Cache::open(&dir, &engine).unwrap().load(&engine, &digest).is_some());
    assert_eq!((mode(&dir), mode(&file), mode(&dir.join(KEY_FILE))), (0o700, 0o600, 0o600));
}

#[test]
fn damage_is_noticed_and_removed() {
    let (engine, dir) = (engine(), tempfile::tempdir().unwrap());
    let (cache, digest, file) = filled(&engine, dir.path());
    let whole = fs::read(&file).unwrap();
    let mut harms: Vec<Vec<u8>> = vec![vec![], whole[..16].to_vec(), whole[..whole.len() - 1].to_vec(), [&whole[..], b"x"].concat()];
    for at in [0, NONCE_LEN, NONCE_LEN + TAG, NONCE_LEN + TAG + 100, whole.len() / 2, whole.len() - 1] {
        let mut harmed = whole.clone();
        harmed[at] ^= 1;
        harms.push(harmed);
    }
    for harm in harms {
        fs::write(&file, &harm).unwrap();
        assert!(cache.load(&engine, &digest).is_none(), "{} bytes", harm.len());
        assert!(!file.exists());
    }
    fs::write(&file, &whole).unwrap();
    assert!(cache.load(&engine, &digest).is_some());
}

#[test]
fn a_file_under_another_name_or_of_another_key_is_not_loaded() {
    let (engine, dir) = (engine(), tempfile::tempdir().unwrap());
    let (cache, digest, file) = filled(&engine, dir.path());
    fs::copy(&file, dir.path().join(cache.name(&[9; 32], What::Component))).unwrap();
    assert!(cache.load(&engine, &[9; 32]).is_none());
    fs::remove_file(dir.path().join(KEY_FILE)).unwrap();
    assert!(Cache::open(dir.path(), &engine).unwrap().load(&engine, &digest).is_none());
}

#[test]
fn other_engine_settings_are_another_file() {
    let (engine, dir) = (engine(), tempfile::tempdir().unwrap());
    let (_, digest, _) = filled(&engine, dir.path());
    let other = Engine::new(wasmtime::Config::new().epoch_interruption(true)).unwrap();
    assert!(Cache::open(dir.path(), &other).unwrap().load(&other, &digest).is_none());
}

#[test]
fn what_others_can_write_is_refused() {
    let (engine, dir) = (engine(), tempfile::tempdir().unwrap());
    let (cache, digest, file) = filled(&engine, dir.path());
    fs::set_permissions(&file, fs::Permissions::from_mode(0o620)).unwrap();
    assert!(cache.load(&engine, &digest).is_none());
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o770)).unwrap();
    assert!(matches!(Cache::open(dir.path(), &engine), Err(CacheError::Unsafe { reason: "can be written by others", .. })));
}

#[test]
fn links_are_not_followed() {
    let (engine, dir) = (engine(), tempfile::tempdir().unwrap());
    let (cache, digest, file) = filled(&engine, dir.path());
    let elsewhere = dir.path().join("elsewhere");
    fs::rename(&file, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &file).unwrap();
    assert!(cache.load(&engine, &digest).is_none());
    let link = dir.path().join("link");
    std::os::unix::fs::symlink(dir.path(), &link).unwrap();
    assert!(Cache::open(&link, &engine).is_err());
}

#[test]
fn old_files_go_and_used_ones_stay() {
    let (engine, dir) = (engine(), tempfile::tempdir().unwrap());
    let (cache, digest, file) = filled(&engine, dir.path());
    let old = SystemTime::now() - KEEP - Duration::from_secs(60);
    let make_old = |path: &Path| File::open(path).unwrap().set_modified(old).unwrap();
    make_old(&file);
    assert!(cache.load(&engine, &digest).is_some());
    let leftover = dir.path().join("0011223344556677.tmp");
    fs::write(&leftover, b"x").unwrap();
    make_old(&leftover);
    let foreign = dir.path().join("notes.txt");
    fs::write(&foreign, b"x").unwrap();
    make_old(&foreign);
    Cache::open(dir.path(), &engine).unwrap();
    assert_eq!((file.exists(), leftover.exists(), foreign.exists()), (true, false, true));
    make_old(&file);
    Cache::open(dir.path(), &engine).unwrap();
    assert!(!file.exists());
}
