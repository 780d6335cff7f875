//! A store in a Redis or Valkey server, which several proxies can share. A connection for each worker, opened when it is first needed, and
//! opened again when it breaks.

use super::{Add, Operation, Outcome, Replace, Set, StoreError, Take};
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, Cmd, ErrorKind, RedisError, Script, cmd};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::thread::ThreadId;
use std::time::Duration;
use tokio::time::timeout;

pub struct RedisStore {
    client: Client,
    prefix: Vec<u8>,
    timeout: Duration,
    add: Script,
    replace: Script,
    take: Script,
    /// Of each worker: a connection lives in the runtime that opened it. A lock, because it is held for a look-up only.
    connections: Mutex<HashMap<ThreadId, ConnectionManager>>,
}

/// In one step, so that the time of a counter begins with it whoever adds first.
const ADD: &str = "
local fresh = redis.call('EXISTS', KEYS[1]) == 0
local sum = redis.call('INCRBY', KEYS[1], ARGV[1])
if fresh and ARGV[2] ~= '' then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return sum";

const REPLACE: &str = "
local there = redis.call('GET', KEYS[1])
if ARGV[1] == '0' then
  if there then return 0 end
elseif there ~= ARGV[2] then
  return 0
end
if ARGV[4] ~= '' then redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[4]) else redis.call('SET', KEYS[1], ARGV[3]) end
return 1";

/// Gives whether the units were there, and how many microseconds the bucket lacked of being full, by the server's clock. Times are counted from
/// the beginning of 2025, so that a double still tells parts of a microsecond for decades.
const TAKE: &str = "
local clock = redis.call('TIME')
local now = (clock[1] - 1735689600) * 1000000 + clock[2]
local cost, length = tonumber(ARGV[1]), tonumber(ARGV[2])
local missing = 0
local there = redis.call('GET', KEYS[1])
if there then
  local full = string.sub(there, 1, 1) == 'b' and tonumber(string.sub(there, 2))
  if not full then return redis.error_reply('WRONGTYPE not a bucket') end
  missing = math.min(math.max(full - now, 0), length)
end
local admitted = missing + cost <= length
if admitted then
  local full = now + missing + cost
  redis.call('SET', KEYS[1], string.format('b%.17g', full), 'PX', math.max(1, math.ceil((missing + cost) / 1000)))
end
return { admitted and 1 or 0, string.format('%.17g', missing) }";

impl RedisStore {
    pub(super) fn new(url: &str, prefix: &str, timeout: Duration) -> Result<Self, String> {
        let client = Client::open(url).map_err(|error| error.to_string())?;
        let (add, replace, take) = (Script::new(ADD), Script::new(REPLACE), Script::new(TAKE));
        Ok(Self { client, prefix: prefix.into(), timeout, add, replace, take, connections: Mutex::default() })
    }

    pub(super) async fn run(&self, operation: Operation) -> Result<Outcome, StoreError> {
        let asked = async {
            let mut connection = self.connection().await?;
            self.ask(&mut connection, operation).await
        };
        match timeout(self.timeout, asked).await {
            Ok(outcome) => outcome.map_err(sort),
            Err(_) => Err(StoreError::Unavailable(format!("no answer within {:?}", self.timeout))),
        }
    }

    async fn ask(&self, connection: &mut ConnectionManager, operation: Operation) -> Result<Outcome, RedisError> {
        match operation {
            Operation::Get(key) => self.command("GET", &key).query_async(connection).await.map(Outcome::Value),
            Operation::Set(Set { key, value, ttl }) => {
                let mut set = self.command("SET", &key);
                set.arg(value);
                if let Some(ttl) = ttl {
                    set.arg("PX").arg(millis(ttl));
                }
                set.query_async::<()>(connection).await.map(|()| Outcome::Done(true))
            }
            Operation::Add(Add { key, delta, ttl }) => {
                let mut add = self.add.key(self.key(&key));
                add.arg(delta).arg(ttl.map(millis).map(|ttl| ttl.to_string()).unwrap_or_default());
                add.invoke_async(connection).await.map(Outcome::Sum)
            }
            Operation::Replace(Replace { key, expected, value, ttl }) => {
                let mut replace = self.replace.key(self.key(&key));
                replace.arg(i32::from(expected.is_some())).arg(expected.unwrap_or_default()).arg(value);
                replace.arg(ttl.map(millis).map(|ttl| ttl.to_string()).unwrap_or_default());
                replace.invoke_async(connection).await.map(Outcome::Done)
            }
            Operation::Take(Take { key, bucket, units }) => {
                let micros = |nanos: u64| nanos as f64 / 1_000.0;
                let mut take = self.take.key(self.key(&key));
                take.arg(micros(bucket.cost(units))).arg(micros(bucket.length()));
                let (admitted, missing): (bool, f64) = take.invoke_async(connection).await?;
                Ok(Outcome::Taken(bucket.taken(units, (missing * 1_000.0) as u64, admitted)))
            }
            Operation::Delete(key) => self.command("DEL", &key).query_async(connection).await.map(Outcome::Done),
        }
    }

    fn command(&self, name: &str, key: &[u8]) -> Cmd {
        let mut command = cmd(name);
        command.arg(self.key(key));
        command
    }

    fn key(&self, key: &[u8]) -> Vec<u8> {
        [&self.prefix, key].concat()
    }

    async fn connection(&self) -> Result<ConnectionManager, RedisError> {
        let worker = std::thread::current().id();
        let known = self.connections.lock().unwrap_or_else(PoisonError::into_inner).get(&worker).cloned();
        if let Some(connection) = known {
            return Ok(connection);
        }
        // Two guests that come here at once open two, of which one is kept.
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(1)
            .set_connection_timeout(Some(self.timeout))
            .set_response_timeout(Some(self.timeout));
        let connection = ConnectionManager::new_with_config(self.client.clone(), config).await?;
        self.connections.lock().unwrap_or_else(PoisonError::into_inner).insert(worker, connection.clone());
        Ok(connection)
    }
}

/// Redis refuses a time of 0; what is to be forgotten at once is forgotten in a millisecond.
fn millis(ttl: Duration) -> u64 {
    u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX >> 1).clamp(1, u64::MAX >> 1)
}

fn sort(error: RedisError) -> StoreError {
    let text = error.to_string();
    match error.kind() {
        _ if text.contains("not an integer") || text.contains("would overflow") || text.contains("WRONGTYPE") => StoreError::WrongType,
        _ if text.contains("OOM ") => StoreError::Full,
        ErrorKind::Io => StoreError::Unavailable("the server cannot be reached".to_owned()),
        _ => StoreError::Unavailable(text),
    }
}
