-- wrk's script for requests of one example each: the file named after `--` has a body a line; a token may follow.

local requests, asked = {}, 0

function init(arguments)
  local headers = { ["content-type"] = "application/json" }
  if arguments[2] then
    headers["authorization"] = "Bearer " .. arguments[2]
  end
  for body in io.lines(arguments[1]) do
    requests[#requests + 1] = wrk.format("POST", nil, headers, body)
  end
end

function request()
  asked = asked % #requests + 1
  return requests[asked]
end

function done(summary, latency)
  local e = summary.errors
  local failed = e.connect + e.read + e.write + e.timeout
  local form = '\n{"requests": %d, "failed": %d, "refused": %d, "p99": %f}\n'
  io.write(form:format(summary.requests, failed, e.status, latency:percentile(99) / 1e6))
end
