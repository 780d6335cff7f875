//! `log`: lines under the rate of the link's stdout and stderr.

use super::Capability;
use crate::sandbox::offer::Offer;
use crate::sandbox::state::State;
use crate::sandbox::wasi::Level;
use wasmtime::component::{ComponentType, Lift};

#[derive(ComponentType, Lift, Clone, Copy)]
#[component(enum)]
#[repr(u8)]
#[allow(dead_code, reason = "made from a guest's number")]
enum GuestLevel {
    #[component(name = "debug")]
    Debug,
    #[component(name = "info")]
    Info,
    #[component(name = "warn")]
    Warn,
    #[component(name = "error")]
    Error,
}

pub(super) fn link(offer: &mut Offer<'_>) -> wasmtime::Result<()> {
    offer.capability(Capability::Log)?.func("log", |mut cx, (level, message): (GuestLevel, Box<str>)| {
        let level = match level {
            GuestLevel::Debug => Level::Debug,
            GuestLevel::Info => Level::Info,
            GuestLevel::Warn => Level::Warn,
            GuestLevel::Error => Level::Error,
        };
        let State { console, backing, exchange, .. } = cx.data_mut();
        console.say(&backing.log, level, *exchange, message.as_bytes());
        Ok(())
    })
}
