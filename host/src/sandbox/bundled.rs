//! (pending)
pub fn bundled(_name: &str) -> Option<&'static [u8]> {
    None
}
