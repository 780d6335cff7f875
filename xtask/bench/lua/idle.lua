-- One request on each connection (env BENCH_CONNECTIONS), one after another, then silence until wrk ends.
-- wrk asks for the delay of each request: first of the one on a new connection, then of the one after its answer.
local connections, asked = tonumber(os.getenv("BENCH_CONNECTIONS")), 0
function delay()
  asked = asked + 1
  if asked == 2 * connections then
    io.write("ANSWERED\n")
    io.flush()
  end
  return asked <= connections and asked or 3600000
end
