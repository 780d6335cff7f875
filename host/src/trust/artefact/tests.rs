//! What common tools make, and what nobody should.

use super::*;
use std::io::Write;

fn manifest(media_type: &str, bytes: &[u8]) -> String {
    let layer = json!({ "mediaType": media_type, "digest": format!("sha256:{}", hex(&digest(bytes))), "size": bytes.len() });
    json!({ "schemaVersion": 2, "config": { "mediaType": "x", "digest": "sha256:00", "size": 2 }, "layers": [layer] }).to_string()
}

fn opened(media_type: &str, bytes: &[u8]) -> Result<Vec<u8>, Unreadable> {
    let manifest = Manifest::read(manifest(media_type, bytes).as_bytes())?;
    let Leads::Layer(layer) = manifest.leads()? else { panic!("a layer") };
    assert_eq!((layer.digest, layer.size), (digest(bytes), bytes.len()));
    manifest.open(&layer, bytes.to_vec(), [0; 32]).map(|artefact| artefact.wasm)
}

fn archive(name: &str, content: &[u8]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, content) in [("readme.txt", &b"hello"[..]), (name, content)] {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, name, content).expect("added");
    }
    archive.into_inner().expect("whole")
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packer.write_all(bytes).expect("packed");
    packer.finish().expect("whole")
}

#[test]
fn what_we_pack_we_can_read() {
    let label = Label { title: "jwt".into(), version: "1.2.0".into(), description: None, created: "2026-01-01T00:00:00Z".into() };
    let (_, text) = pack(b"\0asm", &label, Some("signature\n"));
    assert_eq!(text, pack(b"\0asm", &label, Some("signature\n")).1);
    let manifest = Manifest::read(text.as_bytes()).expect("ours");
    let Ok(Leads::Layer(layer)) = manifest.leads() else { panic!("a layer") };
    let artefact = manifest.open(&layer, b"\0asm".to_vec(), [1; 32]).expect("ours");
    assert_eq!((&*artefact.wasm, artefact.signature.as_deref()), (&b"\0asm"[..], Some("signature\n")));
    assert_eq!(artefact.annotations["org.opencontainers.image.version"], "1.2.0");
}

#[test]
fn every_common_layout_is_read() {
    let wasm = b"\0asm...";
    for media_type in
        ["application/wasm", "application/vnd.wasm.content.layer.v1+wasm", "application/vnd.module.wasm.content.layer.v1+wasm"]
    {
        assert_eq!(opened(media_type, wasm).expect(media_type), wasm);
    }
    for name in ["plugin.wasm", "./plugin.wasm"] {
        let image = archive(name, wasm);
        assert_eq!(opened("application/vnd.oci.image.layer.v1.tar", &image).expect("found"), wasm);
        assert_eq!(opened("application/vnd.docker.image.rootfs.diff.tar.gzip", &gzip(&image)).expect("found"), wasm);
    }
}

#[test]
fn what_holds_no_component_is_told() {
    let zstd = opened("application/vnd.oci.image.layer.v1.tar+zstd", b"").expect_err("not known").to_string();
    assert!(zstd.contains("tar+zstd"), "{zstd}");
    let other = opened("application/vnd.oci.image.layer.v1.tar", &archive("other.wasm", b"")).expect_err("none").to_string();
    assert!(other.contains("no plugin.wasm"), "{other}");
    assert!(matches!(opened("application/vnd.oci.image.layer.v1.tar+gzip", b"not gzip"), Err(Unreadable::Layer(_))));
    assert!(matches!(Manifest::read(b"{"), Err(Unreadable::Manifest(_))));
    let huge = json!({ "layers": [{ "mediaType": WASM, "digest": "sha256:00", "size": LARGEST + 1 }] }).to_string();
    assert!(matches!(Manifest::read(huge.as_bytes()).and_then(|manifest| manifest.leads()), Err(Unreadable::TooLarge)));
}

#[test]
fn archives_that_unpack_without_end_are_cut_off() {
    let bomb = gzip(&archive("filler", &vec![0; 2 * LARGEST]));
    assert!(bomb.len() < 1 << 20);
    assert!(opened("application/vnd.oci.image.layer.v1.tar+gzip", &bomb).is_err());
}

#[test]
fn of_several_manifests_the_one_for_wasm_counts() {
    let entry = |n: u8, architecture: &str| json!({ "mediaType": MANIFEST, "digest": format!("sha256:{}", hex(&[n; 32])), "size": 9, "platform": { "architecture": architecture, "os": "linux" } });
    let leads = |entries: Vec<Value>| Manifest::read(json!({ "manifests": entries }).to_string().as_bytes()).expect("JSON").leads();
    assert_eq!(leads(vec![entry(1, "amd64"), entry(2, "wasm")]).expect("one"), Leads::Manifest([2; 32]));
    assert_eq!(leads(vec![entry(1, "amd64")]).expect("the only one"), Leads::Manifest([1; 32]));
    assert!(leads(vec![entry(1, "amd64"), entry(2, "arm64")]).is_err());
}
