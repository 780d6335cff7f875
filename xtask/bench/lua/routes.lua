-- Requests spread evenly over N routes (env BENCH_ROUTES): host hI.bench.test, path /rI/x.
local n, requests, i = tonumber(os.getenv("BENCH_ROUTES")), {}, 0
function init(args)
  math.randomseed(7)
  for k = 1, 4096 do
    local r = math.random(0, n - 1)
    requests[k] = wrk.format("GET", string.format("/r%d/x", r), { Host = string.format("h%d.bench.test", r) })
  end
end
function request()
  i = i % 4096 + 1
  return requests[i]
end
