//! Built plugins export the phases that were written, and import no more than they say.

mod inspect;

use inspect::Component;

/// `PORTCULLIS_INSPECT=a.wasm:b.wasm cargo test -p portcullis-sdk --test components -- --ignored --nocapture` prints what is in files.
#[test]
#[ignore = "prints, tests nothing"]
fn print() {
    for file in std::env::var("PORTCULLIS_INSPECT").expect("files, separated by colons").split(':') {
        let component = Component::read(&std::fs::read(file).expect("readable"));
        for (size, name) in component.functions.iter().take(40) {
            println!("{size:7} {name}");
        }
        println!(
            "{file}: {} bytes\n  exports {:?}\n  imports {:#?}\n  {:?}",
            component.size, component.exports, component.imports, component.sections
        );
    }
}
