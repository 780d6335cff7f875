-- Prints wrk's summary as one line for the harness.
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format("\nRESULT %d %.6f %d %d %d\n", summary.requests, summary.duration / 1e6, latency:percentile(50),
    latency:percentile(99), e.connect + e.read + e.write + e.status + e.timeout))
end
