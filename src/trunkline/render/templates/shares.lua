-- (What follows is templates/shares.lua of Trunkline: shares of servers that come or come back.)
--
-- All new sessions would go to a replica that has none, with cold caches, until it has as many as the others. So it begins
-- with a tenth of its share, and has all of it when the time is over.
--
--   setenv TRUNKLINE_SLOW_STARTS "PROXY MS ..."                two words for each proxy that wants it
--
-- (HAProxy's own slowstart cuts down maxconn as well: clients would queue.) A weight that a person has set meanwhile stays.

local FIRST_PERCENT = 10
local SETTLED_MS = 2000        -- so long another one has served already: at a start all of them come at once

local slow_starts = {}         -- proxy -> ms
local shares = {}              -- proxy -> { server -> { since = up since, percent = of its share, nil for all of it } }

for proxy, ms in (os.getenv("TRUNKLINE_SLOW_STARTS") or ""):gmatch("(%S+) (%d+)") do
  slow_starts[proxy], shares[proxy] = tonumber(ms), {}
end

local function now_ms()
  local now = core.now()
  return now.sec * 1000 + now.usec / 1000
end

local function set_share(server, share, percent)
  server:set_weight(percent .. "%")
  share.percent = percent < 100 and percent or nil
end

local function is_another_settled(proxy, name, now)
  for other in pairs(core.backends[proxy].servers) do
    local share = shares[proxy][other]
    if other ~= name and share and share.since and now - share.since >= SETTLED_MS then return true end
  end
  return false
end

-- Called with what is known of a server whenever somebody looks at it.
local function give_share(proxy, name, server, stats, now)
  local ms = slow_starts[proxy]
  if not ms or tonumber(stats.bck) == 1 then return end
  local share = shares[proxy][name] or {}
  shares[proxy][name] = share
  if not (stats.status:match("^UP") or stats.status == "no check") then
    share.since = nil
    if share.percent then set_share(server, share, 100) end
  elseif not share.since then
    share.since = now
    if is_another_settled(proxy, name, now) then set_share(server, share, FIRST_PERCENT) end
  elseif share.percent and server:get_weight() ~= share.percent then
    share.percent = nil        -- somebody else's
  elseif share.percent then
    local percent = FIRST_PERCENT + math.floor((100 - FIRST_PERCENT) * (now - share.since) / ms)
    if percent ~= share.percent then set_share(server, share, math.min(percent, 100)) end
  end
end
