-- One request on each connection (env BENCH_CONNECTIONS), then silence until wrk ends.
local connections, asked = tonumber(os.getenv("BENCH_CONNECTIONS")), 0
function delay()
  asked = asked + 1
  return asked <= connections and 0 or 3600000
end
