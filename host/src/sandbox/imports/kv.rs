//! `kv`: named stores.

use super::{Capability, Rights};
use crate::sandbox::fault::Stop;
use crate::sandbox::offer::Offer;
use crate::sandbox::state::{Cx, State};
use crate::sandbox::stores::{Add, Bucket, Operation, Outcome, Replace, Set, Store, StoreError, Take};
use std::sync::Arc;
use std::time::Duration;
use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentNamedList, ComponentType, Lift, Lower, WasmStr};

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

#[derive(ComponentType, Lower)]
#[component(record)]
struct Taken {
    admitted: bool,
    left: u32,
    retry: u64,
    full: u64,
}

impl From<crate::sandbox::stores::Taken> for Taken {
    fn from(taken: crate::sandbox::stores::Taken) -> Self {
        let millis = |nanos: u64| nanos.div_ceil(1_000_000);
        Self { admitted: taken.admitted, left: taken.left, retry: millis(taken.retry), full: millis(taken.full) }
    }
}

type Key = Vec<u8>;
type Ttl = Option<u64>;
type Answer<T> = Result<T, Error>;

/// What a function asks of which store.
type Asked = Result<(WasmStr, Operation), Stop>;

pub(super) fn link(offer: &mut Offer<'_>, waits: bool) -> wasmtime::Result<()> {
    function(offer, waits, "get", |(store, key): (WasmStr, Key)| Ok((store, Operation::Get(key))), Outcome::value)?;
    let set = |(store, key, value, ttl): (WasmStr, Key, Vec<u8>, Ttl)| Ok((store, Operation::Set(Set { key, value, ttl: time(ttl) })));
    function(offer, waits, "set", set, |_| ())?;
    let add = |(store, key, delta, ttl): (WasmStr, Key, i64, Ttl)| Ok((store, Operation::Add(Add { key, delta, ttl: time(ttl) })));
    function(offer, waits, "add", add, Outcome::sum)?;
    let replace = |(store, key, expected, value, ttl): (WasmStr, Key, Option<Vec<u8>>, Vec<u8>, Ttl)| {
        Ok((store, Operation::Replace(Replace { key, expected, value, ttl: time(ttl) })))
    };
    function(offer, waits, "compare-and-set", replace, Outcome::done)?;
    function(offer, waits, "delete", |(store, key): (WasmStr, Key)| Ok((store, Operation::Delete(key))), Outcome::done)?;
    let take = |(store, key, units, capacity, interval): (WasmStr, Key, u32, u32, u64)| {
        let bucket = Bucket::new(capacity, interval).filter(|_| units <= capacity);
        let bucket = bucket.ok_or(Stop::Contract("a bucket that holds what is taken and fills within a year"))?;
        Ok((store, Operation::Take(Take { key, bucket, units })))
    };
    function(offer, waits, "take", take, |outcome| Taken::from(outcome.taken()))
}

/// One of the functions: what it asks of the store, and what it makes of the outcome.
fn function<P, R>(
    offer: &mut Offer<'_>,
    waits: bool,
    name: &'static str,
    ask: fn(P) -> Asked,
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
fn prepare(cx: &Cx<'_>, asked: Asked) -> wasmtime::Result<Option<(Arc<Store>, Operation)>> {
    let (name, operation) = asked?;
    let key = operation.key().len();
    if key == 0 || key > MOST_KEY {
        return Err(Stop::Contract("a key of 1 to 1,024 bytes").into());
    }
    if operation.value().is_some_and(|value| value.len() > MOST_VALUE) {
        return Err(Stop::Contract("a value of at most 64 KiB").into());
    }
    let Rights { stores, .. } = &*cx.data().backing.rights;
    Ok(stores.get(&*name.to_str(cx)?).map(|store| (Arc::clone(store), operation)))
}

const fn time(ttl: Ttl) -> Option<Duration> {
    match ttl {
        Some(millis) => Some(Duration::from_millis(millis)),
        None => None,
    }
}
