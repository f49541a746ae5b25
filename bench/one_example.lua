-- wrk's script for requests of one example each: the file named after `--` has a body a line.

local requests, asked = {}, 0

function init(arguments)
  for body in io.lines(arguments[1]) do
    requests[#requests + 1] = wrk.format("POST", nil, { ["content-type"] = "application/json" }, body)
  end
end

function request()
  asked = asked % #requests + 1
  return requests[asked]
end

function done(summary, latency)
  local e = summary.errors
  local failed = e.connect + e.read + e.write + e.status + e.timeout
  local form = '\n{"requests": %d, "failed": %d, "p99": %f}\n'
  io.write(form:format(summary.requests, failed, latency:percentile(99) / 1e6))
end
