-- (What follows is templates/refuse.lua of Trunkline: ports that refuse.)
--
-- When nobody could serve a port for as long as a client would wait, it no longer listens: connections are refused by
-- the kernel, and clients that know several load balancers go on to the next one at once. It listens again the moment
-- there is somebody. This needs no agent and no lease. A port that a person has disabled is left alone, and one that a
-- person has opened while it refused stays open until it has had somebody. What cannot be seen is a hand that disables
-- what refuses already.
--
--   setenv TRUNKLINE_PORTS "PROXY one|any FALLBACK|- TIMEOUT_MS UNREACHED_MS ..."      five words for each port
--
-- (2.6 hands the arguments of lua-load to nobody.)
--
-- A client that was between two attempts to connect comes back through a socket of the same frontend, which is closed
-- with the port: nobody is still there after GRACE_MS. `trunkline lease` tells each port that refuses as `closed PROXY`.

local GRACE_MS = 5000          -- four attempts of a second, and a little
local OPEN_LOOK_MS, CLOSED_LOOK_MS = 250, 20

local ports = {}               -- { proxy, admits, fallback, timeout_ms, unreached_ms, since, is_closed, is_opened }

for proxy, admits, fallback, timeout_ms, unreached_ms in
  (os.getenv("TRUNKLINE_PORTS") or ""):gmatch("(%S+) (%S+) (%S+) (%d+) (%d+)") do
  ports[#ports + 1] = {
    proxy = proxy,
    admits = admits,
    fallback = fallback ~= "-" and fallback or nil,
    timeout_ms = math.max(GRACE_MS, tonumber(timeout_ms)),
    unreached_ms = math.max(GRACE_MS, tonumber(unreached_ms)),
    is_closed = false,
  }
end

-- Whether a client that comes now is served, or will be at once.
local function has_somebody(port)
  local count = active(port.proxy, FRESH_MS)
  if count == nil or is_enough(port, count) then return true end
  return count == 0 and port.fallback ~= nil and active(port.fallback, FRESH_MS) == 1
end

local function is_over(port, waited_ms)
  if waited_ms < math.min(port.timeout_ms, port.unreached_ms) then return false end
  local is_judged, is_unreached = verdicts(port.proxy)
  return is_judged and (waited_ms >= port.timeout_ms or (is_unreached and waited_ms >= port.unreached_ms))
end

-- HAProxy's word is the same for a port that we have closed and for one that a person has.
local function is_listening(frontend)
  return frontend:get_stats().status == "OPEN"
end

local function look_at_port(port)
  local frontend, now = core.frontends[port.proxy], now_ms()
  if port.is_closed and is_listening(frontend) then
    port.is_closed, port.is_opened = false, true
  end
  if has_somebody(port) then
    port.since, port.is_opened = nil, false
    if port.is_closed then frontend:resume() end
    port.is_closed = false
  else
    port.since = port.since or now
    local may_close = not port.is_closed and not port.is_opened
    if may_close and is_over(port, now - port.since) and is_listening(frontend) then
      port.is_closed = true    -- first: it has to be opened again whatever becomes of the next line
      frontend:pause()
    end
  end
end

-- A worker that a reload has left behind no longer listens, and shares its sockets with the one that does.
core.register_task(function()
  while not is_left_behind() do
    local pause_ms = OPEN_LOOK_MS
    for _, port in ipairs(ports) do
      pcall(look_at_port, port)
      if port.is_closed then pause_ms = CLOSED_LOOK_MS end
    end
    core.msleep(pause_ms)
  end
end)
