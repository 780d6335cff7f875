//! `kv`: named stores.

use super::{Capability, Rights};
use crate::sandbox::fault::Stop;
use crate::sandbox::offer::Offer;
use crate::sandbox::state::{Cx, State};
use crate::sandbox::stores::{Add, Operation, Outcome, Replace, Set, Store, StoreError};
use std::sync::Arc;
use std::time::Duration;
use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentNamedList, ComponentType, Lift, Lower};

const MOST_KEY: usize = 1 << 10;
const MOST_VALUE: usize = 64 << 10;

#[derive(ComponentType, Lower)]
#[component(variant)]
enum Error {
    #[component(name = "denied")]
    Denied,
    #[component(name = "full")]
    Full,
    #[component(name = "wrong-type")]
    WrongType,
    #[component(name = "unavailable")]
    Unavailable(String),
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Full => Self::Full,
            StoreError::WrongType => Self::WrongType,
            StoreError::Unavailable(why) => Self::Unavailable(why),
        }
    }
}

type Key = Vec<u8>;
type Ttl = Option<u64>;
type Answer<T> = Result<T, Error>;

pub(super) fn link(offer: &mut Offer<'_>, waits: bool) -> wasmtime::Result<()> {
    function(offer, waits, "get", |(store, key): (Box<str>, Key)| (store, Operation::Get(key)), Outcome::value)?;
    let set = |(store, key, value, ttl): (Box<str>, Key, Vec<u8>, Ttl)| (store, Operation::Set(Set { key, value, ttl: time(ttl) }));
    function(offer, waits, "set", set, |_| ())?;
    let add = |(store, key, delta, ttl): (Box<str>, Key, i64, Ttl)| (store, Operation::Add(Add { key, delta, ttl: time(ttl) }));
    function(offer, waits, "add", add, Outcome::sum)?;
    let replace = |(store, key, expected, value, ttl): (Box<str>, Key, Option<Vec<u8>>, Vec<u8>, Ttl)| {
        (store, Operation::Replace(Replace { key, expected, value, ttl: time(ttl) }))
    };
    function(offer, waits, "compare-and-set", replace, Outcome::done)?;
    function(offer, waits, "delete", |(store, key): (Box<str>, Key)| (store, Operation::Delete(key)), Outcome::done)
}

/// One of the functions: what it asks of the store, and what it makes of the outcome.
fn function<P, R>(
    offer: &mut Offer<'_>,
    waits: bool,
    name: &'static str,
    ask: fn(P) -> (Box<str>, Operation),
    make: fn(Outcome) -> R,
) -> wasmtime::Result<()>
where
    P: ComponentNamedList + Lift + Send + Sync + 'static,
    R: Lower + ComponentType + Send + Sync + 'static,
    (Answer<R>,): ComponentNamedList + Lower,
{
    let mut kv = offer.capability(Capability::Kv)?;
    if waits {
        return kv.waiting_func(name, move |cx: StoreContextMut<'_, State>, params: P| {
            let prepared = prepare(&cx, ask(params));
            async move {
                let (store, operation) = match prepared? {
                    Some(prepared) => prepared,
                    None => return Ok((Err(Error::Denied),)),
                };
                Ok((store.run(operation).await.map(make).map_err(Error::from),))
            }
        });
    }
    kv.func(name, move |cx, params: P| match prepare(&cx, ask(params))? {
        Some((store, operation)) => Ok((store.run_here(operation).map(make).map_err(Error::from),)),
        None => Ok((Err(Error::Denied),)),
    })
}

/// `None`: the store is not granted.
fn prepare(cx: &Cx<'_>, (name, operation): (Box<str>, Operation)) -> wasmtime::Result<Option<(Arc<Store>, Operation)>> {
    let key = operation.key().len();
    if key == 0 || key > MOST_KEY {
        return Err(Stop::Contract("a key of 1 to 1,024 bytes").into());
    }
    if operation.value().is_some_and(|value| value.len() > MOST_VALUE) {
        return Err(Stop::Contract("a value of at most 64 KiB").into());
    }
    let Rights { stores, .. } = &*cx.data().backing.rights;
    Ok(stores.get(&*name).map(|store| (Arc::clone(store), operation)))
}

const fn time(ttl: Ttl) -> Option<Duration> {
    match ttl {
        Some(millis) => Some(Duration::from_millis(millis)),
        None => None,
    }
}
